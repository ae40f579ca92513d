//! One side of a comparison: a run folder, or a folder of run folders.

use std::io;
use std::path::{Path, PathBuf};

use crate::report::data::{Interval, LatencySet};
use crate::report::stored::{self, StoredError, StoredRun};

/// Runs of one side that are read.
pub const RUNS_MAX: usize = 1_000;

/// The runs of one side in order of time, and all their samples merged.
#[derive(Debug, Clone)]
pub struct Side {
    /// As the user named it.
    pub path: PathBuf,
    /// The runs; at least one. Their intervals are merged in [`Side::intervals`] and dropped here.
    pub runs: Vec<StoredRun>,
    /// Every sample of every run.
    pub latency: LatencySet,
    /// Every sample by time in the run, where the runs were cut alike; else empty.
    pub intervals: Vec<Interval>,
}

/// What keeps a folder from being a side.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// A run folder that cannot be read.
    #[error(transparent)]
    Run(#[from] StoredError),
    /// The folder cannot be listed.
    #[error("cannot list {}: {source}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither a run nor a folder of runs.
    #[error("{} holds no run: neither a report.json nor folders that have one", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// More than [`RUNS_MAX`].
    #[error("{} holds {found} runs; at most {RUNS_MAX} are read", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// How many.
        found: usize,
    },
}

/// The run folders that `path` names: itself, or those right below it, sorted by name.
pub fn folders(path: &Path) -> Result<Vec<PathBuf>, SideError> {
    if stored::is_run(path) {
        return Ok(vec![path.to_path_buf()]);
    }
    let failed = |source| SideError::List { path: path.to_path_buf(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let dir = entry.map_err(failed)?.path();
        if stored::is_run(&dir) {
            found.push(dir);
        }
    }
    found.sort();
    match found.len() {
        0 => Err(SideError::NoRun { path: path.to_path_buf() }),
        1..=RUNS_MAX => Ok(found),
        found => Err(SideError::TooMany { path: path.to_path_buf(), found }),
    }
}

/// Reads the runs that `path` names, in order of time.
///
/// # Errors
/// No run, too many, or one that cannot be read.
pub fn read(path: &Path) -> Result<Side, SideError> {
    side_of(path, &folders(path)?)
}

/// Reads these run folders as one side.
///
/// # Errors
/// A run that cannot be read.
pub fn side_of(path: &Path, folders: &[PathBuf]) -> Result<Side, SideError> {
    let mut side = Side {
        path: path.to_path_buf(),
        runs: Vec::with_capacity(folders.len()),
        latency: LatencySet::default(),
        intervals: Vec::new(),
    };
    for (index, dir) in folders.iter().enumerate() {
        let mut run = stored::read(dir)?;
        side.latency.add(&run.latency);
        merge(&mut side.intervals, std::mem::take(&mut run.intervals), index == 0);
        side.runs.push(run);
    }
    side.runs.sort_by_key(|run| run.document.started_unix_ms);
    Ok(side)
}

/// Adds a run's intervals where they are cut like those so far; otherwise there is no common time.
fn merge(into: &mut Vec<Interval>, run: Vec<Interval>, first: bool) {
    if first {
        *into = run;
        return;
    }
    let common = into.len().min(run.len());
    let alike = into.iter().zip(&run).all(|(a, b)| a.start == b.start);
    if !alike {
        into.clear();
        return;
    }
    into.truncate(common);
    for (sum, interval) in into.iter_mut().zip(&run) {
        sum.records_in += interval.records_in;
        sum.bytes_in += interval.bytes_in;
        sum.records_out += interval.records_out;
        sum.bytes_out += interval.bytes_out;
        sum.late_sends += interval.late_sends;
        sum.latency.add(&interval.latency);
    }
}
