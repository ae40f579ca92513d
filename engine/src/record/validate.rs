//! What a producer may send: exactly one whole batch that tells the truth about itself.
//!
//! Checks go from cheap to dear, in Kafka's order where a client can tell: shape, size, checksum,
//! header, then each record. Compressed records are walked only if the caller gives an output bound.

use super::codec::{InflateError, is_lz4_for_all};
use super::header::{BatchHeader, Codec, HEADER_BYTES, MAGIC, TimestampType, crc_matches};
use super::patch::Patch;
use super::records::{RecordError, RecordFault, Records, payload};
use crate::base::{ProducerEpoch, ProducerId, WallMs};

/// Where the magic lies in every format there ever was.
const MAGIC_AT: usize = 16;

/// The first version of Produce whose clients know zstd.
const PRODUCE_VERSION_WITH_ZSTD: i16 = 7;

/// Records that are told one by one (timestamps out of the window, no key); more are only counted as refused.
const BAD_RECORDS_MAX: usize = 64;

/// A compressed batch that is refused for a timestamp is inflated up to this many bytes to say which records
/// have one: what is accepted never pays for it.
const TOLD_BYTES_MAX: usize = 16 << 20;

/// A timestamp that says "none"; no window applies to it.
const NO_TIMESTAMP: i64 = -1;

/// What a topic, a request and a moment allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Largest batch, bytes (`max.message.bytes`).
    pub max_bytes: u32,
    /// Largest segment, bytes (`segment.bytes`).
    pub segment_bytes: u32,
    /// The version of the Produce request.
    pub produce_version: i16,
    /// Whose clock stamps the topic's records.
    pub timestamp_type: TimestampType,
    /// How far a timestamp may be behind `now`, ms; `u64::MAX` is no limit.
    pub timestamp_before_max_ms: u64,
    /// How far a timestamp may be ahead of `now`, ms; `u64::MAX` is no limit.
    pub timestamp_after_max_ms: u64,
    /// The broker's clock.
    pub now: WallMs,
    /// Every record must have a key (the topic is compacted); needs `inflate_bytes_max` to be seen in
    /// compressed batches.
    pub keys_required: bool,
    /// Inflate and walk compressed batches too, up to this many bytes; `None` trusts their headers.
    pub inflate_bytes_max: Option<usize>,
}

/// Who produced a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerFields {
    /// The producer.
    pub id: ProducerId,
    /// Its epoch, at least 0.
    pub epoch: ProducerEpoch,
    /// The first record's sequence number, at least 0.
    pub base_sequence: i32,
}

/// What is known of a batch that passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchSummary {
    /// Records in it, at least 1.
    pub count: i32,
    /// How they are compressed.
    pub codec: Codec,
    /// The largest timestamp after `patch`, ms.
    pub max_timestamp: i64,
    /// The idempotent producer, if it has one.
    pub producer: Option<ProducerFields>,
    /// What must change before it is appended.
    pub patch: Option<Patch>,
}

/// A record whose timestamp is outside the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadTimestamp {
    /// Its place in the batch.
    pub index: i32,
    /// Its timestamp, ms.
    pub timestamp: i64,
}

/// What kind of refusal a client is told: one for each of Kafka's error codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Blame {
    /// The bytes are not what was sent.
    Corrupt,
    /// The batch lies about itself, or holds what a producer may not send.
    InvalidRecord,
    /// Larger than the topic takes.
    TooLarge,
    /// Larger than a segment.
    LargerThanSegment,
    /// A codec that the request's version does not have, or nobody has.
    UnsupportedCompression,
    /// Timestamps outside the topic's window.
    InvalidTimestamp,
    /// It belongs to a transaction.
    Transactional,
}

