//! Kafka's file names in a partition's directory, and the small file that says whose it is.
//!
//! ```text
//! 00000000000000000042.log          record batches from offset 42 on
//! 00000000000000000042.index        sparse: offset → position
//! 00000000000000000042.timeindex    sparse: timestamp → offset
//! 00000000000000000042.txnindex     aborted transactions
//! 00000000000000000042.snapshot     producer state just before offset 42
//! 00000000000000000042.log.cleaned  what compaction writes, until it takes the place of the file
//! 00000000000000000042.log.deleted  what it took the place of, until it is removed
//! leader-epoch-checkpoint           epoch → first offset
//! partition.metadata                the topic's id
//! ```

use uuid::Uuid;

use crate::base::{Offset, TopicId};
use crate::log::Malformed;

/// Leader epochs and their first offsets; see [`crate::log::epochs`].
pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";

/// The topic's id; see [`encode_partition_metadata`].
pub const PARTITION_METADATA: &str = "partition.metadata";

/// How the names of files end that compaction writes.
pub const CLEANED_SUFFIX: &str = ".cleaned";

/// How the names of replaced files end.
pub const DELETED_SUFFIX: &str = ".deleted";

const DIGITS: usize = 20;
const UUID_CHARS: usize = 22;
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The files whose names begin with an offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum SegmentFile {
    /// Record batches.
    Log,
    /// Offset index.
    Index,
    /// Time index.
    TimeIndex,
    /// Producer state.
    Snapshot,
    /// Aborted transactions.
    TxnIndex,
}

impl SegmentFile {
    /// Every kind.
    pub const ALL: [SegmentFile; 5] = [
        SegmentFile::Log,
        SegmentFile::Index,
        SegmentFile::TimeIndex,
        SegmentFile::Snapshot,
        SegmentFile::TxnIndex,
    ];

    /// The name's end, with its dot.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            SegmentFile::Log => ".log",
            SegmentFile::Index => ".index",
            SegmentFile::TimeIndex => ".timeindex",
            SegmentFile::Snapshot => ".snapshot",
            SegmentFile::TxnIndex => ".txnindex",
        }
    }

    /// The file's name for a base offset, which must not be negative.
    #[must_use]
    pub fn name(self, base: Offset) -> String {
        assert!(base.0 >= 0, "a file at offset {base}");
        format!("{:0DIGITS$}{}", base.0, self.suffix())
    }

    /// The name under which compaction writes the file.
    #[must_use]
    pub fn cleaned_name(self, base: Offset) -> String {
        self.name(base) + CLEANED_SUFFIX
    }

    /// The name under which what compaction replaced waits for its removal.
    #[must_use]
    pub fn deleted_name(self, base: Offset) -> String {
        self.name(base) + DELETED_SUFFIX
    }

    /// The offset and kind that a name says; `None` for any other name.
    #[must_use]
    pub fn parse(name: &str) -> Option<(Offset, SegmentFile)> {
        let (digits, suffix) = name.split_at_checked(DIGITS)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let kind = SegmentFile::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        Some((Offset(digits.parse().ok()?), kind))
    }
}

/// A UUID as Kafka writes it: 22 characters of unpadded URL-safe base64.
#[must_use]
pub fn encode_uuid(id: Uuid) -> String {
    // 128 bits and 4 zero bits behind them are 22 digits of 6 bits.
    let bits = id.as_u128();
    (0..UUID_CHARS)
        .map(|i| {
            let digit = match 122_u32.checked_sub(6 * i as u32) {
                Some(shift) => bits >> shift,
                None => bits << 4,
            };
            char::from(BASE64_URL[(digit & 63) as usize])
        })
        .collect()
}

/// Reads what [`encode_uuid`] writes; `None` for anything else.
#[must_use]
pub fn decode_uuid(text: &str) -> Option<Uuid> {
    let digit = |c: u8| BASE64_URL.iter().position(|&d| d == c).map(|p| p as u128);
    let (&last, head) = text.as_bytes().split_last()?;
    if text.len() != UUID_CHARS {
        return None;
    }
    let bits = head.iter().try_fold(0_u128, |bits, &c| Some(bits << 6 | digit(c)?))?;
    let last = digit(last)?;
    (last & 15 == 0).then(|| Uuid::from_u128(bits << 2 | last >> 4))
}

/// The contents of `partition.metadata`:
///
/// ```text
/// version: 0
/// topic_id: AAAAAAAAAAAAAAAAAAAAAQ
/// ```
#[must_use]
pub fn encode_partition_metadata(topic: TopicId) -> String {
    format!("version: 0\ntopic_id: {}", encode_uuid(topic.0))
}

/// Reads `partition.metadata`.
///
/// # Errors
/// If it is not version 0 with a topic id other than zero.
pub fn decode_partition_metadata(bytes: &[u8]) -> Result<TopicId, Malformed> {
    let malformed = Malformed { what: "partition.metadata", at: 0 };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed)?;
    let field = |line: Option<&str>, name: &str| {
        let (key, value) = line?.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    let mut lines = text.lines();
    let version = field(lines.next(), "version").ok_or(malformed)?;
    let topic = field(lines.next(), "topic_id").and_then(|id| decode_uuid(&id)).ok_or(malformed)?;
    if version != "0" || topic.is_nil() {
        return Err(malformed);
    }
    Ok(TopicId(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_and_parse_back() {
        assert_eq!(SegmentFile::Log.name(Offset(42)), "00000000000000000042.log");
        assert_eq!(SegmentFile::TimeIndex.name(Offset(i64::MAX)), "09223372036854775807.timeindex");
        for kind in SegmentFile::ALL {
            assert_eq!(SegmentFile::parse(&kind.name(Offset(7))), Some((Offset(7), kind)));
        }
    }

    #[test]
    fn other_names_are_not_segments() {
        for name in [
            "",
            "42.log",
            "00000000000000000042",
            "00000000000000000042.log.deleted",
            "0000000000000000004x.log",
            "+0000000000000000042.log",
            "99999999999999999999.log",
            "0000000000000000004é.log",
            LEADER_EPOCH_CHECKPOINT,
        ] {
            assert_eq!(SegmentFile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn uuids_read_as_kafka_writes_them() {
        // From Kafka's own Uuid: METADATA_TOPIC_ID is 0, 1.
        assert_eq!(encode_uuid(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210] {
            let id = Uuid::from_u128(bits);
            assert_eq!(decode_uuid(&encode_uuid(id)), Some(id));
        }
        for text in
            ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAA=Q", "AAAAAAAAAAAAAAAAAAAAAQ=="]
        {
            assert_eq!(decode_uuid(text), None, "{text}");
        }
    }

    #[test]
    fn partition_metadata_round_trips() {
        let topic = TopicId(Uuid::from_u128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210));
        let text = encode_partition_metadata(topic);
        assert_eq!(decode_partition_metadata(text.as_bytes()), Ok(topic));
        for text in
            ["", "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ", "version: 0", "version: 0\ntopic_id: A"]
        {
            assert!(decode_partition_metadata(text.as_bytes()).is_err(), "{text}");
        }
    }
}
