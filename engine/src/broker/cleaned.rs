//! What compaction reads and writes: batches of a segment a window at a time, and a segment's new files.

use super::shard::Shard;
use crate::base::{Offset, PartitionKey, WallMs};
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

/// The part of a segment that is in memory: what was read and not yet passed.
pub(super) struct Window {
    bytes: Vec<u8>,
    start: usize,
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
        Window { bytes: Vec::new(), start: 0, read_to: 0, end, least: base, below, epochs }
    }

    /// What to read next: position and length, whole blocks. `None` when all is read.
    pub(super) fn wanted(&self) -> Option<(u64, usize)> {
        let left = self.end.checked_sub(self.read_to).filter(|left| *left > 0)?;
        Some((self.read_to, left.next_multiple_of(BLOCK as u64).min(WINDOW_BYTES as u64) as usize))
    }

    /// Takes over what was read.
    ///
    /// # Errors
    /// Fewer bytes came than the segment has.
    pub(super) fn fill(&mut self, asked: (u64, usize), read: &[u8]) -> Result<(), Damaged> {
        let (at, len) = asked;
        let wanted = len.min((self.end - at) as usize);
        let read = read.get(..wanted).ok_or(Damaged { position: at + read.len() as u64 })?;
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(read);
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
        let due = Expectation { next: self.least, inside: false, gaps: true, epochs: &self.epochs };
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
        let (pending, index) = (Vec::new(), IndexTail::new(base));
        Ok(CleanedSegment { dir, base, file, written: 0, pending, counted: 0, index, interval })
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
        let rest = self.pending.split_off(blocks);
        let taken = std::mem::replace(&mut self.pending, rest);
        self.counted -= blocks.min(self.counted);
        let at = self.written;
        self.written += blocks as u64;
        (at, taken)
    }
}

impl<D: Disk> Shard<D> {
    /// Reads whole blocks of a segment into memory of their own: no buffer of the pool is held while
    /// somebody waits for another.
    pub(super) async fn read_window(
        &self,
        file: &D::File,
        wanted: Option<(u64, usize)>,
    ) -> DiskResult<Vec<u8>> {
        let Some((at, len)) = wanted else { return Ok(Vec::new()) };
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            let part = (len - out.len()).min(IO_BYTES_MAX);
            self.inner.state.borrow_mut().make_read_room(&self.inner.disk);
            let chunk = self.inner.disk.read(file, at + out.len() as u64, part).await?;
            out.extend_from_slice(&chunk);
            if chunk.len() < part {
                break;
            }
        }
        Ok(out)
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
        disk.flush(&cleaned.file).await?;
        cleaned.index.finish();
        self.write_cleaned_index(&cleaned, SegmentFile::Index, &cleaned.index.offsets).await?;
        self.write_cleaned_index(&cleaned, SegmentFile::TimeIndex, &cleaned.index.times).await?;
        disk.sync_dir(&cleaned.dir).await?;
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
