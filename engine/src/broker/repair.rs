//! Damaged records come back from a copy.
//!
//! Who has one asks [`Shard::damages`] what is missing, gets the batches of those offsets from there, and
//! gives them to [`Shard::repair`], in order and in pieces of any size. The range leaves the list when its
//! bytes are durable and were read back; until then it is fenced as before, so a crash on the way costs only
//! the work.

use super::damage::Look;
use super::pages::SegmentSource;
use super::read::FetchError;
use super::segment::SegmentTrouble;
use super::shard::Shard;
use crate::base::{Offset, PartitionKey};
use crate::io::{BLOCK, Disk, DiskError, DiskFault, DiskResult, FileName, IO_BYTES_MAX, Open};
use crate::log::names::SegmentFile;
use crate::log::repair::{self, Misfit, Patch};
use crate::log::{Cause, DamagedRange};
use crate::record::BatchHeader;

/// Why a piece was not put back. The range stays as it was.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RepairError {
    /// The shard does not host it.
    #[error("the partition is not on this core")]
    UnknownPartition,
    /// No listed range begins with the piece's first offset.
    #[error("no damage is listed that begins at offset {0}")]
    NotDamaged(Offset),
    /// It is not what is missing there.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// Retention or the writer is at work there: another try may be made soon.
    #[error("the segment is in use")]
    Busy,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It was written, and the disk gives something else back.
    #[error("what was written does not hold: {}", .0.name())]
    NotHeld(Cause),
}

