//! Opening segment files within the number that may be open, and the flush that lets them be closed.

use super::handles::{FileKey, Handle};
use super::partition::Partition;
use super::shard::{Shard, State};
use crate::base::{Site, buggify};
use crate::io::{Disk, DiskFault, DiskResult, FileName, Open};
use crate::log::names::SegmentFile;

/// Readers may hold half of all handles, and each holds up to four: two segments and their
/// indexes.
const HANDLES_PER_READER: usize = 2 * 4;

/// A reader of segments; the next may begin when it ends.
pub(super) struct Reading<'a, D: Disk> {
    shard: &'a Shard<D>,
}

impl<D: Disk> Drop for Reading<'_, D> {
    fn drop(&mut self) {
        let inner = &self.shard.inner;
        inner.readers.set(inner.readers.get() - 1);
        inner.read.notify();
    }
}

impl<D: Disk> Shard<D> {
    /// Waits until another reader may open segments. Whoever reads begins once and holds nothing while it waits.
    pub(super) async fn begin_reading(&self) -> Reading<'_, D> {
        let inner = &self.inner;
        let max = (inner.disk.files_max() / HANDLES_PER_READER).max(1);
        loop {
            let wait = inner.read.wait();
            if inner.readers.get() < max {
                inner.readers.set(inner.readers.get() + 1);
                return Reading { shard: self };
            }
            wait.await;
        }
    }

    /// A segment's file, opened for writes if it is not open. Where too many files have unflushed writes these
    /// are flushed first.
    ///
    /// # Errors
    /// The disk's: of the open, or of that flush.
    pub(super) async fn file_to_write(&self, key: FileKey) -> DiskResult<Handle<D>> {
        if let Some(held) = self.inner.state.borrow_mut().handles.get(key) {
            return Ok(held);
        }
        let wants_flush = self.inner.state.borrow().handles.wants_flush();
        if wants_flush || buggify(Site::FlushWritten) {
            self.flush_written().await?;
        }
        let file = self.open_file(key, Open::OrCreate).await?;
        Ok(self.inner.state.borrow_mut().handles.insert(key, file))
    }

    /// Opens a segment's file. If the process has no descriptor left, what was written is flushed and every idle
    /// file closed for it.
    pub(super) async fn open_file(&self, key: FileKey, how: Open) -> DiskResult<D::File> {
        let inner = &self.inner;
        let name = key.name();
        inner.state.borrow_mut().handles.make_room();
        if buggify(Site::CloseIdle) {
            inner.state.borrow_mut().handles.close_idle();
        }
        match inner.disk.open(&name, how).await {
            Err(error) if error.fault == DiskFault::NoDescriptor => {
                self.flush_written().await?;
                let closed = {
                    let mut state = inner.state.borrow_mut();
                    let before = state.handles.count();
                    state.handles.close_idle();
                    before - state.handles.count()
                };
                tracing::warn!(core = inner.core.0, %error, closed, "no descriptor is left: idle files are closed");
                // What closes them is on its way to the kernel.
                inner.disk.pause().await;
                inner.disk.open(&name, how).await
            }
            opened => opened,
        }
    }

    /// Makes durable what was written to segments, and the names that changed. One at a time: of two flushes
    /// of a file that are under way, one is told what failed and the other is not.
    ///
    /// # Errors
    /// The flush failed: none of these files counts as flushed.
    pub(super) async fn flush_written(&self) -> DiskResult<()> {
        let inner = &self.inner;
        loop {
            let wait = inner.files.wait();
            if !inner.flushing.replace(true) {
                break;
            }
            wait.await;
        }
        let flushed = self.flush_alone().await;
        inner.flushing.set(false);
        inner.files.notify();
        flushed
    }

    async fn flush_alone(&self) -> DiskResult<()> {
        let inner = &self.inner;
        let (files, names) = {
            let mut state = inner.state.borrow_mut();
            for partition in state.partitions.iter_mut().flatten() {
                partition.segment.flushing = partition.segment.aligned;
            }
            let files = state.handles.take_unflushed();
            state.flushing_files = files.iter().map(|(key, _)| *key).collect();
            (files, std::mem::take(&mut state.names_changed))
        };
        let handles: Vec<D::File> = files.iter().map(|(_, file)| D::File::clone(file)).collect();
        let flushed =
            if names { inner.disk.sync_all(&handles).await } else { inner.disk.flush_all(&handles).await };
        drop(handles);
        let mut state = inner.state.borrow_mut();
        // Whoever leaves a segment waits for it.
        state.flushing_files.clear();
        if let Err(error) = flushed {
            state.names_changed |= names;
            state.doubt(&files);
            return Err(error);
        }
        // Another flush of it, for a roll or an extent, may have been told what failed in place of this one.
        for (key, file) in &files {
            if state.by_key(key.partition).is_some_and(|p| p.suspect) {
                state.handles.wrote(*key, file);
            }
        }
        for partition in state.partitions.iter_mut().flatten().filter(|p| !p.suspect) {
            let segment = &mut partition.segment;
            segment.flushed = segment.flushed.max(segment.flushing);
        }
        Ok(())
    }
}

impl<D: Disk> State<D> {
    /// A segment that a failed flush left in doubt.
    pub(super) fn doubted(&self) -> Option<FileName> {
        let mut suspects = self.partitions.iter().flatten().filter(|p| p.suspect);
        suspects.next().map(|p| p.segment_file(SegmentFile::Log))
    }

    /// The flush of these files failed, of which of them is not told: none counts as flushed, and what was
    /// written to segments since the last good flush is written again.
    fn doubt(&mut self, files: &[(FileKey, Handle<D>)]) {
        for (key, file) in files {
            let Some(slot) = self.slot(key.partition) else { continue };
            self.handles.wrote(*key, file);
            let active = |p: &&mut Partition<D>| *key == p.file_key(SegmentFile::Log);
            if let Some(partition) = self.partition(slot).filter(active) {
                partition.suspect();
            }
        }
        for slot in 0..self.partitions.len() as u32 {
            if self.partition(slot).is_some_and(|p| p.suspect) {
                self.mark_ripe(slot);
            }
        }
    }
}
