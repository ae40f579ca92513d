//! How far apart equal runs come to lie on a machine: the A/A noise floor, kept in one file per machine.
//!
//! `perf/noise/<hardware id>.json`, schema version 1:
//!
//! | key | what |
//! |---|---|
//! | `schema_version` | 1 |
//! | `hardware_id` | the machine |
//! | `entries[]` | one per workload and durability, replaced when measured again |
//! | `entries[].workload`, `.durability` | what ran |
//! | `entries[].measured_unix_ms` | start of the last run |
//! | `entries[].runs`, `.pairs` | how many runs, and pairs of neighbours in time |
//! | `entries[].floors` | metric → share: 0.03 is ±3 % for a comparison of five pairs |

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::metric::METRICS;
use super::runs::Side;
use super::stats::{self, PAIRS_MIN};
use crate::report::data::Verdict;

/// Where floors are kept unless somebody says otherwise.
pub const STORE: &str = "perf/noise";
/// Version of the file.
pub const NOISE_SCHEMA_VERSION: u32 = 1;
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A machine's floors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseFile {
    /// [`NOISE_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The machine.
    pub hardware_id: String,
    /// Per workload and durability.
    pub entries: Vec<NoiseEntry>,
}

/// The floors of one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseEntry {
    /// Name of the workload.
    pub workload: String,
    /// What an acknowledgement meant.
    pub durability: String,
    /// Start of the last run, milliseconds since the epoch.
    pub measured_unix_ms: u64,
    /// Runs behind it.
    pub runs: usize,
    /// Pairs of neighbours.
    pub pairs: usize,
    /// Metric → share.
    pub floors: BTreeMap<String, f64>,
}

/// The floors that a comparison uses, and where they come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// In words, for people.
    pub source: String,
    /// Metric → share; empty when nothing is known of this machine.
    pub floors: BTreeMap<String, f64>,
}

/// What keeps floors from being measured or kept.
#[derive(Debug, thiserror::Error)]
pub enum NoiseError {
    /// Too few runs.
    #[error("{} holds {runs} valid runs; a noise floor needs {} of one workload", path.display(), 2 * PAIRS_MIN)]
    TooFew {
        /// The folder.
        path: PathBuf,
        /// Valid runs in it.
        runs: usize,
    },
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not ours.
    #[error("{} is not a noise file: {reason}", path.display())]
    NotNoise {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The file of a machine. The id comes from a report, so only its letters and digits name a file.
pub fn path_of(store: &Path, hardware_id: &str) -> PathBuf {
    let name: String = hardware_id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    store.join(format!("{name}.json"))
}

/// Reads a machine's floors; `None` when there is no file.
///
/// # Errors
/// A file that cannot be read or is not one of these.
pub fn read(store: &Path, hardware_id: &str) -> Result<Option<NoiseFile>, NoiseError> {
    let path = path_of(store, hardware_id);
    let bytes = match fs::metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(NoiseError::File { path, source }),
        Ok(metadata) => metadata.len(),
    };
    if bytes > FILE_BYTES_MAX {
        return Err(NoiseError::NotNoise { path, reason: format!("{bytes} bytes are too many") });
    }
    let text = fs::read(&path).map_err(|source| NoiseError::File { path: path.clone(), source })?;
    let file: NoiseFile = serde_json::from_slice(&text)
        .map_err(|e| NoiseError::NotNoise { path: path.clone(), reason: e.to_string() })?;
    if file.schema_version != NOISE_SCHEMA_VERSION {
        return Err(NoiseError::NotNoise { path, reason: format!("schema version {}", file.schema_version) });
    }
    Ok(Some(file))
}

/// The floors for a workload: its own, else the largest of each metric over the machine's others.
pub fn chosen(file: Option<&NoiseFile>, workload: &str, durability: &str) -> Noise {
    let Some(file) = file.filter(|file| !file.entries.is_empty()) else {
        return Noise {
            source: "none is stored for this machine (ringlog bench noise)".to_string(),
            ..Noise::default()
        };
    };
    if let Some(own) = file.entries.iter().find(|e| e.workload == workload && e.durability == durability) {
        let source = format!("{} equal runs of this workload", own.runs);
        return Noise { source, floors: own.floors.clone() };
    }
    let mut floors: BTreeMap<String, f64> = BTreeMap::new();
    for (metric, share) in file.entries.iter().flat_map(|entry| &entry.floors) {
        let largest = floors.entry(metric.clone()).or_insert(*share);
        *largest = largest.max(*share);
    }
    let names: Vec<&str> = file.entries.iter().map(|entry| entry.workload.as_str()).collect();
    Noise { source: format!("equal runs of other workloads, the largest of {}", names.join(", ")), floors }
}

/// Floors from the runs of one side, which are all equal: neighbours in time are paired.
///
/// # Errors
/// Fewer than twice [`PAIRS_MIN`] valid runs.
pub fn measured(side: &Side) -> Result<NoiseEntry, NoiseError> {
    let runs: Vec<_> = side.runs.iter().filter(|run| run.document.verdict == Verdict::Valid).collect();
    let (pairs, _) = runs.as_chunks::<2>();
    let (Some(last), true) = (runs.last(), pairs.len() >= PAIRS_MIN) else {
        return Err(NoiseError::TooFew { path: side.path.clone(), runs: runs.len() });
    };
    let mut floors = BTreeMap::new();
    for metric in &METRICS {
        let figures: Vec<(f64, f64)> =
            pairs.iter().filter_map(|[a, b]| Some((metric.of(a)?, metric.of(b)?))).collect();
        if let Some(floor) = stats::noise_floor(&figures, PAIRS_MIN) {
            floors.insert(metric.name.to_string(), floor);
        }
    }
    Ok(NoiseEntry {
        workload: last.document.workload.clone(),
        durability: last.document.durability.label.clone(),
        measured_unix_ms: last.document.started_unix_ms,
        runs: runs.len(),
        pairs: pairs.len(),
        floors,
    })
}

/// Keeps an entry, in place of an older one of the same workload and durability. Returns the file's path.
///
/// # Errors
/// A file that cannot be read or written.
pub fn keep(store: &Path, hardware_id: &str, entry: NoiseEntry) -> Result<PathBuf, NoiseError> {
    let mut file = read(store, hardware_id)?.unwrap_or_else(|| NoiseFile {
        schema_version: NOISE_SCHEMA_VERSION,
        hardware_id: hardware_id.to_string(),
        entries: Vec::new(),
    });
    file.entries.retain(|old| (&old.workload, &old.durability) != (&entry.workload, &entry.durability));
    file.entries.push(entry);
    file.entries.sort_by(|a, b| (&a.workload, &a.durability).cmp(&(&b.workload, &b.durability)));
    let path = path_of(store, hardware_id);
    let failed = |source| NoiseError::File { path: path.clone(), source };
    let mut text = serde_json::to_string_pretty(&file).expect("plain data becomes JSON");
    text.push('\n');
    fs::create_dir_all(store).map_err(failed)?;
    fs::write(&path, text).map_err(failed)?;
    Ok(path)
}