/// Why a batch was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are in the messages")]
pub enum BatchError {
    #[error("no record batch")]
    Empty,
    #[error("{got} bytes are not a record batch")]
    Truncated { got: usize },
    #[error("the batch claims {claimed} bytes, {got} are there")]
    Length { claimed: i64, got: usize },
    #[error("{bytes} bytes follow the record batch; exactly one is allowed")]
    Trailing { bytes: usize },
    #[error("message format {magic}; only 2 is accepted")]
    Magic { magic: i8 },
    #[error("the batch is {got} bytes, the topic takes {max}")]
    TooLarge { got: usize, max: u32 },
    #[error("the batch is {got} bytes, a segment {max}")]
    LargerThanSegment { got: usize, max: u32 },
    #[error("the checksum does not match")]
    Checksum,
    #[error("base offset {got}, expected 0")]
    BaseOffset { got: i64 },
    #[error("{count} records with a last offset delta of {last_offset_delta}")]
    Count { count: i32, last_offset_delta: i32 },
    #[error("producers may not send control batches")]
    Control,
    #[error("producers may not set a delete horizon")]
    DeleteHorizon,
    #[error("the batch belongs to a transaction")]
    Transactional,
    #[error("producer {id} epoch {epoch} with sequence number {sequence}")]
    Sequence { id: i64, epoch: i16, sequence: i32 },
    #[error("unknown codec {id}")]
    UnknownCodec { id: i16 },
    #[error("zstd needs Produce version {PRODUCE_VERSION_WITH_ZSTD}, the request is {version}")]
    ZstdTooEarly { version: i16 },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the compressed records: {0}")]
    Inflate(#[from] InflateError),
    #[error("no LZ4 frame of independent blocks: Java readers take no other")]
    Lz4Frame,
    #[error("producers may not set LogAppendTime")]
    AppendTimeByProducer,
    #[error("{} records (or more) have no key, and the topic is compacted", .records.len())]
    Keyless { records: Vec<i32> },
    #[error("{} records (or more) have a timestamp outside the topic's window", .records.len())]
    Timestamps { records: Vec<BadTimestamp> },
}

impl BatchError {
    /// The kind of refusal.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            BatchError::Truncated { .. } | BatchError::Length { .. } | BatchError::Checksum => Blame::Corrupt,
            // A batch that a compacted topic cannot take apart; sent again it is no smaller.
            BatchError::Inflate(InflateError::TooLarge { .. }) => Blame::TooLarge,
            BatchError::Inflate(_) | BatchError::Lz4Frame => Blame::Corrupt,
            BatchError::Magic { magic } if !(0..=2).contains(magic) => Blame::Corrupt,
            BatchError::Empty
            | BatchError::Trailing { .. }
            | BatchError::Magic { .. }
            | BatchError::BaseOffset { .. }
            | BatchError::Count { .. }
            | BatchError::Control
            | BatchError::DeleteHorizon
            | BatchError::Sequence { .. }
            | BatchError::Keyless { .. }
            | BatchError::Record(_) => Blame::InvalidRecord,
            BatchError::TooLarge { .. } => Blame::TooLarge,
            BatchError::LargerThanSegment { .. } => Blame::LargerThanSegment,
            BatchError::Transactional => Blame::Transactional,
            BatchError::UnknownCodec { .. } | BatchError::ZstdTooEarly { .. } => {
                Blame::UnsupportedCompression
            }
            BatchError::AppendTimeByProducer | BatchError::Timestamps { .. } => Blame::InvalidTimestamp,
        }
    }

    /// The records to blame, by their place in the batch; empty where it is the batch.
    #[must_use]
    pub fn records(&self) -> Vec<i32> {
        match self {
            BatchError::Record(e) => vec![e.index],
            BatchError::Keyless { records } => records.clone(),
            BatchError::Timestamps { records } => records.iter().map(|r| r.index).collect(),
            _ => Vec::new(),
        }
    }
}

/// Checks the records of one partition of a Produce request.
///
/// # Errors
/// Why they are refused; nothing in `bytes` can make it panic.
pub fn validate(bytes: &[u8], limits: &Limits) -> Result<BatchSummary, BatchError> {
    let header = check_shape(bytes, limits)?;
    let (codec, producer) = check_header(header, limits)?;
    if codec == Codec::Lz4 && !is_lz4_for_all(&bytes[HEADER_BYTES..]) {
        return Err(BatchError::Lz4Frame);
    }

    let window = Window::of(limits);
    let walked = match (codec, limits.inflate_bytes_max) {
        (Codec::None, _) => Some(walk(header, &bytes[HEADER_BYTES..], &window, limits)?),
        (_, Some(max)) => Some(walk(header, &payload(bytes, max)?, &window, limits)?),
        (_, None) => {
            if let Err(claimed) = check_claimed_timestamps(header, &window) {
                let records = payload(bytes, TOLD_BYTES_MAX).map_err(|_| claimed.clone())?;
                walk(header, &records, &window, limits)?;
                return Err(claimed);
            }
            None
        }
    };
    if limits.segment_bytes < bytes.len() as u32 {
        return Err(BatchError::LargerThanSegment { got: bytes.len(), max: limits.segment_bytes });
    }
    let claimed = header.max_timestamp();
    let (max_timestamp, patch) = match (limits.timestamp_type, walked) {
        (TimestampType::LogAppendTime, _) => (limits.now.0, Some(Patch::AppendTime(limits.now))),
        (TimestampType::CreateTime, Some(max)) if max != claimed => (max, Some(Patch::MaxTimestamp(max))),
        (TimestampType::CreateTime, _) => (claimed, None),
    };
    Ok(BatchSummary { count: header.record_count(), codec, max_timestamp, producer, patch })
}

