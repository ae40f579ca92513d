//! How often a disk that fails is asked again.
//!
//! A read that fails is narrowed until the very blocks are known that fail, and where damage ends is found by
//! trying: both ask a disk more often that is in trouble already, and each such read may take it seconds.

use std::time::Duration;

use super::shard::{Shard, State};
use crate::base::{Instant, PartitionKey};
use crate::io::{Disk, DiskError, DiskFault};

/// For how long a limit holds, and a page that could not be read is not asked for as a whole.
pub(super) const PROBE_WINDOW: Duration = Duration::from_secs(10);

/// Reads of one partition in a window that are made only because another failed. One bad block takes about
/// thirty.
const PROBES_OF_PARTITION: u32 = 512;

/// The same for all partitions of a core.
const PROBES_OF_CORE: u32 = 2048;

/// What is left of a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Probes {
    since: Option<Instant>,
    used: u32,
}

impl Probes {
    /// How many reads are left of `limit` in the window that holds `now`.
    fn left(&mut self, now: Instant, limit: u32) -> u32 {
        if self.since.is_none_or(|since| now.since(since) >= PROBE_WINDOW) {
            *self = Probes { since: Some(now), used: 0 };
        }
        limit.saturating_sub(self.used)
    }
}

impl<D: Disk> State<D> {
    fn probes_left(&mut self, key: PartitionKey, now: Instant) -> u32 {
        let of_core = self.probes.left(now, PROBES_OF_CORE);
        let slot = self.slot(key);
        let of_partition =
            slot.and_then(|slot| Some(self.partition(slot)?.probes.left(now, PROBES_OF_PARTITION)));
        of_core.min(of_partition.unwrap_or(0))
    }
}

impl<D: Disk> Shard<D> {
    /// Whether the disk may be asked once more because of a read that failed.
    pub(super) fn has_probes(&self, key: PartitionKey) -> bool {
        self.inner.state.borrow_mut().probes_left(key, self.inner.now.get().mono) > 0
    }

    /// Counts such a read. False if there may be none now.
    pub(super) fn take_probe(&self, key: PartitionKey) -> bool {
        let mut state = self.inner.state.borrow_mut();
        if state.probes_left(key, self.inner.now.get().mono) == 0 {
            return false;
        }
        state.probes.used += 1;
        if let Some(slot) = state.slot(key)
            && let Some(partition) = state.partition(slot)
        {
            partition.probes.used += 1;
        }
        state.stats.read_probes += 1;
        true
    }

    /// Counts a read of a segment that failed. True if it is the bytes that cannot be had, and not the disk
    /// that hangs.
    pub(super) fn note_unreadable(&self, error: &DiskError) -> bool {
        let io = error.fault == DiskFault::Io;
        self.inner.state.borrow_mut().stats.read_errors += u64::from(io);
        io
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_for_its_window_and_begins_anew_behind_it() {
        let mut probes = Probes::default();
        let start = Instant(7);
        assert_eq!(probes.left(start, 3), 3);
        probes.used += 3;
        let last = start.after(PROBE_WINDOW - Duration::from_millis(1));
        assert_eq!(probes.left(last, 3), 0);
        assert_eq!(probes.left(start.after(PROBE_WINDOW), 3), 3);
    }
}
