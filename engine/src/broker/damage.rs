//! Damage in segments: found by a reader or by the scrub, listed, fenced, read around.
//!
//! A listed range is never read again (one that only could not be read is tried again after
//! [`UNREADABLE_AGAIN_MS`]), never cut away and never appended over. Batches in front of it and behind
//! it are served. Where it ends is told by the offset index, which the broker alone writes, and not by
//! what looks like a batch: what a client put into a record may look like one.

use super::pages::SegmentSource;
use super::partition::SwapState;
use super::read::FetchError;
use super::shard::Shard;
use crate::base::{Offset, PartitionKey};
use crate::io::{BLOCK, Disk, DiskError, DiskFault, IO_BYTES_MAX};
use crate::log::index::{Entry, OffsetEntry};
use crate::log::intact::{self, Checked, Expectation, Stop};
use crate::log::names::SegmentFile;
use crate::log::scan::{Step, Walk};
use crate::log::{Cause, DamagedRange};
use crate::record::{BatchHeader, HEADER_BYTES};

/// Bytes of segment looked at in one go. Below a page, so that what is looked at does not push what
/// readers use out of the cache.
pub(super) const LOOK_BYTES: usize = 120 * 1024;

/// A range that the disk could not read is tried again after this long, ms.
const UNREADABLE_AGAIN_MS: i64 = 10_000;

/// No offset index is read that is larger, bytes: without it a range reaches to its segment's end.
const INDEX_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// After this many tries the search for a batch that holds takes larger steps.
const TRIED_ONE_BY_ONE: usize = 16;

/// One entry of a core's list of damage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DamagedPart {
    /// A range of a segment: the records in it are fenced.
    Range(PartitionKey, DamagedRange),
    /// Its journal held damage where the partition went on: what came from this offset on is kept aside
    /// with the journal's file, and the partition takes no appends.
    Journal(PartitionKey, Offset),
}

/// What a reader at an offset must keep away from.
pub(super) struct Fence {
    /// The last range below the offset.
    before: Option<DamagedRange>,
    /// The first one above it.
    after: Option<DamagedRange>,
}

impl Fence {
    /// The bound of a reader that has `below` for one.
    pub(super) fn below(&self, below: Offset) -> Offset {
        self.after.map_or(below, |range| range.first.min(below))
    }

    /// Where a walk in this segment may begin.
    pub(super) fn least(&self, segment: Offset) -> u64 {
        self.before.filter(|r| r.segment == segment).map_or(0, |r| u64::from(r.end_position))
    }

    /// Ends the segment where it is damaged.
    pub(super) fn limit<D: Disk>(&self, source: &mut SegmentSource<D>) {
        if let Some(range) = self.after.filter(|r| r.segment == source.base) {
            source.end_at(u64::from(range.position));
        }
    }

    /// For a reader who found nothing left before the range.
    pub(super) fn refuse(&self, segment: Offset) -> Result<(), FetchError> {
        match self.after.filter(|r| r.segment == segment) {
            Some(range) => Err(FetchError::Fenced(range)),
            None => Ok(()),
        }
    }
}

/// Where a look at a segment ended.
pub(super) enum Look {
    /// Everything up to here holds.
    Sound {
        /// Where the next batch begins.
        position: u64,
        /// Its first offset.
        next: Offset,
    },
    /// Everything up to here holds, and what begins here does not.
    Flawed {
        /// Where, in bytes from the segment's start.
        position: u64,
        /// The offset due there.
        next: Offset,
        /// What does not hold.
        cause: Cause,
    },
}

impl<D: Disk> Shard<D> {
    /// Everything that is damaged and known to be.
    #[must_use]
    pub fn damages(&self) -> Vec<DamagedPart> {
        let state = self.inner.state.borrow();
        let mut parts = Vec::new();
        for partition in state.partitions.iter().flatten() {
            let ranges = partition.damages.as_slice().iter();
            parts.extend(ranges.map(|range| DamagedPart::Range(partition.key, *range)));
            if partition.fenced {
                parts.push(DamagedPart::Journal(partition.key, partition.head.end()));
            }
        }
        parts
    }

