//! What is known to be damaged of a partition's log: ranges that are kept, fenced and read around.
//!
//! A range begins where bytes that the log vouches for do not hold, and ends at the next batch that the
//! offset index names and that holds, or with its segment. It is never cut away: what is above it stays
//! readable, and what it held can be put back from a copy.
//!
//! Stored form, big-endian, in the partition's part of a checkpoint:
//!
//! | field | bytes |
//! |---|---|
//! | count | 4 |
//! | each: segment 8, position 4, end position 4, first offset 8, end offset 8, found (wall clock, ms) 8, cause 1 | 41 |

use super::Malformed;
use super::cursor::Cursor;
use crate::base::{Offset, WallMs};

/// Ranges listed for one partition; what is found beyond is answered as damage and found again.
pub const DAMAGED_RANGES_MAX: usize = 1024;

const RANGE_ENCODED_BYTES: usize = 41;

/// What does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A checksum.
    Checksum,
    /// No batch begins there, or one whose length or offsets cannot be true.
    NotABatch,
    /// A whole batch, but of another place: its offset or leader epoch is not the one due there.
    Misplaced,
    /// The file is not there, or ends too early.
    Missing,
    /// The disk gives an error. It is tried again after a while: it may heal.
    Unreadable,
}

impl Cause {
    const ALL: [Cause; 5] =
        [Cause::Checksum, Cause::NotABatch, Cause::Misplaced, Cause::Missing, Cause::Unreadable];

    /// As a word, for people and machines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cause::Checksum => "checksum",
            Cause::NotABatch => "not-a-batch",
            Cause::Misplaced => "misplaced",
            Cause::Missing => "missing",
            Cause::Unreadable => "unreadable",
        }
    }

    /// Whether the bytes are lost as far as this disk goes: reading again will not help.
    #[must_use]
    pub fn is_lasting(self) -> bool {
        self != Cause::Unreadable
    }

    fn code(self) -> u8 {
        Cause::ALL.iter().position(|c| *c == self).map_or(0, |at| at as u8)
    }
}

/// Damage in one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DamagedRange {
    /// The segment's base offset.
    pub segment: Offset,
    /// Where it begins, in bytes from the segment's start.
    pub position: u32,
    /// Where the next batch that holds begins, or the segment ends.
    pub end_position: u32,
    /// The first offset that cannot be read.
    pub first: Offset,
    /// The next offset that can.
    pub end: Offset,
    /// When it was found.
    pub found_at: WallMs,
    /// What does not hold at its beginning.
    pub cause: Cause,
}

/// A partition's damaged ranges, in the order of their offsets; none overlaps another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Damages {
    list: Vec<DamagedRange>,
}

impl Damages {
    /// Nothing is known to be damaged.
    #[must_use]
    pub fn new() -> Damages {
        Damages::default()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All ranges, by offset.
    #[must_use]
    pub fn as_slice(&self) -> &[DamagedRange] {
        &self.list
    }

    /// Lists a range. What it overlaps of the same segment becomes one with it. False if it is empty, was
    /// listed before, or the list is full.
    pub fn add(&mut self, range: DamagedRange) -> bool {
        if range.first >= range.end || range.position > range.end_position {
            return false;
        }
        let from = self.list.partition_point(|r| r.end <= range.first);
        let to = self.list.partition_point(|r| r.first < range.end);
        let overlapped = &self.list[from..to];
        if overlapped.iter().any(|r| r.first <= range.first && range.end <= r.end) {
            return false;
        }
        let mut whole = range;
        for old in overlapped.iter().filter(|old| old.segment == range.segment) {
            whole.position = whole.position.min(old.position);
            whole.end_position = whole.end_position.max(old.end_position);
            whole.first = whole.first.min(old.first);
            whole.end = whole.end.max(old.end);
        }
        if self.list.len() - overlapped.len() >= DAMAGED_RANGES_MAX {
            return false;
        }
        self.list.splice(from..to, [whole]);
        true
    }

    /// The range that an offset lies in.
    #[must_use]
    pub fn holding(&self, offset: Offset) -> Option<&DamagedRange> {
        self.after(offset).filter(|r| r.first <= offset)
    }

    /// The first range that ends above an offset: the one that it lies in, or the next.
    #[must_use]
    pub fn after(&self, offset: Offset) -> Option<&DamagedRange> {
        self.list.get(self.list.partition_point(|r| r.end <= offset))
    }

    /// The last range that ends at or before an offset.
    #[must_use]
    pub fn before(&self, offset: Offset) -> Option<&DamagedRange> {
        self.list.partition_point(|r| r.end <= offset).checked_sub(1).map(|at| &self.list[at])
    }

    /// The range of a segment that a position lies in.
    #[must_use]
    pub fn at(&self, segment: Offset, position: u64) -> Option<&DamagedRange> {
        let within = |r: &&DamagedRange| {
            r.segment == segment && (u64::from(r.position)..u64::from(r.end_position)).contains(&position)
        };
        self.list.iter().find(within)
    }

    /// Takes the range that an offset lies in off the list: it was put right, or is looked at again.
    pub fn remove(&mut self, offset: Offset) -> Option<DamagedRange> {
        let at = self.list.partition_point(|r| r.end <= offset);
        self.list.get(at).is_some_and(|r| r.first <= offset).then(|| self.list.remove(at))
    }

    /// Forgets ranges of segments that are gone: those that end at or below the first offset kept in one.
    pub fn drop_before(&mut self, first: Offset) {
        self.list.retain(|r| r.end > first);
    }

    /// Bytes of all ranges.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.list.iter().map(|r| u64::from(r.end_position - r.position)).sum()
    }

