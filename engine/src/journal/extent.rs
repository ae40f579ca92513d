//! Large batches that go straight to their segment.
//!
//! A batch at position `p` of its segment seldom begins or ends on a block boundary. Its whole blocks
//! are written to the segment at once; the partial blocks at both ends ride in the journal, in an
//! `extent` entry, and reach the segment by the ordinary writer:
//!
//! ```text
//! segment   |....hhhh|MMMMMMMM|MMMMMMMM|ttt.....|     . other batches   h head   M middle   t tail
//!                p                          p + bytes
//! ```
//!
//! The payload of the entry:
//!
//! | bytes | field |
//! |---|---|
//! | 0–60 | the batch's header, stamped |
//! | 61 … | head: the batch's bytes up to the first block boundary behind `p` |
//! | … | tail: its bytes from the last block boundary on |
//!
//! Lengths of head and tail follow from `p` and the length in the header. CRC-32C of the payload
//! stands in the entry header, so a frame verifies without its segments. The middle is verified
//! together with both ends by the batch's own CRC.
//!
//! Worked example: a batch of 300,000 bytes at position 10,000 has a head of 2,288 bytes (up to
//! 12,288 = 3 × 4,096), a middle of 294,912 (72 blocks, up to 307,200) and a tail of 2,800. Its entry
//! has 61 + 2,288 + 2,800 = 5,149 bytes of payload; 294,912 bytes are written once instead of twice.

use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::layout::BatchPlace;
use crate::io::BLOCK;
use crate::record::{BatchHeader, HEADER_BYTES, crc_matches};

/// How a batch lies over the blocks of its segment, in bytes. `head + middle + tail` is its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Up to the first block boundary at or behind its start.
    pub head: usize,
    /// Whole blocks.
    pub middle: usize,
    /// What follows them: less than a block.
    pub tail: usize,
}

impl Shape {
    /// The shape of `bytes` bytes at `position`. A batch that covers no whole block is all head.
    #[must_use]
    pub fn of(position: u64, bytes: usize) -> Shape {
        let head = (position.wrapping_neg() % BLOCK as u64) as usize;
        let middle = bytes.saturating_sub(head) / BLOCK * BLOCK;
        if middle == 0 {
            return Shape { head: bytes, middle: 0, tail: 0 };
        }
        Shape { head, middle, tail: bytes - head - middle }
    }

    /// Bytes of an extent entry's payload.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        HEADER_BYTES + self.head + self.tail
    }
}

/// The whole blocks of one batch, to be written to its segment with the frame.
pub struct Extent<B> {
    /// The partition's slot in its shard.
    pub slot: u32,
    /// Where they go in the segment: a multiple of a block.
    pub at: u64,
    /// Buffers with the bytes of each to write (a multiple of a block).
    pub buffers: SmallVec<[(B, usize); 4]>,
}

/// The payload of an extent entry, read back.
#[derive(Clone, Copy, Debug)]
pub struct ExtentView<'a> {
    /// The batch's header.
    pub header: &'a BatchHeader,
    /// The batch's bytes before the middle.
    pub head: &'a [u8],
    /// Where the middle begins in the segment.
    pub at: u64,
    /// Its length in bytes.
    pub middle: usize,
    /// The batch's bytes behind the middle.
    pub tail: &'a [u8],
}

impl<'a> ExtentView<'a> {
    /// Reads the payload of the extent entry for `place`; `None` if it contradicts itself or names
    /// another batch.
    #[must_use]
    pub fn read(place: &BatchPlace, payload: &'a [u8]) -> Option<ExtentView<'a>> {
        let header = BatchHeader::peek(payload)?;
        let total = header.total_bytes()?;
        let shape = Shape::of(place.position, total);
        let whole = shape.middle > 0
            && payload.len() == shape.payload_bytes()
            && header.base_offset() == place.base_offset
            && header.last_offset() == place.last_offset
            && header.leader_epoch() == place.leader_epoch;
        let at = place.position.checked_add(shape.head as u64)?;
        let (head, tail) = payload.get(HEADER_BYTES..)?.split_at_checked(shape.head)?;
        whole.then_some(ExtentView { header, head, at, middle: shape.middle, tail })
    }

    /// Whether these bytes are the batch's middle: with both ends they are the batch that the header
    /// opens. What an earlier use of the file left there is not.
    #[must_use]
    pub fn holds(&self, middle: &[u8]) -> bool {
        if middle.len() != self.middle {
            return false;
        }
        let batch = [self.head, middle, self.tail].concat();
        BatchHeader::peek(&batch).is_some_and(|found| found.as_bytes() == self.header.as_bytes())
            && crc_matches(&batch)
    }
}
