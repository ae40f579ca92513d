//! Which leader epoch began at which offset (KIP-101, KIP-279, KIP-320).
//!
//! A replica or consumer that asks "where did epoch e end?" learns where its own log and the
//! leader's part ways. The file is Kafka's `leader-epoch-checkpoint`:
//!
//! ```text
//! 0            version
//! 2            count
//! 0 0          epoch, its first offset
//! 3 1042
//! ```

use std::fmt::Write as _;

use crate::base::{LeaderEpoch, Offset};
use crate::log::Malformed;

/// Epochs kept per partition; beyond it the oldest are forgotten, as if retention had passed them.
pub const EPOCHS_MAX: usize = 16 * 1024;

/// An epoch and the offset of the first batch written under it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochStart {
    /// The leader epoch.
    pub epoch: LeaderEpoch,
    /// Its first offset.
    pub start: Offset,
}

/// Where an epoch ended: the answer to OffsetForLeaderEpoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochEnd {
    /// The largest known epoch not above the one asked for (the asked one itself if all are above).
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end: Offset,
}

/// The epochs of a log. Epochs and start offsets both rise strictly.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LeaderEpochs {
    list: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// No epoch yet.
    #[must_use]
    pub fn new() -> LeaderEpochs {
        LeaderEpochs::default()
    }

    /// All epochs, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[EpochStart] {
        &self.list
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.list.last().map(|e| e.epoch)
    }

    /// The epoch of the record at an offset; `None` before the first known one.
    #[must_use]
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.list.partition_point(|e| e.start <= offset);
        after.checked_sub(1).map(|i| self.list[i].epoch)
    }

    /// Notes that a batch of `epoch` begins at `start`. Returns whether the cache changed, so that
    /// the caller rewrites the file. Entries that contradict it go: the log was truncated there.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch.0 < 0 || start.0 < 0 {
            return false;
        }
        if self.list.last().is_some_and(|last| last.epoch == epoch && last.start <= start) {
            return false;
        }
        while self.list.last().is_some_and(|last| last.epoch >= epoch || last.start >= start) {
            self.list.pop();
        }
        if self.list.len() == EPOCHS_MAX {
            self.list.remove(0);
        }
        self.list.push(EpochStart { epoch, start });
        true
    }

    /// Where `epoch` ended, in a log that ends at `log_end`. `None` when nothing is known about
    /// it: it is newer than every epoch here, or the log has none.
    #[must_use]
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<EpochEnd> {
        if epoch.0 < 0 {
            return None;
        }
        if self.latest() == Some(epoch) {
            return Some(EpochEnd { epoch, end: log_end });
        }
        let above = self.list.partition_point(|e| e.epoch <= epoch);
        let next = self.list.get(above)?;
        let floor = above.checked_sub(1).map_or(epoch, |i| self.list[i].epoch);
        Some(EpochEnd { epoch: floor, end: next.start })
    }

    /// Forgets epochs that begin at or after the log's new end. Returns whether any did.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let keep = self.list.partition_point(|e| e.start < end);
        let changed = keep < self.list.len();
        self.list.truncate(keep);
        changed
    }

    /// Forgets epochs that ended at or before the log's new start; the one that the start lies in
    /// then begins there. Returns whether anything changed.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let Some(current) = self.list.partition_point(|e| e.start <= start).checked_sub(1) else {
            return false;
        };
        if current == 0 && self.list[0].start == start {
            return false;
        }
        self.list.drain(..current);
        self.list[0].start = start;
        true
    }

    /// The contents of `leader-epoch-checkpoint`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("0\n{}\n", self.list.len());
        for entry in &self.list {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{} {}", entry.epoch.0, entry.start);
        }
        text
    }

    /// Reads `leader-epoch-checkpoint`.
    ///
    /// # Errors
    /// If it is not version 0, the count is not that of the lines, or the entries do not rise.
    pub fn decode(bytes: &[u8]) -> Result<LeaderEpochs, Malformed> {
        let malformed = |at| Malformed { what: "leader-epoch-checkpoint", at };
        let text = std::str::from_utf8(bytes).map_err(|e| malformed(e.valid_up_to()))?;
        let mut lines = text.lines();
        let version = lines.next();
        let count = lines.next().and_then(|line| line.trim().parse::<usize>().ok());
        let (Some("0"), Some(count)) = (version, count) else { return Err(malformed(0)) };
        let mut epochs = LeaderEpochs::default();
        for line in lines {
            let at = line.as_ptr() as usize - text.as_ptr() as usize;
            let entry = parse_entry(line).ok_or(malformed(at))?;
            let rises =
                epochs.list.last().is_none_or(|last| last.epoch < entry.epoch && last.start < entry.start);
            if !rises || epochs.list.len() == EPOCHS_MAX {
                return Err(malformed(at));
            }
            epochs.list.push(entry);
        }
        if epochs.list.len() != count {
            return Err(malformed(bytes.len()));
        }
        Ok(epochs)
    }
}

