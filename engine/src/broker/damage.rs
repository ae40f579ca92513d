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
use super::stretch::Stretch;
use crate::base::{Offset, PartitionKey};
use crate::io::{Disk, DiskError, DiskFault};
use crate::log::intact::{self, Checked, Expectation, Stop};
use crate::log::scan::Due;
use crate::log::{Cause, DamagedRange};

/// Bytes of segment looked at in one go. Below a page, so that what is looked at does not push what
/// readers use out of the cache.
pub(super) const LOOK_BYTES: usize = 120 * 1024;

/// Damaged ranges that one read finds before it gives up.
pub(super) const EXAMINED_MAX: usize = 4;

/// Index entries tried, from an offset backwards, for a batch that holds: then the segment's start is taken.
const ENTRIES_TRIED: usize = 8;

/// A range that the disk could not read is tried again after this long, ms.
const UNREADABLE_AGAIN_MS: i64 = 10_000;

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

    /// Where a walk in this segment may begin, and with which offset.
    pub(super) fn least(&self, segment: Offset) -> (u64, Due) {
        let behind = self.before.filter(|r| r.segment == segment);
        behind.map_or((0, Due::From(segment)), |r| (u64::from(r.end_position), Due::From(r.end)))
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

    /// Lists the damage that a walk over a segment, which began at `sound`, met at `position`. Gives where
    /// the next batch begins behind it, and the offset due there. The walk may have gone astray: the damage may
    /// lie before the position.
    ///
    /// # Errors
    /// As [`Shard::examine`]; [`FetchError::Damaged`] if a closer look finds none up to there.
    pub(super) async fn past_damage(
        &self,
        source: &SegmentSource<D>,
        sound: (u64, Offset),
        position: u64,
    ) -> Result<(u64, Offset), FetchError> {
        let (mut at, mut next) = sound;
        loop {
            let look = self.look(source, at, next, |reached, _| reached > position).await?;
            let Look::Flawed { position: flaw, next: due, cause } = look else {
                return Err(crate::log::scan::Damaged { position }.into());
            };
            let range = match self.listed(source, flaw) {
                Some(range) => range,
                None => {
                    let range = self.damaged_range(source, flaw, due, cause).await?;
                    if !self.list(source.key, source.revision, range) {
                        return Err(crate::log::scan::Damaged { position: flaw }.into());
                    }
                    range
                }
            };
            (at, next) = (u64::from(range.end_position), range.end);
            if at > position || flaw >= position {
                return Ok((at, next));
            }
        }
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
    /// was looked at meanwhile, or files are between two names: what is missing may only be on its way. What lies
    /// below the log start is listed too, for a reader of the same segment comes by it; not so a segment that ends
    /// there, which nobody reads any more and whose file may be gone.
    pub(super) fn list(&self, key: PartitionKey, revision: u64, range: DamagedRange) -> bool {
        let mut state = self.inner.state.borrow_mut();
        let Some(slot) = state.slot(key) else { return false };
        let Some(partition) = state.partition(slot) else { return false };
        let kept = partition.revision == revision
            && partition.swap == SwapState::Settled
            && partition.written.find(range.segment).is_some_and(|s| s.base == range.segment)
            && partition.written.end_of(range.segment) > partition.log_start;
        if !kept || !partition.damages.add(range) {
            return false;
        }
        state.stats.damages_found += 1;
        state.forget_read(key);
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
    pub(super) async fn sound_start(
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
        // The entry may name the very batch that is damaged: then the one before it is asked.
        let mut target = from;
        for _ in 0..ENTRIES_TRIED {
            let entry = self.indexed_entry(source, target).await?;
            let Some(entry) = entry.filter(|e| u64::from(e.position) > least.0) else { break };
            if let Some(base) = self.indexed_batch(source, entry, least.1).await? {
                return Ok((u64::from(entry.position), base));
            }
            target = entry.offset(source.base).plus(-1);
        }
        Ok(least)
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
        let mut want = LOOK_BYTES;
        while position < source.end && !enough(position, next) {
            let Stretch { slices, cut } = self.read_some(source, position, want).await?;
            let checked = self.check_from(source, &slices, position, next)?;
            position += checked.bytes as u64;
            next = checked.next;
            match (checked.stop, cut) {
                (Stop::Flaw(cause), _) => return Ok(Look::Flawed { position, next, cause }),
                (Stop::More(_), Some(error)) => {
                    // The file ends early: no number of the kernel's stands behind it.
                    let cause = if error.errno == 0 { Cause::Missing } else { Cause::Unreadable };
                    return Ok(Look::Flawed { position, next, cause });
                }
                (Stop::More(bytes), None) if checked.bytes == 0 => {
                    if bytes <= want {
                        return Ok(Look::Flawed { position, next, cause: Cause::Missing });
                    }
                    want = bytes;
                }
                (Stop::More(_) | Stop::End, _) => want = LOOK_BYTES,
            }
        }
        Ok(Look::Sound { position, next })
    }

    pub(super) fn check_from<S: std::ops::Deref<Target = [u8]>>(
        &self,
        source: &SegmentSource<D>,
        slices: &[S],
        position: u64,
        next: Offset,
    ) -> Result<Checked, FetchError> {
        let state = self.inner.state.borrow();
        let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
        let expectation = Expectation { next, gaps: partition.gaps, epochs: &partition.epochs };
        Ok(intact::check(slices, position, source.end, usize::MAX, expectation))
    }
}
