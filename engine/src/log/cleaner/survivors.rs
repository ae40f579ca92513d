//! Which records survive a round of compaction, batch by batch.
//!
//! | record | stays while |
//! |---|---|
//! | at or above the map's end | always: this round knows nothing of it |
//! | with a key and a value | no later record has its key |
//! | with a key, no value (a tombstone) | no later record has its key, and its batch's delete horizon is not reached |
//! | without a key | never |
//! | of an aborted transaction | never |
//! | control | a batch of its transaction is left, or its delete horizon is not reached |
//!
//! A batch that loses all its records goes with them, unless it is the last data batch of a producer that
//! is still remembered, or the last of the round: then it stays without records.
//!
//! The delete horizon is set, `delete.retention.ms` from now, when a tombstone, or a marker without its
//! transaction, is first met; a later round removes them (KIP-534).

use super::fill::inflated_bytes;
use super::map::KeyHash;
use super::round::Round;
use super::transactions::{Aborted, Transactions};
use crate::base::Offset;
use crate::config::{BATCH_BYTES_MAX, INFLATED_BYTES_MAX};
use crate::record::{
    BatchHeader, Deflater, Inflater, Records, Retained, RetainedRecord, crc_matches, empty_batch,
};

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It stays byte for byte.
    Kept,
    /// Some of its records stay, or it got its delete horizon.
    Rewritten,
    /// It stays without records.
    Emptied,
    /// It goes.
    Dropped,
}

/// What a round did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Bytes of batches read.
    pub bytes_in: u64,
    /// Bytes of batches that stayed.
    pub bytes_out: u64,
    /// Records that went.
    pub records_dropped: u64,
    /// Batches that are not byte for byte as they were.
    pub batches_changed: u64,
    /// Batches whose records cannot be read: they stay as they are.
    pub batches_unreadable: u64,
}

/// Decides about the batches of a log, which it must be shown from the first on, in order.
#[derive(Debug)]
pub struct Survivors<'a> {
    round: &'a Round,
    transactions: Transactions,
    inflater: Inflater,
    work: Work,
}

/// What judging a batch needs beside its bytes.
#[derive(Debug, Default)]
struct Work {
    found: Vec<Found>,
    records: Vec<RetainedRecord>,
    scratch: Vec<u8>,
    deflater: Deflater,
    tally: Tally,
    /// Bytes that were inflated.
    inflated: u64,
}

/// A record of the batch at hand.
#[derive(Clone, Copy, Debug)]
struct Found {
    place: RetainedRecord,
    offset: Offset,
    key: Option<KeyHash>,
    is_tombstone: bool,
}

