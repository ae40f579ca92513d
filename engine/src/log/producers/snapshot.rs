//! Kafka's `.snapshot` file: the producer state just before the offset in its name.
//!
//! | bytes | field |
//! |---|---|
//! | 0–1 | version, 1 |
//! | 2–5 | CRC-32C of byte 6 to the end |
//! | 6–9 | count |
//! | … | each 46: producer id 8, epoch 2, last sequence 4, last offset 8, offset delta 4, timestamp 8, coordinator epoch 4, first offset of the open transaction 8 (−1 none) |
//!
//! It holds one batch per producer, so a table read from it recognises only the last one as a retry.

use crate::base::Offset;
use crate::log::Malformed;
use crate::log::cursor::Cursor;

use super::entry::{BatchMemo, ProducerEntry};
use super::table::ProducerTable;

const VERSION: i16 = 1;
const ENTRIES_AT: usize = 6;
const ENTRY_BYTES: usize = 46;

impl ProducerTable {
    /// The bytes of a `.snapshot` file.
    #[must_use]
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENTRIES_AT + 4 + ENTRY_BYTES * self.len());
        out.extend(VERSION.to_be_bytes());
        out.extend([0; 4]);
        out.extend((self.len() as u32).to_be_bytes());
        for (producer, entry) in self.sorted() {
            let last = entry.last();
            out.extend(producer.to_be_bytes());
            out.extend(entry.epoch.to_be_bytes());
            out.extend(entry.last_sequence().to_be_bytes());
            out.extend(last.map_or(-1, |b| b.last_offset.0).to_be_bytes());
            out.extend(last.map_or(0, |b| b.offset_delta).to_be_bytes());
            out.extend(entry.last_timestamp.to_be_bytes());
            out.extend(entry.coordinator_epoch.to_be_bytes());
            out.extend(entry.txn_first_offset.map_or(-1, |o| o.0).to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[ENTRIES_AT..]);
        out[2..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads a whole `.snapshot` file. Of more producers than a table holds, the latest stay.
    ///
    /// # Errors
    /// If the version, the checksum, the count or a field is wrong.
    pub fn decode_snapshot(bytes: &[u8]) -> Result<ProducerTable, Malformed> {
        const WHAT: &str = "producer snapshot";
        let mut from = Cursor::new(bytes);
        if from.i16(WHAT)? != VERSION {
            return Err(Malformed { what: "producer snapshot version", at: 0 });
        }
        if from.u32(WHAT)? != crc32c::crc32c(&bytes[ENTRIES_AT..]) {
            return Err(Malformed { what: "producer snapshot checksum", at: 2 });
        }
        let count = from.count(ENTRY_BYTES, WHAT)?;
        if from.left() != count * ENTRY_BYTES {
            return Err(from.malformed(WHAT));
        }
        let mut table = ProducerTable::new();
        for _ in 0..count {
            let malformed = from.malformed("producer snapshot entry");
            let producer = from.i64(WHAT)?;
            let mut entry = ProducerEntry::new(from.i16(WHAT)?);
            let last_sequence = from.i32(WHAT)?;
            let last_offset = Offset(from.i64(WHAT)?);
            let offset_delta = from.i32(WHAT)?;
            let timestamp = from.i64(WHAT)?;
            entry.coordinator_epoch = from.i32(WHAT)?;
            entry.txn_first_offset = Some(Offset(from.i64(WHAT)?)).filter(|o| o.0 >= 0);
            entry.last_timestamp = timestamp;
            if last_offset.0 >= 0 {
                if last_sequence < 0 || offset_delta < 0 {
                    return Err(malformed);
                }
                let epoch = entry.epoch;
                entry.remember(BatchMemo { epoch, last_sequence, last_offset, offset_delta, timestamp });
            }
            if producer < 0 || table.get(producer).is_some() {
                return Err(malformed);
            }
            table.insert(producer, entry);
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixture::Batch;
    use crate::log::producers::Verdict;

    fn table() -> ProducerTable {
        let mut table = ProducerTable::new();
        for (producer, base) in [(7, 10), (3, 20), (7, 30)] {
            let sequence = base as i32;
            let batch = Batch { base, records: 4, producer, producer_epoch: 2, sequence, ..Batch::default() };
            table.apply(&batch.header());
        }
        table
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let bytes = table().encode_snapshot();
        assert_eq!(bytes.len(), 10 + 2 * 46);
        assert_eq!(bytes[..2], [0, 1]);
        assert_eq!(bytes[2..6], crc32c::crc32c(&bytes[6..]).to_be_bytes());
        assert_eq!(bytes[6..10], [0, 0, 0, 2]);
        let mut second = Vec::new();
        second.extend(7_i64.to_be_bytes());
        second.extend(2_i16.to_be_bytes());
        second.extend(33_i32.to_be_bytes());
        second.extend(33_i64.to_be_bytes());
        second.extend(3_i32.to_be_bytes());
        second.extend(1_000_i64.to_be_bytes());
        second.extend((-1_i32).to_be_bytes());
        second.extend((-1_i64).to_be_bytes());
        assert_eq!(bytes[56..], second);
    }

    #[test]
    fn the_last_batch_of_each_producer_survives() {
        let read = ProducerTable::decode_snapshot(&table().encode_snapshot()).expect("sound");
        assert_eq!(read.encode_snapshot(), table().encode_snapshot());
        let retry =
            Batch { records: 4, producer: 7, producer_epoch: 2, sequence: 30, ..Batch::default() }.header();
        let base_offset = Offset(30);
        let duplicate = Verdict::Duplicate { base_offset, last_offset: Offset(33), append_time: 1_000 };
        assert_eq!(read.check(&retry), Ok(duplicate));
        let empty = ProducerTable::new();
        assert_eq!(ProducerTable::decode_snapshot(&empty.encode_snapshot()), Ok(empty));
    }

    #[test]
    fn anything_else_is_refused() {
        let sound = table().encode_snapshot();
        for at in 0..sound.len() {
            assert!(ProducerTable::decode_snapshot(&sound[..at]).is_err(), "cut at {at}");
            let mut flipped = sound.clone();
            flipped[at] ^= 0x40;
            assert!(ProducerTable::decode_snapshot(&flipped).is_err(), "flipped at {at}");
        }
        // With a matching checksum: a huge count, a negative delta, one producer twice.
        let lies: [(usize, Vec<u8>); 3] =
            [(6, vec![0xFF; 4]), (32, vec![0xFF; 4]), (56, 3_i64.to_be_bytes().to_vec())];
        for (at, lie) in lies {
            let mut lying = sound.clone();
            lying[at..at + lie.len()].copy_from_slice(&lie);
            let crc = crc32c::crc32c(&lying[6..]);
            lying[2..6].copy_from_slice(&crc.to_be_bytes());
            assert!(ProducerTable::decode_snapshot(&lying).is_err(), "a lie at {at}");
        }
    }
}
