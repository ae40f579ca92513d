//! The young end of a growing index: in memory and in the checkpoint until it fills blocks.

use std::marker::PhantomData;

use crate::base::Offset;
use crate::io::BLOCK;
use crate::log::Malformed;
use crate::log::cursor::Cursor;
use crate::record::BatchHeader;

use super::entry::{Entry, OffsetEntry, TimeEntry};
use super::pace::{IndexPace, TimestampOffset};
use super::search::IndexSearch;

/// Where to look an entry up.
#[derive(Clone, Debug)]
pub enum Lookup<E: Entry> {
    /// Answered from memory. `None`: the target is below the first entry.
    Found(Option<E>),
    /// It lies in the part that is on disk.
    OnDisk(IndexSearch<E>),
}

/// The end of one index file that is not on disk yet.
///
/// `held` begins at the last whole entry boundary at or before `written`, so that an entry which
/// straddles the boundary can still be read from memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileTail<E> {
    written: u32,
    held: Vec<u8>,
    entry: PhantomData<E>,
}

impl<E: Entry> FileTail<E> {
    fn new() -> FileTail<E> {
        FileTail { written: 0, held: Vec::new(), entry: PhantomData }
    }

    fn held_from(written: u32) -> usize {
        written as usize / E::BYTES * E::BYTES
    }

    /// The file's exact length, in bytes, once everything is written.
    #[must_use]
    pub fn len(&self) -> u64 {
        (Self::held_from(self.written) + self.held.len()) as u64
    }

    /// Whether the index has no entry at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries, on disk and in memory.
    #[must_use]
    pub fn entries(&self) -> usize {
        (Self::held_from(self.written) + self.held.len()) / E::BYTES
    }

    /// Whole blocks that wait to be written, and where: write them, then call
    /// [`FileTail::written_to`]. Until then lookups answer from memory. `None` if less than a
    /// block waits.
    #[must_use]
    pub fn full_blocks(&self) -> Option<(u64, &[u8])> {
        let (at, bytes) = self.unwritten();
        let full = bytes.len() / BLOCK * BLOCK;
        (full > 0).then(|| (at, &bytes[..full]))
    }

    /// Everything that waits to be written, and where: what a roll or a clean stop writes, padded
    /// to a block and then cut to [`FileTail::len`].
    #[must_use]
    pub fn unwritten(&self) -> (u64, &[u8]) {
        let lead = self.written as usize - Self::held_from(self.written);
        (u64::from(self.written), &self.held[lead..])
    }

    /// Forgets the blocks before `at`, which are on disk now.
    ///
    /// # Panics
    /// If `at` is not a block boundary between what was written before and the end.
    pub fn written_to(&mut self, at: u64) {
        assert!(
            at.is_multiple_of(BLOCK as u64) && at >= u64::from(self.written) && at <= self.len(),
            "index written to {at}, was {}, ends at {}",
            self.written,
            self.len(),
        );
        let from = Self::held_from(self.written);
        self.written = at as u32;
        self.held.drain(..Self::held_from(self.written) - from);
    }

    /// The largest entry whose key is not above `target`, or the search that finds it on disk.
    #[must_use]
    pub fn lookup(&self, target: E::Key) -> Lookup<E> {
        let entry = |i: usize| E::read(&self.held[i * E::BYTES..][..E::BYTES]);
        let (mut lo, mut hi) = (0, self.held.len() / E::BYTES);
        while lo < hi {
            let middle = usize::midpoint(lo, hi);
            if entry(middle).key() <= target {
                lo = middle + 1;
            } else {
                hi = middle;
            }
        }
        match lo.checked_sub(1) {
            Some(i) => Lookup::Found(Some(entry(i))),
            None if self.written as usize >= E::BYTES => {
                Lookup::OnDisk(IndexSearch::new(target, self.written as usize / E::BYTES))
            }
            None => Lookup::Found(None),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.written.to_be_bytes());
        out.extend((self.held.len() as u32).to_be_bytes());
        out.extend(&self.held);
    }

    fn decode(from: &mut Cursor<'_>) -> Result<FileTail<E>, Malformed> {
        const WHAT: &str = "index tail";
        let before = from.malformed(WHAT);
        let written = from.u32(WHAT)?;
        let len = from.count(1, WHAT)?;
        let held = from.take(len, WHAT)?.to_vec();
        let held_from = Self::held_from(written);
        let sound = (written as usize).is_multiple_of(BLOCK)
            && len.is_multiple_of(E::BYTES)
            && held_from + len >= written as usize
            && held_from + len <= i32::MAX as usize;
        if sound { Ok(FileTail { written, held, entry: PhantomData }) } else { Err(before) }
    }
}

