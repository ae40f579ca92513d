//! The segments of a partition, and where the next batch goes.

use std::collections::VecDeque;

use crate::base::{Now, Offset, WallMs};
use crate::config::TopicSettings;
use crate::log::Malformed;
use crate::log::cursor::Cursor;
use crate::log::index::{IndexPace, NO_TIMESTAMP, TimestampOffset};
use crate::record::BatchHeader;

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
            segment_ms: settings.segment_ms,
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
            list: VecDeque::new(),
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
        let roll = self.must_roll(header, bytes, now, limits);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixture::Batch;

    const LIMITS: RollLimits = RollLimits {
        segment_bytes: 1_000,
        segment_ms: 60_000,
        jitter_ms: 0,
        index_bytes: 10 << 20,
        index_interval_bytes: 4_096,
    };

    fn at(wall: i64) -> Now {
        Now { wall: WallMs(wall), ..Now::default() }
    }

    fn append(segments: &mut Segments, batch: Batch, now: Now, limits: &RollLimits) -> AppendPlan {
        let plan = segments.plan(&batch.header(), batch.bytes, now, limits).expect("fits a segment");
        let header = Batch { base: plan.base_offset.0, ..batch }.header();
        let applied = segments.apply(&header, plan.place, now, limits.index_interval_bytes);
        assert_eq!(applied, Ok(if plan.roll { Applied::Rolled } else { Applied::Grew }));
        plan
    }

    #[test]
    fn batches_lie_back_to_back_until_the_segment_is_full() {
        let mut segments = Segments::new(Offset(7), at(0), 0);
        let batch = Batch { records: 5, bytes: 400, ..Batch::default() };
        let places: Vec<_> = (0..4)
            .map(|_| {
                let plan = append(&mut segments, batch, at(0), &LIMITS);
                (plan.base_offset.0, plan.place.segment.0, plan.place.position, plan.roll)
            })
            .collect();
        assert_eq!(places, [(7, 7, 0, false), (12, 7, 400, false), (17, 17, 0, true), (22, 17, 400, false)]);
        assert_eq!((segments.end(), segments.bytes()), (Offset(27), 1_600));
        assert_eq!(segments.find(Offset(16)).map(|s| s.base), Some(Offset(7)));
        assert_eq!(segments.find(Offset(17)).map(|s| s.base), Some(Offset(17)));
        assert_eq!(segments.find(Offset(6)), None);
        assert_eq!(segments.end_of(Offset(7)), Offset(17));
        assert_eq!(segments.end_of(Offset(17)), Offset(27));
    }

    #[test]
    fn a_batch_that_fills_the_segment_exactly_stays_in_it() {
        let mut segments = Segments::new(Offset(0), at(0), 0);
        append(&mut segments, Batch { bytes: 600, ..Batch::default() }, at(0), &LIMITS);
        assert!(!append(&mut segments, Batch { bytes: 400, ..Batch::default() }, at(0), &LIMITS).roll);
        assert!(append(&mut segments, Batch { bytes: 61, ..Batch::default() }, at(0), &LIMITS).roll);
        let header = Batch { bytes: 1_001, ..Batch::default() }.header();
        let refused = PlaceError::LargerThanSegment { bytes: 1_001, limit: 1_000 };
        assert_eq!(segments.plan(&header, 1_001, at(0), &LIMITS), Err(refused));
    }

    #[test]
    fn record_time_rolls_and_the_clock_only_without_it() {
        let timed = |max_timestamp| Batch { max_timestamp, ..Batch::default() };
        let mut by_records = Segments::new(Offset(0), at(0), 0);
        append(&mut by_records, timed(1_000), at(0), &LIMITS);
        assert!(!append(&mut by_records, timed(61_000), at(1 << 40), &LIMITS).roll);
        assert!(append(&mut by_records, timed(61_001), at(0), &LIMITS).roll);
        assert!(!append(&mut by_records, timed(0), at(0), &LIMITS).roll);
        let mut by_clock = Segments::new(Offset(0), at(500), 0);
        append(&mut by_clock, timed(-1), at(500), &LIMITS);
        assert!(!append(&mut by_clock, timed(-1), at(60_500), &LIMITS).roll);
        assert!(append(&mut by_clock, timed(-1), at(60_501), &LIMITS).roll);
    }

    #[test]
    fn jitter_rolls_earlier_but_never_later() {
        let jittered = RollLimits { jitter_ms: 50_000, ..LIMITS };
        let mut waits = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let mut segments = Segments::new(Offset(0), at(0), seed);
            append(&mut segments, Batch { max_timestamp: 0, ..Batch::default() }, at(0), &jittered);
            let wait = (0..=60_001)
                .find(|&t| {
                    let header = Batch { max_timestamp: t, ..Batch::default() }.header();
                    segments.must_roll(&header, 100, at(0), &jittered)
                })
                .expect("rolls after segment.ms at the latest");
            assert!(wait > 10_000);
            waits.insert(wait);
        }
        assert!(waits.len() > 10, "{waits:?}");
    }

    #[test]
    fn a_full_index_and_a_far_offset_roll() {
        let small = RollLimits { index_bytes: 36, index_interval_bytes: 0, segment_bytes: 1 << 20, ..LIMITS };
        let mut segments = Segments::new(Offset(0), at(0), 0);
        let rolls: Vec<_> = (0..8)
            .map(|i| {
                append(&mut segments, Batch { max_timestamp: i, ..Batch::default() }, at(0), &small).roll
            })
            .collect();
        // Room for 3 time entries, one of them the roll's: the 2 others come with batches 1 and 2.
        assert_eq!(rolls, [false, false, false, true, false, false, true, false]);
        let mut far = Segments::new(Offset(0), at(0), 0);
        let wide = Batch { records: i32::MAX, ..Batch::default() };
        append(&mut far, wide, at(0), &LIMITS);
        assert!(!append(&mut far, Batch::default(), at(0), &LIMITS).roll, "i32::MAX itself still fits");
        assert!(append(&mut far, Batch::default(), at(0), &LIMITS).roll);
    }

    #[test]
    fn replay_ignores_what_is_there_and_refuses_what_does_not_continue() {
        let mut live = Segments::new(Offset(0), at(0), 9);
        let mut journal = Vec::new();
        for i in 0..10 {
            let batch = Batch { records: 3, bytes: 300, max_timestamp: i, ..Batch::default() };
            let plan = append(&mut live, batch, at(i), &LIMITS);
            journal.push((Batch { base: plan.base_offset.0, ..batch }, plan.place, at(i)));
        }
        let mut replayed = Segments::new(Offset(0), at(0), 9);
        for from in [0, 0, 4] {
            for (batch, place, now) in &journal[from..] {
                assert!(replayed.apply(&batch.header(), *place, *now, 4_096).is_ok());
            }
        }
        assert_eq!(replayed, live);
        let end = live.end_place();
        for (base, place) in [
            (29, end),
            (31, end),
            (30, Place { position: end.position + 1, ..end }),
            (30, Place { segment: Offset(27), position: 0 }),
            (30, Place { segment: Offset(31), position: 0 }),
        ] {
            let header = Batch { base, records: 3, ..Batch::default() }.header();
            assert!(matches!(
                replayed.apply(&header, place, at(0), 4_096),
                Err(PlaceError::Discontinuous { .. })
            ));
        }
        assert_eq!(replayed, live);
    }

    #[test]
    fn old_segments_are_forgotten_but_never_the_active_one() {
        let mut segments = Segments::new(Offset(0), at(0), 0);
        for _ in 0..6 {
            append(&mut segments, Batch { bytes: 500, ..Batch::default() }, at(0), &LIMITS);
        }
        let bases = |list: &[Segment]| list.iter().map(|s| s.base.0).collect::<Vec<_>>();
        assert_eq!(bases(&segments.drop_before(Offset(3))), [0, 2]);
        assert_eq!(bases(&segments.drop_before(Offset(100))), Vec::<i64>::new());
        segments.roll(at(0));
        segments.roll(at(0));
        assert_eq!(bases(&segments.drop_before(Offset(100))), [4]);
        assert_eq!(segments.active().base, segments.end());
    }

    #[test]
    fn a_checkpoint_carries_the_list() {
        let mut segments = Segments::new(Offset(0), at(0), 77);
        for i in 0..9 {
            append(&mut segments, Batch { bytes: 500, max_timestamp: i, ..Batch::default() }, at(i), &LIMITS);
        }
        let mut bytes = Vec::new();
        segments.encode(&mut bytes);
        assert_eq!(Segments::decode(&bytes), Ok((segments, bytes.len())));
        for cut in 0..bytes.len() {
            assert!(Segments::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for (lie, len) in [(0, 1), (1, 8), (69, 4), (73, 8), (81, 4)] {
            let mut lying = bytes.clone();
            lying[lie..lie + len].fill(0xFF);
            assert!(Segments::decode(&lying).is_err(), "a lie at {lie}");
        }
        let mut none = bytes[..73].to_vec();
        none[69..].fill(0);
        assert!(Segments::decode(&none).is_err());
    }
}