fn parse_entry(line: &str) -> Option<EpochStart> {
    let (epoch, start) = line.trim_end().split_once(' ')?;
    let entry = EpochStart { epoch: LeaderEpoch(epoch.parse().ok()?), start: Offset(start.parse().ok()?) };
    (entry.epoch.0 >= 0 && entry.start.0 >= 0).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::new();
        for &(epoch, start) in entries {
            assert!(epochs.assign(LeaderEpoch(epoch), Offset(start)));
        }
        epochs
    }

    fn end(epochs: &LeaderEpochs, epoch: i32) -> Option<(i32, i64)> {
        epochs.end_offset_for(LeaderEpoch(epoch), Offset(100)).map(|e| (e.epoch.0, e.end.0))
    }

    #[test]
    fn an_epoch_is_noted_once() {
        let mut epochs = epochs(&[(1, 0), (2, 10)]);
        assert!(!epochs.assign(LeaderEpoch(2), Offset(11)));
        assert!(!epochs.assign(LeaderEpoch(-1), Offset(12)));
        assert_eq!(epochs.as_slice().len(), 2);
        assert_eq!(epochs.epoch_of(Offset(9)), Some(LeaderEpoch(1)));
        assert_eq!(epochs.epoch_of(Offset(10)), Some(LeaderEpoch(2)));
    }

    #[test]
    fn a_contradicting_append_replaces_what_it_overwrote() {
        let mut by_offset = epochs(&[(1, 0), (2, 10), (4, 20)]);
        assert!(by_offset.assign(LeaderEpoch(5), Offset(10)));
        assert_eq!(by_offset, epochs(&[(1, 0), (5, 10)]));
        let mut by_epoch = epochs(&[(1, 0), (4, 20)]);
        assert!(by_epoch.assign(LeaderEpoch(3), Offset(30)));
        assert_eq!(by_epoch, epochs(&[(1, 0), (3, 30)]));
    }

    #[test]
    fn ends_are_kip_101s() {
        let epochs = epochs(&[(2, 5), (4, 20), (7, 50)]);
        assert_eq!(end(&epochs, 7), Some((7, 100)), "the latest ends where the log does");
        assert_eq!(end(&epochs, 4), Some((4, 50)));
        assert_eq!(end(&epochs, 5), Some((4, 50)), "an unknown one falls to the largest below");
        assert_eq!(end(&epochs, 1), Some((1, 5)), "below all: where the first begins");
        assert_eq!(end(&epochs, 8), None, "above all: unknown");
        assert_eq!(end(&epochs, -1), None);
        assert_eq!(end(&LeaderEpochs::new(), 0), None);
    }

    #[test]
    fn truncation_cuts_both_ends() {
        let mut cut = epochs(&[(2, 5), (4, 20), (7, 50)]);
        assert!(!cut.truncate_from_end(Offset(51)));
        assert!(cut.truncate_from_end(Offset(50)));
        assert_eq!(cut, epochs(&[(2, 5), (4, 20)]));
        assert!(cut.truncate_from_start(Offset(30)));
        assert_eq!(cut, epochs(&[(4, 30)]));
        assert!(!cut.truncate_from_start(Offset(30)));
        assert!(!cut.truncate_from_start(Offset(7)));
    }

    #[test]
    fn the_file_is_kafkas_and_bounded() {
        let written = epochs(&[(0, 0), (3, 1042)]);
        assert_eq!(written.encode(), "0\n2\n0 0\n3 1042\n");
        assert_eq!(LeaderEpochs::decode(written.encode().as_bytes()), Ok(written));
        for text in [
            "",
            "1\n0\n",
            "0\n",
            "0\n2\n0 0\n",
            "0\n1\n0 0\n1 1\n",
            "0\n2\n1 5\n1 6\n",
            "0\n2\n1 5\n2 5\n",
            "0\n1\n-1 5\n",
            "0\n1\n1\n",
            "0\n18446744073709551615\n0 0\n",
        ] {
            assert!(LeaderEpochs::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_oldest_epochs_give_way() {
        let mut full = LeaderEpochs::new();
        for i in 0..=EPOCHS_MAX as i32 {
            full.assign(LeaderEpoch(i), Offset(i64::from(i)));
        }
        assert_eq!(full.as_slice().len(), EPOCHS_MAX);
        assert_eq!(full.as_slice()[0].epoch, LeaderEpoch(1));
    }
}
