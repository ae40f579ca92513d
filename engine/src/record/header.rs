//! The 61-byte header of a record batch.
//!
//! | bytes | field | note |
//! |---|---|---|
//! | 0–7 | base offset | set by the broker; outside the CRC |
//! | 8–11 | batch length | bytes after this field: total − 12 |
//! | 12–15 | partition leader epoch | set by the leader; outside the CRC |
//! | 16 | magic | 2 |
//! | 17–20 | CRC-32C | over bytes 21 to the end |
//! | 21–22 | attributes | codec 0–2, append time 3, transactional 4, control 5, delete horizon 6 |
//! | 23–26 | last offset delta | last offset = base + delta |
//! | 27–34 | base timestamp | ms; the delete horizon where attribute 6 is set |
//! | 35–42 | max timestamp | ms |
//! | 43–50 | producer id | −1 = none |
//! | 51–52 | producer epoch | −1 = none |
//! | 53–56 | base sequence | −1 = none |
//! | 57–60 | record count | records follow; if compressed, one blob of all of them |

use zerocopy::byteorder::big_endian::{I16, I32, I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::base::{LeaderEpoch, Offset};

/// Length of the header, in bytes.
pub const HEADER_BYTES: usize = 61;

/// Bytes before and including the batch length field: total = length + this.
pub const LOG_OVERHEAD: usize = 12;

/// The only magic that is written or read.
pub const MAGIC: i8 = 2;

/// A batch header as it lies in memory and on disk.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct BatchHeader {
    base_offset: I64,
    batch_length: I32,
    leader_epoch: I32,
    magic: i8,
    crc: U32,
    attributes: I16,
    last_offset_delta: I32,
    base_timestamp: I64,
    max_timestamp: I64,
    producer_id: I64,
    producer_epoch: I16,
    base_sequence: I32,
    record_count: I32,
}

const _: () = assert!(size_of::<BatchHeader>() == HEADER_BYTES);

/// How the records of a batch are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the codecs' own names")]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Whose clock a batch's timestamps come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's, at append.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    /// Bit 3: timestamps are the broker's.
    pub const LOG_APPEND_TIME: i16 = 1 << 3;
    /// Bit 4.
    pub const TRANSACTIONAL: i16 = 1 << 4;
    /// Bit 5.
    pub const CONTROL: i16 = 1 << 5;
    /// Bit 6: compaction has set the time at which tombstones and markers may go, and it stands where
    /// the first timestamp did (KIP-534).
    pub const DELETE_HORIZON: i16 = 1 << 6;

    /// The codec, or `None` for ids 5–7, which nobody defined.
    #[must_use]
    pub fn codec(self) -> Option<Codec> {
        match self.0 & 7 {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Whose timestamps these are.
    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds a control record.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }
}

impl BatchHeader {
    /// The header at the start of `bytes`, or `None` if fewer than 61 are there. Nothing is
    /// checked: fields may lie.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<&BatchHeader> {
        BatchHeader::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// As [`BatchHeader::peek`], to patch in place.
    #[must_use]
    pub fn peek_mut(bytes: &mut [u8]) -> Option<&mut BatchHeader> {
        BatchHeader::mut_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// Stamps what the leader decides: outside the checksum, so nothing else changes.
    pub fn stamp(&mut self, base_offset: Offset, epoch: LeaderEpoch) {
        self.base_offset.set(base_offset.0);
        self.leader_epoch.set(epoch.0);
    }

    /// The first record's offset.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        Offset(self.base_offset.get())
    }

