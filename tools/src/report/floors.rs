//! What this machine could do at the time of the run, and how near the run came to it.
//!
//! A *floor* is a physical limit measured by plain system calls, without a broker: nothing durable
//! can be faster than the disk, the loopback and the processor below it. A *share* sets one figure
//! of the run beside the floor that bounds it.

use serde::{Deserialize, Serialize};

use super::json::Percentiles;

/// The floors of one machine at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Floors {
    /// Whether they were measured around the run or taken from a file.
    pub source: FloorsSource,
    /// When the first pass began, milliseconds since the epoch.
    pub started_unix_ms: u64,
    /// How long measuring took, all passes.
    pub seconds: f64,
    /// CPU of whatever stood for the broker.
    pub server_core: Option<u32>,
    /// CPU of whatever stood for the generator.
    pub client_core: Option<u32>,
    /// One row per floor, grouped: disk, network, processor, echo.
    pub rows: Vec<Floor>,
}

impl Floors {
    /// The row of that id.
    pub fn row(&self, id: &str) -> Option<&Floor> {
        self.rows.iter().find(|row| row.id == id)
    }
}

/// Where floors come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FloorsSource {
    /// By themselves, without a run (`ringlog bench floors`).
    Alone,
    /// Right before and right after the run, in the same process.
    AroundTheRun,
    /// From a file that the user named.
    File,
}

/// What a floor is a limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FloorGroup {
    /// The device and the file system.
    Disk,
    /// TCP over loopback.
    Network,
    /// Checksum and copy on one core.
    Processor,
    /// Receive, write, flush, reply.
    Echo,
}

/// What a floor's headline counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FloorUnit {
    /// Megabytes (10^6 bytes) per second; more is better.
    #[serde(rename = "MB/s")]
    MbPerS,
    /// Median, or in shares another percentile, in microseconds; less is better.
    #[serde(rename = "us")]
    P50Us,
    /// One latency over another, of shares only; less is better.
    #[serde(rename = "ratio")]
    Ratio,
}

impl FloorUnit {
    /// As printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::MbPerS => "MB/s",
            Self::P50Us => "µs",
            Self::Ratio => "×",
        }
    }
}

/// One measured limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Stable name, for example `overwrite_fdatasync_4k`.
    pub id: String,
    /// What it is a limit of.
    pub group: FloorGroup,
    /// What was done, in words.
    pub label: String,
    /// What `value` and `passes` count.
    pub unit: FloorUnit,
    /// The headline over all passes: bytes over time, or the median of the merged histogram.
    pub value: f64,
    /// The headline of each pass in order of time: how far the machine itself moved.
    pub passes: Vec<f64>,
    /// Operations done.
    pub operations: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Time taken.
    pub wall_s: f64,
    /// Latency of one operation, where one was taken.
    pub latency_us: Option<Percentiles>,
    /// p99.99 over p50, where the samples carry both: how flat the limit itself is.
    pub tail_ratio: Option<f64>,
}

/// One figure of the run beside the floor that bounds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Key of the figure in `report.json`, for example `produce.response_us.p50`.
    pub figure: String,
    /// The floor in words, for example `durable echo, depth 1`.
    pub floor: String,
    /// Ids of the rows that the floor is made of.
    pub rows: Vec<String>,
    /// Unit of both values.
    pub unit: FloorUnit,
    /// The run's value.
    pub ours: f64,
    /// The floor's value.
    pub limit: f64,
    /// Ours over the floor's: 1.2 means 20 % above it.
    pub ratio: f64,
    /// How much of what the machine could do was reached, 0 to 1: the ratio for throughput, its
    /// inverse for latency.
    pub share: f64,
    /// Whether this floor is the one that binds the figure: the tightest of those that apply.
    pub binding: bool,
}

/// Three decimals: nanoseconds of a microsecond, a kilobyte of a megabyte. More would be noise, and
/// short decimals read back as they were written.
pub fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
