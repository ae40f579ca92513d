//! `curve.json`: one broker under several rates, what a search or a latency-against-load curve leaves behind.
//! `perf/curve-schema.md` describes each key.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::data::{BrokerFacts, MachineFingerprint};
use super::json::{Durability, Percentiles};
use super::page;

/// The version of `curve.json`. It rises when a key changes its meaning or goes away.
pub const CURVE_SCHEMA_VERSION: u32 = 1;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurveKind {
    /// The highest rate that keeps a limit.
    Search,
    /// Latency at given rates.
    Curve,
}

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurveDocument {
    /// [`CURVE_SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// What was asked.
    pub kind: CurveKind,
    /// Names the folder; its points are `RUN_ID-NN`.
    pub run_id: String,
    /// Version of the tool.
    pub tool_version: String,
    /// Name of the workload.
    pub workload: String,
    /// When it began, milliseconds since the epoch.
    pub started_unix_ms: u64,
    /// The command that repeats it.
    pub command_line: String,
    /// What an acknowledgement meant.
    pub durability: Durability,
    /// The broker under load.
    pub broker: BrokerFacts,
    /// Where it ran.
    pub machine: MachineFingerprint,
    /// What a closed loop of the same shape reached first, records per second; `None` if nobody asked.
    pub max_records_per_s: Option<f64>,
    /// The limit of a search.
    pub limit: Option<CurveLimit>,
    /// What a search found.
    pub found: Option<Found>,
    /// True when it was interrupted.
    pub partial: bool,
    /// Every rate that was tried, in the order of trying.
    pub points: Vec<CurvePoint>,
}

/// A latency that must not be exceeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurveLimit {
    /// The percentile, a key of `response_us`: `p999`.
    pub percentile: String,
    /// As printed: `p99.9 ≤ 5ms`.
    pub label: String,
    /// The most that it may be, microseconds.
    pub us: f64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The highest planned rate that held; 0: none did.
    pub records_per_s: f64,
    /// Its megabytes (10^6) of keys and values per second, as acknowledged.
    pub mb_per_s: f64,
    /// The lowest planned rate that did not hold; `None`: every one held.
    pub next_records_per_s: Option<f64>,
    /// What stopped that one.
    pub stopped_by: Option<Bound>,
    /// Both in a sentence.
    pub sentence: String,
}

/// What a rate broke on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The limit on latency, over the window or in one of its halves.
    Latency,
    /// The broker acknowledged less than was planned.
    Rate,
    /// The generator was late by itself: the rate says nothing of the broker.
    Generator,
    /// Requests were refused or never answered.
    Refused,
    /// Records were lost, duplicated, reordered or changed.
    Data,
    /// Too few samples to know the percentile.
    Samples,
}

impl Bound {
    /// As printed.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Latency => "the latency limit",
            Self::Rate => "the broker, which acknowledged less than was planned",
            Self::Generator => "the generator, which was late by itself",
            Self::Refused => "refused or unanswered requests",
            Self::Data => "the data check",
            Self::Samples => "too few samples for the percentile",
        }
    }
}

/// One rate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Planned records per second.
    pub records_per_s: f64,
    /// Acknowledged records per second.
    pub achieved_records_per_s: f64,
    /// Acknowledged megabytes (10^6) of keys and values per second.
    pub mb_per_s: f64,
    /// Acknowledged over planned, 0 to 1.
    pub achieved_share: f64,
    /// Share of late sends, 0 to 1.
    pub late_share: f64,
    /// Whether the run is valid and, in a search, kept the limit.
    pub held: bool,
    /// What it broke on.
    pub stopped_by: Option<Bound>,
    /// Planned send to acknowledgement.
    pub response_us: Option<Percentiles>,
    /// Planned send to the consumer.
    pub end_to_end_us: Option<Percentiles>,
    /// CPU seconds of the broker in the window, if it could be seen.
    pub cpu_seconds: Option<f64>,
    /// The run's folder, beside this document.
    pub run: String,
}

/// The largest `curve.json` that is read.
const CURVE_BYTES_MAX: u64 = 16 << 20;

/// Writes `curve.json` and its page into `dir`.
///
/// # Errors
/// What the file system says.
pub fn write(dir: &Path, curve: &CurveDocument) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(curve).map_err(io::Error::other)?;
    text.push('\n');
    fs::write(dir.join("curve.json"), text)?;
    fs::write(dir.join("index.html"), page::curve(curve))
}

/// Reads the `curve.json` of a folder.
///
/// # Errors
/// What the file system says; `InvalidData` for a file that is too large, not ours or of another schema.
pub fn read(dir: &Path) -> io::Result<CurveDocument> {
    let path = dir.join("curve.json");
    let refused =
        |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
    let bytes = fs::metadata(&path)?.len();
    if bytes > CURVE_BYTES_MAX {
        return Err(refused(format!("{bytes} bytes are too many")));
    }
    let curve: CurveDocument =
        serde_json::from_slice(&fs::read(&path)?).map_err(|e| refused(e.to_string()))?;
    if curve.schema_version != CURVE_SCHEMA_VERSION {
        return Err(refused(format!("schema version {}", curve.schema_version)));
    }
    Ok(curve)
}
