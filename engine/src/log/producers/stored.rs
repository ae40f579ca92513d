//! The table in a checkpoint: all batches that a retry is recognised by.
//!
//! | bytes | field |
//! |---|---|
//! | 0 | version, 1 |
//! | 1–4 | count of producers, at most [`PRODUCERS_MAX`] |
//! | … | each: producer id 8, epoch 2, coordinator epoch 4, last timestamp 8, first offset of the open transaction 8 (−1 none), count of batches 1 |
//! | … | each batch: epoch 2, last sequence 4, last offset 8, offset delta 4, timestamp 8 |
//!
//! Producers rise by id, a producer's batches by offset. The checkpoint has its own checksum.

use crate::base::Offset;
use crate::log::Malformed;
use crate::log::cursor::Cursor;

use super::entry::{BATCHES_KEPT, BatchMemo, ProducerEntry};
use super::table::{PRODUCERS_MAX, ProducerTable};

const VERSION: u8 = 1;
const ENTRY_BYTES_MIN: usize = 31;
const WHAT: &str = "producer table";

impl ProducerTable {
    /// Appends the checkpoint's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend((self.len() as u32).to_be_bytes());
        for (producer, entry) in self.sorted() {
            out.extend(producer.to_be_bytes());
            out.extend(entry.epoch.to_be_bytes());
            out.extend(entry.coordinator_epoch.to_be_bytes());
            out.extend(entry.last_timestamp.to_be_bytes());
            out.extend(entry.txn_first_offset.map_or(-1, |o| o.0).to_be_bytes());
            out.push(entry.batches.len() as u8);
            for batch in &entry.batches {
                out.extend(batch.epoch.to_be_bytes());
                out.extend(batch.last_sequence.to_be_bytes());
                out.extend(batch.last_offset.0.to_be_bytes());
                out.extend(batch.offset_delta.to_be_bytes());
                out.extend(batch.timestamp.to_be_bytes());
            }
        }
    }

    /// Reads what [`ProducerTable::encode`] wrote, from the start of `bytes`; returns the bytes used.
    ///
    /// # Errors
    /// If the bytes end early or contradict themselves.
    pub fn decode(bytes: &[u8]) -> Result<(ProducerTable, usize), Malformed> {
        let mut from = Cursor::new(bytes);
        let version = from.malformed("producer table version");
        if from.u8(WHAT)? != VERSION {
            return Err(version);
        }
        let count = from.count(ENTRY_BYTES_MIN, WHAT)?;
        if count > PRODUCERS_MAX {
            return Err(from.malformed(WHAT));
        }
        let mut table = ProducerTable::new();
        let mut previous = -1;
        for _ in 0..count {
            let malformed = from.malformed("producer entry");
            let producer = from.i64(WHAT)?;
            if producer <= previous {
                return Err(malformed);
            }
            previous = producer;
            table.insert(producer, decode_entry(&mut from)?);
        }
        Ok((table, from.at()))
    }
}

fn decode_entry(from: &mut Cursor<'_>) -> Result<ProducerEntry, Malformed> {
    let malformed = from.malformed("producer entry");
    let mut entry = ProducerEntry::new(from.i16(WHAT)?);
    entry.coordinator_epoch = from.i32(WHAT)?;
    entry.last_timestamp = from.i64(WHAT)?;
    entry.txn_first_offset = Some(Offset(from.i64(WHAT)?)).filter(|o| o.0 >= 0);
    let batches = usize::from(from.u8(WHAT)?);
    if batches > BATCHES_KEPT {
        return Err(malformed);
    }
    for _ in 0..batches {
        let batch = BatchMemo {
            epoch: from.i16(WHAT)?,
            last_sequence: from.i32(WHAT)?,
            last_offset: Offset(from.i64(WHAT)?),
            offset_delta: from.i32(WHAT)?,
            timestamp: from.i64(WHAT)?,
        };
        let rises = entry.batches.last().is_none_or(|last| last.last_offset < batch.last_offset);
        if !rises || batch.last_sequence < 0 || batch.offset_delta < 0 || batch.last_offset.0 < 0 {
            return Err(malformed);
        }
        entry.batches.push(batch);
    }
    if entry.batches.last().is_some_and(|last| last.epoch != entry.epoch) {
        return Err(malformed);
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixture::Batch;

    fn table() -> ProducerTable {
        let mut table = ProducerTable::new();
        for i in 0..9 {
            let producer = if i % 3 == 0 { 70 } else { 4 };
            let (producer_epoch, sequence) = (i as i16 / 4, i);
            let base = 10 * i64::from(i);
            let batch = Batch { base, records: 10, producer, producer_epoch, sequence, ..Batch::default() };
            table.apply(&batch.header());
        }
        table
    }

    #[test]
    fn every_batch_survives() {
        let mut bytes = Vec::new();
        table().encode(&mut bytes);
        let used = bytes.len();
        bytes.push(9);
        assert_eq!(ProducerTable::decode(&bytes), Ok((table(), used)));
    }

    #[test]
    fn any_damage_is_an_error_or_a_sound_table() {
        let mut sound = Vec::new();
        table().encode(&mut sound);
        for cut in 0..sound.len() {
            assert!(ProducerTable::decode(&sound[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..sound.len() {
            for bits in [0xFF, 0x80, 0x01] {
                let mut flipped = sound.clone();
                flipped[at] ^= bits;
                if let Ok((table, _)) = ProducerTable::decode(&flipped) {
                    let mut again = Vec::new();
                    table.encode(&mut again);
                    assert_eq!(ProducerTable::decode(&again), Ok((table, again.len())), "byte {at}");
                }
            }
        }
        for (at, lie) in [(0, vec![2]), (1, vec![0xFF; 4]), (35, vec![6])] {
            let mut lying = sound.clone();
            lying[at..at + lie.len()].copy_from_slice(&lie);
            assert!(ProducerTable::decode(&lying).is_err(), "a lie at {at}");
        }
    }
}