    /// What a reader at `from` must keep away from.
    ///
    /// # Errors
    /// [`FetchError::Fenced`] if `from` lies in a damaged range.
    pub(super) fn fence(&self, key: PartitionKey, from: Offset) -> Result<Fence, FetchError> {
        let now = self.inner.now.get().wall.0;
        let mut state = self.inner.state.borrow_mut();
        let slot = state.slot(key).ok_or(FetchError::UnknownPartition)?;
        let damages = &mut state.partition(slot).ok_or(FetchError::UnknownPartition)?.damages;
        if let Some(range) = damages.holding(from).copied() {
            let again = !range.cause.is_lasting() && now - range.found_at.0 >= UNREADABLE_AGAIN_MS;
            if !again {
                return Err(FetchError::Fenced(range));
            }
            damages.remove(from);
        }
        Ok(Fence { before: damages.before(from).copied(), after: damages.after(from).copied() })
    }

    /// Looks for what a reader of `bytes` from `from` on ran into, and lists it. False if all of that holds
    /// now, or it could not be listed.
    ///
    /// # Errors
    /// Those of a segment that cannot be judged: the partition is gone, or the disk hangs.
    pub(super) async fn examine(
        &self,
        key: PartitionKey,
        from: Offset,
        bytes: usize,
    ) -> Result<bool, FetchError> {
        let (base, revision) = {
            let state = self.inner.state.borrow();
            let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
            let Some(segment) = partition.written.find(from) else { return Ok(false) };
            (segment.base, partition.revision)
        };
        let source = match self.source(key, base).await {
            Ok(source) => source,
            Err(FetchError::Disk(error)) => return self.list_unopened(key, revision, base, error),
            Err(error) => return Err(error),
        };
        let (position, next) = self.sound_start(&source, from).await?;
        let mut met = None;
        let enough = |at, next| next > from && at >= *met.get_or_insert(at) + bytes as u64;
        match self.look(&source, position, next, enough).await? {
            Look::Sound { .. } => Ok(false),
            Look::Flawed { position, next, cause } => {
                let range = self.damaged_range(&source, position, next, cause).await?;
                Ok(self.list(key, source.revision, range))
            }
        }
    }

    /// Lists the damage that a walk over a segment met at `position`. Gives the position behind it.
    ///
    /// # Errors
    /// As [`Shard::examine`]; [`FetchError::Damaged`] if a closer look finds none up to there.
    pub(super) async fn past_damage(
        &self,
        source: &SegmentSource<D>,
        position: u64,
    ) -> Result<u64, FetchError> {
        if let Some(range) = self.listed(source, position) {
            return Ok(u64::from(range.end_position));
        }
        let (mut at, mut next) = (0, source.base);
        loop {
            match self.look(source, at, next, |_, _| false).await? {
                Look::Sound { .. } => break,
                Look::Flawed { position: flaw, next: due, cause } => {
                    let range = self.damaged_range(source, flaw, due, cause).await?;
                    self.list(source.key, source.revision, range);
                    (at, next) = (u64::from(range.end_position), range.end);
                    if at > position || at >= source.end {
                        break;
                    }
                }
            }
        }
        let listed = self.listed(source, position);
        listed.map(|r| u64::from(r.end_position)).ok_or(crate::log::scan::Damaged { position }.into())
    }

    pub(super) fn listed(&self, source: &SegmentSource<D>, position: u64) -> Option<DamagedRange> {
        let state = self.inner.state.borrow();
        state.by_key(source.key)?.damages.at(source.base, position).copied()
    }

    /// Where the first damage of the segment behind a position begins.
    pub(super) fn listed_after(&self, source: &SegmentSource<D>, position: u64) -> Option<u64> {
        let state = self.inner.state.borrow();
        let ranges = state.by_key(source.key)?.damages.as_slice().iter();
        let mut begins = ranges.filter(|r| r.segment == source.base).map(|r| u64::from(r.position));
        begins.find(|begin| *begin > position)
    }

