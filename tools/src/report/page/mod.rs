//! Pages that need no network and no scripts: one run, a comparison, a rival in turns.
//!
//! | file | what |
//! |---|---|
//! | `run` | `index.html` of a run |
//! | `comparison` | two sides of runs |
//! | `versus`, `versus_row` | two brokers in turns |
//! | `load_curve` | one broker under several rates |
//! | `shell` | what every page begins and ends with, and its size bound |
//! | `header`, `facts`, `floors`, `stages`, `disk`, `profile`, `warm` | sections in words and tables |
//! | `axis`, `frame` | scales, ticks, the plot area |
//! | `curve`, `timeline`, `heatmap`, `forest`, `slots`, `spread` | drawings, SVG made here |
//! | `html` | escaping, and figures that carry their key and exact value |
//!
//! Figures come from the document that the JSON file holds; only drawings look at histograms. A
//! section is a function that returns its HTML, or nothing when there is nothing to show for it.

mod axis;
mod comparison;
mod curve;
mod disk;
mod facts;
mod floors;
mod forest;
mod frame;
mod header;
mod heatmap;
mod html;
mod load_curve;
mod marks;
mod profile;
mod run;
mod shell;
mod slots;
mod spread;
mod stages;
mod timeline;
mod versus;
mod versus_row;
mod warm;

use std::path::Path;

use crate::compare::runs::Side;
use crate::compare::verdict::ComparisonDocument;
use crate::report::curve::CurveDocument;
use crate::report::data::{Interval, LatencySet};
use crate::report::json::Document;

pub use shell::PAGE_BYTES_MAX;

/// The page of a run.
pub fn page(document: &Document, latency: &LatencySet, intervals: &[Interval]) -> String {
    run::page(document, latency, intervals)
}

/// The page of a comparison.
pub fn comparison(document: &ComparisonDocument, a: &Side, b: &Side) -> String {
    comparison::page(document, a, b)
}

/// The page of a search or of a latency-against-load curve.
pub fn curve(document: &CurveDocument) -> String {
    load_curve::page(document)
}

/// The page of two brokers in turns; samples come from the slots' folders below `dir`.
pub fn versus(document: &crate::versus::Document, dir: &Path) -> String {
    versus::page(document, dir)
}
