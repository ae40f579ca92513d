//! Between slots: what the last one wrote is on the disk, its space is back, and the disk has nothing left to do.
//!
//! Two waits, in this order: for the space while the broker that deletes still runs (one that is stopped deletes
//! nothing), then for the disk when it has been stopped. Both together have one bound.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};

/// How often the machine is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How often free space is looked at, which costs nothing.
const LOOK_SPACE: Duration = Duration::from_millis(50);

/// A disk that writes less than this between two looks is at rest; a journal and a log file always trickle.
const WRITTEN_MAX: u64 = 1 << 20;

/// Space that may stay taken: recycled segments and journals are kept on purpose.
const SPACE_SLACK: u64 = 2 << 30;

/// Bytes of a sector in `/sys/block/*/stat`, whatever the device says.
const SECTOR_BYTES: u64 = 512;

/// How the wait before a slot went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quiet {
    /// How long it took, the wait for the space included.
    pub seconds: f64,
    /// Whether it was quiet when the wait ended; else the longest wait was over.
    pub reached: bool,
    /// Dirty memory and memory on its way to the disk then.
    pub dirty_bytes: u64,
    /// Written to the disk between the last two looks.
    pub written_bytes: u64,
    /// Free space then.
    pub free_bytes: u64,
    /// Whether the space was back.
    pub space_back: bool,
}

/// What is looked at.
#[derive(Debug)]
pub(crate) struct Watch {
    dir: PathBuf,
    /// The whole disk's `stat`, if it has one.
    stat: Option<PathBuf>,
    /// Free when nothing was under way.
    free_before: u64,
    dirty_max: u64,
    max: Duration,
}

impl Watch {
    /// Watches the disk below `dir` from now on.
    pub(crate) fn new(dir: &Path, dirty_max: u64, max: Duration) -> Watch {
        let stat = crate::report::machine::block_dir(dir).map(|block| block.join("stat"));
        Watch { dir: dir.to_path_buf(), stat, free_before: free(dir), dirty_max, max }
    }

    /// What could be written now.
    pub(super) fn free(&self) -> u64 {
        free(&self.dir)
    }

    /// Waits until what was deleted has given its space back, at most for the longest wait; returns how long that took.
    pub(crate) fn await_space(&self) -> Duration {
        let began = Instant::now();
        while !self.has_space(self.free()) && began.elapsed() < self.max {
            std::thread::sleep(LOOK_SPACE);
        }
        began.elapsed()
    }

    fn has_space(&self, free_bytes: u64) -> bool {
        free_bytes + SPACE_SLACK >= self.free_before
    }

    /// Writes everything out and waits, at most for the longest wait, of which `waited` is over.
    pub(crate) fn wait(&mut self, waited: Duration) -> Quiet {
        let began = Instant::now();
        let waited = || waited + began.elapsed();
        rustix::fs::sync();
        let mut written = self.written();
        loop {
            std::thread::sleep(LOOK);
            let now = self.written();
            let quiet = self.look(waited(), now.saturating_sub(written));
            written = now;
            if quiet.reached {
                return quiet;
            }
            if waited() >= self.max {
                // What does not come back once would be waited for again before every slot.
                self.free_before = self.free_before.min(quiet.free_bytes + SPACE_SLACK);
                return quiet;
            }
        }
    }

    fn look(&self, waited: Duration, written_bytes: u64) -> Quiet {
        let dirty_bytes = dirty(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
        let free_bytes = self.free();
        let space_back = self.has_space(free_bytes);
        Quiet {
            seconds: waited.as_secs_f64(),
            reached: space_back && dirty_bytes <= self.dirty_max && written_bytes <= WRITTEN_MAX,
            dirty_bytes,
            written_bytes,
            free_bytes,
            space_back,
        }
    }

    fn written(&self) -> u64 {
        let text = self.stat.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        sectors_written(&text.unwrap_or_default()).saturating_mul(SECTOR_BYTES)
    }
}

fn free(dir: &Path) -> u64 {
    statvfs(dir).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// `Dirty` and `Writeback` of `/proc/meminfo`, bytes.
fn dirty(meminfo: &str) -> u64 {
    let of = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let kib: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
        matches!(name, "Dirty" | "Writeback").then_some(kib.saturating_mul(1024))
    };
    meminfo.lines().filter_map(of).sum()
}

/// The seventh number of a disk's `stat`: sectors written since the machine started.
fn sectors_written(stat: &str) -> u64 {
    stat.split_ascii_whitespace().nth(6).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(
            dirty("MemFree: 5 kB\nDirty:      3 kB\nWriteback:  2 kB\nWritebackTmp: 9 kB\n"),
            5 * 1024
        );
        assert_eq!(sectors_written("   1 2 3 4 5 6 77 8 0 9\n"), 77);
        assert_eq!((dirty(""), sectors_written("")), (0, 0));
    }

    #[test]
    fn a_wait_ends_at_its_bound_and_says_what_it_saw() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut watch = Watch::new(dir.path(), u64::MAX, Duration::from_millis(1));
        // Nothing that is missing ever comes back.
        watch.free_before = u64::MAX;
        assert!(watch.await_space() >= Duration::from_millis(1));
        let quiet = watch.wait(Duration::from_secs(7));
        assert!(!quiet.reached && !quiet.space_back && quiet.seconds > 7.0, "{quiet:?}");
        assert!(watch.free_before < u64::MAX, "it is not waited for again");
    }

    #[test]
    fn space_that_is_there_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let watch = Watch::new(dir.path(), u64::MAX, Duration::from_secs(3_600));
        assert!(watch.await_space() < Duration::from_secs(3_600), "the bound was not used up");
    }
}
