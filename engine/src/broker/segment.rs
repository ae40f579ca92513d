//! The active segment of a partition as far as it is written, and what to write next.

use std::ops::Deref;
use std::rc::Weak;

use smallvec::SmallVec;

use super::handles::{FileKey, Handle};
use super::partition::Partition;
use crate::base::{Now, Offset};
use crate::io::{BLOCK, Disk, FileName, IO_BYTES_MAX, Slice};
use crate::log::IndexTail;
use crate::log::names::SegmentFile;
use crate::log::segments::Place;
use crate::record::BatchHeader;

/// Batches gathered in one go stay below this many bytes, unless one alone is larger.
const GATHER_BYTES: usize = IO_BYTES_MAX * 4;

/// A growing segment gets no blocks ahead before it has this size, in bytes …
const ALLOCATE_FROM: u64 = 64 * 1024;
/// … and then as much again as it has, at least this …
const ALLOCATE_STEP_MIN: u64 = 256 * 1024;
/// … and at most this.
const ALLOCATE_STEP_MAX: u64 = 64 * 1024 * 1024;

/// A partition with extents has this many bytes allocated ahead of its log's end, or as much again
/// as its segment has: extents go only to blocks that are there.
const EXTENT_AHEAD: u64 = 16 * 1024 * 1024;

/// What a lane holds between looking at a partition and having written it.
pub(super) struct Lane<C> {
    /// What is to be written, behind the open block.
    pub(super) slices: Vec<Slice<C>>,
    /// Bytes behind that which an extent has placed already …
    pub(super) placed: usize,
    /// … and what follows them: the new open block.
    pub(super) last: SmallVec<[Slice<C>; 2]>,
    pub(super) batches: Vec<(BatchHeader, Place)>,
    pub(super) open: Vec<u8>,
    /// The next open block, while it is gathered.
    pub(super) rest: Vec<u8>,
}

/// What is to be done next for a partition.
pub(super) enum Step<D: Disk> {
    /// Nothing is unwritten, or it is gone.
    Rest,
    /// Its segment file is not open.
    Open,
    /// Its segment's names are not durable, and extents wait for them.
    Name(FileName),
    /// What the lane gathered fills no block: it stays in memory, and needs no file.
    Keep,
    /// Its next batch belongs to a new segment: close this one.
    Roll,
    /// Write what the lane gathered from `at` on.
    Write { file: Handle<D>, at: u64, allocate: Option<u64> },
}

/// What failed of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SegmentTrouble {
    /// An operation that says itself what it did not do.
    Write,
    /// A flush: what was written since the last good one is in doubt.
    Flush,
}

impl<C> Lane<C> {
    pub(super) fn new() -> Lane<C> {
        Lane {
            slices: Vec::new(),
            placed: 0,
            last: SmallVec::new(),
            batches: Vec::new(),
            open: Vec::new(),
            rest: Vec::new(),
        }
    }
}

impl<C: Deref<Target = [u8]>> Lane<C> {
    /// Everything gathered goes to the open block.
    pub(super) fn keep_all(&mut self) {
        self.slices.iter().for_each(|slice| self.open.extend_from_slice(slice));
    }
}

/// The active segment as far as it is written.
pub(super) struct SegmentWriter<D: Disk> {
    /// Bytes in full blocks on the disk.
    pub(super) aligned: u64,
    /// What follows them: less than a block.
    pub(super) open: Vec<u8>,
    /// Whether the files end exactly where the segment does, open block included.
    pub(super) sealed: bool,
    pub(super) index: IndexTail,
    /// Its file, as long as that is open: it may be closed whenever nobody writes it.
    pub(super) file: Weak<D::File>,
    /// The file was open before: it is there, and `allocated` and `reserved` hold.
    pub(super) opened: bool,
    /// Bytes that the file was asked to have.
    pub(super) allocated: u64,
    /// Bytes that it has for certain: extents lie below.
    pub(super) reserved: u64,
    /// Its directory entries are durable: an extent may name it.
    pub(super) named: bool,
    /// Bytes in full blocks that a good flush covers …
    pub(super) flushed: u64,
    /// … and those that the checkpoint's flush, which is under way, will.
    pub(super) flushing: u64,
}

impl<D: Disk> SegmentWriter<D> {
    /// A segment that begins at `base`.
    pub(super) fn new(base: Offset) -> Self {
        let index = IndexTail::new(base);
        SegmentWriter {
            aligned: 0,
            open: Vec::new(),
            sealed: true,
            index,
            file: Weak::new(),
            opened: false,
            allocated: 0,
            reserved: 0,
            named: false,
            flushed: 0,
            flushing: 0,
        }
    }

    /// Bytes of the segment so far: where the next batch goes.
    pub(super) fn size(&self) -> u64 {
        self.aligned + self.open.len() as u64
    }
}

/// A part of an index file to be written: which, position, bytes.
pub(super) type IndexPart = (FileKey, u64, Vec<u8>);

impl<D: Disk> Partition<D> {
    /// A file of the active segment.
    pub(super) fn file_key(&self, kind: SegmentFile) -> FileKey {
        FileKey { partition: self.key, base: self.segment.index.base(), kind }
    }

    /// The name of a file of the active segment.
    pub(super) fn segment_file(&self, file: SegmentFile) -> FileName {
        self.file_key(file).name()
    }

