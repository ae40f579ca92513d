//! The records inside a batch.
//!
//! | field | encoding |
//! |---|---|
//! | length | varint: bytes after it |
//! | attributes | i8, unused |
//! | timestamp delta | varlong, from the batch's base timestamp |
//! | offset delta | varint, from the batch's base offset |
//! | key | varint length (−1 = null), bytes |
//! | value | varint length (−1 = null), bytes |
//! | headers | varint count; each: key (varint length ≥ 0, bytes), value (as above) |

use std::borrow::Cow;

use super::codec::{InflateError, inflate};
use super::header::{BatchHeader, Codec, HEADER_BYTES, TimestampType};
use super::varint::{self, VarintError};
use crate::base::Offset;

/// The smallest header: an empty key's length and a value's.
const HEADER_BYTES_MIN: usize = 2;

/// What is wrong with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordFault {
    /// The bytes end inside it.
    #[error("the bytes end inside it")]
    Truncated,
    /// A number is longer than its type.
    #[error("a number does not end")]
    Varint,
    /// A length is negative where it may not be, or larger than the bytes left.
    #[error("a length of {length} where {left} bytes are left")]
    Length {
        /// What it claims.
        length: i32,
        /// What is there.
        left: usize,
    },
    /// More headers are claimed than the bytes left could hold, or fewer than none.
    #[error("{count} headers in {left} bytes")]
    HeaderCount {
        /// What it claims.
        count: i32,
        /// What is there.
        left: usize,
    },
    /// Bytes remain inside the record, or after the batch's last one.
    #[error("{bytes} bytes are left over")]
    Leftover {
        /// How many.
        bytes: usize,
    },
    /// Its place in the batch is not the one it claims.
    #[error("it claims offset delta {claimed}")]
    OffsetDelta {
        /// What it claims.
        claimed: i32,
    },
}

/// A record that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("record {index}: {fault}")]
pub struct RecordError {
    /// Its place in the batch, from 0.
    pub index: i32,
    /// What is wrong.
    pub fault: RecordFault,
}

/// One record, borrowed from its batch (or from the inflated bytes of it).
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its distance from the batch's base offset.
    pub offset_delta: i32,
    /// Milliseconds, by the clock that the batch's attributes name.
    pub timestamp: i64,
    /// The key, `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value, `None` for null (a tombstone).
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: Headers<'a>,
}

/// A record's header. Keys are UTF-8 by convention only: nobody checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// The key's bytes.
    pub key: &'a [u8],
    /// The value, `None` for null.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record that was walked: order and duplicates kept.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    left: i32,
    bytes: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(take_header(&mut self.bytes).expect("walked when the record was read"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// Walks the records of one batch. Ends after the claimed count, or at the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    base_offset: Offset,
    base_timestamp: i64,
    append_time: Option<i64>,
    bytes: &'a [u8],
    index: i32,
    count: i32,
    ended: bool,
}

/// The bytes of a batch's records: borrowed if they are not compressed, else inflated to at most
/// `max_out` bytes.
///
/// # Errors
/// Fewer bytes than a header, an unknown codec, bytes that are not what the codec writes, or more
/// than `max_out` of them.
pub fn payload(batch: &[u8], max_out: usize) -> Result<Cow<'_, [u8]>, InflateError> {
    let header = BatchHeader::peek(batch).ok_or(InflateError::Damaged)?;
    let records = &batch[HEADER_BYTES..];
    match header.attributes().codec().ok_or(InflateError::UnknownCodec)? {
        Codec::None => Ok(Cow::Borrowed(records)),
        codec => inflate(codec, records, max_out).map(Cow::Owned),
    }
}

impl<'a> Records<'a> {
    /// Walks `payload`, the uncompressed records of the batch with this header.
    #[must_use]
    pub fn of(header: &BatchHeader, payload: &'a [u8]) -> Records<'a> {
        let append_time = header.attributes().timestamp_type() == TimestampType::LogAppendTime;
        Records {
            base_offset: header.base_offset(),
            base_timestamp: header.base_timestamp(),
            append_time: append_time.then(|| header.max_timestamp()),
            bytes: payload,
            index: 0,
            count: header.record_count(),
            ended: false,
        }
    }

    /// Bytes not walked yet: those of a record are the difference that taking it makes.
    #[must_use]
    pub fn bytes_left(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn take_record(&mut self) -> Result<Record<'a>, RecordFault> {
        let length = varint::take_i32(&mut self.bytes)?;
        let mut body = take_bytes(&mut self.bytes, length)?;
        let (_attributes, rest) = body.split_first().ok_or(RecordFault::Truncated)?;
        body = rest;
        let timestamp_delta = varint::take_i64(&mut body)?;
        let offset_delta = varint::take_i32(&mut body)?;
        let key = take_nullable(&mut body)?;
        let value = take_nullable(&mut body)?;
        let count = varint::take_i32(&mut body)?;
        let headers = Headers { left: count, bytes: body };
        if count != 0 {
            body = skip_headers(body, count)?;
        }
        if !body.is_empty() {
            return Err(RecordFault::Leftover { bytes: body.len() });
        }
        Ok(Record {
            offset: Offset(self.base_offset.0.wrapping_add(offset_delta.into())),
            offset_delta,
            timestamp: self.append_time.unwrap_or(self.base_timestamp.wrapping_add(timestamp_delta)),
            key,
            value,
            headers,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let result = if self.index < self.count {
            self.take_record()
        } else if self.bytes.is_empty() {
            self.ended = true;
            return None;
        } else {
            Err(RecordFault::Leftover { bytes: self.bytes.len() })
        };
        let index = self.index;
        match result {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(fault) => {
                self.ended = true;
                Some(Err(RecordError { index, fault }))
            }
        }
    }
}

impl From<VarintError> for RecordFault {
    fn from(e: VarintError) -> RecordFault {
        match e {
            VarintError::Truncated => RecordFault::Truncated,
            VarintError::TooLong => RecordFault::Varint,
        }
    }
}

#[inline]
fn take_bytes<'a>(bytes: &mut &'a [u8], length: i32) -> Result<&'a [u8], RecordFault> {
    let taken = usize::try_from(length).ok().and_then(|n| bytes.split_at_checked(n));
    let (head, rest) = taken.ok_or(RecordFault::Length { length, left: bytes.len() })?;
    *bytes = rest;
    Ok(head)
}

#[inline]
fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordFault> {
    match varint::take_i32(bytes)? {
        -1 => Ok(None),
        length => take_bytes(bytes, length).map(Some),
    }
}

/// What follows `count` headers. Not inlined: most records have none.
#[inline(never)]
fn skip_headers(mut body: &[u8], count: i32) -> Result<&[u8], RecordFault> {
    let possible = body.len() / HEADER_BYTES_MIN;
    if usize::try_from(count).map_or(true, |n| n > possible) {
        return Err(RecordFault::HeaderCount { count, left: body.len() });
    }
    for _ in 0..count {
        take_header(&mut body)?;
    }
    Ok(body)
}

fn take_header<'a>(bytes: &mut &'a [u8]) -> Result<Header<'a>, RecordFault> {
    let length = varint::take_i32(bytes)?;
    let key = take_bytes(bytes, length)?;
    let value = take_nullable(bytes)?;
    Ok(Header { key, value })
}
