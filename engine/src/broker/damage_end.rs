//! Where damage ends.
//!
//! That is told by the offset index, which the broker alone writes, and not by what looks like a batch: what
//! a client put into a record may look like one. The first batch that the index names behind the damage and
//! that holds is its end. It is nearer where the damaged batch's own length, which its checksum does not
//! cover, leads to whole batches that lie back to back, in position and in offset, up to exactly that one:
//! bytes inside a record cannot, as there are no offsets left for them.

use super::damage::LOOK_BYTES;
use super::pages::SegmentSource;
use super::read::FetchError;
use super::shard::Shard;
use crate::base::Offset;
use crate::io::{BLOCK, Disk, IO_BYTES_MAX};
use crate::log::index::{Entry, OffsetEntry};
use crate::log::intact::{self, Expectation};
use crate::log::names::SegmentFile;
use crate::log::scan::{Step, Walk};
use crate::log::{Cause, DamagedRange};
use crate::record::HEADER_BYTES;

/// No offset index is read that is larger, bytes: without it a range reaches to its segment's end.
const INDEX_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// After this many tries the search for a batch that holds takes steps twice as large each time.
const TRIED_ONE_BY_ONE: usize = 16;

/// The first batch behind damage.
enum Behind {
    /// It begins here, with this offset.
    Sound(u64, Offset),
    /// No batch that the index names holds.
    Nothing,
    /// The disk has failed too often to be asked on.
    Unknown,
}

impl<D: Disk> Shard<D> {
    /// The damage that begins at `position`, where `first` is due: up to the next batch that is known to be
    /// one and that holds, else to the segment's end.
    pub(super) async fn damaged_range(
        &self,
        source: &SegmentSource<D>,
        position: u64,
        first: Offset,
        cause: Cause,
    ) -> Result<DamagedRange, FetchError> {
        // What was appended since the source was opened stands behind its end and is sound.
        let segment_end = (source.end, source.end_offset);
        let (known, cause) = match self.first_behind(source, position, first).await? {
            Behind::Sound(at, offset) => (Some((at, offset)), cause),
            Behind::Nothing => (Some(segment_end), cause),
            // All that is behind is looked at again, as what cannot be read is.
            Behind::Unknown => (None, Cause::Unreadable),
        };
        let nearer = match known {
            Some(end) => self.nearer(source, (position, first), end).await?.unwrap_or(end),
            None => segment_end,
        };
        let (end_position, end) = nearer;
        Ok(DamagedRange {
            segment: source.base,
            position: position as u32,
            end_position: end_position as u32,
            first,
            end,
            found_at: self.inner.now.get().wall,
            cause,
        })
    }

    async fn first_behind(
        &self,
        source: &SegmentSource<D>,
        position: u64,
        first: Offset,
    ) -> Result<Behind, FetchError> {
        let entries = self.index_entries(source).await;
        let behind = |e: &&OffsetEntry| u64::from(e.position) > position && e.offset(source.base) >= first;
        let candidates: Vec<OffsetEntry> = entries.iter().filter(behind).copied().collect();
        // One by one at first, then in steps that double; what was stepped over is halved afterwards.
        let (mut at, mut step, mut tried) = (0, 1, 0);
        let (mut untried, mut end, mut sound) = (0, 0, None);
        while sound.is_none() && untried < candidates.len() {
            let here = at.min(candidates.len() - 1);
            if !self.has_probes(source.key) {
                return Ok(Behind::Unknown);
            }
            match self.indexed_batch(source, candidates[here], first).await? {
                Some(base) => (end, sound) = (here, Some(base)),
                None => {
                    untried = here + 1;
                    tried += 1;
                    step *= if tried < TRIED_ONE_BY_ONE { 1 } else { 2 };
                    at = here + step;
                }
            }
        }
        let Some(mut base) = sound else { return Ok(Behind::Nothing) };
        while untried < end && self.has_probes(source.key) {
            let middle = untried.midpoint(end);
            match self.indexed_batch(source, candidates[middle], first).await? {
                Some(found) => (end, base) = (middle, found),
                None => untried = middle + 1,
            }
        }
        Ok(Behind::Sound(u64::from(candidates[end].position), base))
    }

