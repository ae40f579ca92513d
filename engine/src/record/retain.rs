//! A batch with some of its records, or with none: what compaction leaves of it.
//!
//! The base offset, the last offset, the leader epoch and the producer's fields stay, so that offsets
//! keep their gaps and the last sequence number of a producer is not lost with the record that had it.

use zerocopy::IntoBytes;

use super::codecs::Deflater;
use super::header::{Attributes, BatchHeader, Body, Codec, HEADER_BYTES, TimestampType, seal_crc};
use super::varint;

/// No record has a timestamp.
const NO_TIMESTAMP: i64 = -1;

/// A record that stays: where it lies in the uncompressed records of its batch, and its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetainedRecord {
    /// Its first byte, of its length.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
    /// Its timestamp, ms.
    pub timestamp: i64,
}

/// A batch that loses records, or gets a delete horizon.
#[derive(Clone, Copy, Debug)]
pub struct Retained<'a> {
    /// Its header as it was.
    pub header: &'a BatchHeader,
    /// Its uncompressed records, which were walked without an error.
    pub payload: &'a [u8],
    /// Those that stay, in order; at least one.
    pub records: &'a [RetainedRecord],
    /// When its tombstones may go, ms; `None` keeps what the header says.
    pub delete_horizon: Option<i64>,
}

impl Retained<'_> {
    /// Appends the batch to `out`, compressed with its own codec. `scratch` and `deflater` are used again.
    ///
    /// # Panics
    /// If no record stays, or a record does not lie in the payload.
    pub fn encode(&self, scratch: &mut Vec<u8>, deflater: &mut Deflater, out: &mut Vec<u8>) {
        let first = self.records.first().expect("a record stays");
        let header = self.header;
        let append_time = header.attributes().timestamp_type() == TimestampType::LogAppendTime;
        let horizon = self.delete_horizon.or(header.delete_horizon());
        // With the broker's time every record has the batch's, whatever its delta says.
        let base = horizon.unwrap_or(if append_time { header.base_timestamp() } else { first.timestamp });
        let shift = header.base_timestamp().wrapping_sub(base);
        let codec = header.attributes().codec().unwrap_or(Codec::None);
        let at = out.len();
        out.resize(at + HEADER_BYTES, 0);
        if codec == Codec::None {
            self.copy_records(shift, out);
        } else {
            scratch.clear();
            self.copy_records(shift, scratch);
            deflater.compress(codec, scratch, out);
        }
        let max = self.records.iter().map(|r| r.timestamp).max().unwrap_or(NO_TIMESTAMP);
        let horizon_bit = if horizon.is_some() { Attributes::DELETE_HORIZON } else { 0 };
        let body = Body {
            bytes: out.len() - at - HEADER_BYTES,
            attributes: header.attributes().0 | horizon_bit,
            count: self.records.len() as i32,
            base_timestamp: base,
            max_timestamp: if append_time { header.max_timestamp() } else { max },
        };
        out[at..at + HEADER_BYTES].copy_from_slice(header.around(&body).as_bytes());
        seal_crc(&mut out[at..]);
    }

    /// Appends the records that stay. Neighbours that keep their timestamps' distance are one copy.
    fn copy_records(&self, shift: i64, out: &mut Vec<u8>) {
        if shift != 0 {
            for record in self.records {
                copy_shifted(&self.payload[record.start..record.end], shift, out);
            }
            return;
        }
        for run in self.records.chunk_by(|a, b| a.end == b.start) {
            out.extend_from_slice(&self.payload[run[0].start..run[run.len() - 1].end]);
        }
    }
}

/// Appends a batch without records to `out`, in the place of the one with this header: it tells the last
/// offset, and its producer's last sequence number.
pub fn empty_batch(header: &BatchHeader, out: &mut Vec<u8>) {
    const STAYS: i16 = Attributes::LOG_APPEND_TIME | Attributes::TRANSACTIONAL | Attributes::CONTROL;
    let body = Body {
        bytes: 0,
        attributes: header.attributes().0 & STAYS,
        count: 0,
        base_timestamp: NO_TIMESTAMP,
        max_timestamp: header.max_timestamp(),
    };
    let at = out.len();
    out.extend_from_slice(header.around(&body).as_bytes());
    seal_crc(&mut out[at..]);
}

/// Appends a record with its timestamp counted from a base that is `shift` earlier.
fn copy_shifted(record: &[u8], shift: i64, out: &mut Vec<u8>) {
    const WALKED: &str = "the record was walked";
    let mut rest = record;
    varint::take_i32(&mut rest).expect(WALKED);
    let (attributes, after) = rest.split_first().expect(WALKED);
    rest = after;
    let delta = varint::take_i64(&mut rest).expect(WALKED).wrapping_add(shift);
    varint::put(out, (1 + varint::len(delta) + rest.len()) as i64);
    out.push(*attributes);
    varint::put(out, delta);
    out.extend_from_slice(rest);
}