    /// The last record's offset.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.get().wrapping_add(i64::from(self.last_offset_delta.get())))
    }

    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.wrapping_add(1))
    }

    /// The batch length field: total − 12. May be anything, negative too.
    #[must_use]
    pub fn batch_length(&self) -> i32 {
        self.batch_length.get()
    }

    /// The whole batch in bytes, or `None` if the field cannot be true (shorter than a header).
    #[must_use]
    pub fn total_bytes(&self) -> Option<usize> {
        let total = i64::from(self.batch_length.get()) + LOG_OVERHEAD as i64;
        usize::try_from(total).ok().filter(|&n| n >= HEADER_BYTES)
    }

    /// The leader epoch stamped at append.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.get())
    }

    /// The format's version: 2, or not ours.
    #[must_use]
    pub fn magic(&self) -> i8 {
        self.magic
    }

    /// The stored CRC-32C.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc.get()
    }

    /// The attribute bits.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes(self.attributes.get())
    }

    /// Last offset − base offset.
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta.get()
    }

    /// When the batch's tombstones, or its marker, may go, ms; `None` before a first compaction saw them.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes().0 & Attributes::DELETE_HORIZON != 0).then(|| self.base_timestamp())
    }

    /// The first record's timestamp, ms; the delete horizon where there is one. Records count from it.
    #[must_use]
    pub fn base_timestamp(&self) -> i64 {
        self.base_timestamp.get()
    }

    /// The largest timestamp, ms.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.max_timestamp.get()
    }

    /// The producer id, −1 if none.
    #[must_use]
    pub fn producer_id(&self) -> i64 {
        self.producer_id.get()
    }

    /// The producer epoch, −1 if none.
    #[must_use]
    pub fn producer_epoch(&self) -> i16 {
        self.producer_epoch.get()
    }

    /// The first record's sequence number, −1 if none.
    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        self.base_sequence.get()
    }

    /// The claimed number of records.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.record_count.get()
    }
}

/// What a builder decides about a header; the rest follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) total_bytes: usize,
    pub(super) attributes: i16,
    pub(super) count: i32,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
}

/// What changes in a header with the records behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    /// Bytes behind the header.
    pub(super) bytes: usize,
    pub(super) attributes: i16,
    pub(super) count: i32,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
}

impl BatchHeader {
    /// A header with offset 0, no leader epoch and no checksum yet.
    pub(super) fn compose(fields: &Fields) -> BatchHeader {
        let length = i32::try_from(fields.total_bytes - LOG_OVERHEAD).expect("a batch is far below 2 GiB");
        BatchHeader {
            base_offset: 0.into(),
            batch_length: length.into(),
            leader_epoch: (-1).into(),
            magic: MAGIC,
            crc: 0.into(),
            attributes: fields.attributes.into(),
            last_offset_delta: (fields.count - 1).into(),
            base_timestamp: fields.base_timestamp.into(),
            max_timestamp: fields.max_timestamp.into(),
            producer_id: fields.producer_id.into(),
            producer_epoch: fields.producer_epoch.into(),
            base_sequence: fields.base_sequence.into(),
            record_count: fields.count.into(),
        }
    }

    /// The header of the same batch (offsets, epoch, producer) around other records; its checksum is
    /// for the caller.
    pub(super) fn around(&self, body: &Body) -> BatchHeader {
        let length =
            i32::try_from(HEADER_BYTES - LOG_OVERHEAD + body.bytes).expect("a batch is far below 2 GiB");
        BatchHeader {
            batch_length: length.into(),
            attributes: body.attributes.into(),
            base_timestamp: body.base_timestamp.into(),
            max_timestamp: body.max_timestamp.into(),
            record_count: body.count.into(),
            ..*self
        }
    }

    /// Moves all timestamps so that the first record's becomes `base`.
    pub(super) fn shift_timestamps(&mut self, base: i64) {
        let span = self.max_timestamp.get().wrapping_sub(self.base_timestamp.get());
        self.base_timestamp.set(base);
        self.max_timestamp.set(base.wrapping_add(span));
    }

    /// Sets the largest timestamp.
    pub(super) fn set_max_timestamp(&mut self, max: i64) {
        self.max_timestamp.set(max);
    }

    /// Sets attribute bits.
    pub(super) fn add_attributes(&mut self, bits: i16) {
        self.attributes.set(self.attributes.get() | bits);
    }

    /// Sets the producer's fields.
    pub(super) fn set_producer(&mut self, id: i64, epoch: i16, sequence: i32) {
        self.producer_id.set(id);
        self.producer_epoch.set(epoch);
        self.base_sequence.set(sequence);
    }
}

/// Computes and stores the checksum of a whole batch.
///
/// # Panics
/// If `batch` is shorter than a header.
pub(super) fn seal_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    BatchHeader::peek_mut(batch).expect("a whole batch").crc.set(crc);
}

/// The first byte that the checksum covers.
pub(crate) const CRC_FROM: usize = 21;

/// Whether the stored CRC matches bytes 21 to the end of this whole batch.
#[must_use]
pub fn crc_matches(batch: &[u8]) -> bool {
    BatchHeader::peek(batch).is_some_and(|h| h.crc() == crc32c::crc32c(&batch[CRC_FROM..]))
}
