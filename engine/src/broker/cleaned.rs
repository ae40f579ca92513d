//! What compaction reads and writes: batches of a segment a window at a time, and a segment's new files.

use futures_util::future::join;

use super::shard::Shard;
use crate::base::{Bug, Offset, PartitionKey, WallMs, planted};
use crate::config::BATCH_BYTES_MAX;
use crate::io::{BLOCK, Disk, DiskResult, FileName, IO_BYTES_MAX, Open};
use crate::log::index::{Entry, FileTail};
use crate::log::intact::{self, Expectation};
use crate::log::names::SegmentFile;
use crate::log::scan::Damaged;
use crate::log::segments::Segment;
use crate::log::{IndexTail, LeaderEpochs};
use crate::record::{BatchHeader, MAGIC, crc_matches};

/// Bytes read at once: two buffers of the pool, for as long as the read takes.
const WINDOW_BYTES: usize = 2 * IO_BYTES_MAX;

/// Bytes left free in front of what is read: what is left of the window before goes there. A batch that is
/// longer costs a copy of what was read.
const HEADROOM: usize = 128 * 1024;

/// The part of a segment that is in memory: what was read and not yet passed.
#[derive(Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    start: usize,
    /// Memory of the window before, to be read into.
    spare: Vec<u8>,
    /// Where the next read begins.
    read_to: u64,
    end: u64,
    /// No batch begins below it.
    least: Offset,
    /// No batch ends above it.
    below: Offset,
    /// Under which leader each offset was written.
    epochs: LeaderEpochs,
}

impl Window {
    /// Over a segment of the offsets `base..below` that has `end` bytes.
    pub(super) fn new(base: Offset, end: u64, below: Offset, epochs: LeaderEpochs) -> Window {
        Window { end, least: base, below, epochs, ..Window::default() }
    }

    /// With the memory of a window that is passed.
    pub(super) fn with_memory_of(mut self, passed: Window) -> Window {
        (self.bytes, self.spare) = (passed.bytes, passed.spare);
        self.bytes.clear();
        self
    }

    /// Memory to read what is wanted into, with the room in front that [`Window::fill`] expects.
    pub(super) fn buffer(&mut self, wanted: Option<(u64, usize)>) -> Vec<u8> {
        let Some((_, len)) = wanted else { return Vec::new() };
        let mut buffer = std::mem::take(&mut self.spare);
        buffer.resize(HEADROOM + len, 0);
        buffer
    }

    /// What to read next: position and length, whole blocks. `None` when all is read.
    pub(super) fn wanted(&self) -> Option<(u64, usize)> {
        let left = self.end.checked_sub(self.read_to).filter(|left| *left > 0)?;
        Some((self.read_to, left.next_multiple_of(BLOCK as u64).min(WINDOW_BYTES as u64) as usize))
    }

    /// Takes over what was read into its [`Window::buffer`].
    ///
    /// # Errors
    /// Fewer bytes came than the segment has.
    pub(super) fn fill(&mut self, asked: (u64, usize), mut read: Vec<u8>) -> Result<(), Damaged> {
        let (at, len) = asked;
        let wanted = len.min((self.end - at) as usize);
        let came = read.len().saturating_sub(HEADROOM);
        if came < wanted {
            return Err(Damaged { position: at + came as u64 });
        }
        read.truncate(HEADROOM + wanted);
        let left = self.bytes.len() - self.start;
        if left <= HEADROOM {
            read[HEADROOM - left..HEADROOM].copy_from_slice(&self.bytes[self.start..]);
            self.spare = std::mem::replace(&mut self.bytes, read);
            self.start = HEADROOM - left;
        } else {
            self.bytes.drain(..self.start);
            self.start = 0;
            self.bytes.extend_from_slice(&read[HEADROOM..]);
            self.spare = read;
        }
        self.read_to = at + wanted as u64;
        Ok(())
    }

    /// Whether everything was read and passed.
    pub(super) fn is_done(&self) -> bool {
        self.read_to == self.end && self.start == self.bytes.len()
    }

    /// The next whole batch, which holds as far as the log can tell. `None` if more must be read first.
    ///
    /// # Errors
    /// What lies here is no batch.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Damaged> {
        let rest = &self.bytes[self.start..];
        let last = self.read_to == self.end;
        let damaged = Damaged { position: self.read_to - rest.len() as u64 };
        let Some(header) = BatchHeader::peek(rest) else {
            return if last && !rest.is_empty() { Err(damaged) } else { Ok(None) };
        };
        let bytes = header.total_bytes().filter(|n| *n <= BATCH_BYTES_MAX as usize).ok_or(damaged)?;
        // Offsets may be missing, as an earlier round may have been here.
        let due = Expectation { next: self.least, gaps: true, epochs: &self.epochs };
        let sound = header.magic() == MAGIC
            && header.last_offset_delta() >= 0
            && header.next_offset() > header.base_offset()
            && header.next_offset() <= self.below
            && intact::header_flaw(header, due).is_none();
        if !sound {
            return Err(damaged);
        }
        let Some(batch) = rest.get(..bytes) else { return if last { Err(damaged) } else { Ok(None) } };
        if !crc_matches(batch) {
            return Err(damaged);
        }
        self.least = header.next_offset();
        self.start += bytes;
        Ok(Some(&self.bytes[self.start - bytes..self.start]))
    }
}

