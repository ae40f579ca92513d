//! How much a run writes, and whether it fits: decided before anything starts.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{statfs, statvfs};

use super::quantity::Bytes;
use crate::load::CALIBRATION;
use crate::load::plan::{Pace, Plan};

/// Left free whatever happens: a full disk hurts more than this run.
pub const MARGIN_BYTES: u64 = 2 << 30;

/// Journals, indexes and allocated tails of segments beside the records themselves.
pub const OVERHEAD_BYTES: u64 = 1 << 30;

/// The most that a closed loop is expected to write in a second; it stops when the sum is reached.
pub const CLOSED_LOOP_BYTES_PER_S: u64 = 1 << 30;

/// Kafka's defaults, in bytes and milliseconds.
const SEGMENT_BYTES: f64 = (1u64 << 30) as f64;
const RETENTION_CHECK_MS: f64 = 300_000.0;
const DELETE_DELAY_MS: f64 = 60_000.0;

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
                 shorten it with --duration, lower --rate, cap it with --bytes, bound it with --topic-config retention.bytes=N, or choose another disk with --data",
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

/// The most bytes of keys and values that the load of a plan sends.
#[must_use]
pub fn planned_bytes(plan: &Plan) -> u64 {
    if !plan.mode.produces() {
        return 0;
    }
    let seconds = (plan.warm_up + plan.duration).as_secs_f64();
    match plan.pace {
        // Poisson arrivals scatter around the mean; 2 % is many deviations for any run worth running.
        Pace::Open { records_per_s, .. } => {
            let first = plan.stages.first().map_or(records_per_s, |stage| stage.records_per_s);
            let records = plan.warm_up.as_secs_f64() * first + plan.duration.as_secs_f64() * records_per_s;
            (records * plan.record_bytes_mean() * 1.02) as u64
        }
        Pace::OfMax { share, .. } => (seconds * share * CLOSED_LOOP_BYTES_PER_S as f64) as u64,
        Pace::Closed => (seconds * CLOSED_LOOP_BYTES_PER_S as f64) as u64,
    }
}

/// The most that a plan has on disk at any moment. Settings of our broker are in `sets`, `name=value` each.
#[must_use]
pub fn disk_bytes(plan: &Plan, sets: &[String]) -> u64 {
    let before = match plan.pace {
        Pace::OfMax { .. } => (CALIBRATION.as_secs_f64() * CLOSED_LOOP_BYTES_PER_S as f64) as u64,
        Pace::Open { .. } | Pace::Closed => 0,
    };
    let load = if plan.mode.produces() { plan.bytes_max } else { 0 };
    let written = load.saturating_add(plan.preload_bytes).saturating_add(before);
    let framing = 1.0 + 20.0 / plan.record_bytes_mean();
    let records = (written as f64 * framing) as u64;
    records.min(retained_bytes(plan, sets)).saturating_add(OVERHEAD_BYTES)
}

/// The most that retention by size leaves there: what it keeps, the segment that is being written, and what comes until it
/// looks again and the files are gone.
fn retained_bytes(plan: &Plan, sets: &[String]) -> u64 {
    let topic =
        |name: &str| plan.topic_configs.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.parse().ok());
    let set = |name: &str| {
        let value = |set: &String| set.split_once('=').filter(|(n, _)| *n == name)?.1.parse::<f64>().ok();
        sets.iter().rev().find_map(value)
    };
    let Some(kept) = topic("retention.bytes").filter(|bytes: &f64| *bytes >= 0.0) else { return u64::MAX };
    let segment = topic("segment.bytes").or(set("log.segment.bytes")).unwrap_or(SEGMENT_BYTES);
    let check_ms = set("log.retention.check.interval.ms").unwrap_or(RETENTION_CHECK_MS);
    let delete_ms =
        topic("file.delete.delay.ms").or(set("log.segment.delete.delay.ms")).unwrap_or(DELETE_DELAY_MS);
    let bytes_per_s = match plan.pace {
        Pace::Open { records_per_s, .. } => {
            let rates = plan.stages.iter().map(|stage| stage.records_per_s);
            rates.fold(records_per_s, f64::max) * plan.record_bytes_mean()
        }
        Pace::OfMax { .. } | Pace::Closed => CLOSED_LOOP_BYTES_PER_S as f64,
    };
    let late = bytes_per_s * (check_ms + delete_ms) / 1e3;
    (plan.partitions as f64 * (kept + 2.0 * segment) + late) as u64
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

    #[test]
    fn retention_bounds_what_a_run_has_on_disk_if_it_is_soon_enough() {
        let plan = |more: &str| {
            let text = format!("mode = 'produce'\nrate = 100000\nduration = '600s'\npartitions = 4\n{more}");
            let knobs = crate::bench::workload::parse(&text).expect("a workload");
            crate::bench::settle::settle(&Default::default(), &knobs, String::new()).plan
        };
        let free = disk_bytes(&plan(""), &[]);
        assert!(free > 60 << 30, "600 s at 100 MB/s: {free}");
        let kept = "[topic-config]\n'retention.bytes' = 100000000\n'segment.bytes' = 50000000\n'file.delete.delay.ms' = 1000";
        let soon = ["log.retention.check.interval.ms=1000".to_string()];
        let bounded = disk_bytes(&plan(kept), &soon);
        assert!((1 << 30..3 << 30).contains(&bounded), "4 x 200 MB and 2 s' worth: {bounded}");
        assert!(disk_bytes(&plan(kept), &[]) > 30 << 30, "a check every 5 minutes lets much pile up");
    }
}