/// Both indexes of a segment that still grows (or waits to be written out after its roll).
///
/// Call [`IndexTail::on_batch`] for every batch in order; a batch before `end` is ignored, so
/// replay may repeat. A checkpoint's tail must be the one at the checkpoint's position.
///
/// Checkpoint encoding, big-endian:
///
/// | bytes | field |
/// |---|---|
/// | 0 | version, 1 |
/// | 1–8 | base offset |
/// | 9–12 | position after the last batch counted |
/// | 13–48 | pace: bytes since the last entry (4), largest timestamp (8) and offset (8), last time entry (8), counts of both (4 + 4) |
/// | … | offset index, then time index: bytes on disk (4), length (4), held bytes |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexTail {
    base: Offset,
    end: u32,
    pace: IndexPace,
    /// The offset index.
    pub offsets: FileTail<OffsetEntry>,
    /// The time index.
    pub times: FileTail<TimeEntry>,
}

const VERSION: u8 = 1;

impl IndexTail {
    /// The indexes of a segment without batches.
    #[must_use]
    pub fn new(base: Offset) -> IndexTail {
        IndexTail {
            base,
            end: 0,
            pace: IndexPace::new(base),
            offsets: FileTail::new(),
            times: FileTail::new(),
        }
    }

    /// The segment's base offset.
    #[must_use]
    pub fn base(&self) -> Offset {
        self.base
    }

    /// The position after the last batch counted, in bytes.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The largest timestamp counted, and the last offset of its batch.
    #[must_use]
    pub fn max_timestamp(&self) -> TimestampOffset {
        self.pace.max()
    }

    /// Counts the batch at `position` and adds the entries that are due. Returns false, and does
    /// nothing, for a batch counted before, and for one whose length or offsets cannot be true.
    pub fn on_batch(&mut self, header: &BatchHeader, position: u32, interval_bytes: u32) -> bool {
        let Some(bytes) = header.total_bytes().and_then(|n| u32::try_from(n).ok()) else { return false };
        let relative = self.relative(header.last_offset());
        let (Some(relative), Some(end)) = (relative, position.checked_add(bytes)) else { return false };
        if position < self.end {
            return false;
        }
        self.end = end;
        if let Some(due) = self.pace.on_batch(header, bytes, interval_bytes) {
            OffsetEntry { relative, position }.write(&mut self.offsets.held);
            self.add_time(due.time);
        }
        true
    }

    /// Adds the time entry that a roll or a clean stop owes. Idempotent.
    pub fn finish(&mut self) {
        let due = self.pace.time_due();
        self.add_time(due);
    }

    /// The offset index's answer for `target`: the batch at the found position ends at or before it.
    /// `Found(None)` means: begin at position 0.
    #[must_use]
    pub fn lookup_offset(&self, target: Offset) -> Lookup<OffsetEntry> {
        let relative = target.0.saturating_sub(self.base.0);
        match u32::try_from(relative) {
            Ok(relative) => self.offsets.lookup(relative),
            Err(_) if relative < 0 => Lookup::Found(None),
            Err(_) => self.offsets.lookup(u32::MAX),
        }
    }

    /// The time index's answer for `target`: records up to the found offset are no younger.
    #[must_use]
    pub fn lookup_time(&self, target: i64) -> Lookup<TimeEntry> {
        self.times.lookup(target)
    }

