//! Group commit: the open frame closes when the previous flush returns.
//!
//! One frame is in flight at a time, so whatever is durable is a prefix of the sequence. What
//! arrives meanwhile fills the next frame; under load frames grow by themselves and the flush is
//! shared by more appends.

use futures_util::future::try_join_all;
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::shard::{Shard, State};
use super::tail::TailBatch;
use crate::base::Now;
use crate::io::{BLOCK, Disk, DiskResult, FileName, IO_BYTES_MAX, Open, Slice};
use crate::journal::{FILE_HEADER_BYTES, FileHeader, FrameEntry, JournalFile, SealedFrame, file_name};

/// Frame lists kept for reuse.
const SPARE_LISTS: usize = 4;

/// Cached batches leave memory when less than this share of the pool is free.
const EVICT_BELOW_FREE: usize = 4;

/// A sealed frame and where it goes.
struct Placed<D: Disk> {
    sequence: u64,
    frame: SealedFrame<D::Buf>,
    file: D::File,
    at: u64,
}

impl<D: Disk> Shard<D> {
    /// Writes, flushes and acknowledges frames until [`Shard::close`]. Spawn it once.
    pub async fn run_commits(&self) {
        while self.until_work().await {
            let committed = match self.place_frame().await {
                Ok(Some(placed)) => self.commit(placed).await,
                Ok(None) => return,
                Err(error) => Err(error),
            };
            if let Err(error) = committed {
                self.fail(&error);
                return;
            }
        }
    }

    /// False when the shard closes with nothing left to write.
    async fn until_work(&self) -> bool {
        loop {
            let wait = self.inner.work.wait();
            {
                let state = self.inner.state.borrow();
                if !state.frame.is_empty() || state.unflushed.due {
                    return true;
                }
            }
            if self.inner.closing.get() || self.inner.failed.get() {
                return false;
            }
            wait.await;
        }
    }

    /// Seals the open frame into the active journal file, going to the next file when it is full.
    /// `None` when the shard failed while it waited for a file.
    async fn place_frame(&self) -> DiskResult<Option<Placed<D>>> {
        loop {
            let wait = self.inner.files.wait();
            if self.inner.state.borrow().frame.is_empty() {
                // Woken only because relaxed writes are due for their flush.
                self.flush_journal().await?;
                if !self.until_work().await {
                    return Ok(None);
                }
                continue;
            }
            let sealed = self.inner.state.borrow_mut().seal();
            if let Some(placed) = sealed {
                self.inner.room.notify();
                return Ok(Some(placed));
            }
            if self.next_journal().await? {
                continue;
            }
            if self.inner.failed.get() {
                return Ok(None);
            }
            self.inner.state.borrow_mut().starved = true;
            // Every file holds frames that no checkpoint covers: the writer is asked for one.
            self.inner.written.notify();
            wait.await;
        }
    }

    /// Opens the next free file: its header is durable before its first frame is written, and the
    /// file before it is flushed, so no acknowledgement rests on a file behind an unflushed one.
    async fn next_journal(&self) -> DiskResult<bool> {
        self.flush_journal().await?;
        let (file, header) = {
            let mut guard = self.inner.state.borrow_mut();
            let state = &mut *guard;
            let bytes = state.frame.disk_bytes();
            let Some(file) = state.ring.advance(state.sequence, bytes) else { return Ok(false) };
            state.incarnation += 1;
            state.starved = false;
            (file, FileHeader::new(self.inner.core.0, state.incarnation, state.sequence))
        };
        let handle = self.journal_handle(file).await?;
        let mut block = self.take_io(BLOCK).await;
        block[..BLOCK].fill(0);
        block[..header.as_bytes().len()].copy_from_slice(header.as_bytes());
        let chunk = self.inner.disk.seal(block, BLOCK);
        self.inner.disk.write(&handle, 0, chunk).await?;
        self.inner.disk.flush(&handle).await?;
        // A new file may be the half that is used: the writer prepares the next.
        self.inner.written.notify();
        Ok(true)
    }