    /// A segment whose file is not there, or cannot be opened.
    pub(super) fn list_unopened(
        &self,
        key: PartitionKey,
        revision: u64,
        base: Offset,
        error: DiskError,
    ) -> Result<bool, FetchError> {
        let cause = match error.fault {
            DiskFault::NotFound => Cause::Missing,
            DiskFault::Io => Cause::Unreadable,
            _ => return Err(error.into()),
        };
        let range = {
            let state = self.inner.state.borrow();
            let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
            let Some(segment) = partition.written.find(base).filter(|s| s.base == base) else {
                return Ok(false);
            };
            DamagedRange {
                segment: base,
                position: 0,
                end_position: segment.bytes,
                first: base,
                end: partition.written.end_of(base),
                found_at: self.inner.now.get().wall,
                cause,
            }
        };
        Ok(self.list(key, revision, range))
    }

    /// Lists a range, and says so once. False if it was listed before, or retention or compaction took what
    /// was looked at meanwhile, or files are between two names: what is missing may only be on its way.
    pub(super) fn list(&self, key: PartitionKey, revision: u64, range: DamagedRange) -> bool {
        let mut state = self.inner.state.borrow_mut();
        let Some(slot) = state.slot(key) else { return false };
        let Some(partition) = state.partition(slot) else { return false };
        let kept = partition.revision == revision
            && partition.swap == SwapState::Settled
            && partition.written.find(range.segment).is_some_and(|s| s.base == range.segment);
        if !kept || range.end <= partition.log_start || !partition.damages.add(range) {
            return false;
        }
        state.stats.damages_found += 1;
        state.pages.forget(key);
        tracing::error!(
            partition = %key,
            segment = range.segment.0,
            position = range.position,
            end_position = range.end_position,
            first_offset = range.first.0,
            next_readable = range.end.0,
            cause = range.cause.name(),
            "damage: these records are kept and fenced, everything around them stays readable"
        );
        true
    }

    /// A batch at or below `from` that is known to begin there: behind the last damage, or where an index
    /// entry that holds says, or at the segment's start.
    async fn sound_start(
        &self,
        source: &SegmentSource<D>,
        from: Offset,
    ) -> Result<(u64, Offset), FetchError> {
        let behind = {
            let state = self.inner.state.borrow();
            let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
            partition.damages.before(from).filter(|r| r.segment == source.base).copied()
        };
        let least = behind.map_or((0, source.base), |r| (u64::from(r.end_position), r.end));
        match self.indexed_entry(source, from).await? {
            Some(entry) if u64::from(entry.position) > least.0 => {
                let held = self.indexed_batch(source, entry, least.1).await?;
                Ok(held.map_or(least, |base| (u64::from(entry.position), base)))
            }
            _ => Ok(least),
        }
    }

    /// Checks batches from `position` on, where `next` is due, until `enough` says so of the
    /// position and offset reached.
    ///
    /// # Errors
    /// The disk's, where it is none of reading; [`FetchError::UnknownPartition`].
    pub(super) async fn look(
        &self,
        source: &SegmentSource<D>,
        mut position: u64,
        mut next: Offset,
        mut enough: impl FnMut(u64, Offset) -> bool,
    ) -> Result<Look, FetchError> {
        // A read of fewer bytes than `least` would not get further.
        let (mut want, mut least) = (LOOK_BYTES, BLOCK);
        while position < source.end && !enough(position, next) {
            let slices = match self.read_range(source, position, want).await {
                Ok(slices) => slices,
                Err(FetchError::Disk(error)) => {
                    let cause = match error.fault {
                        // The file ends early: no number of the kernel's stands behind it.
                        DiskFault::Io if error.errno == 0 => Cause::Missing,
                        DiskFault::Io => Cause::Unreadable,
                        _ => return Err(error.into()),
                    };
                    if want > least {
                        // What lies before the bad block is fine.
                        want = (want / 2).max(least);
                        continue;
                    }
                    return Ok(Look::Flawed { position, next, cause });
                }
                Err(error) => return Err(error),
            };
            let checked = self.check_from(source, &slices, position, next)?;
            position += checked.bytes as u64;
            next = checked.next;
            match checked.stop {
                Stop::Flaw(cause) => return Ok(Look::Flawed { position, next, cause }),
                Stop::More(bytes) if checked.bytes == 0 => {
                    if bytes <= want {
                        return Ok(Look::Flawed { position, next, cause: Cause::Missing });
                    }
                    (want, least) = (bytes, bytes);
                }
                Stop::More(_) | Stop::End => (want, least) = (LOOK_BYTES, BLOCK),
            }
        }
        Ok(Look::Sound { position, next })
    }

