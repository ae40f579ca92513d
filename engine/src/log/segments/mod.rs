//! The segments of a partition, and where the next batch goes.

use std::collections::VecDeque;

use crate::base::{Now, Offset, Site, WallMs, buggify};
use crate::config::TopicSettings;
use crate::log::Malformed;
use crate::log::cursor::Cursor;
use crate::log::index::{IndexPace, NO_TIMESTAMP, TimestampOffset};
use crate::record::BatchHeader;

#[cfg(test)]
mod tests;

/// One segment: facts about its file, not the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The first offset it may hold, and its files' name.
    pub base: Offset,
    /// Its size, and so the position of the next batch. At most 2^31 − 1.
    pub bytes: u32,
    /// The largest timestamp in it; [`NO_TIMESTAMP`] if none.
    pub max: TimestampOffset,
    /// When it was last appended to: its age if its records have no timestamps.
    pub last_append: WallMs,
}

impl Segment {
    /// The time that retention judges it by, ms.
    #[must_use]
    pub fn largest_timestamp(&self) -> i64 {
        if self.max.timestamp >= 0 { self.max.timestamp } else { self.last_append.0 }
    }
}

/// When a segment is full: from the topic's settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RollLimits {
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `segment.jitter.ms`: up to this much earlier, differently for each segment.
    pub jitter_ms: u64,
    /// `segment.index.bytes`.
    pub index_bytes: u32,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
}

impl From<&TopicSettings> for RollLimits {
    fn from(settings: &TopicSettings) -> RollLimits {
        RollLimits {
            segment_bytes: settings.segment_bytes,
            segment_ms: settings.roll_ms(),
            jitter_ms: settings.segment_jitter_ms,
            index_bytes: settings.segment_index_bytes,
            index_interval_bytes: settings.index_interval_bytes,
        }
    }
}

/// Where a batch lies. Journal entries name it, so replay never decides a roll again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// Its segment's base offset.
    pub segment: Offset,
    /// Its position there, in bytes.
    pub position: u32,
}

/// Where the next batch goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppendPlan {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// Its place.
    pub place: Place,
    /// Whether the place is in a segment that begins with this batch while another is active.
    pub roll: bool,
}

/// Why a batch cannot be placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlaceError {
    /// It alone is larger than a segment may be.
    #[error("a batch of {bytes} bytes does not fit a segment of {limit}")]
    LargerThanSegment {
        /// The batch.
        bytes: u64,
        /// `segment.bytes`.
        limit: u32,
    },
    /// It was already applied, or does not continue the log: its offsets or its place do not match
    /// the end. On replay that is damage.
    #[error("batch {base}..={last} at {place:?} does not continue the log, which ends at {end}, {active:?}")]
    Discontinuous {
        /// Its first offset.
        base: Offset,
        /// Its last offset.
        last: Offset,
        /// Where it claims to lie.
        place: Place,
        /// The log's end.
        end: Offset,
        /// The end of the active segment.
        active: Place,
    },
}

/// What applying a batch did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// The log grew in its active segment.
    Grew,
    /// The log grew by a new segment that begins with the batch.
    Rolled,
    /// The log held it already.
    Already,
}

/// All segments, oldest first; the last is active. There is always one.
///
/// Bases rise strictly, and `active.base <= end`.
///
/// Checkpoint encoding, big-endian:
///
/// | bytes | field |
/// |---|---|
/// | 0 | version, 1 |
/// | 1–8 | end offset |
/// | 9–16 | seed of the jitter |
/// | 17–24, 25–32 | active segment: created, first batch's timestamp |
/// | 33–68 | active segment: pace of its indexes |
/// | 69–72 | count |
/// | … | each 36: base 8, bytes 4, largest timestamp 8, its offset 8, last append 8 |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segments {
    list: VecDeque<Segment>,
    end: Offset,
    seed: u64,
    active_created: WallMs,
    active_first_timestamp: i64,
    active_pace: IndexPace,
}

const VERSION: u8 = 1;
const SEGMENT_ENCODED_BYTES: usize = 36;

impl Segments {
    /// A log without records that begins at `base`. `seed` (any hash of the partition) spreads
    /// the rolls of partitions that began together.
    #[must_use]
    pub fn new(base: Offset, now: Now, seed: u64) -> Segments {
        let mut segments = Segments {
            // Most partitions of many have one segment.
            list: VecDeque::with_capacity(1),
            end: base,
            seed,
            active_created: now.wall,
            active_first_timestamp: NO_TIMESTAMP,
            active_pace: IndexPace::new(base),
        };
        segments.open(now);
        segments
    }

    /// The offset of the next record.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Where the next byte of the active segment goes.
    #[must_use]
    pub fn end_place(&self) -> Place {
        Place { segment: self.active().base, position: self.active().bytes }
    }

