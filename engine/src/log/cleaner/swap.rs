//! What a core stores while a group of segments is rewritten, so that a crash at any step leads to the old
//! segments or to the new one, and leaves nothing behind.
//!
//! `cores/<core>/swap`, replaced atomically, big-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 0–7 | magic `RLSWAP01` |
//! | 8–11 | CRC-32C of the rest |
//! | 12 | 0: the new files are being written · 1: they are whole, and count |
//! | 13–28, 29–32 | topic id, partition |
//! | 33–40, 41–48 | base of the group, base of the segment behind it |
//! | 49–52 | with 1: bytes of the new segment |
//! | 53–60, 61–68 | with 1: its largest timestamp, that one's offset |
//! | 69–76 | with 1: when the group was last appended to, ms |

use uuid::Uuid;

use crate::base::{Offset, PartitionKey, TopicId, WallMs};
use crate::log::index::TimestampOffset;
use crate::log::segments::Segment;
use crate::log::{Malformed, cursor::Cursor};

const MAGIC: [u8; 8] = *b"RLSWAP01";
const CRC_AT: usize = 8;
const BODY_AT: usize = 12;

/// No such file is longer, in bytes.
pub const SWAP_BYTES_MAX: usize = 77;

/// A group of segments that is being rewritten, or that a new one takes the place of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Swap {
    /// Whose segments.
    pub key: PartitionKey,
    /// The base of the first of the group, and of the new one.
    pub base: Offset,
    /// The base of the segment behind the group.
    pub end: Offset,
    /// The new segment once its files are whole: from then on it counts and the group does not.
    pub segment: Option<Segment>,
}

impl Swap {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SWAP_BYTES_MAX);
        out.extend(MAGIC);
        out.extend([0; 4]);
        out.push(u8::from(self.segment.is_some()));
        out.extend(self.key.topic.0.as_bytes());
        out.extend(self.key.index.to_be_bytes());
        out.extend(self.base.0.to_be_bytes());
        out.extend(self.end.0.to_be_bytes());
        if let Some(segment) = &self.segment {
            out.extend(segment.bytes.to_be_bytes());
            out.extend(segment.max.timestamp.to_be_bytes());
            out.extend(segment.max.offset.0.to_be_bytes());
            out.extend(segment.last_append.0.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[BODY_AT..]);
        out[CRC_AT..BODY_AT].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If its magic or checksum is not right, or its fields contradict each other.
    pub fn decode(bytes: &[u8]) -> Result<Swap, Malformed> {
        const WHAT: &str = "swap";
        let mut from = Cursor::new(bytes);
        let malformed = from.malformed(WHAT);
        let magic = from.take(MAGIC.len(), WHAT)?;
        let crc = from.u32(WHAT)?;
        if magic != MAGIC || crc != crc32c::crc32c(&bytes[BODY_AT..]) {
            return Err(malformed);
        }
        let whole = from.u8(WHAT)?;
        let topic = Uuid::from_slice(from.take(16, WHAT)?).map_err(|_| malformed)?;
        let key = PartitionKey { topic: TopicId(topic), index: from.i32(WHAT)? };
        let (base, end) = (Offset(from.i64(WHAT)?), Offset(from.i64(WHAT)?));
        let segment = if whole == 0 {
            None
        } else {
            Some(Segment {
                base,
                bytes: from.u32(WHAT)?,
                max: TimestampOffset { timestamp: from.i64(WHAT)?, offset: Offset(from.i64(WHAT)?) },
                last_append: WallMs(from.i64(WHAT)?),
            })
        };
        let sized = segment.as_ref().is_none_or(|s| s.bytes <= i32::MAX as u32);
        if whole > 1 || base.0 < 0 || end <= base || !sized || from.left() > 0 {
            return Err(malformed);
        }
        Ok(Swap { key, base, end, segment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swap(segment: Option<Segment>) -> Swap {
        let key = PartitionKey { topic: TopicId(Uuid::from_u128(7)), index: 3 };
        Swap { key, base: Offset(10), end: Offset(50), segment }
    }

    fn segment() -> Segment {
        Segment {
            base: Offset(10),
            bytes: 4711,
            max: TimestampOffset { timestamp: 99, offset: Offset(49) },
            last_append: WallMs(100),
        }
    }

    #[test]
    fn both_steps_round_trip() {
        for swap in [swap(None), swap(Some(segment()))] {
            let bytes = swap.encode();
            assert!(bytes.len() <= SWAP_BYTES_MAX);
            assert_eq!(Swap::decode(&bytes), Ok(swap));
        }
    }

    #[test]
    fn no_other_bytes_are_taken_for_one() {
        let bytes = swap(Some(segment())).encode();
        for at in 0..bytes.len() {
            assert!(Swap::decode(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut rotten = bytes.clone();
                rotten[at] ^= 1 << bit;
                assert!(Swap::decode(&rotten).is_err(), "bit {bit} of byte {at}");
            }
        }
        let backwards = Swap { end: Offset(10), ..swap(None) };
        assert!(Swap::decode(&backwards.encode()).is_err());
    }
}
