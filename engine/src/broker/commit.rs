//! Group commit: frames of the journal are written while earlier ones still are.
//!
//! Up to [`FRAMES_IN_FLIGHT`] frames are on their way to the disk at once: one is written while the
//! flush of another runs. A flush covers a frame only if all its writes had returned before it was
//! issued, so each frame has its own, and they are acknowledged strictly in the order of their
//! numbers: what is acknowledged is a durable prefix of the sequence, and no flush mark covers a
//! frame that is not acknowledged. What arrives meanwhile fills the next frame; under load frames
//! grow by themselves and a flush is shared by more appends.
//!
//! | the frame holds | it is acknowledged when all before it are, and |
//! |---|---|
//! | a batch of a durable topic | its own flush has returned |
//! | that, behind a relaxed frame without a flush | a flush issued after those acknowledgements has |
//! | only batches of relaxed topics | it is written |
//!
//! The blocks of a frame's extents are written to their segments and flushed at the same time, and it is
//! acknowledged only when they are durable too.
//!
//! All frames in flight lie in one journal file: the next file is begun when none is. When that file
//! fails they move to another (`journal_move`).

use futures_util::future::{join, join_all};
use smallvec::SmallVec;

use super::extent::Blocks;
use super::frame_times::FrameTimes;
use super::shard::{Shard, State};
use super::tail::{Held, TailBatch};
use super::transfer::write_chunks;
use crate::base::{Bug, Instant, Now, Site, buggify, planted};
use crate::io::{Disk, DiskResult, Slice};
use crate::journal::{FILE_HEADER_BYTES, FrameEntry, SealedFrame, Shape, Stored};

/// Frames on their way to the disk at once.
const FRAMES_IN_FLIGHT: usize = 2;

/// Frame lists kept for reuse.
const SPARE_LISTS: usize = 4;

/// Cached batches leave memory when less than this share of the pool is free.
const EVICT_BELOW_FREE: usize = 4;

/// How a frame is made durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Durability {
    /// Not before a later flush: it holds relaxed topics' batches only.
    Later,
    /// By a flush right after its own writes.
    Alone,
    /// By a flush that covers the relaxed frames before it too.
    WithEarlier,
}

/// A sealed frame and where it goes.
struct Placed<D: Disk> {
    sequence: u64,
    frame: SealedFrame<D::Buf>,
    durability: Durability,
    file: D::File,
    at: u64,
    sealed: Instant,
}

/// A frame on its way to the disk, with all that it takes to send it again.
pub(super) struct Flight<D: Disk> {
    pub(super) sequence: u64,
    pub(super) chunks: SmallVec<[D::Chunk; 8]>,
    pub(super) blocks: SmallVec<[Blocks<D>; 2]>,
    pub(super) entries: Vec<FrameEntry>,
    pub(super) sealed: Instant,
    /// Bytes on disk.
    pub(super) bytes: u64,
}

impl<D: Disk> Shard<D> {
    /// Writes and acknowledges frames until [`Shard::close`]. Spawn it once.
    pub async fn run_commits(&self) {
        join_all((0..FRAMES_IN_FLIGHT).map(|_| self.run_commit_lane())).await;
    }

    async fn run_commit_lane(&self) {
        loop {
            match self.next_frame().await {
                Ok(Some(placed)) => self.commit(placed).await,
                Ok(None) => return,
                Err(error) => {
                    self.break_journal(&error);
                    self.move_if_parked().await;
                }
            }
        }
    }

    /// Waits for its turn, then for work, and seals the open frame. `None` when there will be none.
    async fn next_frame(&self) -> DiskResult<Option<Placed<D>>> {
        loop {
            let wait = self.inner.placed.wait();
            if !self.inner.placing.replace(true) {
                break;
            }
            wait.await;
        }
        let placed = if self.until_work().await { self.place_frame().await } else { Ok(None) };
        self.inner.placing.set(false);
        self.inner.placed.notify();
        placed
    }

