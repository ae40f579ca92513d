//! Fills one frame while the previous one is on its way to the disk.

use std::ops::DerefMut;

use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::extent::{Extent, Shape};
use super::layout::{BatchPlace, ENTRY_BYTES, EntryHeader, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader};
use crate::base::Offset;
use crate::io::{BLOCK, IO_BYTES_MAX};
use crate::record::{BatchHeader, HEADER_BYTES};

/// The pool has no buffer for this append now: back-pressure, nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMemory;

/// What the shard must know of one batch of a frame when the frame is durable.
#[derive(Clone, Copy, Debug)]
pub struct FrameEntry {
    /// The partition's slot in its shard.
    pub slot: u32,
    /// First offset.
    pub base_offset: Offset,
    /// Last offset.
    pub last_offset: Offset,
    /// Largest timestamp, ms.
    pub max_timestamp: i64,
    /// Segment it belongs to.
    pub segment: Offset,
    /// Position there, in bytes.
    pub position: u64,
    /// Where the batch starts in the frame; of an extent, its head.
    pub start: u32,
    /// The batch's length in bytes; 0 for an entry without one.
    pub bytes: u32,
    /// Where its bytes are.
    pub stored: Stored,
}

/// Where the bytes of a batch are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// All of them in the frame.
    Frame,
    /// The whole blocks in this one of [`SealedFrame::extents`], head and tail in the frame.
    Extent(u32),
}

/// An open frame over buffers of at most [`IO_BYTES_MAX`] each. A batch may span buffers.
///
/// Calls: any number of `push_*`, then `seal`, which empties it for the next frame. Once its lists
/// have grown to the load, none of them allocates.
pub struct FrameBuilder<B> {
    buffers: SmallVec<[B; 8]>,
    /// Bytes of frame so far, header included; 0 while no buffer is held.
    bytes: usize,
    /// Bytes the buffers hold in all.
    capacity: usize,
    entries: Vec<FrameEntry>,
    entries_crc: u32,
    needs_flush: bool,
    extents: Vec<Extent<B>>,
    /// Bytes of all extents.
    extent_bytes: usize,
    /// Sizes of the last two frames: what both had, the next one probably has too.
    recent: [usize; 2],
}

/// A frame that will change no more.
pub struct SealedFrame<B> {
    /// Full buffers, then the last with the bytes of it to write (a multiple of a block).
    pub buffers: SmallVec<[(B, usize); 8]>,
    /// What it holds, in order.
    pub entries: Vec<FrameEntry>,
    /// Bytes on disk.
    pub disk_bytes: usize,
    /// Whether any entry must be flushed before it is acknowledged (false: only relaxed topics').
    pub needs_flush: bool,
    /// What is written to segments with it: the frame is durable only when this is too.
    pub extents: Vec<Extent<B>>,
}

impl<B: DerefMut<Target = [u8]>> Default for FrameBuilder<B> {
    fn default() -> Self {
        FrameBuilder::new()
    }
}

impl<B: DerefMut<Target = [u8]>> FrameBuilder<B> {
    /// An empty frame that holds no memory.
    #[must_use]
    pub fn new() -> Self {
        FrameBuilder {
            buffers: SmallVec::new(),
            bytes: 0,
            capacity: 0,
            entries: Vec::new(),
            entries_crc: 0,
            needs_flush: false,
            extents: Vec::new(),
            extent_bytes: 0,
            recent: [0; 2],
        }
    }

