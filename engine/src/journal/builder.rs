//! Fills one frame while the previous one is on its way to the disk.

use std::ops::DerefMut;

use smallvec::SmallVec;
use zerocopy::IntoBytes;

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
    /// Where the batch starts in the frame.
    pub start: u32,
    /// Its length in bytes; 0 for an entry without a batch.
    pub bytes: u32,
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
            recent: [0; 2],
        }
    }

    /// Whether nothing was pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that the frame will take on disk if it is sealed now.
    #[must_use]
    pub fn disk_bytes(&self) -> usize {
        self.bytes.next_multiple_of(BLOCK)
    }

    /// Whether a batch of this length still fits a frame of at most `limit` bytes. An empty frame
    /// takes any batch up to the format's own bound.
    #[must_use]
    pub fn fits(&self, batch_bytes: usize, limit: usize) -> bool {
        let limit = if self.is_empty() { FRAME_BYTES_MAX } else { limit.min(FRAME_BYTES_MAX) };
        self.bytes.max(FRAME_HEADER_BYTES) + ENTRY_BYTES + batch_bytes <= limit
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
        let mut head = [0u8; HEADER_BYTES];
        head.copy_from_slice(&batch[..HEADER_BYTES]);
        let header = BatchHeader::peek_mut(&mut head).expect("61 bytes are a header");
        header.stamp(place.base_offset, place.leader_epoch);
        let max_timestamp = header.max_timestamp();
        self.put(&head);
        self.put(&batch[HEADER_BYTES..]);
        self.needs_flush |= durable;
        self.entries.push(FrameEntry {
            slot,
            base_offset: place.base_offset,
            last_offset: place.last_offset,
            max_timestamp,
            segment: place.segment,
            position: place.position,
            start,
            bytes: batch.len() as u32,
        });
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
        self.recent = [disk_bytes, self.recent[0]];
        self.bytes = 0;
        self.capacity = 0;
        self.entries_crc = 0;
        SealedFrame { buffers, entries, disk_bytes, needs_flush }
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
