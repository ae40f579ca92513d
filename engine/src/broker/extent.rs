//! Extents: the whole blocks of a large batch, written to its segment with the frame that names it.
//!
//! An extent lies above everything that the segment writer has written or will write before the
//! batch is acknowledged, so no block has two writers. It goes only into a segment that is open, whose
//! names are durable and whose file has the blocks: until then the batch is journaled whole. A roll
//! waits for the batches before it, so a segment is never cut or left under an extent.

use std::cell::{Cell, OnceCell};

use futures_util::future::join_all;
use smallvec::SmallVec;

use super::handles::Handle;
use super::partition::Partition;
use super::segment::SegmentTrouble;
use super::shard::Shard;
use super::transfer::write_chunks;
use crate::base::{Bug, PartitionKey, planted};
use crate::io::{Disk, DiskError, DiskFault, DiskOp, DiskResult, FileName, IO_BYTES_MAX, Open};
use crate::journal::{BatchPlace, Extent, ExtentView, FRAME_BYTES_MAX, Shape};
use crate::log::names::SegmentFile;
use crate::log::segments::Place;

/// How often a block that the disk cannot read is asked for.
const READS_MAX: u32 = 5;

/// The blocks of one extent on their way.
pub(super) struct Blocks<D: Disk> {
    slot: u32,
    /// The segment, once it is open; never, if the partition was deleted meanwhile.
    file: OnceCell<Handle<D>>,
    at: u64,
    pub(super) chunks: SmallVec<[D::Chunk; 4]>,
    /// Its segment did not take them: the batch rides whole in its frame, and is written later.
    pub(super) failed: Cell<bool>,
}

impl<D: Disk> Blocks<D> {
    /// All its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect()
    }
}

impl<D: Disk> Partition<D> {
    /// Whether a batch at `place` goes straight to its segment. Asks for segments that can take such
    /// batches if this one is large enough.
    pub(super) fn takes_extent(&mut self, place: Place, bytes: usize, bytes_min: usize) -> bool {
        let position = u64::from(place.position);
        let shape = Shape::of(position, bytes);
        if shape.middle == 0 || shape.middle < bytes_min || self.settings.is_relaxed() {
            return false;
        }
        self.extents = true;
        let segment = &self.segment;
        let active = segment.index.base() == place.segment && segment.file.strong_count() > 0;
        active && segment.named && position + (shape.head + shape.middle) as u64 <= segment.reserved
    }
}

impl<D: Disk> Shard<D> {
    /// The extents of a sealed frame with the files that they go to.
    pub(super) fn place_extents(&self, extents: Vec<Extent<D::Buf>>) -> SmallVec<[Blocks<D>; 2]> {
        let place = |extent: Extent<D::Buf>| Blocks {
            slot: extent.slot,
            file: OnceCell::new(),
            at: extent.at,
            failed: Cell::new(false),
            chunks: extent.buffers.into_iter().map(|(b, bytes)| self.inner.disk.seal(b, bytes)).collect(),
        };
        extents.into_iter().map(place).collect()
    }

