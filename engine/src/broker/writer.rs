//! The writer: copies durable batches from memory into their segments, behind the acknowledgement.
//!
//! Several lanes write several partitions at a time, each partition in one lane. Only full blocks
//! are written while a segment grows; what does not fill a block is the partition's open block. A
//! block that a checkpoint counts on is therefore never rewritten: the checkpoint holds the open
//! block itself, and the journal what came after.

use std::rc::Rc;

use futures_util::future::{join, join_all, join4};
use smallvec::SmallVec;

use super::handles::{FileKey, Handle};
use super::segment::{Lane, SegmentTrouble, SegmentWriter, Step};
use super::shard::Shard;
use super::space::{Purpose, SpaceLevel};
use super::transfer::write_chunks;
use crate::base::{Bug, Offset, Site, buggify, planted};
use crate::io::{BLOCK, Disk, DiskError, DiskOp, DiskResult, FileName, IO_BYTES_MAX, Slice};
use crate::log::names::SegmentFile;
use crate::log::segments::Place;

/// Partitions written at the same time. More of them queue up before the journal on the device: with
/// 8 the tail of the acknowledgements doubles, with fewer than 3 small segments fall behind.
const LANES: usize = 3;

/// Partitions written at the same time while the segments lag behind: the memory of a load that is
/// spread over many partitions comes back in small writes, and three of those do not fill the device.
const LANES_BEHIND: usize = 8;

/// Buffers in flight for one partition.
const BUFFERS_IN_FLIGHT: usize = 4;

impl<D: Disk> Shard<D> {
    /// Writes segments, takes checkpoints, scrubs and frees what was deleted until [`Shard::close`]. Spawn it once.
    pub async fn run_writer(&self) {
        let lanes = join_all((0..LANES_BEHIND).map(|number| self.run_lane(number >= LANES)));
        let checkpoints = join(self.run_checkpoints(), self.run_preparer());
        let upkeep = join(self.run_scrub(), self.run_graves());
        join4(lanes, checkpoints, self.run_read_ahead(), upkeep).await;
    }

    /// One lane; a `helper` works only while the segments lag behind.
    async fn run_lane(&self, helper: bool) {
        let mut lane = Lane::new();
        loop {
            let wait = self.inner.written.wait();
            let slot = {
                let mut state = self.inner.state.borrow_mut();
                let rests = helper && !state.above_write_behind(&self.inner.disk);
                if rests { None } else { state.next_write(&self.inner.disk) }
            };
            let Some(slot) = slot else {
                if self.inner.closing.get() {
                    return;
                }
                wait.await;
                continue;
            };
            self.write_slot(slot, &mut lane).await;
        }
    }