    /// The segment that is appended to.
    #[must_use]
    pub fn active(&self) -> &Segment {
        self.list.back().expect("there is always an active segment")
    }

    /// All segments, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator {
        self.list.iter()
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always an active segment")]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The size of the whole log in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.list.iter().map(|s| u64::from(s.bytes)).sum()
    }

    /// The segment that holds `offset`, if any does; the active one for every offset from its base.
    #[must_use]
    pub fn find(&self, offset: Offset) -> Option<&Segment> {
        let after = self.list.partition_point(|s| s.base <= offset);
        after.checked_sub(1).map(|i| &self.list[i])
    }

    /// The segment after the one that begins at `base`.
    #[must_use]
    pub fn after(&self, base: Offset) -> Option<&Segment> {
        self.list.get(self.list.partition_point(|s| s.base <= base))
    }

    /// The offset after the last one a segment may hold.
    #[must_use]
    pub fn end_of(&self, base: Offset) -> Offset {
        self.after(base).map_or(self.end, |next| next.base)
    }

    /// Where a batch of `bytes` bytes with this header goes. Its base offset is not read: the plan
    /// gives it one.
    ///
    /// # Errors
    /// [`PlaceError::LargerThanSegment`].
    pub fn plan(
        &self,
        header: &BatchHeader,
        bytes: usize,
        now: Now,
        limits: &RollLimits,
    ) -> Result<AppendPlan, PlaceError> {
        if bytes as u64 > u64::from(limits.segment_bytes.min(i32::MAX as u32)) {
            return Err(PlaceError::LargerThanSegment { bytes: bytes as u64, limit: limits.segment_bytes });
        }
        let base_offset = self.end;
        let roll = self.must_roll(header, bytes, now, limits)
            || (self.active().bytes > 0 && buggify(Site::SegmentFull));
        let place = if roll { Place { segment: base_offset, position: 0 } } else { self.end_place() };
        Ok(AppendPlan { base_offset, place, roll })
    }

    /// Whether the active segment takes no batch like this one: it would get too large, its
    /// records span `segment.ms`, an index is full, or offsets get too far from its base.
    #[must_use]
    pub fn must_roll(&self, header: &BatchHeader, bytes: usize, now: Now, limits: &RollLimits) -> bool {
        let active = self.active();
        if active.bytes == 0 {
            return false;
        }
        // Record time against record time; the clock only if the first batch has no timestamp.
        let waited = if self.active_first_timestamp >= 0 {
            header.max_timestamp().saturating_sub(self.active_first_timestamp)
        } else {
            now.wall.0.saturating_sub(self.active_created.0)
        };
        let patience = limits.segment_ms.saturating_sub(self.jitter(active.base, limits));
        let last = self.end.0.saturating_add(i64::from(header.last_offset_delta().max(0)));
        u64::from(active.bytes) + bytes as u64 > u64::from(limits.segment_bytes.min(i32::MAX as u32))
            || waited > i64::try_from(patience).unwrap_or(i64::MAX)
            || self.active_pace.is_full(limits.index_bytes)
            || last.saturating_sub(active.base.0) > i64::from(i32::MAX)
    }

    /// Makes the log hold a batch (header already stamped) at its place. Serves append and replay:
    /// a batch that the log holds is ignored.
    ///
    /// # Errors
    /// [`PlaceError::Discontinuous`]; nothing changed.
    pub fn apply(
        &mut self,
        header: &BatchHeader,
        place: Place,
        now: Now,
        index_interval_bytes: u32,
    ) -> Result<Applied, PlaceError> {
        let (base, last) = (header.base_offset(), header.last_offset());
        if base <= last && last < self.end {
            return Ok(Applied::Already);
        }
        let active = self.end_place();
        let bytes = header.total_bytes().and_then(|n| u32::try_from(n).ok());
        let fits = bytes.and_then(|n| place.position.checked_add(n)).filter(|&n| n <= i32::MAX as u32);
        let near =
            last.0.checked_sub(place.segment.0).is_some_and(|n| (0..=i64::from(i32::MAX)).contains(&n));
        let begins = place == Place { segment: self.end, position: 0 };
        let rolls = begins && place != active;
        let (Some(bytes), Some(size)) = (bytes, fits) else {
            return Err(PlaceError::Discontinuous { base, last, place, end: self.end, active });
        };
        if base != self.end || last < base || last.0 == i64::MAX || !near || !(rolls || place == active) {
            return Err(PlaceError::Discontinuous { base, last, place, end: self.end, active });
        }
        if rolls {
            self.roll(now);
        }
        self.active_pace.on_batch(header, bytes, index_interval_bytes);
        if place.position == 0 {
            self.active_first_timestamp = header.max_timestamp();
        }
        self.end = header.next_offset();
        let max = self.active_pace.max();
        let active = self.list.back_mut().expect("there is always an active segment");
        (active.bytes, active.max, active.last_append) = (size, max, now.wall);
        Ok(if rolls { Applied::Rolled } else { Applied::Grew })
    }

    /// Makes a new segment active that begins at the log's end. An empty active segment stays: it
    /// begins there already.
    pub fn roll(&mut self, now: Now) {
        if self.active().base < self.end {
            self.open(now);
        }
    }

    /// The log goes on at `end`, in a new segment; what was before it is not there.
    pub fn skip_to(&mut self, end: Offset, now: Now) {
        assert!(self.end <= end, "no offset is given twice");
        self.end = end;
        self.roll(now);
        self.drop_before(end);
    }

    /// Puts a segment in the place of those that begin in `segment.base..end`, all closed. Returns whether
    /// there were any: one that took their place before stays as it is, and so do those that are gone.
    pub fn replace(&mut self, segment: &Segment, end: Offset) -> bool {
        let first = self.list.partition_point(|s| s.base < segment.base);
        let behind = self.list.partition_point(|s| s.base < end);
        // The active segment, and what grows behind it, is never replaced.
        if first == behind || behind == self.list.len() {
            return false;
        }
        self.list[first] = segment.clone();
        self.list.drain(first + 1..behind);
        true
    }

    /// Forgets segments that begin before `base`, oldest first, and returns them. The active one stays.
    pub fn drop_before(&mut self, base: Offset) -> Vec<Segment> {
        let count = self.list.partition_point(|s| s.base < base).min(self.list.len() - 1);
        self.list.drain(..count).collect()
    }

    /// Appends the checkpoint's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend(self.end.0.to_be_bytes());
        out.extend(self.seed.to_be_bytes());
        out.extend(self.active_created.0.to_be_bytes());
        out.extend(self.active_first_timestamp.to_be_bytes());
        self.active_pace.encode(out);
        out.extend((self.list.len() as u32).to_be_bytes());
        for segment in &self.list {
            out.extend(segment.base.0.to_be_bytes());
            out.extend(segment.bytes.to_be_bytes());
            out.extend(segment.max.timestamp.to_be_bytes());
            out.extend(segment.max.offset.0.to_be_bytes());
            out.extend(segment.last_append.0.to_be_bytes());
        }
    }

    /// Reads what [`Segments::encode`] wrote, from the start of `bytes`; returns the bytes used.
    ///
    /// # Errors
    /// If the bytes end early or contradict themselves.
    pub fn decode(bytes: &[u8]) -> Result<(Segments, usize), Malformed> {
        const WHAT: &str = "segments";
        let mut from = Cursor::new(bytes);
        let malformed = from.malformed("segments version");
        if from.u8(WHAT)? != VERSION {
            return Err(malformed);
        }
        let end = Offset(from.i64(WHAT)?);
        let seed = from.u64(WHAT)?;
        let active_created = WallMs(from.i64(WHAT)?);
        let active_first_timestamp = from.i64(WHAT)?;
        let active_pace = IndexPace::decode(&mut from)?;
        let count = from.count(SEGMENT_ENCODED_BYTES, "segment count")?;
        let mut list: VecDeque<Segment> = VecDeque::with_capacity(count);
        for _ in 0..count {
            let malformed = from.malformed("segment");
            let segment = Segment {
                base: Offset(from.i64(WHAT)?),
                bytes: from.u32(WHAT)?,
                max: TimestampOffset { timestamp: from.i64(WHAT)?, offset: Offset(from.i64(WHAT)?) },
                last_append: WallMs(from.i64(WHAT)?),
            };
            let rises = list.back().is_none_or(|previous| previous.base < segment.base);
            if !rises || segment.base.0 < 0 || segment.base > end || segment.bytes > i32::MAX as u32 {
                return Err(malformed);
            }
            list.push_back(segment);
        }
        if list.is_empty() {
            return Err(from.malformed("segment count"));
        }
        let segments = Segments { list, end, seed, active_created, active_first_timestamp, active_pace };
        Ok((segments, from.at()))
    }

    fn open(&mut self, now: Now) {
        self.active_created = now.wall;
        self.active_first_timestamp = NO_TIMESTAMP;
        self.active_pace = IndexPace::new(self.end);
        self.list.push_back(Segment {
            base: self.end,
            bytes: 0,
            max: self.active_pace.max(),
            last_append: now.wall,
        });
    }

    /// How much earlier than `segment.ms` the segment at `base` rolls: the same on every replay.
    fn jitter(&self, base: Offset, limits: &RollLimits) -> u64 {
        // The finaliser of splitmix64: neighbours in, strangers out.
        let mut x = self.seed ^ base.0 as u64;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        x % limits.jitter_ms.min(limits.segment_ms).saturating_add(1).max(1)
    }
}
