//! Reading a stretch of a segment, as far as the disk can.
//!
//! Large reads go by pages of 256 KiB. One block of a page that cannot be read would make all of it
//! unreadable, and sound records with it: a read that fails is therefore cut in halves until the first block
//! is known that fails, and what lies before it is served. Such a page is not asked for as a whole for a
//! while: what lies behind the block is read by the blocks that are needed.

use futures_util::future::join_all;

use super::pages::SegmentSource;
use super::read::FetchError;
use super::shard::Shard;
use crate::io::{BLOCK, Disk, DiskError, DiskFault, DiskOp, FileName, IO_BYTES_MAX, READERS_SHARE, Slice};
use crate::log::names::SegmentFile;

/// Below this many bytes a read takes just the blocks it needs, not pages.
pub(super) const PAGED_FROM: usize = IO_BYTES_MAX / 2;

const BLOCK_BYTES: u64 = BLOCK as u64;

/// What could be read of a stretch of a segment.
pub(super) struct Stretch<C> {
    /// The bytes from its beginning on, in order.
    pub(super) slices: Vec<Slice<C>>,
    /// Why they end before what was asked for.
    pub(super) cut: Option<DiskError>,
}

/// One transfer.
#[derive(Clone, Copy)]
struct Part {
    at: u64,
    len: usize,
    /// As a page, if it is one.
    paged: bool,
}

impl<D: Disk> Shard<D> {
    /// The bytes `position..position + want` of a segment, or up to its end, in order.
    ///
    /// # Errors
    /// The disk's, also if it cannot read just some of them.
    pub(super) async fn read_range(
        &self,
        source: &SegmentSource<D>,
        position: u64,
        want: usize,
    ) -> Result<Vec<Slice<D::Chunk>>, FetchError> {
        let stretch = self.read_some(source, position, want).await?;
        stretch.cut.map_or(Ok(stretch.slices), |error| Err(error.into()))
    }

    /// As [`Shard::read_range`], up to the first block that cannot be read, or the end of a file that is too
    /// short.
    ///
    /// # Errors
    /// The disk's, where it is none of reading: it hangs, or the file is gone, or readers never have so much
    /// memory.
    pub(super) async fn read_some(
        &self,
        source: &SegmentSource<D>,
        position: u64,
        want: usize,
    ) -> Result<Stretch<D::Chunk>, FetchError> {
        let end = source.end.min(position + want as u64);
        let disk_end = end.min(source.on_disk);
        let mut stretch = Stretch { slices: Vec::new(), cut: None };
        if position < disk_end {
            let parts = self.parts(source, position, disk_end, want);
            let memory = parts.iter().map(|part| part.len.next_power_of_two()).sum();
            if memory > self.inner.disk.pool_size() / READERS_SHARE {
                let name = file_name(source);
                return Err(
                    DiskError { op: DiskOp::Read, file: name, fault: DiskFault::TooLarge, errno: 0 }.into()
                );
            }
            let _reserved = self.reserve(memory);
            let chunks = join_all(parts.iter().map(|&part| self.read_part(source, part))).await;
            for (part, chunk) in parts.into_iter().zip(chunks) {
                let (start, stop) = (position.max(part.at), disk_end.min(part.at + part.len as u64));
                match chunk {
                    Ok(chunk) => stretch.push(source, chunk, part.at, start, stop),
                    Err(error) if self.note_unreadable(&error) => {
                        self.inner
                            .state
                            .borrow_mut()
                            .pages
                            .note_failed(source.page_at(part.at), self.inner.now.get().mono);
                        self.narrow(source, part, (start, stop), error, &mut stretch).await?;
                    }
                    Err(error) => return Err(error.into()),
                }
                if stretch.cut.is_some() {
                    return Ok(stretch);
                }
            }
        }
        stretch.push_open(source, position, end);
        Ok(stretch)
    }

