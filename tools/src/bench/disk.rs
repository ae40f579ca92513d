//! How much a run writes, and whether it fits: decided before anything starts.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{statfs, statvfs};

use super::quantity::Bytes;
use crate::load::plan::{Pace, Plan};

/// Left free whatever happens: a full disk hurts more than this run.
pub const MARGIN_BYTES: u64 = 2 << 30;

/// Journals, indexes and allocated tails of segments beside the records themselves.
pub const OVERHEAD_BYTES: u64 = 1 << 30;

/// The most that a closed loop is expected to write in a second; it stops when the sum is reached.
pub const CLOSED_LOOP_BYTES_PER_S: u64 = 1 << 30;

/// File systems in memory: a disk figure from them means nothing. From linux/magic.h.
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Why a run does not start. One sentence with the way out.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not enough room.
    TooLittleRoom {
        /// Where the data would go.
        dir: PathBuf,
        /// What the run writes at most.
        needed: u64,
        /// What is free.
        free: u64,
    },
    /// The directory lies in memory.
    InMemory {
        /// Where the data would go.
        dir: PathBuf,
    },
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |n: u64| n as f64 / (1u64 << 30) as f64;
        match self {
            Refusal::TooLittleRoom { dir, needed, free } => write!(
                f,
                "the run may write {:.1} GiB, but {} has {:.1} GiB free and {} must stay so; \
                 shorten it with --duration, lower --rate, cap it with --disk-budget, or choose another disk with --data",
                gib(*needed),
                dir.display(),
                gib(*free),
                Bytes(MARGIN_BYTES),
            ),
            Refusal::InMemory { dir } => write!(
                f,
                "{} is in memory (tmpfs), where no flush means anything; choose a directory on a disk with --data",
                dir.display()
            ),
        }
    }
}

/// The most bytes of keys and values that a plan sends.
#[must_use]
pub fn planned_bytes(plan: &Plan) -> u64 {
    if !plan.mode.produces() {
        return plan.preload_bytes;
    }
    let seconds = (plan.warm_up + plan.duration).as_secs_f64();
    match plan.pace {
        // Poisson arrivals scatter around the mean; 2 % is many deviations for any run worth running.
        Pace::Open { records_per_s, .. } => {
            (seconds * records_per_s * plan.record_bytes_mean() * 1.02) as u64
        }
        Pace::Closed => (seconds * CLOSED_LOOP_BYTES_PER_S as f64) as u64,
    }
}

/// What that becomes on disk: records have headers and the room has its overheads.
#[must_use]
pub fn disk_bytes(plan: &Plan, payload_bytes: u64) -> u64 {
    let framing = 1.0 + 20.0 / plan.record_bytes_mean();
    (payload_bytes as f64 * framing) as u64 + OVERHEAD_BYTES
}

/// Whether `needed` bytes fit beside the margin.
pub fn fits(dir: &Path, needed: u64, free: u64) -> Result<(), Refusal> {
    if needed > free.saturating_sub(MARGIN_BYTES) {
        return Err(Refusal::TooLittleRoom { dir: dir.to_path_buf(), needed, free });
    }
    Ok(())
}

/// Checks the file system below `dir`, which exists.
pub fn check(dir: &Path, needed: u64) -> anyhow::Result<()> {
    if MEMORY_FILE_SYSTEMS.contains(&(statfs(dir)?.f_type as u64)) {
        return Err(Refusal::InMemory { dir: dir.to_path_buf() }.into());
    }
    let stat = statvfs(dir)?;
    fits(dir, needed, stat.f_bavail.saturating_mul(stat.f_frsize))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_cannot_fit_is_refused_in_one_sentence_with_the_way_out() {
        let dir = Path::new("perf/data");
        assert_eq!(fits(dir, 10 << 30, 13 << 30), Ok(()));
        let refusal = fits(dir, 12 << 30, 13 << 30).expect_err("no room for the margin");
        let text = refusal.to_string();
        assert!(
            text.contains("12.0 GiB") && text.contains("13.0 GiB free") && text.contains("--duration"),
            "{text}"
        );
        assert!(!text.contains('\n'));
        assert!(fits(dir, u64::MAX, u64::MAX).is_err(), "no overflow");
    }

    #[test]
    fn memory_is_not_a_disk() {
        let refusal = check(Path::new("/dev/shm"), 1).expect_err("tmpfs");
        assert!(refusal.to_string().contains("in memory"), "{refusal}");
    }
}