/// The files of a segment that compaction writes, under names of their own.
pub(super) struct CleanedSegment<D: Disk> {
    dir: FileName,
    base: Offset,
    pub(super) file: D::File,
    /// Bytes that are in the file, or on their way: whole blocks.
    written: u64,
    /// What follows them. Survivors are appended here.
    pub(super) pending: Vec<u8>,
    /// Memory of what was pending before.
    spare: Vec<u8>,
    /// Where in `pending` the first batch begins that the indexes have not counted.
    counted: usize,
    index: IndexTail,
    interval: u32,
}

/// The new segment would be larger than one may be.
pub(super) struct TooLarge;

impl<D: Disk> CleanedSegment<D> {
    /// Creates the `.log`.
    pub(super) async fn create(
        disk: &D,
        key: PartitionKey,
        base: Offset,
        interval: u32,
    ) -> DiskResult<CleanedSegment<D>> {
        let dir = FileName::partition_dir(key);
        let name = dir.join(SegmentFile::Log.cleaned_name(base));
        disk.remove(&name).await?;
        let file = disk.open(&name, Open::OrCreate).await?;
        let index = IndexTail::new(base);
        let (pending, spare) = (Vec::new(), Vec::new());
        Ok(CleanedSegment { dir, base, file, written: 0, pending, spare, counted: 0, index, interval })
    }

    /// Counts the batches that were appended to `pending`.
    pub(super) fn count(&mut self) -> Result<(), TooLarge> {
        while let Some(header) = BatchHeader::peek(&self.pending[self.counted..]) {
            let position = self.written + self.counted as u64;
            let bytes = header.total_bytes().expect("a batch that was just written");
            let end = position + bytes as u64;
            if end > i32::MAX as u64 {
                return Err(TooLarge);
            }
            self.index.on_batch(header, position as u32, self.interval);
            self.counted += bytes;
        }
        Ok(())
    }

    /// Takes the whole blocks of what is pending, to be written at the position that comes with them.
    pub(super) fn take_blocks(&mut self) -> (u64, Vec<u8>) {
        let blocks = self.pending.len() / BLOCK * BLOCK;
        let mut rest = std::mem::take(&mut self.spare);
        rest.extend_from_slice(&self.pending[blocks..]);
        let mut taken = std::mem::replace(&mut self.pending, rest);
        taken.truncate(blocks);
        self.counted -= blocks.min(self.counted);
        let at = self.written;
        self.written += blocks as u64;
        (at, taken)
    }

    /// Takes the memory of blocks back once they are written.
    pub(super) fn give_back(&mut self, mut blocks: Vec<u8>) {
        blocks.clear();
        self.spare = blocks;
    }
}

impl<D: Disk> Shard<D> {
    /// Reads whole blocks of a segment into a [`Window::buffer`], which is cut to what came. The memory is not the
    /// pool's: no buffer of that is held while somebody waits for another.
    pub(super) async fn read_window(
        &self,
        file: &D::File,
        wanted: Option<(u64, usize)>,
        mut into: Vec<u8>,
    ) -> DiskResult<Vec<u8>> {
        let Some((at, len)) = wanted else { return Ok(into) };
        let (first, second) = into[HEADROOM..].split_at_mut(len.min(IO_BYTES_MAX));
        let (whole, behind) = (first.len(), at + first.len() as u64);
        let (came, more) =
            join(self.read_transfer(file, at, first), self.read_transfer(file, behind, second)).await;
        let (came, more) = (came?, more?);
        into.truncate(HEADROOM + if came < whole { came } else { came + more });
        Ok(into)
    }

    /// Reads one transfer. Gives how much came.
    async fn read_transfer(&self, file: &D::File, at: u64, into: &mut [u8]) -> DiskResult<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        self.inner.state.borrow_mut().make_read_room(&self.inner.disk);
        let chunk = self.inner.disk.read(file, at, into.len()).await?;
        into[..chunk.len()].copy_from_slice(&chunk);
        Ok(chunk.len())
    }

    /// Writes what is left of a segment and its indexes, and makes all of it durable, names included.
    pub(super) async fn finish_cleaned(
        &self,
        mut cleaned: CleanedSegment<D>,
        last_append: WallMs,
    ) -> DiskResult<Segment> {
        let disk = &self.inner.disk;
        let bytes = cleaned.written + cleaned.pending.len() as u64;
        self.write_padded(&cleaned.file, cleaned.written, &cleaned.pending).await?;
        disk.truncate(&cleaned.file, bytes).await?;
        if !planted(Bug::SwapWithoutFlush) {
            disk.flush(&cleaned.file).await?;
        }
        cleaned.index.finish();
        self.write_cleaned_index(&cleaned, SegmentFile::Index, &cleaned.index.offsets).await?;
        self.write_cleaned_index(&cleaned, SegmentFile::TimeIndex, &cleaned.index.times).await?;
        if !planted(Bug::SwapWithoutNames) {
            disk.sync_dir(&cleaned.dir).await?;
        }
        let (base, max) = (cleaned.base, cleaned.index.max_timestamp());
        Ok(Segment { base, bytes: bytes as u32, max, last_append })
    }

    async fn write_cleaned_index<E: Entry>(
        &self,
        cleaned: &CleanedSegment<D>,
        kind: SegmentFile,
        index: &FileTail<E>,
    ) -> DiskResult<()> {
        let name = cleaned.dir.join(kind.cleaned_name(cleaned.base));
        self.inner.disk.remove(&name).await?;
        let file = self.inner.disk.open(&name, Open::OrCreate).await?;
        let (at, bytes) = index.unwritten();
        self.write_padded(&file, at, bytes).await?;
        self.inner.disk.truncate(&file, index.len()).await?;
        self.inner.disk.flush(&file).await
    }
}
