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

use rustc_hash::FxHashMap;

use super::map::OffsetMap;
use super::transactions::{Aborted, Transactions};
use crate::base::{Offset, WallMs};
use crate::config::{BATCH_BYTES_MAX, INFLATED_BYTES_MAX};
use crate::log::ProducerTable;
use crate::record::{
    BatchHeader, Codec, Record, Records, Retained, RetainedRecord, crc_matches, empty_batch, payload,
};

/// Notes the keys of a log's dirty part.
#[derive(Clone, Debug)]
pub struct Fill {
    map: OffsetMap,
    from: Offset,
    transactions: Transactions,
}

impl Fill {
    /// Notes what lies at `from` or above.
    #[must_use]
    pub fn new(map: OffsetMap, from: Offset, aborted: Vec<Aborted>) -> Fill {
        Fill { map, from, transactions: Transactions::new(aborted) }
    }

    /// Notes a whole batch. False if the map is full: it ends before the first record that found no room.
    pub fn visit(&mut self, batch: &[u8]) -> bool {
        let Some(header) = BatchHeader::peek(batch) else { return true };
        // What cannot be read has no keys, and stays as it is.
        let Ok(records) = payload(batch, INFLATED_BYTES_MAX) else { return true };
        if header.attributes().is_control() {
            self.transactions.on_control(header, &records);
        } else if !self.transactions.on_data(header) && is_readable(header, &records) {
            for record in Records::of(header, &records).map_while(Result::ok) {
                let noted = record.offset >= self.from && record.offset <= header.last_offset();
                let Some(key) = record.key.filter(|_| noted) else { continue };
                if self.map.is_full() {
                    return false;
                }
                self.map.put(key, record.offset);
            }
        }
        if header.last_offset() >= self.from {
            self.map.seen_to(header.next_offset());
        }
        true
    }

    /// Everything below `end` was visited.
    pub fn seen_to(&mut self, end: Offset) {
        self.map.seen_to(end);
    }

    /// The map, as far as it goes.
    #[must_use]
    pub fn finish(self) -> OffsetMap {
        self.map
    }
}

/// The last that is known of a producer: its batch with this stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LastBatch {
    /// The last offset of its last data batch; `None` if only markers are known.
    offset: Option<Offset>,
    epoch: i16,
}

/// What a round decides by.
#[derive(Clone, Debug)]
pub struct Round {
    map: OffsetMap,
    producers: FxHashMap<i64, LastBatch>,
    now: WallMs,
    delete_retention_ms: u64,
}

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

impl Round {
    /// The round of this map, at `now`, with the topic's `delete.retention.ms`. It ends where the map does.
    #[must_use]
    pub fn new(map: OffsetMap, producers: &ProducerTable, now: WallMs, delete_retention_ms: u64) -> Round {
        let last = |entry: &crate::log::producers::ProducerEntry| LastBatch {
            offset: entry.last().map(|batch| batch.last_offset),
            epoch: entry.epoch,
        };
        let producers = producers.sorted().into_iter().map(|(id, entry)| (id, last(entry))).collect();
        Round { map, producers, now, delete_retention_ms }
    }

    /// The offset after the last one that the round judges.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.map.end()
    }

    /// Whether a batch is the last that is known of its producer.
    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let Some(last) = self.producers.get(&header.producer_id()) else { return false };
        match last.offset {
            Some(offset) => header.last_offset() == offset,
            None => header.attributes().is_control() && header.producer_epoch() == last.epoch,
        }
    }

    /// Whether what waits for a batch's delete horizon stays.
    fn before_horizon(&self, header: &BatchHeader) -> bool {
        header.delete_horizon().is_none_or(|horizon| self.now.0 < horizon)
    }

    fn stays(&self, header: &BatchHeader, record: &Record<'_>) -> bool {
        if record.offset >= self.map.end() {
            return true;
        }
        let Some(key) = record.key else { return false };
        let latest = self.map.get(key).is_none_or(|latest| record.offset >= latest);
        latest && (record.value.is_some() || self.before_horizon(header))
    }
}

/// Decides about the batches of a log, which it must be shown from the first on, in order.
#[derive(Debug)]
pub struct Survivors<'a> {
    round: &'a Round,
    transactions: Transactions,
    records: Vec<RetainedRecord>,
    scratch: Vec<u8>,
    tally: Tally,
}

