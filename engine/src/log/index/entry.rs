//! The two kinds of entries.

use crate::base::Offset;
use crate::io::BLOCK;

/// A fixed-size entry of an index file, ordered by a key.
pub trait Entry: Copy {
    /// Its size on disk.
    const BYTES: usize;
    /// The smallest run of whole blocks that holds whole entries: a multiple of both sizes.
    const GROUP_BYTES: usize;
    /// What a lookup compares.
    type Key: Ord + Copy + std::fmt::Debug;

    /// Reads an entry from exactly [`Entry::BYTES`] bytes. Any bytes are some entry.
    fn read(bytes: &[u8]) -> Self;
    /// Appends the entry's bytes.
    fn write(self, out: &mut Vec<u8>);
    /// What it is sorted by.
    fn key(self) -> Self::Key;
}

/// An entry of the offset index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OffsetEntry {
    /// A batch's last offset − the segment's base offset.
    pub relative: u32,
    /// Where the batch begins, in bytes. From a damaged file it may lie beyond the segment.
    pub position: u32,
}

/// An entry of the time index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeEntry {
    /// No earlier batch of the segment, nor the one named, has a larger timestamp, ms.
    pub timestamp: i64,
    /// The last offset of the batch that holds it − the segment's base offset.
    pub relative: u32,
}

impl OffsetEntry {
    /// The offset, in a segment that begins at `base`.
    #[must_use]
    pub fn offset(self, base: Offset) -> Offset {
        Offset(base.0.saturating_add(i64::from(self.relative)))
    }
}

impl TimeEntry {
    /// The offset, in a segment that begins at `base`.
    #[must_use]
    pub fn offset(self, base: Offset) -> Offset {
        Offset(base.0.saturating_add(i64::from(self.relative)))
    }
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;
    const GROUP_BYTES: usize = BLOCK;
    type Key = u32;

    fn read(bytes: &[u8]) -> OffsetEntry {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        OffsetEntry { relative: word(0), position: word(4) }
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.relative.to_be_bytes());
        out.extend(self.position.to_be_bytes());
    }

    fn key(self) -> u32 {
        self.relative
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;
    const GROUP_BYTES: usize = 3 * BLOCK;
    type Key = i64;

    fn read(bytes: &[u8]) -> TimeEntry {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let timestamp = (u64::from(word(0)) << 32 | u64::from(word(4))) as i64;
        TimeEntry { timestamp, relative: word(8) }
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.relative.to_be_bytes());
    }

    fn key(self) -> i64 {
        self.timestamp
    }
}

const _: () = assert!(OffsetEntry::GROUP_BYTES.is_multiple_of(OffsetEntry::BYTES));
const _: () = assert!(TimeEntry::GROUP_BYTES.is_multiple_of(TimeEntry::BYTES));
