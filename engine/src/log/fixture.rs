//! Batches for the tests of this folder: real headers, filler where records would be.

use crate::record::{BatchHeader, HEADER_BYTES, LOG_OVERHEAD, MAGIC};

/// What the tests vary.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub(super) base: i64,
    pub(super) records: i32,
    pub(super) bytes: usize,
    pub(super) max_timestamp: i64,
    pub(super) epoch: i32,
    pub(super) producer: i64,
    pub(super) producer_epoch: i16,
    pub(super) sequence: i32,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            base: 0,
            records: 1,
            bytes: 100,
            max_timestamp: 1_000,
            epoch: 0,
            producer: -1,
            producer_epoch: -1,
            sequence: -1,
        }
    }
}

impl Batch {
    pub(super) fn encode(self) -> Vec<u8> {
        assert!(self.bytes >= HEADER_BYTES);
        let mut out = Vec::with_capacity(self.bytes);
        out.extend(self.base.to_be_bytes());
        out.extend(((self.bytes - LOG_OVERHEAD) as i32).to_be_bytes());
        out.extend(self.epoch.to_be_bytes());
        out.push(MAGIC as u8);
        out.extend([0; 4]); // CRC: nothing in this folder checks it
        out.extend([0; 2]);
        out.extend((self.records - 1).to_be_bytes());
        out.extend(self.max_timestamp.to_be_bytes());
        out.extend(self.max_timestamp.to_be_bytes());
        out.extend(self.producer.to_be_bytes());
        out.extend(self.producer_epoch.to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.records.to_be_bytes());
        out.resize(self.bytes, 0xAB);
        out
    }

    pub(super) fn header(self) -> BatchHeader {
        *BatchHeader::peek(&self.encode()).expect("at least a header")
    }
}