    /// Whether nothing was pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes so far, those of extents included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.extent_bytes
    }

    /// Bytes that the frame will take on disk if it is sealed now.
    #[must_use]
    pub fn disk_bytes(&self) -> usize {
        self.bytes.next_multiple_of(BLOCK)
    }

    /// Whether a batch of this length still fits a frame of at most `limit` bytes, extents included.
    /// An empty frame takes any batch up to the format's own bound.
    #[must_use]
    pub fn fits(&self, batch_bytes: usize, limit: usize) -> bool {
        let limit = if self.is_empty() { FRAME_BYTES_MAX } else { limit.min(FRAME_BYTES_MAX) };
        self.bytes.max(FRAME_HEADER_BYTES) + self.extent_bytes + ENTRY_BYTES + batch_bytes <= limit
    }

    /// Copies a batch in, stamping base offset and leader epoch on the way: the one copy between
    /// the socket and the journal. `take` gives buffers from the pool.
    ///
    /// # Errors
    /// [`NoMemory`] if `take` has none; the frame is unchanged.
    ///
    /// # Panics
    /// If the batch is shorter than its header or does not fit the frame.
    pub fn push_batch(
        &mut self,
        slot: u32,
        place: &BatchPlace,
        batch: &[u8],
        durable: bool,
        take: impl FnMut(usize) -> Option<B>,
    ) -> Result<(), NoMemory> {
        assert!(self.fits(batch.len(), FRAME_BYTES_MAX), "a batch of {} bytes", batch.len());
        self.reserve(ENTRY_BYTES + batch.len(), take)?;
        self.put_entry(&EntryHeader::batch(place, batch.len() as u32));
        let start = self.bytes as u32;
        let (head, header) = stamped(place, batch);
        self.put(&head);
        self.put(&batch[HEADER_BYTES..]);
        self.needs_flush |= durable;
        self.entries.push(FrameEntry::batch(slot, place, &header, start, batch.len(), Stored::Frame));
        Ok(())
    }

    /// As [`FrameBuilder::push_batch`] for a batch whose whole blocks go to its segment: they are
    /// copied into buffers of their own, its header and its ends into the frame. The frame is flushed.
    ///
    /// # Errors
    /// As `push_batch`.
    ///
    /// # Panics
    /// If the batch covers no whole block of its segment.
    pub fn push_extent(
        &mut self,
        slot: u32,
        place: &BatchPlace,
        batch: &[u8],
        mut take: impl FnMut(usize) -> Option<B>,
    ) -> Result<(), NoMemory> {
        assert!(self.fits(batch.len(), FRAME_BYTES_MAX), "a batch of {} bytes", batch.len());
        let shape = Shape::of(place.position, batch.len());
        assert!(
            shape.middle > 0,
            "a batch of {} bytes at {} has no whole block",
            batch.len(),
            place.position
        );
        let mut buffers: SmallVec<[(B, usize); 4]> = SmallVec::new();
        let mut left = shape.middle;
        while left > 0 {
            let bytes = left.min(IO_BYTES_MAX);
            buffers.push((take(bytes).ok_or(NoMemory)?, bytes));
            left -= bytes;
        }
        self.reserve(ENTRY_BYTES + shape.payload_bytes(), take)?;

        let (head, header) = stamped(place, batch);
        let mut at = shape.head;
        for (buffer, bytes) in &mut buffers {
            copy_stamped(&head, batch, at, &mut buffer[..*bytes]);
            at += *bytes;
        }
        let mut ends: SmallVec<[u8; 2 * BLOCK]> = SmallVec::new();
        ends.resize(shape.head + shape.tail, 0);
        let (first, last) = ends.split_at_mut(shape.head);
        copy_stamped(&head, batch, 0, first);
        copy_stamped(&head, batch, at, last);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), &ends);
        self.put_entry(&EntryHeader::extent(place, shape.payload_bytes() as u32, crc));
        self.put(&head);
        let start = self.bytes as u32;
        self.put(&ends);

        self.needs_flush = true;
        self.extent_bytes += shape.middle;
        let stored = Stored::Extent(self.extents.len() as u32);
        self.entries.push(FrameEntry::batch(slot, place, &header, start, batch.len(), stored));
        self.extents.push(Extent { slot, at: place.position + shape.head as u64, buffers });
        Ok(())
    }

    /// Adds the fact that a partition's log start rose to `place.base_offset`.
    ///
    /// # Errors
    /// As [`FrameBuilder::push_batch`].
    pub fn push_log_start(
        &mut self,
        slot: u32,
        place: &BatchPlace,
        take: impl FnMut(usize) -> Option<B>,
    ) -> Result<(), NoMemory> {
        self.reserve(ENTRY_BYTES, take)?;
        self.put_entry(&EntryHeader::log_start(place));
        self.needs_flush = true;
        self.entries.push(FrameEntry {
            slot,
            base_offset: place.base_offset,
            last_offset: place.last_offset,
            max_timestamp: -1,
            segment: place.segment,
            position: place.position,
            start: self.bytes as u32,
            bytes: 0,
            stored: Stored::Frame,
        });
        Ok(())
    }

    /// Closes the frame under its number and starts an empty one. `spare` becomes the next frame's
    /// list of entries, so that lists are reused.
    ///
    /// # Panics
    /// If nothing was pushed.
    pub fn seal(
        &mut self,
        incarnation: u64,
        sequence: u64,
        flush_mark: u64,
        spare: Vec<FrameEntry>,
    ) -> SealedFrame<B> {
        assert!(!self.is_empty(), "an empty frame is never written");
        assert!(flush_mark < sequence);
        let payload = (self.bytes - FRAME_HEADER_BYTES) as u32;
        let entries = self.entries.len() as u32;
        let header = FrameHeader::new(incarnation, sequence, flush_mark, payload, entries, self.entries_crc);
        self.buffers[0][..FRAME_HEADER_BYTES].copy_from_slice(header.as_bytes());

        let disk_bytes = self.bytes.next_multiple_of(BLOCK);
        let mut left = disk_bytes;
        let mut written = self.bytes;
        let mut buffers = SmallVec::new();
        for mut buffer in self.buffers.drain(..) {
            let take = buffer.len().min(left);
            if take == 0 {
                break;
            }
            let used = written.min(take);
            buffer[used..take].fill(0);
            left -= take;
            written -= used;
            buffers.push((buffer, take));
        }
        assert!(left == 0 && written == 0, "buffers hold the frame");

        let entries = std::mem::replace(&mut self.entries, spare);
        self.entries.clear();
        let needs_flush = std::mem::take(&mut self.needs_flush);
        let extents = std::mem::take(&mut self.extents);
        self.extent_bytes = 0;
        self.recent = [disk_bytes, self.recent[0]];
        self.bytes = 0;
        self.capacity = 0;
        self.entries_crc = 0;
        SealedFrame { buffers, entries, disk_bytes, needs_flush, extents }
    }

    /// Takes memory for `more` bytes: the first buffer as large as both frames before were, each
    /// further one at least twice the last. A lone small append pins one block, a busy frame is few
    /// buffers and few writes.
    fn reserve(&mut self, more: usize, mut take: impl FnMut(usize) -> Option<B>) -> Result<(), NoMemory> {
        let start = self.bytes.max(FRAME_HEADER_BYTES);
        // The tail of the last block is padded, so capacity in whole blocks is enough.
        let need = start + more;
        while self.capacity < need {
            let missing = (need - self.capacity).next_power_of_two();
            let usual = self.recent[0].min(self.recent[1]).next_power_of_two();
            let grow = self.buffers.last().map_or(usual, |last| last.len() * 2);
            let least = missing.clamp(BLOCK, IO_BYTES_MAX);
            let wanted = missing.max(grow).clamp(BLOCK, IO_BYTES_MAX);
            let buffer = take(wanted).or_else(|| take(least)).ok_or(NoMemory)?;
            assert!(buffer.len().is_multiple_of(BLOCK), "pool buffers are whole blocks");
            self.capacity += buffer.len();
            self.buffers.push(buffer);
        }
        self.bytes = start;
        Ok(())
    }

    fn put_entry(&mut self, header: &EntryHeader) {
        self.entries_crc = crc32c::crc32c_append(self.entries_crc, header.as_bytes());
        self.put(header.as_bytes());
    }

    fn put(&mut self, mut bytes: &[u8]) {
        let mut at = self.bytes;
        self.bytes += bytes.len();
        for buffer in &mut self.buffers {
            if at >= buffer.len() {
                at -= buffer.len();
                continue;
            }
            let n = bytes.len().min(buffer.len() - at);
            buffer[at..at + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if bytes.is_empty() {
                return;
            }
            at = 0;
        }
        assert!(bytes.is_empty(), "reserve made room");
    }
}