impl<'a> Survivors<'a> {
    /// Those of a round over a log in which these transactions were aborted.
    #[must_use]
    pub fn new(round: &'a Round, aborted: Vec<Aborted>) -> Survivors<'a> {
        let transactions = Transactions::new(aborted);
        Survivors { round, transactions, records: Vec::new(), scratch: Vec::new(), tally: Tally::default() }
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Judges a whole batch and appends what stays of it to `out`.
    pub fn visit(&mut self, batch: &[u8], out: &mut Vec<u8>) -> Fate {
        debug_assert!(crc_matches(batch), "the reader has checked it");
        let before = out.len();
        let fate = self.judge(batch, out);
        self.tally.bytes_in += batch.len() as u64;
        self.tally.bytes_out += (out.len() - before) as u64;
        self.tally.batches_changed += u64::from(fate != Fate::Kept);
        fate
    }

    fn judge(&mut self, batch: &[u8], out: &mut Vec<u8>) -> Fate {
        let Some(header) = BatchHeader::peek(batch) else { return Fate::Dropped };
        let Ok(records) = payload(batch, INFLATED_BYTES_MAX) else { return self.keep_unreadable(batch, out) };
        let Ok(count) = u32::try_from(header.record_count()) else { return self.keep_unreadable(batch, out) };
        let control = header.attributes().is_control();
        let obsolete = if control {
            self.transactions.on_control(header, &records)
        } else {
            self.transactions.on_data(header)
        };
        let goes = obsolete && !(control && self.round.before_horizon(header));
        if goes {
            self.tally.records_dropped += u64::from(count);
            return self.without_records(header, batch, out);
        }
        let Some(tombstones) = self.collect(header, &records, control) else {
            return self.keep_unreadable(batch, out);
        };
        if self.records.is_empty() {
            return self.without_records(header, batch, out);
        }
        let waits = tombstones || (control && obsolete);
        let horizon = (waits && header.delete_horizon().is_none()).then(|| {
            let ms = i64::try_from(self.round.delete_retention_ms).unwrap_or(i64::MAX);
            self.round.now.0.saturating_add(ms)
        });
        if self.records.len() == count as usize && horizon.is_none() {
            out.extend_from_slice(batch);
            return Fate::Kept;
        }
        let retained =
            Retained { header, payload: &records, records: &self.records, delete_horizon: horizon };
        let at = out.len();
        retained.encode(&mut self.scratch, out);
        // Compressed anew, or with longer timestamps, it may have grown. Too much of a log is no error,
        // a batch that nobody can read is.
        if out.len() - at > batch.len().max(BATCH_BYTES_MAX as usize) {
            out.truncate(at);
            out.extend_from_slice(batch);
            return Fate::Kept;
        }
        Fate::Rewritten
    }

    /// Collects the records that stay and says whether a tombstone that the round judges is among them;
    /// `None` if the records cannot be read or are not as many as the header says: a client that goes by
    /// the count would see others than we do.
    fn collect(&mut self, header: &BatchHeader, payload: &[u8], control: bool) -> Option<bool> {
        self.records.clear();
        let mut tombstones = false;
        let mut walk = Records::of(header, payload);
        let (mut start, mut dropped) = (0, 0);
        while let Some(record) = walk.next() {
            let record = record.ok()?;
            let end = payload.len() - walk.bytes_left();
            if control || self.round.stays(header, &record) {
                tombstones |= record.value.is_none() && (control || record.offset < self.round.end());
                self.records.push(RetainedRecord { start, end, timestamp: record.timestamp });
            } else {
                dropped += 1;
            }
            start = end;
        }
        if i64::from(header.record_count()) != self.records.len() as i64 + dropped {
            return None;
        }
        self.tally.records_dropped += dropped as u64;
        Some(tombstones)
    }

    /// A batch of which no record stays.
    fn without_records(&self, header: &BatchHeader, batch: &[u8], out: &mut Vec<u8>) -> Fate {
        let needed = header.producer_id() >= 0 && self.round.is_last_of_producer(header)
            || header.next_offset() == self.round.end();
        if !needed {
            return Fate::Dropped;
        }
        let at = out.len();
        empty_batch(header, out);
        // One that was emptied before is the same again.
        if out[at..] == *batch { Fate::Kept } else { Fate::Emptied }
    }

    fn keep_unreadable(&mut self, batch: &[u8], out: &mut Vec<u8>) -> Fate {
        self.tally.batches_unreadable += 1;
        out.extend_from_slice(batch);
        Fate::Kept
    }
}

/// Whether all records can be walked and are as many as the header says: one that cannot keeps its whole
/// batch as it is, and none of its keys may then hide an older record. Those that are not compressed were
/// walked and counted when they came.
fn is_readable(header: &BatchHeader, payload: &[u8]) -> bool {
    if header.attributes().codec() == Some(Codec::None) {
        return true;
    }
    let mut walked = 0;
    Records::of(header, payload).all(|record| {
        walked += 1;
        record.is_ok()
    }) && header.record_count() == walked
}