    /// False when the shard closes with nothing left to write, or nowhere to write it.
    async fn until_work(&self) -> bool {
        loop {
            let wait = self.inner.work.wait();
            if self.is_stopped() {
                return false;
            }
            if !self.inner.broken.get() {
                let state = self.inner.state.borrow();
                let alone = self.inner.is_settled(&state);
                let frame = &state.frame;
                let early = state.early_bytes(self.inner.settings.frame_bytes_early);
                if !frame.is_empty() && (alone || frame.bytes() >= early) {
                    return true;
                }
                if alone && state.unflushed.due {
                    return true;
                }
                if alone && self.inner.closing.get() {
                    return false;
                }
            }
            wait.await;
        }
    }

    /// Whether the shard closes and its journal takes nothing.
    fn is_stopped(&self) -> bool {
        self.inner.closing.get() && self.inner.failed.get()
    }

    /// Seals the open frame into the active journal file, going to the next file when it is full.
    /// `None` when the shard closes while it waits for a file.
    async fn place_frame(&self) -> DiskResult<Option<Placed<D>>> {
        loop {
            let wait = self.inner.files.wait();
            if self.inner.broken.get() {
                if !self.until_work().await {
                    return Ok(None);
                }
                continue;
            }
            if self.inner.state.borrow().frame.is_empty() {
                // Woken only because relaxed writes are due for their flush.
                self.flush_journal().await?;
                if !self.until_work().await {
                    return Ok(None);
                }
                continue;
            }
            let sealed = {
                let mut state = self.inner.state.borrow_mut();
                let overlaps = !self.inner.is_settled(&state);
                let sealed = state.seal(self.inner.disk.now());
                state.stats.commits_overlapped += u64::from(overlaps && sealed.is_some());
                sealed
            };
            if let Some(placed) = sealed {
                self.inner.room.notify();
                return Ok(Some(placed));
            }
            if !self.until_settled().await {
                return Ok(None);
            }
            if self.next_journal().await? {
                continue;
            }
            if self.is_stopped() {
                return Ok(None);
            }
            self.inner.state.borrow_mut().starved = true;
            // Every file holds frames that no checkpoint covers: the writer is asked for one.
            self.inner.written.notify();
            wait.await;
        }
    }

    /// Waits until every sealed frame is acknowledged. False if that will not come.
    async fn until_settled(&self) -> bool {
        loop {
            let wait = self.inner.committed.wait();
            if self.is_stopped() {
                return false;
            }
            if self.inner.is_settled(&self.inner.state.borrow()) {
                return true;
            }
            wait.await;
        }
    }

    /// Waits until the frame `sequence` and all before it are acknowledged. False if the journal's file failed
    /// meanwhile.
    async fn until_acknowledged(&self, sequence: u64) -> bool {
        loop {
            let wait = self.inner.committed.wait();
            if self.inner.broken.get() {
                return false;
            }
            if self.inner.durable.get() >= sequence {
                return true;
            }
            wait.await;
        }
    }

    /// Brings a frame to the disk and acknowledges it, after all before it.
    async fn commit(&self, placed: Placed<D>) {
        let Placed { sequence, frame, durability, file, at, sealed } = placed;
        let mut chunks: SmallVec<[D::Chunk; 8]> = SmallVec::new();
        for (buffer, bytes) in frame.buffers {
            chunks.push(self.inner.disk.seal(buffer, bytes));
        }
        let blocks = self.place_extents(frame.extents);
        let (entries, bytes) = (frame.entries, frame.disk_bytes as u64);
        let flight = Flight { sequence, chunks, blocks, entries, sealed, bytes };
        match self.carry(&flight, &file, at, durability).await {
            Ok(Some(times)) => self.acknowledge(&times, flight),
            Ok(None) => self.park(flight).await,
            Err(error) => {
                self.break_journal(&error);
                self.park(flight).await;
            }
        }
    }

