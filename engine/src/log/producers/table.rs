//! All producers of a partition.

use rustc_hash::FxHashMap;

use crate::base::{Offset, WallMs};
use crate::record::BatchHeader;

use super::entry::{BatchMemo, ProducerEntry, in_sequence, last_sequence};

/// Producers remembered per partition. One more, and those that have been silent longest are forgotten:
/// their next batch is accepted whatever its sequence, as after an expiry.
pub const PRODUCERS_MAX: usize = 4096;

/// Forgotten at once, so that a full table does not search at every new producer.
const EVICTED_AT_ONCE: usize = PRODUCERS_MAX / 16;

/// What to do with a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is new.
    Append,
    /// It is a retry: answer with these and append nothing.
    Duplicate {
        /// The offset that the first attempt got.
        base_offset: Offset,
        /// The offset of its last record: answer once that is durable.
        last_offset: Offset,
        /// Its largest timestamp, ms: with the broker's timestamps, when it was appended.
        append_time: i64,
    },
}

/// Why a batch must not be appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProducerError {
    /// OUT_OF_ORDER_SEQUENCE_NUMBER (45): a gap, a retry too old to be known, or a new epoch that
    /// does not begin at 0.
    #[error("producer {producer} epoch {epoch}: sequence {got} after {last}")]
    OutOfOrder {
        /// The producer id.
        producer: i64,
        /// The batch's epoch.
        epoch: i16,
        /// The last sequence number under that epoch, −1 if none.
        last: i32,
        /// The batch's first.
        got: i32,
    },
    /// INVALID_PRODUCER_EPOCH (47): a newer incarnation has written here.
    #[error("producer {producer}: epoch {got} is fenced by {current}")]
    InvalidEpoch {
        /// The producer id.
        producer: i64,
        /// The newest epoch.
        current: i16,
        /// The batch's.
        got: i16,
    },
}

/// The producers of a partition: `check` a batch, and if it is appended `apply` it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProducerTable {
    entries: FxHashMap<i64, ProducerEntry>,
    evicted: u64,
}

impl ProducerTable {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> ProducerTable {
        ProducerTable::default()
    }

    /// Producers remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Producers forgotten for lack of room since this table was made.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// What is remembered of a producer.
    #[must_use]
    pub fn get(&self, producer: i64) -> Option<&ProducerEntry> {
        self.entries.get(&producer)
    }

    /// All of them by producer id.
    #[must_use]
    pub fn sorted(&self) -> Vec<(i64, &ProducerEntry)> {
        let mut sorted: Vec<_> = self.entries.iter().map(|(&producer, entry)| (producer, entry)).collect();
        sorted.sort_unstable_by_key(|&(producer, _)| producer);
        sorted
    }

    /// Judges a client's batch, whose base offset is not read. One without a producer id passes.
    ///
    /// # Errors
    /// [`ProducerError`]; the batch must not be appended.
    pub fn check(&self, header: &BatchHeader) -> Result<Verdict, ProducerError> {
        let producer = header.producer_id();
        let Some(entry) = (producer >= 0).then(|| self.entries.get(&producer)).flatten() else {
            return Ok(Verdict::Append);
        };
        let (epoch, first) = (header.producer_epoch(), header.base_sequence());
        if epoch == entry.epoch {
            let last = last_sequence(header);
            let same = |b: &&BatchMemo| b.last_sequence == last && b.first_sequence() == first;
            if let Some(batch) = entry.batches().find(same) {
                return Ok(Verdict::Duplicate {
                    base_offset: batch.base_offset(),
                    last_offset: batch.last_offset,
                    append_time: batch.timestamp,
                });
            }
        }
        if epoch < entry.epoch {
            return Err(ProducerError::InvalidEpoch { producer, current: entry.epoch, got: epoch });
        }
        let last = if epoch == entry.epoch { entry.last_sequence() } else { -1 };
        if !in_sequence(last, first) {
            return Err(ProducerError::OutOfOrder { producer, epoch, last, got: first });
        }
        Ok(Verdict::Append)
    }

    /// Remembers an appended batch (header with its final offset). One at or below what is already
    /// remembered of its producer is ignored, so replay may repeat.
    pub fn apply(&mut self, header: &BatchHeader) {
        let producer = header.producer_id();
        if producer < 0 || header.base_sequence() < 0 || header.attributes().is_control() {
            return;
        }
        let memo = BatchMemo::of(header);
        if let Some(entry) = self.entries.get_mut(&producer) {
            if entry.batches.last().is_none_or(|last| last.last_offset < memo.last_offset) {
                entry.remember(memo);
            }
            return;
        }
        let mut entry = ProducerEntry::new(memo.epoch);
        entry.remember(memo);
        self.insert(producer, entry);
    }