    fn check_from<S: std::ops::Deref<Target = [u8]>>(
        &self,
        source: &SegmentSource<D>,
        slices: &[S],
        position: u64,
        next: Offset,
    ) -> Result<Checked, FetchError> {
        let state = self.inner.state.borrow();
        let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
        let expectation =
            Expectation { next, inside: false, gaps: partition.gaps, epochs: &partition.epochs };
        Ok(intact::check(slices, position, source.end, usize::MAX, expectation))
    }

    /// The damage that begins at `position`, where `first` is due: up to the next batch that the index
    /// names and that holds, else to the segment's end.
    pub(super) async fn damaged_range(
        &self,
        source: &SegmentSource<D>,
        position: u64,
        first: Offset,
        cause: Cause,
    ) -> Result<DamagedRange, FetchError> {
        let (end_position, end) = self.next_sound(source, position, first).await?;
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

    async fn next_sound(
        &self,
        source: &SegmentSource<D>,
        position: u64,
        first: Offset,
    ) -> Result<(u64, Offset), FetchError> {
        let entries = self.index_entries(source).await;
        let behind = |e: &&OffsetEntry| u64::from(e.position) > position && e.offset(source.base) >= first;
        let candidates: Vec<OffsetEntry> = entries.iter().filter(behind).copied().collect();
        let (mut at, mut tried) = (0, 0);
        while let Some(entry) = candidates.get(at) {
            if let Some(base) = self.indexed_batch(source, *entry, first).await? {
                return Ok((u64::from(entry.position), base));
            }
            tried += 1;
            at += 1 + tried / TRIED_ONE_BY_ONE;
        }
        // What was appended since the source was opened stands behind its end and is sound.
        Ok((source.end, source.end_offset))
    }

    /// The first offset of the batch that an index entry names, if it stands there, holds, and does not
    /// lie below `least`.
    async fn indexed_batch(
        &self,
        source: &SegmentSource<D>,
        entry: OffsetEntry,
        least: Offset,
    ) -> Result<Option<Offset>, FetchError> {
        let position = u64::from(entry.position);
        if position + HEADER_BYTES as u64 > source.end {
            return Ok(None);
        }
        let Some(slices) = self.readable(source, position, HEADER_BYTES).await? else { return Ok(None) };
        let header: BatchHeader = match Walk::new(&slices, position, source.end, least).next() {
            Ok(Step::Batch(found)) if found.header.last_offset() == entry.offset(source.base) => found.header,
            _ => return Ok(None),
        };
        let Some(bytes) = header.total_bytes() else { return Ok(None) };
        let Some(slices) = self.readable(source, position, bytes).await? else { return Ok(None) };
        let state = self.inner.state.borrow();
        let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
        let base = header.base_offset();
        let expectation = Expectation { next: base, inside: false, gaps: false, epochs: &partition.epochs };
        let checked = intact::check(&slices, position, source.end, bytes, expectation);
        Ok((checked.bytes == bytes).then_some(base))
    }

    /// As [`Shard::read_range`]; `None` where the disk cannot read or the file ends.
    async fn readable(
        &self,
        source: &SegmentSource<D>,
        position: u64,
        want: usize,
    ) -> Result<Option<Vec<crate::io::Slice<D::Chunk>>>, FetchError> {
        match self.read_range(source, position, want).await {
            Ok(slices) => Ok(Some(slices)),
            Err(FetchError::Disk(error)) if error.fault == DiskFault::Io => Ok(None),
            Err(error) => Err(error),
        }
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
