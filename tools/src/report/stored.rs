//! A run folder read back: `report.json` for the figures, `latency.hlog` for the samples behind
//! them. What the two say about the number of samples must agree, else the folder is not one run.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::data::{Interval, LatencySet, SCHEMA_VERSION, latency_histogram};
use super::hlog::tagged;
use super::json::Document;

/// The largest `report.json` that is read.
const REPORT_BYTES_MAX: u64 = 64 << 20;
/// The largest `latency.hlog` that is read.
const HLOG_BYTES_MAX: u64 = 512 << 20;
/// Starts in the log have three decimals: closer than this is the same interval.
const START_TOLERANCE: Duration = Duration::from_millis(2);

/// One run as it lies on disk.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// Its folder.
    pub dir: PathBuf,
    /// Its figures.
    pub document: Document,
    /// Its samples, whole window.
    pub latency: LatencySet,
    /// Its samples and counts over time.
    pub intervals: Vec<Interval>,
}

/// What keeps a folder from being read as a run.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// No such file, or no permission.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is larger than any run's.
    #[error("{} is {bytes} bytes; at most {max} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// Not a `report.json` of ours.
    #[error("{} is not a report of ringlog: {source}", path.display())]
    NotAReport {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A report of another schema.
    #[error("{} has schema version {found}; this program reads {SCHEMA_VERSION}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A line of the interval log that cannot be read.
    #[error("{}: entry {entry} is not an interval histogram: {reason}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Which entry, from 1.
        entry: usize,
        /// Why.
        reason: String,
    },
    /// The log holds other samples than the report counts.
    #[error("{}: latency.hlog holds {in_log} samples of {tag}, report.json counts {in_report}", dir.display())]
    Disagree {
        /// The run folder.
        dir: PathBuf,
        /// The operation.
        tag: &'static str,
        /// Samples in the log.
        in_log: u64,
        /// Samples in the report.
        in_report: u64,
    },
}

/// True when the folder holds a run.
pub fn is_run(dir: &Path) -> bool {
    dir.join("report.json").is_file()
}

/// Reads a run folder.
///
/// # Errors
/// A missing, oversized or foreign file, a damaged log entry, or files that do not belong together.
pub fn read(dir: &Path) -> Result<StoredRun, StoredError> {
    let path = dir.join("report.json");
    let document: Document = serde_json::from_slice(&bytes(&path, REPORT_BYTES_MAX)?)
        .map_err(|source| StoredError::NotAReport { path: path.clone(), source })?;
    if document.schema_version != SCHEMA_VERSION {
        return Err(StoredError::Schema { path, found: document.schema_version });
    }
    let mut intervals: Vec<Interval> = document
        .intervals
        .iter()
        .map(|interval| Interval {
            start: seconds(interval.start_s),
            length: seconds(interval.length_s),
            records_in: interval.records_in,
            bytes_in: interval.bytes_in,
            records_out: interval.records_out,
            bytes_out: interval.bytes_out,
            late_sends: interval.late_sends,
            latency: LatencySet::default(),
        })
        .collect();
    let path = dir.join("latency.hlog");
    let log = bytes(&path, HLOG_BYTES_MAX)?;
    let latency =
        add_log(&log, &mut intervals).map_err(|(entry, reason)| StoredError::Log { path, entry, reason })?;
    let run = StoredRun { dir: dir.to_path_buf(), document, latency, intervals };
    agree(&run)?;
    Ok(run)
}

/// A duration that a document claims; what is none counts as zero.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

fn bytes(path: &Path, max: u64) -> Result<Vec<u8>, StoredError> {
    let failed = |source| StoredError::Read { path: path.to_path_buf(), source };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > max {
        return Err(StoredError::TooLarge { path: path.to_path_buf(), bytes, max });
    }
    fs::read(path).map_err(failed)
}

/// Adds the log's histograms to their intervals and to the whole, which is returned. Tags of a later
/// version are passed over.
fn add_log(log: &[u8], intervals: &mut [Interval]) -> Result<LatencySet, (usize, String)> {
    let mut whole = LatencySet::default();
    let mut deserializer = Deserializer::new();
    for (index, entry) in IntervalLogIterator::new(log).enumerate() {
        let refuse = |reason: String| (index + 1, reason);
        let LogEntry::Interval(entry) = entry.map_err(|e| refuse(format!("{e:?}")))? else { continue };
        let Some(tag) = entry.tag() else { continue };
        let packed = STANDARD.decode(entry.encoded_histogram()).map_err(|e| refuse(e.to_string()))?;
        let histogram: Histogram<u64> =
            deserializer.deserialize(&mut Cursor::new(packed)).map_err(|e| refuse(e.to_string()))?;
        let Some(into) = slot(&mut whole, tag.as_str()) else { continue };
        add(into, &histogram).map_err(refuse)?;
        let start = entry.start_timestamp();
        if let Some(interval) = intervals.iter_mut().find(|i| i.start.abs_diff(start) <= START_TOLERANCE)
            && let Some(into) = slot(&mut interval.latency, tag.as_str())
        {
            add(into, &histogram).map_err(refuse)?;
        }
    }
    Ok(whole)
}

fn slot<'a>(set: &'a mut LatencySet, tag: &str) -> Option<&'a mut Option<Histogram<u64>>> {
    match tag {
        "produce.response" => Some(&mut set.produce_response),
        "produce.service" => Some(&mut set.produce_service),
        "end_to_end" => Some(&mut set.end_to_end),
        "fetch" => Some(&mut set.fetch),
        _ => None,
    }
}

fn add(into: &mut Option<Histogram<u64>>, histogram: &Histogram<u64>) -> Result<(), String> {
    into.get_or_insert_with(latency_histogram).add(histogram).map_err(|e| e.to_string())
}

fn agree(run: &StoredRun) -> Result<(), StoredError> {
    let StoredRun { document, latency, .. } = run;
    let produce = &document.produce;
    let counts = [
        produce.response_us.as_ref(),
        produce.service_us.as_ref(),
        document.end_to_end_us.as_ref(),
        document.fetch_us.as_ref(),
    ];
    for ((tag, histogram), figures) in tagged(latency).into_iter().zip(counts) {
        let (in_log, in_report) = (histogram.map_or(0, Histogram::len), figures.map_or(0, |f| f.count));
        if in_log != in_report {
            return Err(StoredError::Disagree { dir: run.dir.clone(), tag, in_log, in_report });
        }
    }
    Ok(())
}
