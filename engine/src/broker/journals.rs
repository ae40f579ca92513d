//! The journal files of a shard: prepared ahead, used in turn, flushed for relaxed topics.

use zerocopy::IntoBytes;

use super::shard::{Shard, Unflushed};
use super::trouble::Trouble;
use crate::base::{Now, Site, buggify};
use crate::io::{BLOCK, Disk, DiskResult, FileName, IO_BYTES_MAX, Open};
use crate::journal::{FileHeader, JournalFile, file_name, next_incarnation};

impl<D: Disk> Shard<D> {
    /// Opens the next free file: its header is durable before its first frame is written, and the
    /// file before it is flushed, so no acknowledgement rests on a file behind an unflushed one.
    pub(super) async fn next_journal(&self) -> DiskResult<bool> {
        self.flush_journal().await?;
        let (file, first) = {
            let mut guard = self.inner.state.borrow_mut();
            let state = &mut *guard;
            let bytes = state.frame.disk_bytes();
            let Some(file) = state.ring.advance(state.sequence, bytes) else { return Ok(false) };
            (file, state.sequence)
        };
        self.begin_journal(file, first).await.map(|_| true)
    }

    /// Makes a file the one that begins with the frame `first`: its header is durable when this returns.
    pub(super) async fn begin_journal(&self, file: JournalFile, first: u64) -> DiskResult<D::File> {
        let header = {
            let mut state = self.inner.state.borrow_mut();
            state.incarnation = next_incarnation(state.incarnation, self.inner.core.0);
            state.starved = false;
            FileHeader::new(self.inner.core.0, state.incarnation, first, state.flush_mark.min(first - 1))
        };
        let handle = self.journal_handle(file).await?;
        let mut block = self.take_io(BLOCK).await;
        block[..BLOCK].fill(0);
        block[..header.as_bytes().len()].copy_from_slice(header.as_bytes());
        let chunk = self.inner.disk.seal(block, BLOCK);
        self.inner.disk.write(&handle, 0, chunk).await?;
        self.inner.disk.flush(&handle).await?;
        // Whoever waited for a checkpoint to free one need not wait any more, and nobody may ask for one again.
        self.trouble_over(Trouble::Checkpoint);
        // A new file may be the half that is used: the writer prepares the next.
        self.inner.written.notify();
        Ok(handle)
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
        if let Err(error) = self.fill_journal(&handle, &dir, bytes).await {
            self.is_out_of_space(&error);
            // A disk that fails for an hour gets no fuller by what is tried every second.
            self.inner.disk.remove(&name).await?;
            return Err(error);
        }
        let mut state = self.inner.state.borrow_mut();
        state.journal_files.insert(number, handle);
        state.ring.add(JournalFile { number, bytes });
        drop(state);
        self.inner.files.notify();
        Ok(())
    }

    /// Gives a new journal file its blocks, and its name a place in the directory.
    async fn fill_journal(&self, handle: &D::File, dir: &FileName, bytes: u64) -> DiskResult<()> {
        self.inner.disk.allocate(handle, bytes).await?;
        let mut zeros = self.take_io(IO_BYTES_MAX).await;
        zeros[..IO_BYTES_MAX].fill(0);
        let chunk = self.inner.disk.seal(zeros, IO_BYTES_MAX);
        let mut at = 0;
        while at < bytes {
            self.inner.disk.write(handle, at, chunk.clone()).await?;
            at += IO_BYTES_MAX as u64;
        }
        self.inner.disk.flush(handle).await?;
        self.inner.disk.sync_dir(dir).await
    }

    /// Flushes what relaxed topics wrote to the active journal file.
    pub(super) async fn flush_journal(&self) -> DiskResult<()> {
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
        state.unflushed = Unflushed::default();
        state.flush_mark = state.flush_mark.max(mark);
        Ok(())
    }

    /// Relaxed writes are flushed by age here, by count in the commit itself.
    pub(super) fn flush_relaxed_if_due(&self, now: Now) {
        let mut state = self.inner.state.borrow_mut();
        let Some(since) = state.unflushed.since else { return };
        let limit = state.partitions.iter().flatten().map(|p| p.settings.flush_ms).min();
        let age = now.mono.since(since.mono).as_millis() as u64;
        if limit.is_some_and(|limit| age >= limit) || buggify(Site::FlushRelaxed) {
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