    /// Looks at the unwritten batches and fills the lane with those to write next. Blocks are allocated `ahead`
    /// of them where there is space for that.
    pub(super) fn next_step(&mut self, lane: &mut Lane<D::Chunk>, ahead: bool) -> Step<D> {
        lane.slices.clear();
        lane.batches.clear();
        lane.last.clear();
        lane.placed = 0;
        let base = self.segment.index.base();
        let Some(first) = self.tail.unwritten().next() else { return Step::Rest };
        if first.segment != base {
            return Step::Roll;
        }
        assert!(u64::from(first.position) == self.segment.size(), "{}: the log has no gap", self.key);
        let (mut bytes, mut unplaced_bytes) = (0, 0);
        for batch in self.tail.unwritten() {
            let more = batch.bytes as usize;
            if batch.segment != base || (bytes > 0 && bytes + more > GATHER_BYTES) {
                break;
            }
            bytes += more;
            lane.batches.push((batch.header(), Place { segment: base, position: batch.position }));
            let unplaced = batch.unplaced();
            unplaced_bytes += unplaced.first.iter().map(|slice| slice.len()).sum::<usize>();
            lane.slices.extend(unplaced.first);
            if unplaced.placed > 0 {
                // What follows is not next to what was gathered.
                lane.placed = unplaced.placed;
                lane.last = unplaced.last;
                break;
            }
        }
        lane.open.clear();
        lane.open.extend_from_slice(&self.segment.open);
        if lane.open.len() + unplaced_bytes < BLOCK && lane.placed == 0 && !self.extents {
            return Step::Keep;
        }
        let Some(file) = self.segment.file.upgrade() else { return Step::Open };
        if self.extents && !self.segment.named {
            return Step::Name(FileName::partition_dir(self.key));
        }
        let at = self.segment.aligned;
        let end = self.segment.size() + bytes as u64;
        let allocate = if ahead { self.segment_growth(end) } else { None };
        Step::Write { file, at, allocate }
    }

    /// The size to allocate before the segment grows to `end`, if it outgrows what it has.
    fn segment_growth(&mut self, end: u64) -> Option<u64> {
        let goal = if self.extents { self.extents_end(end) } else { end };
        if goal <= self.segment.allocated || (end < ALLOCATE_FROM && !self.extents) {
            return None;
        }
        let limit = u64::from(self.settings.segment_bytes).next_multiple_of(BLOCK as u64);
        let ahead = goal + goal.clamp(ALLOCATE_STEP_MIN, ALLOCATE_STEP_MAX);
        let bytes = ahead.min(limit.max(end)).next_multiple_of(BLOCK as u64);
        let grows = bytes > self.segment.allocated;
        self.segment.allocated = self.segment.allocated.max(bytes);
        grows.then_some(bytes)
    }

    /// How far the segment, written up to `end` next, should have blocks for extents.
    fn extents_end(&self, end: u64) -> u64 {
        let head = self.head.end_place();
        let same = head.segment == self.segment.index.base();
        let end = if same { end.max(u64::from(head.position)) } else { end };
        end + end.min(EXTENT_AHEAD)
    }

    /// Takes over what the lane wrote. Returns its bytes.
    pub(super) fn take_written(&mut self, lane: &mut Lane<D::Chunk>, now: Now) -> usize {
        let bytes = self.tail.mark_written(lane.batches.len());
        let end = self.segment.size() + bytes as u64;
        let interval = self.settings.index_interval_bytes;
        for (header, place) in &lane.batches {
            self.segment.index.on_batch(header, place.position, interval);
            let applied = self.written.apply(header, *place, now, interval);
            assert!(applied.is_ok(), "{}: {applied:?}", self.key);
        }
        std::mem::swap(&mut self.segment.open, &mut lane.open);
        self.segment.sealed = false;
        self.segment.aligned = end - self.segment.open.len() as u64;
        bytes
    }

    /// Whole blocks of the indexes that wait to be written.
    pub(super) fn full_index_blocks(&self) -> SmallVec<[IndexPart; 2]> {
        let index = &self.segment.index;
        let offsets = index.offsets.full_blocks().map(|part| (SegmentFile::Index, part));
        let times = index.times.full_blocks().map(|part| (SegmentFile::TimeIndex, part));
        let parts = offsets.into_iter().chain(times);
        parts.map(|(file, (at, bytes))| (self.file_key(file), at, bytes.to_vec())).collect()
    }

    /// The ends of both indexes, exactly as their files must end.
    pub(super) fn index_ends(&self) -> [IndexPart; 2] {
        let part = |file, (at, bytes): (u64, &[u8])| (self.file_key(file), at, bytes.to_vec());
        let index = &self.segment.index;
        [
            part(SegmentFile::Index, index.offsets.unwritten()),
            part(SegmentFile::TimeIndex, index.times.unwritten()),
        ]
    }

    /// An index file of the active segment is written up to `end`.
    pub(super) fn index_written(&mut self, file: FileKey, end: u64) {
        if file == self.file_key(SegmentFile::Index) {
            self.segment.index.offsets.written_to(end);
        } else if file == self.file_key(SegmentFile::TimeIndex) {
            self.segment.index.times.written_to(end);
        }
    }
}