    /// The end of the first damaged batch, if everything between it and `end` is batches that hold.
    async fn nearer(
        &self,
        source: &SegmentSource<D>,
        (position, first): (u64, Offset),
        end: (u64, Offset),
    ) -> Result<Option<(u64, Offset)>, FetchError> {
        // Where offsets may be missing, a record has room for batches that were never appended.
        if self.inner.state.borrow().by_key(source.key).is_none_or(|p| p.gaps) {
            return Ok(None);
        }
        let Some(slices) = self.try_blocks(source, position, HEADER_BYTES).await? else { return Ok(None) };
        let found = match Walk::new(&slices, position, end.0, first).next() {
            Ok(Step::Batch(found)) if found.header.base_offset() == first => found,
            _ => return Ok(None),
        };
        let (at, next) = (position + found.bytes as u64, found.header.next_offset());
        let between = end.0.saturating_sub(at) as usize;
        if between == 0 || between > LOOK_BYTES || next >= end.1 {
            return Ok(None);
        }
        let Some(slices) = self.try_blocks(source, at, between).await? else { return Ok(None) };
        let state = self.inner.state.borrow();
        let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
        let expectation = Expectation { next, gaps: false, epochs: &partition.epochs };
        let checked = intact::check(&slices, at, end.0, between, expectation);
        Ok((checked.bytes == between && checked.next == end.1).then_some((at, next)))
    }

    /// The first offset of the batch that an index entry names, if it stands there, holds, and does not
    /// lie below `least`.
    pub(super) async fn indexed_batch(
        &self,
        source: &SegmentSource<D>,
        entry: OffsetEntry,
        least: Offset,
    ) -> Result<Option<Offset>, FetchError> {
        let position = u64::from(entry.position);
        if position + HEADER_BYTES as u64 > source.end {
            return Ok(None);
        }
        let Some(slices) = self.try_blocks(source, position, HEADER_BYTES).await? else { return Ok(None) };
        let found = match Walk::new(&slices, position, source.end, least).next() {
            Ok(Step::Batch(found)) if found.header.last_offset() == entry.offset(source.base) => found,
            _ => return Ok(None),
        };
        let Some(slices) = self.try_blocks(source, position, found.bytes).await? else { return Ok(None) };
        let state = self.inner.state.borrow();
        let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
        let base = found.header.base_offset();
        let expectation = Expectation { next: base, gaps: false, epochs: &partition.epochs };
        let checked = intact::check(&slices, position, source.end, found.bytes, expectation);
        Ok((checked.bytes == found.bytes).then_some(base))
    }

    /// The whole offset index of a segment, as far as it can be read.
    async fn index_entries(&self, source: &SegmentSource<D>) -> Vec<OffsetEntry> {
        let (on_disk, held) = {
            let state = self.inner.state.borrow();
            let active = state.by_key(source.key).filter(|p| p.segment.index.base() == source.base);
            match active.map(|p| p.segment.index.offsets.unwritten()) {
                Some((at, held)) => (at, held.to_vec()),
                None => (INDEX_BYTES_MAX, Vec::new()),
            }
        };
        let mut bytes = self.index_bytes(source, on_disk).await;
        bytes.extend(held);
        bytes.chunks_exact(OffsetEntry::BYTES).map(OffsetEntry::read).collect()
    }

    async fn index_bytes(&self, source: &SegmentSource<D>, end: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Ok(file) = self.handle(source.key, source.revision, source.base, SegmentFile::Index).await else {
            return bytes;
        };
        let end = end.min(INDEX_BYTES_MAX);
        while (bytes.len() as u64) < end {
            let left = (end - bytes.len() as u64).min(IO_BYTES_MAX as u64) as usize;
            let want = left.next_multiple_of(BLOCK);
            match self.inner.disk.read(&file, bytes.len() as u64, want).await {
                Ok(chunk) if !chunk.is_empty() => bytes.extend_from_slice(&chunk[..chunk.len().min(left)]),
                _ => break,
            }
            if !bytes.len().is_multiple_of(BLOCK) {
                break;
            }
        }
        bytes
    }
}