/// One whole batch, of a size that is allowed, as it was sent.
fn check_shape<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a BatchHeader, BatchError> {
    let Some(&magic) = bytes.get(MAGIC_AT) else {
        return Err(if bytes.is_empty() {
            BatchError::Empty
        } else {
            BatchError::Truncated { got: bytes.len() }
        });
    };
    if magic as i8 != MAGIC {
        return Err(BatchError::Magic { magic: magic as i8 });
    }
    let header = BatchHeader::peek(bytes).ok_or(BatchError::Truncated { got: bytes.len() })?;
    let claimed = i64::from(header.batch_length()) + super::LOG_OVERHEAD as i64;
    let total = header.total_bytes().ok_or(BatchError::Length { claimed, got: bytes.len() })?;
    if total > bytes.len() {
        return Err(BatchError::Length { claimed, got: bytes.len() });
    }
    if total < bytes.len() {
        return Err(BatchError::Trailing { bytes: bytes.len() - total });
    }
    if header.base_offset().0 != 0 {
        return Err(BatchError::BaseOffset { got: header.base_offset().0 });
    }
    if total > limits.max_bytes as usize {
        return Err(BatchError::TooLarge { got: total, max: limits.max_bytes });
    }
    if !crc_matches(bytes) {
        return Err(BatchError::Checksum);
    }
    Ok(header)
}

fn check_header(
    header: &BatchHeader,
    limits: &Limits,
) -> Result<(Codec, Option<ProducerFields>), BatchError> {
    let attributes = header.attributes();
    let (count, last_offset_delta) = (header.record_count(), header.last_offset_delta());
    if count <= 0 || last_offset_delta != count - 1 {
        return Err(BatchError::Count { count, last_offset_delta });
    }
    if attributes.is_control() {
        return Err(BatchError::Control);
    }
    // Its tombstones would go at a time of the producer's choice.
    if header.delete_horizon().is_some() {
        return Err(BatchError::DeleteHorizon);
    }
    if attributes.is_transactional() {
        return Err(BatchError::Transactional);
    }
    let (id, epoch, sequence) = (header.producer_id(), header.producer_epoch(), header.base_sequence());
    let producer = (id >= 0).then_some(ProducerFields {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
    });
    if producer.is_some() && (sequence < 0 || epoch < 0) {
        return Err(BatchError::Sequence { id, epoch, sequence });
    }
    let codec = attributes.codec().ok_or(BatchError::UnknownCodec { id: attributes.0 & 7 })?;
    if codec == Codec::Zstd && limits.produce_version < PRODUCE_VERSION_WITH_ZSTD {
        return Err(BatchError::ZstdTooEarly { version: limits.produce_version });
    }
    if attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Err(BatchError::AppendTimeByProducer);
    }
    Ok((codec, producer))
}

/// Timestamps that are accepted, both ends included.
struct Window {
    earliest: i64,
    latest: i64,
}

impl Window {
    fn of(limits: &Limits) -> Window {
        let now = limits.now.0;
        if limits.timestamp_type == TimestampType::LogAppendTime {
            return Window { earliest: i64::MIN, latest: i64::MAX };
        }
        let ms = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
        let earliest = match limits.timestamp_before_max_ms {
            u64::MAX => i64::MIN,
            limit => now.saturating_sub(ms(limit)),
        };
        let latest = match limits.timestamp_after_max_ms {
            u64::MAX => i64::MAX,
            limit => now.saturating_add(ms(limit)),
        };
        Window { earliest, latest }
    }

    fn holds(&self, timestamp: i64) -> bool {
        timestamp == NO_TIMESTAMP || (self.earliest..=self.latest).contains(&timestamp)
    }
}

/// Without inflating, the header's first and largest timestamps stand for all.
fn check_claimed_timestamps(header: &BatchHeader, window: &Window) -> Result<(), BatchError> {
    let last = header.record_count() - 1;
    let ends = [(0, header.base_timestamp()), (last, header.max_timestamp())];
    match ends.into_iter().find(|(_, timestamp)| !window.holds(*timestamp)) {
        None => Ok(()),
        Some((index, timestamp)) => {
            Err(BatchError::Timestamps { records: vec![BadTimestamp { index, timestamp }] })
        }
    }
}

/// Walks every record; the largest timestamp.
fn walk(header: &BatchHeader, records: &[u8], window: &Window, limits: &Limits) -> Result<i64, BatchError> {
    let mut max = i64::MIN;
    let (mut bad, mut keyless) = (Vec::new(), Vec::new());
    for (index, record) in (0i32..).zip(Records::of(header, records)) {
        let record = record?;
        if record.offset_delta != index {
            let fault = RecordFault::OffsetDelta { claimed: record.offset_delta };
            return Err(RecordError { index, fault }.into());
        }
        max = max.max(record.timestamp);
        if limits.keys_required && record.key.is_none() && keyless.len() < BAD_RECORDS_MAX {
            keyless.push(index);
        }
        if !window.holds(record.timestamp) && bad.len() < BAD_RECORDS_MAX {
            bad.push(BadTimestamp { index, timestamp: record.timestamp });
        }
    }
    if !keyless.is_empty() {
        return Err(BatchError::Keyless { records: keyless });
    }
    if bad.is_empty() { Ok(max) } else { Err(BatchError::Timestamps { records: bad }) }
}