    async fn journal_handle(&self, file: JournalFile) -> DiskResult<D::File> {
        if let Some(handle) = self.inner.state.borrow().journal_files.get(&file.number) {
            return Ok(handle.clone());
        }
        let name = FileName::core_dir(self.inner.core).join(file_name(file.number));
        let handle = self.inner.disk.open(&name, Open::Existing).await?;
        self.inner.state.borrow_mut().journal_files.insert(file.number, handle.clone());
        Ok(handle)
    }

    /// Makes a journal file ready for use: its blocks are allocated and written once, so that no
    /// later flush has to convert an extent.
    pub(super) async fn prepare_journal(&self, bytes: u64) -> DiskResult<()> {
        let number = {
            let mut state = self.inner.state.borrow_mut();
            state.next_journal += 1;
            state.next_journal - 1
        };
        let dir = FileName::core_dir(self.inner.core);
        let name = dir.join(file_name(number));
        let handle = self.inner.disk.open(&name, Open::OrCreate).await?;
        if let Err(error) = self.inner.disk.allocate(&handle, bytes).await {
            // A full disk gets no fuller by what was tried.
            self.inner.disk.remove(&name).await?;
            return Err(error);
        }
        let mut zeros = self.take_io(IO_BYTES_MAX).await;
        zeros[..IO_BYTES_MAX].fill(0);
        let chunk = self.inner.disk.seal(zeros, IO_BYTES_MAX);
        let mut at = 0;
        while at < bytes {
            self.inner.disk.write(&handle, at, chunk.clone()).await?;
            at += IO_BYTES_MAX as u64;
        }
        self.inner.disk.flush(&handle).await?;
        self.inner.disk.sync_dir(&dir).await?;
        let mut state = self.inner.state.borrow_mut();
        state.journal_files.insert(number, handle);
        state.ring.add(JournalFile { number, bytes });
        drop(state);
        self.inner.files.notify();
        Ok(())
    }

    async fn commit(&self, placed: Placed<D>) -> DiskResult<()> {
        let Placed { sequence, frame, file, at } = placed;
        let disk = &self.inner.disk;
        let mut chunks: SmallVec<[D::Chunk; 8]> = SmallVec::new();
        for (buffer, bytes) in frame.buffers {
            chunks.push(disk.seal(buffer, bytes));
        }
        if let [chunk] = &chunks[..] {
            disk.write(&file, at, chunk.clone()).await?;
        } else {
            let mut position = at;
            let writes = chunks.iter().map(|chunk| {
                let write = disk.write(&file, position, chunk.clone());
                position += chunk.len() as u64;
                write
            });
            try_join_all(writes).await?;
        }
        let flushed = frame.needs_flush || self.inner.state.borrow().unflushed.due;
        if flushed {
            disk.flush(&file).await?;
        }
        self.acknowledge(sequence, &chunks, frame.entries, frame.disk_bytes, flushed);
        Ok(())
    }