impl<'a> Survivors<'a> {
    /// Those of a round over a log in which these transactions were aborted.
    #[must_use]
    pub fn new(round: &'a Round, aborted: Vec<Aborted>) -> Survivors<'a> {
        let transactions = Transactions::new(aborted);
        Survivors { round, transactions, inflater: Inflater::default(), work: Work::default() }
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.work.tally
    }

    /// Bytes passed so far: as they lay in the log, inflated, and as they stay. What the work is counted by.
    #[must_use]
    pub fn worked(&self) -> u64 {
        self.work.tally.bytes_in + self.work.inflated + self.work.tally.bytes_out
    }

    /// Judges a whole batch and appends what stays of it to `out`.
    pub fn visit(&mut self, batch: &[u8], out: &mut Vec<u8>) -> Fate {
        debug_assert!(crc_matches(batch), "the reader has checked it");
        let before = out.len();
        let fate = self.judge(batch, out);
        let tally = &mut self.work.tally;
        tally.bytes_in += batch.len() as u64;
        tally.bytes_out += (out.len() - before) as u64;
        tally.batches_changed += u64::from(fate != Fate::Kept);
        fate
    }

    fn judge(&mut self, batch: &[u8], out: &mut Vec<u8>) -> Fate {
        let Survivors { round, transactions, inflater, work } = self;
        let Some(header) = BatchHeader::peek(batch) else { return Fate::Dropped };
        let Ok(records) = inflater.payload(batch, INFLATED_BYTES_MAX) else {
            return work.keep_unreadable(batch, out);
        };
        work.inflated += inflated_bytes(batch, records);
        let Ok(count) = u32::try_from(header.record_count()) else { return work.keep_unreadable(batch, out) };
        let control = header.attributes().is_control();
        let obsolete =
            if control { transactions.on_control(header, records) } else { transactions.on_data(header) };
        let goes = obsolete && !(control && round.before_horizon(header));
        if goes {
            work.tally.records_dropped += u64::from(count);
            return without_records(round, header, batch, out);
        }
        let Some(tombstones) = work.collect(round, header, records, control) else {
            return work.keep_unreadable(batch, out);
        };
        if work.records.is_empty() {
            return without_records(round, header, batch, out);
        }
        let waits = tombstones || (control && obsolete);
        let horizon = (waits && header.delete_horizon().is_none()).then(|| round.horizon());
        if work.records.len() == count as usize && horizon.is_none() {
            out.extend_from_slice(batch);
            return Fate::Kept;
        }
        let retained = Retained { header, payload: records, records: &work.records, delete_horizon: horizon };
        let at = out.len();
        retained.encode(&mut work.scratch, &mut work.deflater, out);
        // Compressed anew, or with longer timestamps, it may have grown. Too much of a log is no error,
        // a batch that nobody can read is.
        if out.len() - at > batch.len().max(BATCH_BYTES_MAX as usize) {
            out.truncate(at);
            out.extend_from_slice(batch);
            work.tally.records_dropped -= u64::from(count) - work.records.len() as u64;
            return Fate::Kept;
        }
        Fate::Rewritten
    }
}

impl Work {
    /// Collects the records that stay and says whether a tombstone that the round judges is among them;
    /// `None` if the records cannot be read or are not as many as the header says: a client that goes by
    /// the count would see others than we do.
    fn collect(
        &mut self,
        round: &Round,
        header: &BatchHeader,
        payload: &[u8],
        control: bool,
    ) -> Option<bool> {
        self.found.clear();
        self.records.clear();
        let mut walk = Records::of(header, payload);
        let mut start = 0;
        while let Some(record) = walk.next() {
            let record = record.ok()?;
            let end = payload.len() - walk.bytes_left();
            self.found.push(Found {
                place: RetainedRecord { start, end, timestamp: record.timestamp },
                offset: record.offset,
                key: record.key.filter(|_| !control).map(|key| round.hash(key)),
                is_tombstone: record.value.is_none(),
            });
            start = end;
        }
        if i64::from(header.record_count()) != self.found.len() as i64 {
            return None;
        }
        let mut tombstones = false;
        let horizon = round.before_horizon(header);
        for found in &self.found {
            if control || round.stays(found.key, found.offset, !found.is_tombstone || horizon) {
                tombstones |= found.is_tombstone && (control || found.offset < round.end());
                self.records.push(found.place);
            }
        }
        self.tally.records_dropped += (self.found.len() - self.records.len()) as u64;
        Some(tombstones)
    }

    fn keep_unreadable(&mut self, batch: &[u8], out: &mut Vec<u8>) -> Fate {
        self.tally.batches_unreadable += 1;
        out.extend_from_slice(batch);
        Fate::Kept
    }
}

/// A batch of which no record stays.
fn without_records(round: &Round, header: &BatchHeader, batch: &[u8], out: &mut Vec<u8>) -> Fate {
    let needed =
        header.producer_id() >= 0 && round.is_last_of_producer(header) || header.next_offset() == round.end();
    if !needed {
        return Fate::Dropped;
    }
    let at = out.len();
    empty_batch(header, out);
    // One that was emptied before is the same again.
    if out[at..] == *batch { Fate::Kept } else { Fate::Emptied }
}