    /// The bytes `position..position + want` of a segment, by the blocks that hold them and in one try. `None`
    /// where the disk cannot read one of them, or the file or the segment ends before.
    ///
    /// # Errors
    /// As [`Shard::read_some`].
    pub(super) async fn try_blocks(
        &self,
        source: &SegmentSource<D>,
        position: u64,
        want: usize,
    ) -> Result<Option<Vec<Slice<D::Chunk>>>, FetchError> {
        let end = position + want as u64;
        if end > source.end {
            return Ok(None);
        }
        let disk_end = end.min(source.on_disk);
        let mut stretch = Stretch { slices: Vec::new(), cut: None };
        for part in self.parts(source, position, disk_end, 0) {
            match self.read_blocks(source, part.at, part.len).await {
                Ok(chunk) => {
                    let stop = disk_end.min(part.at + part.len as u64);
                    stretch.push(source, chunk, part.at, position.max(part.at), stop);
                }
                Err(error) if self.note_unreadable(&error) => {
                    self.take_probe(source.key);
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
        stretch.push_open(source, position, end);
        Ok(stretch.cut.is_none().then_some(stretch.slices))
    }

    /// The transfers that bring `position..end`.
    fn parts(&self, source: &SegmentSource<D>, position: u64, end: u64, want: usize) -> Vec<Part> {
        let blocks_end = end.next_multiple_of(BLOCK_BYTES);
        let mut parts = Vec::new();
        if want < PAGED_FROM {
            let mut at = position / BLOCK_BYTES * BLOCK_BYTES;
            while at < end {
                let len = (blocks_end - at).min(IO_BYTES_MAX as u64) as usize;
                parts.push(Part { at, len, paged: false });
                at += len as u64;
            }
            return parts;
        }
        let unit = IO_BYTES_MAX as u64;
        let state = self.inner.state.borrow();
        let mut page = position / unit * unit;
        while page < end {
            let stop = blocks_end.min(page + unit);
            let failed = state.pages.has_failed(source.page_at(page), self.inner.now.get().mono);
            let at = if failed { page.max(position / BLOCK_BYTES * BLOCK_BYTES) } else { page };
            parts.push(Part { at, len: (stop - at) as usize, paged: !failed });
            page += unit;
        }
        parts
    }

    /// A whole page that will not change any more is kept for the next reader.
    async fn read_part(&self, source: &SegmentSource<D>, part: Part) -> Result<D::Chunk, DiskError> {
        let page = part.at.is_multiple_of(IO_BYTES_MAX as u64)
            && part.at + IO_BYTES_MAX as u64 <= source.on_disk
            && part.len >= PAGED_FROM;
        if page && part.paged {
            return self.load_page(source.page_at(part.at), source.file()?).await;
        }
        self.read_blocks(source, part.at, part.len).await
    }

    async fn read_blocks(
        &self,
        source: &SegmentSource<D>,
        at: u64,
        len: usize,
    ) -> Result<D::Chunk, DiskError> {
        self.inner.state.borrow_mut().make_read_room(&self.inner.disk);
        self.inner.disk.read(source.file()?, at, len).await
    }

    /// Reads what there is of `needed` before the first block that cannot be read, after a read of `part`,
    /// which holds it, failed.
    async fn narrow(
        &self,
        source: &SegmentSource<D>,
        part: Part,
        needed: (u64, u64),
        mut error: DiskError,
        stretch: &mut Stretch<D::Chunk>,
    ) -> Result<(), FetchError> {
        let mut at = needed.0 / BLOCK_BYTES * BLOCK_BYTES;
        let end = needed.1.next_multiple_of(BLOCK_BYTES);
        // A read of this stretch failed, if any did that touches nothing else.
        let mut bad = (at == part.at && end == part.at + part.len as u64).then_some((at, end));
        while at < end {
            let stop = match bad {
                Some((from, to)) if from == at && to == at + BLOCK_BYTES => break,
                Some((_, to)) if to > at + BLOCK_BYTES => at + ((to - at) / 2).next_multiple_of(BLOCK_BYTES),
                Some((_, to)) => to,
                None => end,
            };
            if !self.take_probe(source.key) {
                break;
            }
            match self.read_blocks(source, at, (stop - at) as usize).await {
                Ok(chunk) => {
                    stretch.push(source, chunk, at, needed.0.max(at), needed.1.min(stop));
                    if stretch.cut.is_some() {
                        return Ok(());
                    }
                    at = stop;
                    bad = bad.filter(|(_, to)| *to > at);
                }
                Err(again) if self.note_unreadable(&again) => (bad, error) = (Some((at, stop)), again),
                Err(other) => return Err(other.into()),
            }
        }
        if at < end {
            stretch.cut = Some(error);
        }
        Ok(())
    }
}

impl<C: Clone + std::ops::Deref<Target = [u8]>> Stretch<C> {
    /// Takes what `position..end` has in the open block.
    fn push_open<D: Disk<Chunk = C>>(&mut self, source: &SegmentSource<D>, position: u64, end: u64) {
        if end > source.on_disk
            && let Some(open) = &source.open
        {
            let start = position.max(source.on_disk);
            let within = (start - source.on_disk) as usize;
            self.slices.push(Slice::new(open.clone(), within, (end - start) as usize));
        }
    }

    /// Takes `start..stop` of what was read from `at` on.
    fn push<D: Disk>(&mut self, source: &SegmentSource<D>, chunk: C, at: u64, start: u64, stop: u64) {
        let there = stop.min(at + chunk.len() as u64);
        if there > start {
            self.slices.push(Slice::new(chunk, (start - at) as usize, (there - start) as usize));
        }
        if there < stop {
            self.cut = Some(short(source));
        }
    }
}

/// The file ends before the bytes that the checkpoint vouches for.
pub(super) fn short<D: Disk>(source: &SegmentSource<D>) -> DiskError {
    DiskError::found(DiskOp::Read, file_name(source))
}

fn file_name<D: Disk>(source: &SegmentSource<D>) -> FileName {
    FileName::partition_dir(source.key).join(SegmentFile::Log.name(source.base))
}
