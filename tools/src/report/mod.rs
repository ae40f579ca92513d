//! What a run leaves behind: the terminal's table, `report.json`, `.hlog` and `.hgrm` files and
//! one offline page.
//!
//! Invariants: every figure comes from a merged histogram or from bytes over wall clock, never from
//! an average of averages; a percentile that its samples do not carry is refused; each output is
//! made from the same [`json::Document`], so figures cannot differ between them.
//!
//! The main type is [`RunReport`]: the load generator fills it, then calls [`print_summary`] and
//! [`write()`].

pub mod calendar;
pub mod curve;
pub mod data;
pub mod disk;
pub mod floors;
pub mod hlog;
pub mod interval;
pub mod json;
pub mod live;
pub mod machine;
pub mod page;
pub mod profile;
pub mod quantile;
pub mod sample;
pub mod stages;
pub mod stored;
pub mod summary;
pub mod units;

use std::fs;
use std::io;
use std::path::Path;

pub use data::RunReport;
pub use live::{Live, LiveSample};
pub use summary::print_summary;

use json::Document;

/// Writes the run's files into `dir`, which is created when missing: `report.json`, `index.html`,
/// `latency.hlog` and one `.hgrm` per operation that has samples.
pub fn write(dir: &Path, report: &RunReport) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let document = Document::from(report);
    let mut text = serde_json::to_string_pretty(&document).map_err(io::Error::other)?;
    text.push('\n');
    fs::write(dir.join("report.json"), text)?;
    fs::write(dir.join("index.html"), page::page(&document, &report.latency, &report.intervals))?;
    fs::write(dir.join("latency.hlog"), hlog::interval_log(report)?)?;
    for (tag, histogram) in hlog::tagged(&report.latency) {
        if let Some(histogram) = histogram.filter(|histogram| !histogram.is_empty()) {
            fs::write(dir.join(format!("{tag}.hgrm")), hlog::percentile_text(histogram))?;
        }
    }
    Ok(())
}