    /// Appends the checkpoint's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend(self.base.0.to_be_bytes());
        out.extend(self.end.to_be_bytes());
        self.pace.encode(out);
        self.offsets.encode(out);
        self.times.encode(out);
    }

    /// Reads what [`IndexTail::encode`] wrote, from the start of `bytes`; returns the bytes used.
    ///
    /// # Errors
    /// If the bytes end early or contradict themselves.
    pub fn decode(bytes: &[u8]) -> Result<(IndexTail, usize), Malformed> {
        let mut from = Cursor::new(bytes);
        let malformed = from.malformed("index tail version");
        if from.u8("index tail version")? != VERSION {
            return Err(malformed);
        }
        let base = Offset(from.i64("index tail base")?);
        let end = from.u32("index tail end")?;
        let pace = IndexPace::decode(&mut from)?;
        let offsets = FileTail::decode(&mut from)?;
        let times = FileTail::decode(&mut from)?;
        Ok((IndexTail { base, end, pace, offsets, times }, from.at()))
    }

    fn relative(&self, offset: Offset) -> Option<u32> {
        let relative = offset.0.checked_sub(self.base.0)?;
        i32::try_from(relative).ok().and_then(|r| u32::try_from(r).ok())
    }

    fn add_time(&mut self, due: Option<TimestampOffset>) {
        if let Some(max) = due
            && let Some(relative) = self.relative(max.offset)
        {
            TimeEntry { timestamp: max.timestamp, relative }.write(&mut self.times.held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixture::Batch;
    use crate::log::index::SearchStep;

    const BASE: i64 = 1_000;

    fn batch(i: i64) -> Batch {
        Batch { base: BASE + 10 * i, records: 10, bytes: 100, max_timestamp: 5_000 + i, ..Batch::default() }
    }

    /// A tail with `count` batches of 100 bytes and 10 records, an entry every second batch.
    fn grown(count: i64) -> IndexTail {
        let mut tail = IndexTail::new(Offset(BASE));
        for i in 0..count {
            assert!(tail.on_batch(&batch(i).header(), 100 * i as u32, 150));
        }
        tail
    }

    /// Writes full blocks as the segment writer does, into the files.
    fn write_out(tail: &mut IndexTail, offsets: &mut Vec<u8>, times: &mut Vec<u8>) {
        if let Some((at, bytes)) = tail.offsets.full_blocks() {
            offsets.truncate(at as usize);
            offsets.extend(bytes);
        }
        tail.offsets.written_to(offsets.len() as u64);
        if let Some((at, bytes)) = tail.times.full_blocks() {
            times.truncate(at as usize);
            times.extend(bytes);
        }
        tail.times.written_to(times.len() as u64);
    }

    #[test]
    fn entries_follow_the_interval_as_kafka_places_them() {
        let mut tail = grown(5);
        // 200 bytes lie before batch 2, 200 more before batch 4.
        let (at, bytes) = tail.offsets.unwritten();
        assert_eq!((at, bytes), (0, &[0, 0, 0, 29, 0, 0, 0, 200, 0, 0, 0, 49, 0, 0, 1, 144][..]));
        assert_eq!(tail.times.entries(), 2);
        tail.finish();
        tail.finish();
        assert_eq!(tail.times.entries(), 2, "the largest timestamp has its entry already");
        assert!(tail.on_batch(&batch(5).header(), 500, 150));
        tail.finish();
        tail.finish();
        assert_eq!(tail.times.entries(), 3);
        assert_eq!(tail.offsets.entries(), 2);
    }

    #[test]
    fn timestamps_that_do_not_rise_get_no_entry() {
        let mut tail = IndexTail::new(Offset(0));
        for i in 0..10 {
            let header = Batch { base: i, max_timestamp: 100 - i, ..Batch::default() }.header();
            tail.on_batch(&header, 100 * i as u32, 0);
        }
        assert_eq!((tail.offsets.entries(), tail.times.entries()), (9, 1));
        assert_eq!(tail.max_timestamp(), TimestampOffset { timestamp: 100, offset: Offset(0) });
    }

    #[test]
    fn a_batch_counts_once_and_lies_count_never() {
        let mut tail = grown(5);
        let before = tail.clone();
        assert!(!tail.on_batch(&batch(4).header(), 400, 150));
        assert!(!tail.on_batch(&Batch { base: BASE - 1, ..Batch::default() }.header(), 500, 150));
        assert!(!tail.on_batch(&Batch { base: BASE + (1 << 31), ..Batch::default() }.header(), 500, 150));
        assert_eq!(tail, before);
    }

    #[test]
    fn lookups_agree_wherever_the_entry_lies() {
        let whole = grown(3_000);
        let (mut offsets, mut times) = (Vec::new(), Vec::new());
        let mut split = IndexTail::new(Offset(BASE));
        for i in 0..3_000 {
            split.on_batch(&batch(i).header(), 100 * i as u32, 150);
            write_out(&mut split, &mut offsets, &mut times);
            assert!(split.times.unwritten().1.len() < BLOCK);
        }
        assert_eq!((offsets.len(), times.len()), (2 * BLOCK, 4 * BLOCK));
        for target in (BASE - 5..BASE + 30_100).step_by(7) {
            let expected = match whole.lookup_offset(Offset(target)) {
                Lookup::Found(found) => found,
                Lookup::OnDisk(_) => panic!("nothing is on disk"),
            };
            assert_eq!(resolve(split.lookup_offset(Offset(target)), &offsets), expected, "{target}");
        }
        for target in 4_990..8_010 {
            let expected = match whole.lookup_time(target) {
                Lookup::Found(found) => found,
                Lookup::OnDisk(_) => panic!("nothing is on disk"),
            };
            assert_eq!(resolve(split.lookup_time(target), &times), expected, "{target}");
        }
    }

    fn resolve<E: Entry>(lookup: Lookup<E>, file: &[u8]) -> Option<E> {
        match lookup {
            Lookup::Found(found) => found,
            Lookup::OnDisk(mut search) => loop {
                match search.step() {
                    SearchStep::Done(found) => return found,
                    SearchStep::Read { at, len } => {
                        search.feed(&file[at as usize..(at as usize + len).min(file.len())]);
                    }
                }
            },
        }
    }

    #[test]
    fn a_checkpoint_carries_the_tail() {
        let mut tail = grown(3_000);
        let (mut offsets, mut times) = (Vec::new(), Vec::new());
        write_out(&mut tail, &mut offsets, &mut times);
        let mut bytes = Vec::new();
        tail.encode(&mut bytes);
        assert!(bytes.len() < 2 * (BLOCK + 12) + 100);
        let used = bytes.len();
        bytes.extend([7; 9]);
        assert_eq!(IndexTail::decode(&bytes), Ok((tail, used)));
        for cut in 0..used {
            assert!(IndexTail::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for lie in [0, 49, 53] {
            let mut lying = bytes.clone();
            lying[lie..lie + 4].fill(0xFF);
            assert!(IndexTail::decode(&lying).is_err(), "a lie at {lie}");
        }
    }
}