    /// Writes all that is unwritten, without jobs: what recovery does between its reads.
    ///
    /// # Errors
    /// The first partition's that could not be written: the journal must stay.
    pub(super) async fn write_everything(&self) -> DiskResult<()> {
        self.inner.state.borrow_mut().force_below = u64::MAX;
        join_all((0..LANES_BEHIND).map(|_| async {
            let mut lane = Lane::new();
            loop {
                let slot = self.inner.state.borrow_mut().next_write(&self.inner.disk);
                let Some(slot) = slot else { return };
                self.write_slot(slot, &mut lane).await;
            }
        }))
        .await;
        let mut state = self.inner.state.borrow_mut();
        state.force_below = 0;
        while state.evict(usize::MAX / 2, &self.inner.disk) {}
        for partition in state.partitions.iter_mut().flatten() {
            partition.tail.evict(u64::MAX);
        }
        match state.segment_error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn write_slot(&self, slot: u32, lane: &mut Lane<D::Chunk>) {
        let written = self.write_partition(slot, lane).await;
        if let Err(error) = &written {
            self.is_out_of_space(error);
            self.segment_failed(slot, error, SegmentTrouble::Write);
        }
        let mut state = self.inner.state.borrow_mut();
        if let Some(partition) = state.partition(slot).filter(|_| written.is_ok())
            && std::mem::take(&mut partition.offline)
        {
            tracing::warn!(partition = %partition.key, "its segment was written: it takes appends again");
        }
        state.release(slot);
        drop(state);
        self.inner.room.notify();
        self.inner.files.notify();
    }

    /// A file of a partition failed: it takes no appends until it was written. After a failed flush nothing
    /// is known of what was written since the last good one: that is written once more, too.
    pub(super) fn segment_failed(&self, slot: u32, error: &DiskError, trouble: SegmentTrouble) {
        let mut state = self.inner.state.borrow_mut();
        state.note_unanswered(error);
        state.stats.segment_errors += 1;
        state.segment_error = Some(error.clone());
        let Some(partition) = state.partition(slot) else { return };
        if !partition.offline {
            tracing::error!(partition = %partition.key, %error, "segment failed: no appends until a try succeeds");
        }
        partition.offline = true;
        if trouble == SegmentTrouble::Flush {
            partition.suspect();
        }
        partition.signal.notify();
    }

    /// Waits until no lane has the partition and takes it. False if it is gone.
    pub(super) async fn hold(&self, slot: u32) -> bool {
        loop {
            let wait = self.inner.files.wait();
            {
                let mut state = self.inner.state.borrow_mut();
                let Some(partition) = state.partition(slot) else { return false };
                if !std::mem::replace(&mut partition.writing, true) {
                    return true;
                }
            }
            wait.await;
        }
    }

    /// Gives back a partition that was held, to the lanes and to whoever waits for it.
    pub(super) fn let_go(&self, slot: u32) {
        self.inner.state.borrow_mut().release(slot);
        self.inner.files.notify();
        self.inner.written.notify();
    }

    /// Writes one partition until what is left is neither ripe nor asked for.
    async fn write_partition(&self, slot: u32, lane: &mut Lane<D::Chunk>) -> DiskResult<()> {
        self.rewrite_suspect(slot).await?;
        loop {
            let step = {
                let mut state = self.inner.state.borrow_mut();
                let ahead = state.space.level() == SpaceLevel::Plenty;
                let Some(partition) = state.partition(slot) else { return Ok(()) };
                partition.next_step(lane, ahead)
            };
            match step {
                Step::Rest => return Ok(()),
                Step::Open => drop(self.open_active(slot).await?),
                Step::Keep => {
                    lane.keep_all();
                    self.take_written(slot, lane, None).await?;
                    if !self.inner.state.borrow().wants_more(slot) {
                        return Ok(());
                    }
                }
                Step::Name(dir) => self.name_segment(slot, &dir).await?,
                Step::Roll => self.roll_segment(slot).await?,
                Step::Write { file, at, allocate } => {
                    if let Some(bytes) = allocate {
                        self.allocate_ahead(slot, &file, bytes).await?;
                    }
                    self.write_blocks(&file, at, lane).await?;
                    self.take_written(slot, lane, Some(&file)).await?;
                    let state = self.inner.state.borrow();
                    if !state.wants_more(slot) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Gives a segment blocks ahead of what is written. Where there is no space for that, there may be for
    /// the bytes themselves: the reserve below the floor is not for blocks ahead.
    async fn allocate_ahead(&self, slot: u32, file: &D::File, bytes: u64) -> DiskResult<()> {
        {
            let mut guard = self.inner.state.borrow_mut();
            let state = &mut *guard;
            let Some(partition) = state.partitions[slot as usize].as_deref_mut() else { return Ok(()) };
            let more = bytes.saturating_sub(partition.segment.reserved);
            if !state.space.has(Purpose::Produce, more) || buggify(Site::NothingAhead) {
                partition.segment.allocated = partition.segment.reserved;
                return Ok(());
            }
            state.space.spend(more);
        }
        let allocated = self.inner.disk.allocate(file, bytes).await;
        if let Err(error) = &allocated
            && !self.is_out_of_space(error)
        {
            return allocated;
        }
        if let Some(partition) = self.inner.state.borrow_mut().partition(slot) {
            let segment = &mut partition.segment;
            match allocated {
                Ok(()) => segment.reserved = bytes,
                Err(_) => segment.allocated = segment.reserved,
            }
        }
        Ok(())
    }

    /// The active segment's file, opened if it is not open. `None` if the partition is gone.
    pub(super) async fn open_active(&self, slot: u32) -> DiskResult<Option<Handle<D>>> {
        let (key, opened, written) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(None) };
            let segment = &partition.segment;
            if let Some(file) = segment.file.upgrade() {
                return Ok(Some(file));
            }
            (partition.file_key(SegmentFile::Log), segment.opened, segment.aligned > 0)
        };
        if !opened {
            // No checkpoint names the segment before it has synced the names: see `finish_checkpoint`.
            self.inner.disk.add_dir(&FileName::partition_dir(key.partition)).await?;
        }
        if !opened && !written {
            self.reuse_segment(&key.name()).await?;
        }
        let file = self.file_to_write(key).await?;
        let bytes = if opened { 0 } else { self.inner.disk.len(&file).await? };
        let mut state = self.inner.state.borrow_mut();
        if !opened {
            state.names_changed |= !planted(Bug::ForgetNames);
        }
        if let Some(partition) = state.partition(slot)
            && partition.file_key(SegmentFile::Log) == key
        {
            let segment = &mut partition.segment;
            segment.file = Rc::downgrade(&file);
            if !segment.opened {
                segment.opened = true;
                segment.allocated = bytes;
                segment.reserved = bytes;
            }
        }
        Ok(Some(file))
    }

    /// Makes the names of the open segment durable, so that extents may name it.
    async fn name_segment(&self, slot: u32, dir: &FileName) -> DiskResult<()> {
        self.inner.disk.make_dir(dir).await?;
        self.inner.disk.sync_dir(dir).await?;
        if let Some(partition) = self.inner.state.borrow_mut().partition(slot) {
            partition.segment.named = true;
        }
        Ok(())
    }

    /// Gives a new segment a file from the free pool, if there is one and it has none yet.
    async fn reuse_segment(&self, name: &FileName) -> DiskResult<()> {
        if buggify(Site::FreePoolEmpty) {
            return Ok(());
        }
        let Some(free) = self.inner.state.borrow_mut().free_segments.pop() else { return Ok(()) };
        let dir = name.parent().expect("a segment lies in its partition's directory");
        if self.inner.disk.list(&dir).await?.iter().any(|e| e.name == *name) {
            self.inner.state.borrow_mut().free_segments.push(free);
            return Ok(());
        }
        self.inner.disk.rename(&free, name).await
    }

    /// Writes the open block and the gathered batches in full blocks; what is left, or follows the
    /// blocks that an extent has placed, becomes the lane's open block.
    async fn write_blocks(&self, file: &D::File, mut at: u64, lane: &mut Lane<D::Chunk>) -> DiskResult<()> {
        let total = lane.open.len() + lane.slices.iter().map(|s| s.len()).sum::<usize>();
        let mut blocks = total / BLOCK * BLOCK;
        assert!(lane.placed == 0 || blocks == total, "an extent's blocks begin where these end");
        let mut source = Source { open: &lane.open, slices: &lane.slices, index: 0, offset: 0 };
        while blocks > 0 {
            let mut chunks: SmallVec<[D::Chunk; BUFFERS_IN_FLIGHT]> = SmallVec::new();
            while blocks > 0 && chunks.len() < BUFFERS_IN_FLIGHT {
                let bytes = blocks.min(IO_BYTES_MAX);
                // Only a lane that holds nothing waits for memory: lanes that wait for each
                // other's would wait for ever.
                let taken = if chunks.is_empty() {
                    Some(self.take_io(bytes).await)
                } else {
                    self.inner.disk.take(bytes)
                };
                let Some(mut buffer) = taken else { break };
                source.fill(&mut buffer[..bytes]);
                chunks.push(self.inner.disk.seal(buffer, bytes));
                blocks -= bytes;
            }
            at = write_chunks(&self.inner.disk, file, at, &chunks).await?;
            drop(chunks);
            self.inner.room.notify();
        }
        lane.rest.clear();
        lane.rest.resize(total % BLOCK, 0);
        source.fill(&mut lane.rest);
        lane.last.iter().for_each(|slice| lane.rest.extend_from_slice(slice));
        std::mem::swap(&mut lane.open, &mut lane.rest);
        Ok(())
    }

    /// The gathered batches are in the segment or in the open block: the partition learns it, and
    /// full blocks of its indexes go to their files.
    async fn take_written(
        &self,
        slot: u32,
        lane: &mut Lane<D::Chunk>,
        file: Option<&Handle<D>>,
    ) -> DiskResult<()> {
        let blocks = {
            let mut guard = self.inner.state.borrow_mut();
            let state = &mut *guard;
            let Some(partition) = state.partitions[slot as usize].as_deref_mut() else { return Ok(()) };
            let bytes = partition.take_written(lane, self.inner.now.get());
            state.tails.mark_written(bytes);
            state.stats.segment_bytes += bytes as u64;
            if let Some(file) = file
                && !planted(Bug::CheckpointBeforeData)
            {
                state.handles.wrote(partition.file_key(SegmentFile::Log), file);
            }
            partition.full_index_blocks()
        };
        lane.slices.clear();
        lane.last.clear();
        for (key, at, bytes) in blocks {
            self.write_index(key, at, &bytes).await?;
            if let Some(partition) = self.inner.state.borrow_mut().partition(slot) {
                partition.index_written(key, at + bytes.len() as u64);
            }
        }
        Ok(())
    }

    /// Writes whole blocks of an index file, which the next checkpoint makes durable.
    async fn write_index(&self, key: FileKey, at: u64, bytes: &[u8]) -> DiskResult<Handle<D>> {
        let file = self.file_to_write(key).await?;
        // The first block of an index is the one that creates its file.
        self.inner.state.borrow_mut().names_changed |= at == 0;
        self.write_padded(&file, at, bytes).await?;
        self.inner.state.borrow_mut().handles.wrote(key, &file);
        Ok(file)
    }

    /// Writes bytes from a block position on, zeros up to the next block behind them.
    pub(super) async fn write_padded(&self, file: &D::File, at: u64, bytes: &[u8]) -> DiskResult<()> {
        let mut at = at;
        for part in bytes.chunks(IO_BYTES_MAX) {
            let padded = part.len().next_multiple_of(BLOCK);
            let mut buffer = self.take_io(padded).await;
            buffer[..part.len()].copy_from_slice(part);
            buffer[part.len()..padded].fill(0);
            let chunk = self.inner.disk.seal(buffer, padded);
            self.inner.disk.write(file, at, chunk).await?;
            at += padded as u64;
        }
        Ok(())
    }

    /// Closes the active segment: its last block is written, its files are cut to their length and
    /// made durable, and the producers as of here go to its successor's `.snapshot`.
    async fn roll_segment(&self, slot: u32) -> DiskResult<()> {
        self.finish_segment(slot).await?;
        let next = {
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(()) };
            let next = partition.tail.unwritten().next().expect("a roll has a batch behind it").segment;
            // Both ends roll together: a checkpoint may be captured before the next batch is written.
            partition.written.roll(self.inner.now.get());
            assert!(partition.written.end_place() == Place { segment: next, position: 0 });
            partition.segment = SegmentWriter::new(next);
            state.stats.segments_rolled += 1;
            next
        };
        self.write_snapshot(slot, next).await
    }

    /// Writes the producers as of `offset` to `<offset>.snapshot`, if there are any.
    pub(super) async fn write_snapshot(&self, slot: u32, offset: Offset) -> DiskResult<()> {
        let (dir, snapshot) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(()) };
            (FileName::partition_dir(partition.key), partition.producers.snapshot_below(offset))
        };
        if snapshot.is_empty() {
            return Ok(());
        }
        self.inner.disk.make_dir(&dir).await?;
        let name = dir.join(SegmentFile::Snapshot.name(offset));
        self.inner.disk.replace(&name, snapshot.encode_snapshot()).await
    }

