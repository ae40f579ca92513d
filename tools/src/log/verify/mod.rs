//! `ringlog log verify`: does every byte that should be there hold?
//!
//! A partition's directory of any Kafka is checked as it lies: every whole `.log` file, and the
//! indexes beside it. Nothing is repaired and nothing is written.

mod partition;
mod report;

use std::io::Write;
use std::path::Path;

use super::lines::Lines;
pub(super) use report::Report;

/// Checks a directory.
///
/// # Errors
/// What is there cannot be read. Damage is not an error: it is counted.
pub(super) fn verify<W: Write>(path: &Path, out: &mut Lines<W>) -> anyhow::Result<Report> {
    let mut report = Report::default();
    partition::verify_directory(path, &mut report, out)?;
    Ok(report)
}
