//! What is in memory of a partition's newest records, and when it may go.

use std::collections::VecDeque;
use std::ops::Deref;

use smallvec::SmallVec;

use crate::base::Offset;
use crate::io::Slice;
use crate::journal::Shape;
use crate::record::{BatchHeader, HEADER_BYTES};

/// One durable batch in memory.
pub(super) struct TailBatch<C> {
    pub(super) base_offset: Offset,
    pub(super) last_offset: Offset,
    pub(super) max_timestamp: i64,
    /// Base offset of its segment.
    pub(super) segment: Offset,
    /// Position in the segment.
    pub(super) position: u32,
    pub(super) bytes: u32,
    /// The journal frame it came in.
    pub(super) sequence: u64,
    pub(super) slices: SmallVec<[Slice<C>; 2]>,
    pub(super) held: Held,
}

/// What the slices of a batch are, and how much of it is in its segment before the writer comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Held {
    /// The whole batch; nothing of it is in the segment.
    Whole,
    /// The whole batch; its whole blocks are in the segment.
    Extent,
    /// Header, head and tail, as the entry of an extent has them: its whole blocks are in the
    /// segment, and recovery has no use for them.
    Ends,
}

/// What the writer puts into the segment for a batch.
pub(super) struct Unplaced<C> {
    /// The whole batch, or its bytes up to the blocks that are there.
    pub(super) first: SmallVec<[Slice<C>; 2]>,
    /// Bytes of whole blocks that are there; 0 if the batch has none.
    pub(super) placed: usize,
    /// The bytes behind them.
    pub(super) last: SmallVec<[Slice<C>; 2]>,
}

impl<C: Clone + Deref<Target = [u8]>> TailBatch<C> {
    pub(super) fn header(&self) -> BatchHeader {
        let mut bytes = [0; HEADER_BYTES];
        let mut at = 0;
        for slice in &part_of(&self.slices, 0, HEADER_BYTES) {
            bytes[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        *BatchHeader::peek(&bytes).expect("61 bytes are a header")
    }

    pub(super) fn unplaced(&self) -> Unplaced<C> {
        let shape = Shape::of(u64::from(self.position), self.bytes as usize);
        let (head_at, tail_at) = match self.held {
            Held::Whole => {
                return Unplaced { first: self.slices.clone(), placed: 0, last: SmallVec::new() };
            }
            Held::Extent => (0, shape.head + shape.middle),
            Held::Ends => (HEADER_BYTES, HEADER_BYTES + shape.head),
        };
        Unplaced {
            first: part_of(&self.slices, head_at, shape.head),
            placed: shape.middle,
            last: part_of(&self.slices, tail_at, shape.tail),
        }
    }
}

/// The part `start..start + bytes` of what lies in consecutive slices.
fn part_of<C>(slices: &[Slice<C>], mut start: usize, mut bytes: usize) -> SmallVec<[Slice<C>; 2]>
where
    C: Clone + Deref<Target = [u8]>,
{
    let mut part = SmallVec::new();
    for slice in slices {
        if bytes == 0 {
            break;
        }
        if start >= slice.len() {
            start -= slice.len();
            continue;
        }
        let n = bytes.min(slice.len() - start);
        part.push(slice.slice(start, n));
        bytes -= n;
        start = 0;
    }
    assert!(bytes == 0, "the slices hold the part");
    part
}

/// The newest batches of one partition, in offset order: first those already in the segment (kept
/// as cache), then those that are not (kept because nothing else can serve them).
pub(super) struct Tail<C> {
    batches: VecDeque<TailBatch<C>>,
    written: usize,
    unwritten_bytes: usize,
}

impl<C: Clone + Deref<Target = [u8]>> Tail<C> {
    pub(super) fn new() -> Self {
        Tail { batches: VecDeque::new(), written: 0, unwritten_bytes: 0 }
    }

    pub(super) fn push(&mut self, batch: TailBatch<C>) {
        if let Some(last) = self.batches.back() {
            assert!(last.last_offset < batch.base_offset, "offsets rise");
        }
        self.unwritten_bytes += batch.bytes as usize;
        self.batches.push_back(batch);
    }

    pub(super) fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    /// The batches that are in no segment yet.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = &TailBatch<C>> {
        self.batches.range(self.written..)
    }

    /// The frame of the oldest batch that is in no segment yet.
    pub(super) fn oldest_unwritten(&self) -> Option<u64> {
        self.batches.get(self.written).map(|b| b.sequence)
    }

    /// The next `n` batches have reached the segment (or the open block). Returns their bytes.
    pub(super) fn mark_written(&mut self, n: usize) -> usize {
        let end = self.written + n;
        let bytes = self.batches.range(self.written..end).map(|b| b.bytes as usize).sum();
        self.written = end;
        self.unwritten_bytes -= bytes;
        bytes
    }

    /// Drops cached batches of frames up to `sequence`. Returns false if one of them is unwritten.
    pub(super) fn evict(&mut self, sequence: u64) -> bool {
        while let Some(front) = self.batches.front() {
            if front.sequence > sequence {
                return true;
            }
            if self.written == 0 {
                return false;
            }
            self.batches.pop_front();
            self.written -= 1;
        }
        true
    }

    /// Drops cached batches below `end`: their segment holds less than they do.
    pub(super) fn forget_below(&mut self, end: Offset) {
        while self.written > 0 && self.batches.front().is_some_and(|batch| batch.last_offset < end) {
            self.batches.pop_front();
            self.written -= 1;
        }
    }

    /// First offset in memory.
    pub(super) fn first_offset(&self) -> Option<Offset> {
        self.batches.front().map(|b| b.base_offset)
    }

    /// The batches from the one that holds `offset` on; none if it lies before the first.
    pub(super) fn from(&self, offset: Offset) -> impl Iterator<Item = &TailBatch<C>> {
        let held = self.first_offset().is_some_and(|first| first <= offset);
        let start =
            if held { self.batches.partition_point(|b| b.last_offset < offset) } else { self.batches.len() };
        self.batches.range(start..)
    }

    /// All batches in memory.
    pub(super) fn iter(&self) -> impl Iterator<Item = &TailBatch<C>> {
        self.batches.iter()
    }
}

/// The frames whose batches are in memory, oldest first, over all partitions of a shard.
#[derive(Default)]
pub(super) struct Tails {
    frames: VecDeque<FrameTail>,
    spare: Vec<Vec<u32>>,
    unwritten: usize,
}

/// One frame's partitions.
pub(super) struct FrameTail {
    pub(super) sequence: u64,
    pub(super) slots: Vec<u32>,
}

impl Tails {
    /// A list to fill with the slots of the next frame.
    pub(super) fn spare(&mut self) -> Vec<u32> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn push(&mut self, sequence: u64, slots: Vec<u32>, bytes: usize) {
        self.unwritten += bytes;
        self.frames.push_back(FrameTail { sequence, slots });
    }

    /// Bytes that are in no segment yet.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten
    }

    pub(super) fn mark_written(&mut self, bytes: usize) {
        self.unwritten -= bytes;
    }

    /// A deleted partition's unwritten bytes will never be written.
    pub(super) fn forget(&mut self, bytes: usize) {
        self.unwritten -= bytes;
    }

    pub(super) fn take_oldest(&mut self) -> Option<FrameTail> {
        self.frames.pop_front()
    }

    pub(super) fn put_back(&mut self, frame: FrameTail) {
        self.frames.push_front(frame);
    }

    pub(super) fn recycle(&mut self, mut slots: Vec<u32>) {
        slots.clear();
        self.spare.push(slots);
    }
}