    /// The frame is durable: its batches become visible, then whoever waits is woken.
    fn acknowledge(
        &self,
        sequence: u64,
        chunks: &[D::Chunk],
        entries: Vec<FrameEntry>,
        disk_bytes: usize,
        flushed: bool,
    ) {
        let inner = &self.inner;
        {
            let mut guard = inner.state.borrow_mut();
            let state = &mut *guard;
            let mut slots = state.tails.spare();
            let mut bytes = 0;
            for entry in &entries {
                if state.show(sequence, entry, chunks) {
                    if slots.last() != Some(&entry.slot) {
                        slots.push(entry.slot);
                    }
                    bytes += entry.bytes as usize;
                }
            }
            state.tails.push(sequence, slots, bytes);
            state.note_flush(disk_bytes as u64, flushed, sequence, inner.now.get());
            state.stats.commits += 1;
            state.stats.journal_bytes += disk_bytes as u64;
            inner.durable.set(sequence);
            if inner.disk.pool_free() * EVICT_BELOW_FREE < inner.disk.pool_size() {
                state.evict(inner.disk.pool_size() / EVICT_BELOW_FREE - inner.disk.pool_free(), &inner.disk);
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
        if self.writer_is_due() {
            inner.written.notify();
        }
    }

    fn writer_is_due(&self) -> bool {
        self.inner.state.borrow().has_writes(&self.inner.disk)
            || self.wants_journal().is_some()
            || self.checkpoint_due()
    }

    /// Flushes what relaxed topics wrote to the active journal file.
    async fn flush_journal(&self) -> DiskResult<()> {
        let file = {
            let state = self.inner.state.borrow();
            let active = state.ring.active();
            active.and_then(|file| state.journal_files.get(&file.number).cloned())
        };
        let mark = self.inner.durable.get();
        if let Some(file) = file
            && self.inner.state.borrow().unflushed.bytes > 0
        {
            self.inner.disk.flush(&file).await?;
            self.inner.state.borrow_mut().stats.flushes += 1;
        }
        let mut state = self.inner.state.borrow_mut();
        state.unflushed = super::shard::Unflushed::default();
        state.flush_mark = state.flush_mark.max(mark);
        Ok(())
    }

    /// Relaxed writes are flushed by age here, by count in the commit itself.
    pub(super) fn flush_relaxed_if_due(&self, now: Now) {
        let mut state = self.inner.state.borrow_mut();
        let Some(since) = state.unflushed.since else { return };
        let limit = state.partitions.iter().flatten().map(|p| p.settings.flush_ms).min();
        let age = now.mono.since(since.mono).as_millis() as u64;
        if limit.is_some_and(|limit| age >= limit) {
            state.unflushed.due = true;
            drop(state);
            self.inner.work.notify();
        }
    }

    /// I/O memory for the shard's own writes: the reserve that appends leave makes it come soon.
    pub(super) async fn take_io(&self, bytes: usize) -> D::Buf {
        loop {
            let wait = self.inner.room.wait();
            if let Some(buffer) = self.inner.disk.take(bytes) {
                return buffer;
            }
            {
                let mut state = self.inner.state.borrow_mut();
                if state.evict(bytes, &self.inner.disk) {
                    continue;
                }
            }
            // What could not be dropped was marked to be written next.
            self.inner.written.notify();
            wait.await;
        }
    }
}

impl<D: Disk> State<D> {
    /// Seals the open frame if the active file has room for it.
    fn seal(&mut self) -> Option<Placed<D>> {
        let (file, at) = self.ring.place(self.sequence, self.frame.disk_bytes())?;
        let handle = self.journal_files.get(&file.number).cloned().expect("an active file is open");
        let spare = self.spare_entries.pop().unwrap_or_default();
        let frame = self.frame.seal(self.incarnation, self.sequence, self.flush_mark, spare);
        debug_assert!(at >= FILE_HEADER_BYTES);
        let sequence = self.sequence;
        self.sequence += 1;
        Some(Placed { sequence, frame, file: handle, at })
    }

    /// Puts one batch of a durable frame into its partition's tail. False if there is none to put:
    /// the partition is gone, or the entry holds no batch.
    fn show(&mut self, sequence: u64, entry: &FrameEntry, chunks: &[D::Chunk]) -> bool {
        let Some(partition) = self.partition(entry.slot) else { return false };
        if entry.bytes == 0 {
            partition.log_start_durable(entry.base_offset);
            return false;
        }
        partition.show(TailBatch {
            base_offset: entry.base_offset,
            last_offset: entry.last_offset,
            max_timestamp: entry.max_timestamp,
            segment: entry.segment,
            position: entry.position as u32,
            bytes: entry.bytes,
            sequence,
            slices: slices_of(chunks, entry.start as usize, entry.bytes as usize),
        });
        self.mark_dirty(entry.slot);
        true
    }

    fn note_flush(&mut self, bytes: u64, flushed: bool, sequence: u64, now: Now) {
        if flushed {
            self.flush_mark = sequence;
            self.unflushed = super::shard::Unflushed::default();
            self.stats.flushes += 1;
        } else {
            self.unflushed.bytes += bytes;
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
        if start >= chunk.len() {
            start -= chunk.len();
            continue;
        }
        let n = bytes.min(chunk.len() - start);
        slices.push(Slice::new(chunk.clone(), start, n));
        bytes -= n;
        start = 0;
        if bytes == 0 {
            break;
        }
    }
    assert!(bytes == 0, "the frame holds its entries");
    slices
}
