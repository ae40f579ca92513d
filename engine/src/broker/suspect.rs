//! A segment after a flush that failed.
//!
//! The kernel, or the device, may have dropped what the flush should have made durable, and no later flush
//! says so. What was written since the last good one is therefore read from the disk, held against its
//! checksums and written anew, so that the next flush covers it. The journal keeps all of it until then.
//!
//! | what the disk gives back | what becomes of the partition |
//! |---|---|
//! | what was written | it is written again, and the partition takes appends |
//! | an error | it stays offline; another try follows |
//! | something else | it stays offline and no checkpoint passes it: a restart replays the journal, which has it |

use super::damage::Look;
use super::shard::Shard;
use crate::io::{Disk, DiskError, DiskOp, DiskResult, IO_BYTES_MAX};
use crate::log::Cause;
use crate::log::names::SegmentFile;

impl<D: Disk> Shard<D> {
    /// Writes again what failed flushes left in doubt. Whoever calls it holds the partition.
    pub(super) async fn rewrite_suspect(&self, slot: u32) -> DiskResult<()> {
        if !self.inner.state.borrow_mut().partition(slot).is_some_and(|p| p.suspect) {
            return Ok(());
        }
        let Some(file) = self.open_active(slot).await? else { return Ok(()) };
        let (log, mut at, end, doubts, dropped) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(()) };
            let log = partition.file_key(SegmentFile::Log);
            let segment = &partition.segment;
            (log, segment.flushed, segment.aligned, partition.doubts, partition.dropped)
        };
        let lost = || DiskError::found(DiskOp::Read, log.name());
        if at < end && (dropped || !self.holds_what_was_written(slot).await?) {
            return Err(lost());
        }
        while at < end {
            let bytes = (end - at).min(IO_BYTES_MAX as u64) as usize;
            let chunk = self.inner.disk.read(&file, at, bytes).await?;
            if chunk.len() < bytes {
                return Err(lost());
            }
            self.inner.disk.write(&file, at, chunk).await?;
            at += bytes as u64;
        }
        let mut state = self.inner.state.borrow_mut();
        if let Some(partition) = state.partition(slot) {
            // Another flush failed meanwhile: what was just written may be what it dropped.
            if partition.doubts != doubts {
                return Err(lost());
            }
            partition.suspect = false;
        }
        state.handles.wrote(log, &file);
        Ok(())
    }

    /// Whether the disk still has every batch of the active segment, past what is known to be damaged.
    async fn holds_what_was_written(&self, slot: u32) -> DiskResult<bool> {
        let (key, base, name) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(true) };
            let (key, base) = (partition.key, partition.segment.index.base());
            let name = partition.segment_file(SegmentFile::Log);
            // What is held in memory says nothing about the disk.
            state.forget_read(key);
            (key, base, name)
        };
        let failed = || DiskError::found(DiskOp::Read, name.clone());
        let source = self.source(key, base).await.map_err(|_| failed())?;
        let (mut position, mut next) = (0, base);
        loop {
            let look = self.look(&source, position, next, |_, _| false).await.map_err(|_| failed())?;
            let Look::Flawed { position: flaw, cause, .. } = look else { return Ok(true) };
            if cause == Cause::Unreadable {
                return Err(failed());
            }
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(true) };
            match partition.damages.at(base, flaw) {
                Some(known) => (position, next) = (u64::from(known.end_position), known.end),
                None => {
                    partition.dropped = true;
                    tracing::error!(
                        partition = %key,
                        position = flaw,
                        ?cause,
                        "a failed flush dropped what was written: it takes no appends until the broker is \
                         started again, which brings it back from the journal"
                    );
                    return Ok(false);
                }
            }
        }
    }
}
