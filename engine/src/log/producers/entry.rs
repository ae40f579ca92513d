//! One producer.

use smallvec::SmallVec;

use crate::base::Offset;
use crate::record::BatchHeader;

/// Batches remembered per producer: Kafka's limit on requests in flight with idempotence.
pub const BATCHES_KEPT: usize = 5;

/// No transaction coordinator has written a marker for this producer.
pub const NO_COORDINATOR_EPOCH: i32 = -1;

/// A batch, as far as a retry must recognise it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchMemo {
    /// The epoch it came with.
    pub epoch: i16,
    /// Its last record's sequence number, from 0.
    pub last_sequence: i32,
    /// Its last record's offset.
    pub last_offset: Offset,
    /// Last − first, of offsets and of sequence numbers alike; from 0.
    pub offset_delta: i32,
    /// Its largest timestamp, ms.
    pub timestamp: i64,
}

impl BatchMemo {
    /// The memo of a batch that has its final offset.
    #[must_use]
    pub fn of(header: &BatchHeader) -> BatchMemo {
        BatchMemo {
            epoch: header.producer_epoch(),
            last_sequence: last_sequence(header),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta().max(0),
            timestamp: header.max_timestamp(),
        }
    }

    /// Its first record's sequence number.
    #[must_use]
    pub fn first_sequence(&self) -> i32 {
        if self.last_sequence < self.offset_delta {
            i32::MAX - (self.offset_delta - self.last_sequence) + 1
        } else {
            self.last_sequence - self.offset_delta
        }
    }

    /// Its first record's offset.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        Offset(self.last_offset.0.saturating_sub(i64::from(self.offset_delta)))
    }
}

/// The last sequence number of a batch: 0 follows 2^31 − 1.
pub(super) fn last_sequence(header: &BatchHeader) -> i32 {
    let (first, delta) = (header.base_sequence(), header.last_offset_delta().max(0));
    first.checked_add(delta).unwrap_or_else(|| delta - (i32::MAX - first) - 1)
}

/// Whether `next` may follow `last` (−1: nothing yet).
pub(super) fn in_sequence(last: i32, next: i32) -> bool {
    next == last.wrapping_add(1).max(0)
}

/// What is remembered of one producer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerEntry {
    /// Its current epoch.
    pub epoch: i16,
    /// Oldest first. Those of an older epoch recognise nothing any more; they are kept so that the
    /// state before the epoch's first batches is still known to a checkpoint.
    pub(super) batches: SmallVec<[BatchMemo; BATCHES_KEPT]>,
    /// The epoch of the coordinator that wrote its last marker, or [`NO_COORDINATOR_EPOCH`].
    pub coordinator_epoch: i32,
    /// When it was last heard of, in its records' time, ms.
    pub last_timestamp: i64,
    /// Where its open transaction began; `None` outside of one.
    pub txn_first_offset: Option<Offset>,
}

impl ProducerEntry {
    pub(super) fn new(epoch: i16) -> ProducerEntry {
        ProducerEntry {
            epoch,
            batches: SmallVec::new(),
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp: -1,
            txn_first_offset: None,
        }
    }

    /// The batches that a retry is compared with, oldest first.
    pub fn batches(&self) -> impl DoubleEndedIterator<Item = &BatchMemo> {
        self.batches.iter().filter(|batch| batch.epoch == self.epoch)
    }

    /// The newest batch of the current epoch.
    #[must_use]
    pub fn last(&self) -> Option<&BatchMemo> {
        self.batches.last().filter(|batch| batch.epoch == self.epoch)
    }

    /// The last sequence number of the current epoch, −1 if it has none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        self.last().map_or(-1, |batch| batch.last_sequence)
    }

    pub(super) fn remember(&mut self, batch: BatchMemo) {
        if self.batches.len() == BATCHES_KEPT {
            self.batches.remove(0);
        }
        self.epoch = batch.epoch;
        self.last_timestamp = batch.timestamp;
        self.batches.push(batch);
    }

    /// The entry as it was before the batches at or above `offset`; `None` if it was not.
    pub(super) fn below(&self, offset: Offset) -> Option<ProducerEntry> {
        let mut entry = self.clone();
        entry.batches.retain(|batch| batch.last_offset < offset);
        if entry.batches.len() < self.batches.len() {
            let last = entry.batches.last()?;
            (entry.epoch, entry.last_timestamp) = (last.epoch, last.timestamp);
        }
        Some(entry)
    }
}