impl<D: Disk> Shard<D> {
    /// Puts batches of a damaged range back, from its first offset on. Gives what is damaged of it still:
    /// `None` if it is served again as a whole.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub async fn repair(&self, key: PartitionKey, piece: &[u8]) -> Result<Option<DamagedRange>, RepairError> {
        let first = BatchHeader::peek(piece).ok_or(Misfit::Short)?.base_offset();
        let slot = {
            let known = self.inner.state.borrow().slot(key).is_some();
            if !known {
                return Err(RepairError::UnknownPartition);
            }
            self.tend(key).ok_or(RepairError::Busy)?
        };
        let repaired = self.repair_tended(slot, key, first, piece).await;
        self.stop_tending(slot);
        repaired
    }

    async fn repair_tended(
        &self,
        slot: u32,
        key: PartitionKey,
        first: Offset,
        piece: &[u8],
    ) -> Result<Option<DamagedRange>, RepairError> {
        let (range, patch) = {
            let state = self.inner.state.borrow();
            let partition = state.by_key(key).ok_or(RepairError::UnknownPartition)?;
            let listed = partition.damages.holding(first).filter(|range| range.first == first);
            let range = *listed.ok_or(RepairError::NotDamaged(first))?;
            (range, repair::fit(&range, piece, partition.gaps, &partition.epochs)?)
        };
        if range.cause == Cause::Missing {
            self.put_file_back(key, range.segment).await?;
        }
        let source = self.source(key, range.segment).await.map_err(refused)?;
        let written = self.write_patch(slot, &source, &patch, piece).await;
        self.inner.state.borrow_mut().forget_read(key);
        written?;
        let reached = |position, _| position >= patch.end_position;
        match self.look(&source, patch.position, range.first, reached).await.map_err(refused)? {
            Look::Flawed { position, cause, .. } if position < patch.end_position => {
                Err(RepairError::NotHeld(cause))
            }
            _ => {
                self.lift(slot, &range, &patch);
                Ok(patch.rest)
            }
        }
    }

    /// A segment whose file was gone gets one again, under a durable name.
    async fn put_file_back(&self, key: PartitionKey, base: Offset) -> DiskResult<()> {
        let dir = FileName::partition_dir(key);
        let name = dir.join(SegmentFile::Log.name(base));
        match self.inner.disk.open(&name, Open::Existing).await {
            Err(error) if error.fault == DiskFault::NotFound => {}
            opened => return opened.map(drop),
        }
        self.inner.disk.make_dir(&dir).await?;
        self.inner.disk.open(&name, Open::OrCreate).await?;
        self.inner.disk.sync_dir(&dir).await
    }

    /// Writes a patch, in the blocks that hold it, and makes it durable.
    async fn write_patch(
        &self,
        slot: u32,
        source: &SegmentSource<D>,
        patch: &Patch,
        piece: &[u8],
    ) -> Result<(), RepairError> {
        // What lies behind is in memory, and the writer puts it there.
        let end = patch.end_position.min(source.on_disk);
        let begin = patch.position / BLOCK as u64 * BLOCK as u64;
        let blocks_end = end.next_multiple_of(BLOCK as u64);
        let active = {
            let mut state = self.inner.state.borrow_mut();
            let partition = state.partition(slot).ok_or(RepairError::UnknownPartition)?;
            let active = partition.segment.index.base() == source.base;
            if active && (partition.suspect || blocks_end > partition.segment.flushed) {
                return Err(RepairError::Busy);
            }
            active
        };
        let mut at = begin;
        while at < blocks_end {
            let len = (blocks_end - at).min(IO_BYTES_MAX as u64) as usize;
            let mut buffer = self.take_io(len).await;
            buffer[..len].fill(0);
            let (start, stop) = (patch.position.max(at), end.min(at + len as u64));
            // What else stands in the first and the last block stays.
            if start > at {
                let (part, there) = ((start - at) as usize, self.block_at(source, at).await?);
                let there = there.get(..part).ok_or_else(|| super::stretch::short(source))?;
                buffer[..part].copy_from_slice(there);
            }
            if stop < at + len as u64 {
                let last = (stop / BLOCK as u64) * BLOCK as u64;
                match self.block_at(source, last).await {
                    Ok(there) => {
                        let (from, to) = ((stop - last) as usize, there.len());
                        let into = (last - at) as usize;
                        if from < to {
                            buffer[into + from..into + to].copy_from_slice(&there[from..to]);
                        }
                    }
                    // It is damaged itself, and what it held comes with the next piece.
                    Err(error) if error.fault == DiskFault::Io && patch.rest.is_some() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let from = (start - patch.position) as usize;
            let bytes = &piece[from..from + (stop - start) as usize];
            buffer[(start - at) as usize..(stop - at) as usize].copy_from_slice(bytes);
            let written = self.inner.disk.write(source.file()?, at, self.inner.disk.seal(buffer, len)).await;
            if let Err(error) = written {
                self.inner.state.borrow_mut().note_unanswered(&error);
                return Err(error.into());
            }
            at += len as u64;
        }
        if !active && patch.rest.is_none() && self.inner.disk.len(source.file()?).await? > source.end {
            self.inner.disk.truncate(source.file()?, source.end).await?;
        }
        if let Err(error) = self.inner.disk.flush(source.file()?).await {
            if active {
                self.segment_failed(slot, &error, SegmentTrouble::Flush);
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// What a block holds, as far as the file goes.
    async fn block_at(&self, source: &SegmentSource<D>, at: u64) -> DiskResult<Vec<u8>> {
        self.inner.state.borrow_mut().make_read_room(&self.inner.disk);
        let chunk = self.inner.disk.read(source.file()?, at, BLOCK).await?;
        Ok(chunk.to_vec())
    }

    /// Takes what was put back off the list.
    fn lift(&self, slot: u32, range: &DamagedRange, patch: &Patch) {
        let mut state = self.inner.state.borrow_mut();
        let Some(partition) = state.partition(slot) else { return };
        let key = partition.key;
        if partition.damages.remove(range.first).is_some()
            && let Some(rest) = patch.rest
        {
            partition.damages.add(rest);
        }
        state.stats.repaired_bytes += patch.end_position - patch.position;
        tracing::info!(
            partition = %key,
            first_offset = range.first.0,
            end_offset = patch.next.0,
            whole = patch.rest.is_none(),
            "damaged records were put back from a copy: they are served"
        );
    }
}

/// Why a segment cannot be written.
fn refused(error: FetchError) -> RepairError {
    match error {
        FetchError::Disk(error) => RepairError::Disk(error),
        // Retention took the segment, or the partition is gone.
        _ => RepairError::UnknownPartition,
    }
}