    /// Writes a frame and makes it durable; its times when it may be acknowledged. `None` if the journal's file
    /// failed under another frame first.
    async fn carry(
        &self,
        flight: &Flight<D>,
        file: &D::File,
        at: u64,
        durability: Durability,
    ) -> DiskResult<Option<FrameTimes>> {
        let disk = &self.inner.disk;
        let in_journal = async {
            let journaled = write_chunks(disk, file, at, &flight.chunks).await;
            if !planted(Bug::SwallowWriteError) {
                journaled?;
            }
            let written = disk.now();
            if durability == Durability::Alone && !planted(Bug::SkipFlush) {
                disk.flush(file).await?;
            }
            Ok(written)
        };
        // A flush of the frame before may end well from now on: it says nothing any more, so it is told at
        // once and not when the extents have come to their end too.
        let in_journal = async { in_journal.await.inspect_err(|error| self.break_journal(error)) };
        // Both come to their end: what is given up is not under way any more.
        let (written, extents) = join(in_journal, self.write_extents(&flight.blocks)).await;
        extents?;
        let written = written?;
        if !planted(Bug::AcknowledgeOutOfOrder) && !self.until_acknowledged(flight.sequence - 1).await {
            return Ok(None);
        }
        if durability == Durability::WithEarlier && !planted(Bug::SkipFlushBehindRelaxed) {
            disk.flush(file).await?;
            if self.inner.broken.get() {
                return Ok(None);
            }
        }
        Ok(Some(flight.times(written, disk.now(), durability != Durability::Later)))
    }

    /// The frame is durable: its batches become visible, then whoever waits is woken.
    pub(super) fn acknowledge(&self, times: &FrameTimes, flight: Flight<D>) {
        let Flight { chunks, blocks, entries, .. } = flight;
        let sequence = times.ticket;
        let inner = &self.inner;
        {
            let mut guard = inner.state.borrow_mut();
            let state = &mut *guard;
            let mut slots = state.tails.spare();
            let mut bytes = 0;
            for entry in &entries {
                if state.show(sequence, entry, &chunks, &blocks) {
                    if slots.last() != Some(&entry.slot) {
                        slots.push(entry.slot);
                    }
                    bytes += entry.bytes as usize;
                }
            }
            state.tails.push(sequence, slots, bytes);
            state.note_flush(times, inner.now.get());
            state.stats.commits += 1;
            state.stats.journal_bytes += times.bytes;
            state.recent.note(*times);
            inner.durable.set(sequence);
            if inner.disk.pool_free() * EVICT_BELOW_FREE < inner.disk.pool_size() {
                state.evict(inner.disk.pool_size() / EVICT_BELOW_FREE - inner.disk.pool_free(), &inner.disk);
            }
            if buggify(Site::EvictTails) {
                state.evict(usize::MAX / 2, &inner.disk);
            }
            for entry in &entries {
                if let Some(Some(partition)) = state.partitions.get(entry.slot as usize) {
                    partition.signal.notify();
                }
            }
            if state.spare_entries.len() < SPARE_LISTS {
                let mut entries = entries;
                entries.clear();
                state.spare_entries.push(entries);
            }
        }
        inner.committed.notify();
        inner.work.notify();
        if self.writer_is_due() {
            inner.written.notify();
        }
    }

    fn writer_is_due(&self) -> bool {
        self.inner.state.borrow().has_writes(&self.inner.disk)
            || self.wants_journal().is_some()
            || self.checkpoint_due()
    }
}

impl<D: Disk> State<D> {
    /// Seals the open frame if the active file has room for it.
    fn seal(&mut self, now: Instant) -> Option<Placed<D>> {
        if self.ring.has_free() && buggify(Site::JournalFull) {
            return None;
        }
        let (file, at) = self.ring.place(self.sequence, self.frame.disk_bytes())?;
        let handle = self.journal_files.get(&file.number).cloned().expect("an active file is open");
        let spare = self.spare_entries.pop().unwrap_or_default();
        let flush_mark = if planted(Bug::FlushMarkTooEarly) { self.sequence - 1 } else { self.flush_mark };
        let frame = self.frame.seal(self.incarnation, self.sequence, flush_mark, spare);
        debug_assert!(at >= FILE_HEADER_BYTES);
        let sequence = self.sequence;
        self.sequence += 1;
        let durability = match (frame.needs_flush || self.unflushed.due, self.unflushed.sealed) {
            (false, _) => Durability::Later,
            (true, false) => Durability::Alone,
            (true, true) => Durability::WithEarlier,
        };
        self.unflushed.sealed = durability == Durability::Later;
        Some(Placed { sequence, frame, durability, file: handle, at, sealed: now })
    }

