//! `ringlog log verify`: does every byte that should be there hold?
//!
//! A data directory is checked as recovery would read it: the newest checkpoint of each core, the
//! journal laid over it in memory, the segments as far as those vouch for them.
//!
//! A partition's directory of any Kafka is checked as it lies: every whole `.log` file, and the
//! indexes beside it. Nothing is repaired and nothing is written.

pub(super) mod data_dir;
mod partition;
mod report;
mod swap;

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
    if path.join("cores").is_dir() {
        data_dir::verify_data_dir(path, &mut report, out)?;
    } else {
        partition::verify_directory(path, &mut report, out)?;
    }
    Ok(report)
}