    /// Forgets producers not heard of, in their records' time, for `expiration_ms`
    /// (`producer.id.expiration.ms`) and without an open transaction. Returns how many.
    pub fn expire(&mut self, now: WallMs, expiration_ms: u64) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| {
            let silent = now.0.saturating_sub(entry.last_timestamp);
            entry.txn_first_offset.is_some()
                || u64::try_from(silent).is_ok_and(|ms| ms < expiration_ms)
                || silent < 0
        });
        before - self.entries.len()
    }

    /// The table as if batches at or above `offset` never were, as far as the remembered batches
    /// reach back: what a checkpoint at `offset` stores. Applying the later batches again leads back here.
    #[must_use]
    pub fn snapshot_below(&self, offset: Offset) -> ProducerTable {
        let entries = self
            .entries
            .iter()
            .filter_map(|(&producer, entry)| Some((producer, entry.below(offset)?)))
            .collect();
        ProducerTable { entries, evicted: 0 }
    }

    pub(super) fn insert(&mut self, producer: i64, entry: ProducerEntry) {
        if self.entries.len() >= PRODUCERS_MAX {
            self.evict();
        }
        self.entries.insert(producer, entry);
    }

    /// Forgets the producers whose last batch is oldest.
    fn evict(&mut self) {
        let newest = |entry: &ProducerEntry| entry.batches.last().map_or(-1, |b| b.last_offset.0);
        let mut ages: Vec<_> = self.entries.iter().map(|(&p, entry)| (newest(entry), p)).collect();
        let (oldest, ..) = ages.select_nth_unstable(EVICTED_AT_ONCE);
        for (_, producer) in oldest {
            self.entries.remove(producer);
        }
        self.evicted += EVICTED_AT_ONCE as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixture::Batch;

    const PRODUCER: i64 = 9;

    fn batch(epoch: i16, sequence: i32, records: i32, base: i64) -> Batch {
        let producer_epoch = epoch;
        Batch { base, records, producer: PRODUCER, producer_epoch, sequence, ..Batch::default() }
    }

    /// Checks a batch, and applies it if it is to be appended.
    fn offer(table: &mut ProducerTable, batch: Batch) -> Result<Verdict, ProducerError> {
        let verdict = table.check(&batch.header())?;
        if verdict == Verdict::Append {
            table.apply(&batch.header());
        }
        Ok(verdict)
    }

    fn appended(batches: &[Batch]) -> ProducerTable {
        let mut table = ProducerTable::new();
        for &batch in batches {
            assert_eq!(offer(&mut table, batch), Ok(Verdict::Append));
        }
        table
    }

    fn duplicate(base: i64, last: i64) -> Result<Verdict, ProducerError> {
        let (base_offset, last_offset) = (Offset(base), Offset(last));
        Ok(Verdict::Duplicate { base_offset, last_offset, append_time: 1_000 })
    }

    fn out_of_order(epoch: i16, last: i32, got: i32) -> Result<Verdict, ProducerError> {
        Err(ProducerError::OutOfOrder { producer: PRODUCER, epoch, last, got })
    }

    #[test]
    fn a_batch_without_a_producer_is_none_of_our_business() {
        let mut table = ProducerTable::new();
        assert_eq!(offer(&mut table, Batch::default()), Ok(Verdict::Append));
        assert!(table.is_empty());
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere() {
        let mut table = appended(&[batch(3, 1_234, 2, 0)]);
        assert_eq!(offer(&mut table, batch(3, 1_236, 1, 2)), Ok(Verdict::Append));
    }

    #[test]
    fn a_gap_and_a_partial_overlap_are_out_of_order() {
        let mut table = appended(&[batch(0, 0, 10, 0)]);
        assert_eq!(offer(&mut table, batch(0, 11, 1, 10)), out_of_order(0, 9, 11));
        assert_eq!(offer(&mut table, batch(0, 0, 9, 10)), out_of_order(0, 9, 0));
        assert_eq!(offer(&mut table, batch(0, 5, 10, 10)), out_of_order(0, 9, 5));
        assert_eq!(offer(&mut table, batch(0, 10, 1, 10)), Ok(Verdict::Append));
    }

    #[test]
    fn any_of_the_last_five_is_answered_with_its_offset() {
        let mut table =
            appended(&(0..7).map(|i| batch(0, 3 * i, 3, 100 + 3 * i64::from(i))).collect::<Vec<_>>());
        for i in 2..7 {
            let first = 100 + 3 * i64::from(i);
            assert_eq!(offer(&mut table, batch(0, 3 * i, 3, 500)), duplicate(first, first + 2));
        }
        for i in 0..2 {
            assert_eq!(offer(&mut table, batch(0, 3 * i, 3, 500)), out_of_order(0, 20, 3 * i));
        }
    }

    #[test]
    fn sequences_wrap_after_the_largest() {
        let mut table =
            appended(&[batch(0, i32::MAX - 4, 3, 0), batch(0, i32::MAX - 1, 5, 3), batch(0, 3, 1, 8)]);
        assert_eq!(offer(&mut table, batch(0, i32::MAX - 1, 5, 90)), duplicate(3, 7));
        let mut edge = appended(&[batch(0, i32::MAX, 1, 0), batch(0, 0, 1, 1)]);
        assert_eq!(offer(&mut edge, batch(0, i32::MAX, 1, 90)), duplicate(0, 0));
        assert_eq!(offer(&mut edge, batch(0, 2, 1, 90)), out_of_order(0, 0, 2));
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
        let mut table = appended(&[batch(2, 0, 5, 0)]);
        assert_eq!(offer(&mut table, batch(3, 5, 1, 5)), out_of_order(3, -1, 5));
        assert_eq!(offer(&mut table, batch(3, 0, 5, 5)), Ok(Verdict::Append));
        let fenced = ProducerError::InvalidEpoch { producer: PRODUCER, current: 3, got: 2 };
        assert_eq!(offer(&mut table, batch(2, 0, 5, 10)), Err(fenced), "not even as a duplicate");
        assert_eq!(offer(&mut table, batch(2, 5, 1, 10)), Err(fenced));
        assert_eq!(offer(&mut table, batch(3, 0, 5, 10)), duplicate(5, 9));
        assert_eq!(offer(&mut table, batch(3, 5, 1, 10)), Ok(Verdict::Append));
    }

    #[test]
    fn replay_changes_nothing_that_is_known() {
        let batches: Vec<_> = (0..9).map(|i| batch(i / 5, i32::from(i % 5), 1, i64::from(i))).collect();
        let table = appended(&batches);
        let mut replayed = table.clone();
        batches.iter().for_each(|b| replayed.apply(&b.header()));
        assert_eq!(replayed, table);
    }

    #[test]
    fn a_snapshot_and_the_batches_after_it_lead_back() {
        // The epoch rises at offset 4.
        let batches: Vec<_> = (0..8).map(|i| batch(i / 4, i32::from(i % 4), 1, i64::from(i))).collect();
        let table = appended(&batches);
        for offset in 0..=8 {
            let mut snapshot = table.snapshot_below(Offset(offset));
            if (4..8).contains(&offset) {
                assert_eq!(snapshot.get(PRODUCER).map(|e| e.epoch), Some(i16::from(offset > 4)));
            }
            assert_eq!(snapshot.is_empty(), offset <= 3, "five are kept, the oldest at offset 3");
            batches[offset as usize..].iter().for_each(|b| snapshot.apply(&b.header()));
            assert_eq!(snapshot.check(&batch(1, 4, 1, 8).header()), Ok(Verdict::Append));
            assert_eq!(snapshot.check(&batches[7].header()), duplicate(7, 7));
            assert_eq!(snapshot.get(PRODUCER).map(ProducerEntry::last_sequence), Some(3));
        }
    }

    #[test]
    fn the_silent_are_forgotten_by_their_records_time() {
        let mut table = appended(&[batch(0, 0, 1, 0)]);
        assert_eq!(table.expire(WallMs(1_000 + 499), 500), 0);
        assert_eq!(table.expire(WallMs(0), 500), 0);
        assert_eq!(table.expire(WallMs(1_000 + 500), 500), 1);
        assert_eq!(offer(&mut table, batch(0, 77, 1, 1)), Ok(Verdict::Append));
    }

    #[test]
    fn a_full_table_forgets_whoever_wrote_longest_ago() {
        let mut table = ProducerTable::new();
        let of = |producer: i64, sequence, base| Batch { producer, ..batch(0, sequence, 1, base) };
        for producer in 0..PRODUCERS_MAX as i64 {
            table.apply(&of(producer, 0, producer).header());
        }
        table.apply(&of(0, 1, 1 << 20).header());
        table.apply(&of(1 << 30, 0, 1 << 21).header());
        assert_eq!(table.evicted(), EVICTED_AT_ONCE as u64);
        assert_eq!(table.len(), PRODUCERS_MAX + 1 - EVICTED_AT_ONCE);
        assert!(table.get(0).is_some() && table.get(1 << 30).is_some());
        assert!(table.get(1).is_none() && table.get(EVICTED_AT_ONCE as i64).is_none());
        assert!(table.get(EVICTED_AT_ONCE as i64 + 1).is_some());
    }
}