    /// Writes them all at once and makes them durable: one flush for each segment. Those that fail are
    /// marked, and their partition takes no appends until its segment can be written.
    ///
    /// # Errors
    /// One of the failures.
    pub(super) async fn write_extents(&self, extents: &[Blocks<D>]) -> DiskResult<()> {
        if extents.is_empty() {
            return Ok(());
        }
        let disk = &self.inner.disk;
        let mut result = Ok(());
        let placed = extents.iter().filter(|e| !e.failed.get());
        let written = placed.map(|e| async move {
            // It was open when the batch came, and may have made room for another since.
            let written = match self.file_of(e).await {
                Ok(Some(file)) => write_chunks(disk, file, e.at, &e.chunks).await.map(drop),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            (e, written)
        });
        for (extent, written) in join_all(written).await {
            if let Err(error) = written {
                extent.failed.set(true);
                self.segment_failed(extent.slot, &error, SegmentTrouble::Write);
                result = Err(error);
            }
        }
        if planted(Bug::SkipExtentFlush) {
            return result;
        }
        let first = |(i, e): &(usize, &Blocks<D>)| {
            !e.failed.get()
                && !extents[..*i].iter().any(|before| before.slot == e.slot && !before.failed.get())
        };
        let files =
            extents.iter().enumerate().filter(first).filter_map(|(_, e)| Some((e.file.get()?, e.slot)));
        let flushed = files.map(|(file, slot)| async move { (slot, disk.flush(file).await) });
        for (slot, flushed) in join_all(flushed).await {
            if let Err(error) = flushed {
                extents.iter().filter(|e| e.slot == slot).for_each(|e| e.failed.set(true));
                self.segment_failed(slot, &error, SegmentTrouble::Flush);
                result = Err(error);
            }
        }
        // A flush of the same segment for another frame may have been told what failed in place of ours.
        let mut state = self.inner.state.borrow_mut();
        for extent in extents.iter().filter(|e| !e.failed.get()) {
            let suspect = state.partition(extent.slot).filter(|p| p.suspect);
            if let Some(name) = suspect.map(|p| p.segment_file(SegmentFile::Log)) {
                extent.failed.set(true);
                result = Err(DiskError::found(DiskOp::Flush, name));
            }
        }
        result
    }
}

impl<D: Disk> Shard<D> {
    /// The open segment of an extent. `None` if its partition is gone.
    async fn file_of<'a>(&self, extent: &'a Blocks<D>) -> DiskResult<Option<&'a Handle<D>>> {
        if extent.file.get().is_none()
            && let Some(file) = self.open_active(extent.slot).await?
        {
            let _ = extent.file.set(file);
        }
        Ok(extent.file.get())
    }
}

/// Whether the segment holds the blocks of an extent whose flush nothing proves, for good. Reads just them. Blocks
/// that the disk cannot read may have been acknowledged: they count as held, and whoever reads them is told of the
/// damage.
///
/// # Errors
/// The disk's. A segment that is missing or ends earlier holds them not.
pub(super) async fn is_placed<D: Disk>(
    disk: &D,
    place: &BatchPlace,
    extent: &ExtentView<'_>,
) -> DiskResult<bool> {
    if extent.middle > FRAME_BYTES_MAX {
        return Ok(false);
    }
    let name = segment_name(place.key, place);
    let file = match disk.open(&name, Open::Existing).await {
        Ok(file) => file,
        Err(error) if error.fault == DiskFault::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let (mut middle, mut chunks) = (Vec::with_capacity(extent.middle), Vec::new());
    while middle.len() < extent.middle {
        let bytes = (extent.middle - middle.len()).min(IO_BYTES_MAX);
        match read(disk, &file, extent.at + middle.len() as u64, bytes).await {
            Ok(chunk) if chunk.is_empty() => return Ok(false),
            Ok(chunk) => {
                chunks.push((extent.at + middle.len() as u64, chunk.clone()));
                middle.extend_from_slice(&chunk);
            }
            Err(error) if error.fault == DiskFault::Io => {
                let (partition, offset) = (place.key, place.base_offset.0);
                tracing::error!(%partition, offset, %error, "whether a batch is whole cannot be read");
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
    }
    let held = extent.holds(&middle);
    if held {
        // A killed broker may not have flushed what was read, or its flush failed and no later one covers it: were
        // it gone at the next start, the new checkpoint would count on it.
        for (at, chunk) in chunks {
            disk.write(&file, at, chunk).await?;
        }
        disk.flush(&file).await?;
    }
    Ok(held)
}

/// Once that the disk cannot read is not yet damage.
async fn read<D: Disk>(disk: &D, file: &D::File, at: u64, bytes: usize) -> DiskResult<D::Chunk> {
    for _ in 1..READS_MAX {
        match disk.read(file, at, bytes).await {
            Err(error) if error.fault == DiskFault::Io => {}
            found => return found,
        }
    }
    disk.read(file, at, bytes).await
}

fn segment_name(key: PartitionKey, place: &BatchPlace) -> FileName {
    FileName::partition_dir(key).join(SegmentFile::Log.name(place.segment))
}