    /// Brings the files of the active segment to their exact length, durably. The open block stays
    /// in memory too: until the segment is left, nothing on disk is trusted for it.
    ///
    /// Whoever calls it holds the partition. After a flush that fails, what it should have made durable may be
    /// gone though a second one succeeds: the next try writes it again first. That may be a checkpoint's flush,
    /// too, so none that covers this segment is under way any more when it is left.
    pub(super) async fn finish_segment(&self, slot: u32) -> DiskResult<()> {
        if self.inner.state.borrow_mut().partition(slot).is_none_or(|p| p.segment.size() == 0) {
            return Ok(());
        }
        self.rewrite_suspect(slot).await?;
        // After a recovery its file is not open yet, and its last block stands in memory only.
        let Some(file) = self.open_active(slot).await? else { return Ok(()) };
        let (log, at, open, size, doubts) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(()) };
            partition.segment.index.finish();
            let segment = &partition.segment;
            let log = partition.file_key(SegmentFile::Log);
            (log, segment.aligned, segment.open.clone(), segment.size(), partition.doubts)
        };
        let disk = &self.inner.disk;
        if !open.is_empty() {
            self.write_padded(&file, at, &open).await?;
        }
        disk.truncate(&file, size).await?;
        if !planted(Bug::RollWithoutFlush) {
            self.flush_segment(slot, &file).await?;
        }
        drop(file);
        self.until_no_checkpoint_flushes(log).await;
        let ends = {
            let mut state = self.inner.state.borrow_mut();
            if state.partition(slot).is_some_and(|p| p.doubts != doubts) {
                return Err(DiskError::found(DiskOp::Flush, log.name()));
            }
            state.handles.flushed(log);
            let Some(partition) = state.partition(slot) else { return Ok(()) };
            (partition.segment.allocated, partition.segment.reserved) = (size, 0);
            partition.segment.flushed = partition.segment.aligned;
            partition.index_ends()
        };
        for (key, at, bytes) in ends {
            let file = self.write_index(key, at, &bytes).await?;
            disk.truncate(&file, at + bytes.len() as u64).await?;
            // It counts as unflushed until here: a checkpoint may count on it meanwhile.
            self.flush_segment(slot, &file).await?;
            self.inner.state.borrow_mut().handles.flushed(key);
        }
        if let Some(partition) = self.inner.state.borrow_mut().partition(slot) {
            partition.segment.sealed = true;
        }
        Ok(())
    }

    /// Waits until no checkpoint's flush of a file is under way: it may be told of a failure that ours was not.
    async fn until_no_checkpoint_flushes(&self, file: FileKey) {
        loop {
            let wait = self.inner.files.wait();
            if !self.inner.state.borrow().flushing_files.contains(&file) {
                return;
            }
            wait.await;
        }
    }

    async fn flush_segment(&self, slot: u32, file: &D::File) -> DiskResult<()> {
        let flushed = self.inner.disk.flush(file).await;
        if let Err(error) = &flushed {
            self.segment_failed(slot, error, SegmentTrouble::Flush);
        }
        flushed
    }
}

/// The bytes of the open block and then of the gathered slices, in order.
struct Source<'a, C> {
    open: &'a [u8],
    slices: &'a [Slice<C>],
    index: usize,
    offset: usize,
}

impl<C: std::ops::Deref<Target = [u8]>> Source<'_, C> {
    fn fill(&mut self, mut out: &mut [u8]) {
        let n = out.len().min(self.open.len());
        out[..n].copy_from_slice(&self.open[..n]);
        self.open = &self.open[n..];
        out = &mut out[n..];
        while !out.is_empty() {
            let slice = &self.slices[self.index][self.offset..];
            let n = out.len().min(slice.len());
            out[..n].copy_from_slice(&slice[..n]);
            out = &mut out[n..];
            self.offset += n;
            if n == slice.len() {
                self.index += 1;
                self.offset = 0;
            }
        }
    }
}
