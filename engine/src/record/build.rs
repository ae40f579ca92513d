//! New batches.

use zerocopy::IntoBytes;

use super::codec::compress;
use super::header::{Attributes, BatchHeader, Codec, Fields, HEADER_BYTES, seal_crc};
use super::varint;
use crate::base::{ProducerEpoch, ProducerId};

/// Collects records and writes them as one batch. Reusable: [`BatchBuilder::finish`] leaves it
/// empty with its memory kept.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    codec: Codec,
    attributes: i16,
    producer: (i64, i16, i32),
    records: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// A builder of batches without a producer.
    #[must_use]
    pub fn new(codec: Codec) -> BatchBuilder {
        BatchBuilder {
            codec,
            attributes: 0,
            producer: (-1, -1, -1),
            records: Vec::new(),
            count: 0,
            base_timestamp: 0,
            max_timestamp: 0,
        }
    }

    /// Sets the producer's fields of the next batch; `sequence` is its first record's.
    pub fn set_producer(&mut self, id: ProducerId, epoch: ProducerEpoch, sequence: i32) {
        self.producer = (id.0, epoch.0, sequence);
    }

    /// Marks the next batches as part of a transaction, or not.
    pub fn set_transactional(&mut self, transactional: bool) {
        self.attributes = if transactional { Attributes::TRANSACTIONAL } else { 0 };
    }

    /// Adds a record. The first one's timestamp (ms) is the base of the others.
    ///
    /// # Panics
    /// If a key, value or header is 2 GiB or longer.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.count);

        let mut length = 1 + varint::len(timestamp_delta) + varint::len(offset_delta);
        length += nullable_len(key) + nullable_len(value) + varint::len(headers.len() as i64);
        length += headers.iter().map(|(k, v)| nullable_len(Some(k)) + nullable_len(*v)).sum::<usize>();
        assert!(length < i32::MAX as usize, "a record of {length} bytes");

        let out = &mut self.records;
        out.reserve(length + varint::len(length as i64));
        varint::put(out, length as i64);
        let start = out.len();
        out.push(0);
        varint::put(out, timestamp_delta);
        varint::put(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        varint::put(out, headers.len() as i64);
        for (key, value) in headers {
            put_nullable(out, Some(key));
            put_nullable(out, *value);
        }
        debug_assert_eq!(out.len() - start, length);
        self.count += 1;
    }

    /// Records added since the last batch.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch so far, before compression.
    #[must_use]
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Appends the batch to `out` and begins a new one.
    ///
    /// # Panics
    /// If no record was added.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        assert!(self.count > 0, "a batch without records");
        let at = out.len();
        out.resize(at + HEADER_BYTES, 0);
        compress(self.codec, &self.records, out);
        let codec = match self.codec {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        };
        let (producer_id, producer_epoch, base_sequence) = self.producer;
        let header = BatchHeader::compose(&Fields {
            total_bytes: out.len() - at,
            attributes: self.attributes | codec,
            count: self.count,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
        });
        out[at..at + HEADER_BYTES].copy_from_slice(header.as_bytes());
        seal_crc(&mut out[at..]);
        self.records.clear();
        self.count = 0;
    }

    /// The batch; begins a new one.
    ///
    /// # Panics
    /// If no record was added.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes());
        self.finish_into(&mut out);
        out
    }
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |b| varint::len(b.len() as i64) + b.len())
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(b) => {
            varint::put(out, b.len() as i64);
            out.extend_from_slice(b);
        }
    }
}