    /// Appends the checkpoint's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend((self.list.len() as u32).to_be_bytes());
        for range in &self.list {
            out.extend(range.segment.0.to_be_bytes());
            out.extend(range.position.to_be_bytes());
            out.extend(range.end_position.to_be_bytes());
            out.extend(range.first.0.to_be_bytes());
            out.extend(range.end.0.to_be_bytes());
            out.extend(range.found_at.0.to_be_bytes());
            out.push(range.cause.code());
        }
    }

    /// Reads what [`Damages::encode`] wrote, from the start of `bytes`; returns the bytes used.
    ///
    /// # Errors
    /// If the bytes end early or contradict themselves.
    pub fn decode(bytes: &[u8]) -> Result<(Damages, usize), Malformed> {
        const WHAT: &str = "damaged range";
        let mut from = Cursor::new(bytes);
        let count = from.count(RANGE_ENCODED_BYTES, "damaged range count")?;
        let mut damages = Damages::new();
        for _ in 0..count {
            let malformed = from.malformed(WHAT);
            let range = DamagedRange {
                segment: Offset(from.i64(WHAT)?),
                position: from.u32(WHAT)?,
                end_position: from.u32(WHAT)?,
                first: Offset(from.i64(WHAT)?),
                end: Offset(from.i64(WHAT)?),
                found_at: WallMs(from.i64(WHAT)?),
                cause: *Cause::ALL.get(usize::from(from.u8(WHAT)?)).ok_or(malformed)?,
            };
            if !damages.add(range) {
                return Err(malformed);
            }
        }
        Ok((damages, from.at()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(segment: i64, first: i64, end: i64) -> DamagedRange {
        DamagedRange {
            segment: Offset(segment),
            position: (first - segment) as u32 * 10,
            end_position: (end - segment) as u32 * 10,
            first: Offset(first),
            end: Offset(end),
            found_at: WallMs(7),
            cause: Cause::Misplaced,
        }
    }

    fn listed(ranges: &[DamagedRange]) -> Damages {
        let mut damages = Damages::new();
        for range in ranges {
            assert!(damages.add(*range), "{range:?}");
        }
        damages
    }

    #[test]
    fn offsets_find_the_range_they_lie_in_and_those_around() {
        let damages = listed(&[range(0, 50, 60), range(0, 10, 20), range(100, 100, 130)]);
        let bounds = |r: Option<&DamagedRange>| r.map(|r| (r.first.0, r.end.0));
        assert_eq!(bounds(damages.holding(Offset(9))), None);
        assert_eq!(bounds(damages.holding(Offset(10))), Some((10, 20)));
        assert_eq!(bounds(damages.holding(Offset(20))), None);
        assert_eq!(bounds(damages.after(Offset(20))), Some((50, 60)));
        assert_eq!(bounds(damages.before(Offset(20))), Some((10, 20)));
        assert_eq!(bounds(damages.before(Offset(19))), None);
        assert_eq!(bounds(damages.after(Offset(130))), None);
        assert_eq!(bounds(damages.at(Offset(100), 299)), Some((100, 130)));
        assert_eq!(bounds(damages.at(Offset(100), 300)), None);
        assert_eq!(damages.bytes(), 100 + 100 + 300);
    }

    #[test]
    fn overlapping_finds_become_one_range_of_their_segment() {
        let mut damages = listed(&[range(0, 10, 20), range(0, 30, 40)]);
        assert!(!damages.add(range(0, 12, 20)), "it is listed");
        assert!(!damages.add(range(0, 25, 25)), "it is empty");
        assert!(damages.add(range(0, 15, 35)));
        assert_eq!(damages, listed(&[range(0, 10, 40)]));
        assert_eq!(damages.remove(Offset(40)), None);
        assert_eq!(damages.remove(Offset(39)), Some(range(0, 10, 40)));
        assert!(damages.is_empty());
    }

    #[test]
    fn what_retention_took_is_forgotten() {
        let mut damages = listed(&[range(0, 10, 20), range(0, 90, 100), range(100, 130, 150)]);
        damages.drop_before(Offset(100));
        assert_eq!(damages, listed(&[range(100, 130, 150)]));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut damages = Damages::new();
        for i in 0..DAMAGED_RANGES_MAX as i64 {
            assert!(damages.add(range(0, 10 * i, 10 * i + 5)));
        }
        assert!(!damages.add(range(0, 1_000_000, 1_000_001)));
        assert!(damages.add(range(0, 0, 25)), "one that takes others in still fits");
    }

    #[test]
    fn a_checkpoint_carries_the_list_and_lies_are_refused() {
        let damages = listed(&[range(0, 10, 20), range(100, 130, 150)]);
        let mut bytes = Vec::new();
        damages.encode(&mut bytes);
        let used = bytes.len();
        bytes.extend([9; 3]);
        assert_eq!(Damages::decode(&bytes), Ok((damages, used)));
        for cut in 0..used {
            assert!(Damages::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for lie in [0, 4 + 40, 4 + 16] {
            let mut lying = bytes.clone();
            lying[lie] = 0x7F;
            assert!(Damages::decode(&lying).is_err(), "a lie at {lie}");
        }
    }
}
