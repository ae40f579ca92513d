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
//! | `entries[].shape` | `planned`: an open loop at a rate, or `saturated`: a closed loop |
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
use crate::report::data::{Arrivals, Verdict};
use crate::report::json::Document;

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
    /// Whether it had a rate to keep.
    #[serde(default)]
    pub shape: Shape,
    /// Start of the last run, milliseconds since the epoch.
    pub measured_unix_ms: u64,
    /// Runs behind it.
    pub runs: usize,
    /// Pairs of neighbours.
    pub pairs: usize,
    /// Metric → share.
    pub floors: BTreeMap<String, f64>,
}

/// What the noise of a load is like: of one that has a rate to keep, throughput is the plan's; of one that has none,
/// throughput is what varies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// An open loop.
    #[default]
    Planned,
    /// A closed loop.
    Saturated,
}

impl Shape {
    /// That of a run.
    pub fn of(document: &Document) -> Shape {
        match document.load.arrivals {
            Arrivals::Closed { .. } => Shape::Saturated,
            Arrivals::Fixed { .. } | Arrivals::Poisson { .. } => Shape::Planned,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Planned => "at a planned rate",
            Self::Saturated => "saturated",
        }
    }
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

/// The floors for a load: its own, else the largest of each metric over the machine's loads of its shape, else over all.
pub fn chosen(file: Option<&NoiseFile>, document: &Document) -> Noise {
    let (workload, durability) = (&document.workload, &document.durability.label);
    let Some(file) = file.filter(|file| !file.entries.is_empty()) else {
        return Noise {
            source: "none is stored for this machine (ringlog bench noise)".to_string(),
            ..Noise::default()
        };
    };
    if let Some(own) = file.entries.iter().find(|e| e.workload == *workload && e.durability == *durability) {
        let source = format!("{} equal runs of this workload", own.runs);
        return Noise { source, floors: own.floors.clone() };
    }
    let shape = Shape::of(document);
    let alike: Vec<&NoiseEntry> = file.entries.iter().filter(|entry| entry.shape == shape).collect();
    let (like, entries) = match alike.len() {
        0 => (format!("none {}, ", shape.word()), file.entries.iter().collect()),
        _ => (format!("{}, ", shape.word()), alike),
    };
    let mut floors: BTreeMap<String, f64> = BTreeMap::new();
    for (metric, share) in entries.iter().flat_map(|entry| &entry.floors) {
        let largest = floors.entry(metric.clone()).or_insert(*share);
        *largest = largest.max(*share);
    }
    let names: Vec<&str> = entries.iter().map(|entry| entry.workload.as_str()).collect();
    Noise {
        source: format!("equal runs of other workloads, {like}the largest of {}", names.join(", ")),
        floors,
    }
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
        shape: Shape::of(&last.document),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn entry(workload: &str, shape: Shape, throughput: f64) -> NoiseEntry {
        NoiseEntry {
            workload: workload.to_string(),
            durability: "flushed".to_string(),
            shape,
            measured_unix_ms: 0,
            runs: 10,
            pairs: 5,
            floors: BTreeMap::from([("throughput".to_string(), throughput)]),
        }
    }

    fn floor(entries: Vec<NoiseEntry>, document: &Document) -> (f64, String) {
        let hardware_id = document.machine.hardware_id.clone();
        let file = NoiseFile { schema_version: NOISE_SCHEMA_VERSION, hardware_id, entries };
        let noise = chosen(Some(&file), document);
        (noise.floors["throughput"], noise.source)
    }

    #[test]
    fn a_load_is_held_against_the_noise_of_its_own_shape() {
        let planned = Document::from(&sample::run(7));
        let mut saturated = planned.clone();
        saturated.load.arrivals = Arrivals::Closed { depth: 5 };
        let both = || vec![entry("a", Shape::Planned, 0.01), entry("b", Shape::Saturated, 0.08)];
        assert_eq!(floor(both(), &planned).0, 0.01);
        let (found, source) = floor(both(), &saturated);
        assert!(
            found == 0.08 && source.contains("saturated") && source.ends_with("of b"),
            "{found} {source}"
        );
        let (found, source) = floor(vec![entry("a", Shape::Planned, 0.01)], &saturated);
        assert!(found == 0.01 && source.contains("none saturated"), "{found} {source}");
    }
}