impl FrameEntry {
    fn batch(
        slot: u32,
        place: &BatchPlace,
        header: &BatchHeader,
        start: u32,
        bytes: usize,
        stored: Stored,
    ) -> FrameEntry {
        FrameEntry {
            slot,
            base_offset: place.base_offset,
            last_offset: place.last_offset,
            max_timestamp: header.max_timestamp(),
            segment: place.segment,
            position: place.position,
            start,
            bytes: bytes as u32,
            stored,
        }
    }
}

/// The batch's header with its place stamped into it, as bytes and as what they say.
fn stamped(place: &BatchPlace, batch: &[u8]) -> ([u8; HEADER_BYTES], BatchHeader) {
    let mut head = [0u8; HEADER_BYTES];
    head.copy_from_slice(&batch[..HEADER_BYTES]);
    let header = BatchHeader::peek_mut(&mut head).expect("61 bytes are a header");
    header.stamp(place.base_offset, place.leader_epoch);
    let header = *header;
    (head, header)
}

/// Fills `out` with the bytes of a batch from `at` on, as they are with the stamped header `head`.
fn copy_stamped(head: &[u8; HEADER_BYTES], batch: &[u8], at: usize, out: &mut [u8]) {
    out.copy_from_slice(&batch[at..at + out.len()]);
    if at < HEADER_BYTES {
        let n = out.len().min(HEADER_BYTES - at);
        out[..n].copy_from_slice(&head[at..at + n]);
    }
}
