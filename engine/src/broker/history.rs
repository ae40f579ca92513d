//! What a partition remembers beside its records: who led it from where on, and who produced.

use super::read::FetchError;
use super::shard::Shard;
use crate::base::{LeaderEpoch, Offset, PartitionKey};
use crate::io::Disk;
use crate::log::{EpochEnd, LeaderEpochs};

/// A producer as a partition remembers it (KIP-664).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerView {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The sequence number of its last record, −1 if it has none in this epoch.
    pub last_sequence: i32,
    /// When it last wrote, in its records' time, ms; −1 unknown.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that wrote its last marker, −1 if there is none.
    pub coordinator_epoch: i32,
    /// Where its open transaction began.
    pub txn_first_offset: Option<Offset>,
}

impl<D: Disk> Shard<D> {
    /// Where a leader epoch ended, as far as readers may know (KIP-101, KIP-320); `None` for one
    /// that is newer than the leader's, or negative.
    ///
    /// # Errors
    /// As [`Shard::bounds`].
    pub fn epoch_end(&self, key: PartitionKey, asked: LeaderEpoch) -> Result<Option<EpochEnd>, FetchError> {
        let bounds = self.bounds(key)?;
        let state = self.inner.state.borrow();
        let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
        Ok(epoch_end(&partition.epochs, asked, bounds.leader_epoch, bounds.high_watermark))
    }

    /// The leader epoch of the record at an offset; `None` where no record is.
    #[must_use]
    pub fn epoch_at(&self, key: PartitionKey, offset: Offset) -> Option<LeaderEpoch> {
        let state = self.inner.state.borrow();
        let partition = state.by_key(key).filter(|p| offset < p.high_watermark)?;
        partition.epochs.epoch_of(offset)
    }

    /// The producers of a partition, by id: at most [`crate::log::producers::PRODUCERS_MAX`].
    ///
    /// # Errors
    /// As [`Shard::bounds`].
    pub fn producers(&self, key: PartitionKey) -> Result<Vec<ProducerView>, FetchError> {
        self.bounds(key)?;
        let state = self.inner.state.borrow();
        let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
        let view = |(id, entry): (i64, &crate::log::producers::ProducerEntry)| ProducerView {
            id,
            epoch: entry.epoch,
            last_sequence: entry.last_sequence(),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            txn_first_offset: entry.txn_first_offset,
        };
        Ok(partition.producers.sorted().into_iter().map(view).collect())
    }
}

/// Where `asked` ended in a log that ends at `end` and is led under `current`. The leader's own epoch
/// is known before its first batch, and then begins at the log's end.
fn epoch_end(
    epochs: &LeaderEpochs,
    asked: LeaderEpoch,
    current: LeaderEpoch,
    end: Offset,
) -> Option<EpochEnd> {
    if asked.0 < 0 || asked > current {
        return None;
    }
    if asked == current {
        return Some(EpochEnd { epoch: asked, end });
    }
    epochs.end_offset_for(asked, end).or_else(|| {
        // Newer than every batch, older than the leader: nothing was written under it.
        let epoch = epochs.latest().unwrap_or(asked);
        Some(EpochEnd { epoch, end })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(entries: &[(i32, i64)], asked: i32) -> Option<(i32, i64)> {
        let mut epochs = LeaderEpochs::new();
        for &(epoch, start) in entries {
            epochs.assign(LeaderEpoch(epoch), Offset(start));
        }
        epoch_end(&epochs, LeaderEpoch(asked), LeaderEpoch(5), Offset(100)).map(|e| (e.epoch.0, e.end.0))
    }

    #[test]
    fn an_epoch_without_a_batch_has_an_end() {
        assert_eq!(end(&[], 5), Some((5, 100)), "the leader's own");
        assert_eq!(end(&[], 3), Some((3, 100)), "nothing was ever written");
        assert_eq!(end(&[(0, 0), (2, 10)], 5), Some((5, 100)));
        assert_eq!(end(&[(0, 0), (2, 10)], 3), Some((2, 100)), "the newest that has batches");
        assert_eq!(end(&[(0, 0), (2, 10)], 2), Some((2, 100)));
        assert_eq!(end(&[(0, 0), (2, 10)], 1), Some((0, 10)));
        assert_eq!(end(&[(0, 0), (5, 10)], 0), Some((0, 10)));
        assert_eq!(end(&[(0, 0)], 6), None, "newer than the leader");
        assert_eq!(end(&[(0, 0)], -1), None);
    }
}