    /// Puts one batch of a durable frame into its partition's tail. False if there is none to put:
    /// the partition is gone, or the entry holds no batch.
    fn show(&mut self, sequence: u64, entry: &FrameEntry, chunks: &[D::Chunk], blocks: &[Blocks<D>]) -> bool {
        let Some(partition) = self.partition(entry.slot) else { return false };
        if entry.bytes == 0 {
            partition.log_start_durable(entry.base_offset);
            return false;
        }
        let (start, bytes) = (entry.start as usize, entry.bytes as usize);
        let (slices, held) = match entry.stored {
            Stored::Frame => (slices_of(chunks, start, bytes), Held::Whole),
            Stored::Extent(index) => {
                let shape = Shape::of(entry.position, bytes);
                let mut slices = slices_of(chunks, start, shape.head);
                slices.extend(slices_of(&blocks[index as usize].chunks, 0, shape.middle));
                slices.extend(slices_of(chunks, start + shape.head, shape.tail));
                (slices, if blocks[index as usize].failed.get() { Held::Whole } else { Held::Extent })
            }
        };
        partition.show(TailBatch {
            base_offset: entry.base_offset,
            last_offset: entry.last_offset,
            max_timestamp: entry.max_timestamp,
            segment: entry.segment,
            position: entry.position as u32,
            bytes: entry.bytes,
            sequence,
            slices,
            held,
        });
        self.mark_dirty(entry.slot);
        true
    }

    fn note_flush(&mut self, times: &FrameTimes, now: Now) {
        if times.flushed {
            self.flush_mark = times.ticket;
            // What was sealed behind it is not covered.
            let sealed = self.unflushed.sealed;
            self.unflushed = super::shard::Unflushed { sealed, ..Default::default() };
            self.stats.flushes += 1;
        } else {
            self.unflushed.bytes += times.bytes;
            self.unflushed.since.get_or_insert(now);
        }
    }

    /// Drops cached batches, oldest frame first, until `bytes` more are free. What is in no segment
    /// yet stays, and its partitions are written next. False if nothing could be dropped.
    pub(super) fn evict(&mut self, bytes: usize, disk: &D) -> bool {
        let goal = disk.pool_free() + bytes;
        let mut any = false;
        while disk.pool_free() < goal {
            let Some(mut frame) = self.tails.take_oldest() else { break };
            let sequence = frame.sequence;
            let mut kept = 0;
            for i in 0..frame.slots.len() {
                let slot = frame.slots[i];
                let gone = self.partition(slot).is_none_or(|p| p.tail.evict(sequence));
                if !gone {
                    self.mark_ripe(slot);
                    frame.slots[kept] = slot;
                    kept += 1;
                }
            }
            frame.slots.truncate(kept);
            if kept > 0 {
                self.tails.put_back(frame);
                break;
            }
            any = true;
            self.tails.recycle(frame.slots);
        }
        any
    }
}

/// The part `start..start + bytes` of a frame that lies in consecutive chunks.
pub(super) fn slices_of<C>(chunks: &[C], mut start: usize, mut bytes: usize) -> SmallVec<[Slice<C>; 2]>
where
    C: Clone + std::ops::Deref<Target = [u8]>,
{
    let mut slices = SmallVec::new();
    for chunk in chunks {
        if bytes == 0 {
            break;
        }
        if start >= chunk.len() {
            start -= chunk.len();
            continue;
        }
        let n = bytes.min(chunk.len() - start);
        slices.push(Slice::new(chunk.clone(), start, n));
        bytes -= n;
        start = 0;
    }
    assert!(bytes == 0, "the frame holds its entries");
    slices
}
