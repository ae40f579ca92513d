//! Reads: from memory without a copy, else from the segment in aligned direct reads.

use smallvec::SmallVec;

use super::damage::EXAMINED_MAX;
use super::pages::SegmentSource;
use super::partition::SwapState;
use super::shard::{Shard, State};
use super::stretch::Stretch;
use crate::base::{LeaderEpoch, Offset, PartitionKey, Site, buggify};
use crate::io::{Disk, DiskError, DiskFault, DiskOp, FileName, READERS_SHARE, Slice};
use crate::log::DamagedRange;
use crate::log::intact::{self, Checked, Expectation};
use crate::log::scan::{self, Budget, Damaged, Due, Located, Walk};
use crate::record::HEADER_BYTES;

/// Places remembered per partition, so that readers in sequence skip the index.
const CURSORS: usize = 8;

/// Bytes read at once while looking for an offset behind its index entry.
const LOCATE_BYTES: usize = 64 * 1024;

/// What a reader may know of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// First offset kept.
    pub log_start: Offset,
    /// Consumers see what is below.
    pub high_watermark: Offset,
    /// What readers of committed records see below; the high watermark while no transaction exists.
    pub last_stable: Offset,
    /// The epoch under which this node leads.
    pub leader_epoch: LeaderEpoch,
}

/// Record batches for a fetch: whole ones, in order, as slices of shared memory.
pub struct Fetched<C> {
    /// The bounds when the read began.
    pub bounds: Bounds,
    /// The bytes.
    pub slices: SmallVec<[Slice<C>; 4]>,
    /// Their number.
    pub bytes: usize,
}

/// Why nothing can be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// The shard does not host it.
    #[error("the partition is not on this core")]
    UnknownPartition,
    /// Below the log start, or above the log's end.
    #[error("the offset is not in the log")]
    OutOfRange(Bounds),
    /// The segment could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What the segment holds there is not a batch.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The offset lies in a range that is listed as damaged: the next one that can be read is its end.
    #[error("offsets {} to {} are fenced: {}", .0.first, .0.end.plus(-1), .0.cause.name())]
    Fenced(DamagedRange),
}

impl FetchError {
    /// Whether a closer look at the segment may say more.
    fn may_be_damage(&self) -> bool {
        match self {
            FetchError::Damaged(_) => true,
            FetchError::Disk(error) => matches!(error.fault, DiskFault::Io | DiskFault::NotFound),
            _ => false,
        }
    }
}

/// A place where a reader stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    offset: Offset,
    segment: Offset,
    position: u64,
}

/// The last places where readers stopped, newest last; nothing of the heap until somebody reads.
#[derive(Default, Debug)]
pub(super) struct Cursors(Vec<Cursor>);

impl Cursors {
    fn find(&self, offset: Offset) -> Option<Cursor> {
        self.0.iter().rev().find(|c| c.offset == offset).copied()
    }

    fn note(&mut self, cursor: Cursor) {
        if self.0.len() == CURSORS {
            self.0.remove(0);
        }
        self.0.push(cursor);
    }
}

/// What a read found in a segment.
enum Cold<C> {
    /// Whole batches, or nothing that the budget allows.
    Batches { slices: SmallVec<[Slice<C>; 4]>, bytes: usize },
    /// Nothing at or above the offset: what follows begins here.
    Behind(Offset),
}

/// What a read found in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hot {
    /// All that it asked for.
    Served {
        /// The bounds when it was read.
        bounds: Bounds,
        /// The bytes given.
        bytes: usize,
    },
    /// Nothing: the segment has to be asked, with [`Shard::read`].
    Cold(Bounds),
}

/// Whether a read asks where another stopped, and the index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hints {
    /// As ever.
    Asked,
    /// Once more: what was met without them is sound from there on.
    Again,
    /// It begins at the segment's start, as where there is no index.
    None,
}

impl Hints {
    fn draw() -> Hints {
        if buggify(Site::NoHint) { Hints::None } else { Hints::Asked }
    }
}

impl<D: Disk> Shard<D> {
    /// What readers of this partition may ask for now.
    ///
    /// # Errors
    /// [`FetchError::UnknownPartition`]. A core whose journal cannot be written is read all the same.
    pub fn bounds(&self, key: PartitionKey) -> Result<Bounds, FetchError> {
        self.inner.state.borrow().bounds(key)
    }

    /// Roughly how many bytes lie between `from` and the high watermark: what `fetch.min.bytes` is
    /// compared with. Exact within memory.
    #[must_use]
    pub fn bytes_from(&self, key: PartitionKey, from: Offset) -> u64 {
        let state = self.inner.state.borrow();
        let Some(partition) = state.by_key(key) else { return 0 };
        if from >= partition.high_watermark {
            return 0;
        }
        if partition.tail.first_offset().is_some_and(|first| first <= from) {
            return partition.tail.from(from).map(|b| u64::from(b.bytes)).sum();
        }
        let segments = partition.written.iter().rev().take_while(|s| partition.written.end_of(s.base) > from);
        segments.map(|s| u64::from(s.bytes)).sum::<u64>() + partition.tail.unwritten_bytes() as u64
    }

    /// Whether a read from here is served from memory at once. Any other may wait for the disk and
    /// for read memory: who holds the memory of one such read must not wait for another.
    #[must_use]
    pub fn is_hot(&self, key: PartitionKey, from: Offset) -> bool {
        let state = self.inner.state.borrow();
        let Some(partition) = state.by_key(key) else { return true };
        from >= partition.high_watermark || partition.tail.first_offset().is_some_and(|first| first <= from)
    }

    /// As [`Shard::read`], from memory alone: it never waits, and gives the slices one by one, so that
    /// nothing needs to be allocated for them.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub fn read_hot(
        &self,
        key: PartitionKey,
        from: Offset,
        max_bytes: usize,
        at_least_one: bool,
        give: impl FnMut(Slice<D::Chunk>),
    ) -> Result<Hot, FetchError> {
        self.inner.state.borrow_mut().read_hot(key, from, max_bytes, at_least_one, give)
    }

    /// Whole batches from the one that holds `from` on, at most `max_bytes` of them, except that
    /// with `at_least_one` the first comes whatever its size. Empty at the high watermark.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn read(
        &self,
        key: PartitionKey,
        from: Offset,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Fetched<D::Chunk>, FetchError> {
        let mut slices = SmallVec::new();
        let mut next = from;
        loop {
            let hot = self.read_hot(key, next, max_bytes, at_least_one, |slice| slices.push(slice))?;
            let bounds = match hot {
                Hot::Served { bounds, bytes } => return Ok(Fetched { bounds, slices, bytes }),
                Hot::Cold(bounds) => bounds,
            };
            let budget = Budget { max_bytes, at_least_one, below: bounds.high_watermark };
            let read = self.steady(key, async || self.read_cold(key, next, budget).await).await;
            // Retention may have dropped the segment meanwhile, and its file may hold another
            // partition's batches by now: what was read counts only if the start is still below it.
            let now = self.bounds(key)?;
            if from < now.log_start {
                return Err(FetchError::OutOfRange(now));
            }
            match read? {
                Cold::Batches { slices, bytes } => {
                    let mut state = self.inner.state.borrow_mut();
                    state.stats.bytes_out += bytes as u64;
                    state.stats.bytes_read_cold += bytes as u64;
                    return Ok(Fetched { bounds, slices, bytes });
                }
                Cold::Behind(base) => next = base,
            }
        }
    }

    /// What was read of a partition's closed segments while no compaction put others in their place.
    ///
    /// # Errors
    /// Those of `read`; a [`FetchError::Disk`] while files of the partition are between two names and the
    /// disk fails.
    pub(super) async fn steady<T>(
        &self,
        key: PartitionKey,
        read: impl AsyncFn() -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let _reading = self.begin_reading().await;
        loop {
            let before = self.settled(key).await?;
            let result = read().await;
            let state = self.inner.state.borrow();
            if state.by_key(key).is_none_or(|partition| partition.revision == before) {
                return result;
            }
        }
    }

    /// The partition's revision once no file of it is between two names.
    async fn settled(&self, key: PartitionKey) -> Result<u64, FetchError> {
        loop {
            let wait = {
                let state = self.inner.state.borrow();
                let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
                match partition.swap {
                    SwapState::Settled => return Ok(partition.revision),
                    SwapState::Stuck => return Err(between_names(key).into()),
                    SwapState::UnderWay => self.inner.files.wait(),
                }
            };
            wait.await;
        }
    }

    /// Reads from the segment. What does not hold there is listed and fenced on the way.
    async fn read_cold(
        &self,
        key: PartitionKey,
        from: Offset,
        budget: Budget,
    ) -> Result<Cold<D::Chunk>, FetchError> {
        let mut hints = Hints::draw();
        for _ in 0..EXAMINED_MAX {
            match self.read_intact(key, from, budget, hints).await {
                Err(error) if error.may_be_damage() => {
                    if !self.examine(key, from, budget.max_bytes.max(LOCATE_BYTES)).await? {
                        // Whoever began at the segment's start, for the index could not be read, ran into damage
                        // that lies before what the index leads to: that is asked once more.
                        if std::mem::replace(&mut hints, Hints::Again) == Hints::Again {
                            return Err(error);
                        }
                    }
                }
                read => return read,
            }
        }
        self.read_intact(key, from, budget, hints).await
    }

    /// Batches that hold, up to the first that does not and to what is fenced.
    async fn read_intact(
        &self,
        key: PartitionKey,
        from: Offset,
        budget: Budget,
        hints: Hints,
    ) -> Result<Cold<D::Chunk>, FetchError> {
        let fence = self.fence(key, from)?;
        let budget = Budget { below: fence.below(budget.below), ..budget };
        let no_hint = hints == Hints::None;
        let cursor = self.inner.state.borrow().by_key(key).and_then(|p| p.cursors.find(from));
        let cursor = cursor.filter(|_| !no_hint);
        let mut source = match cursor {
            Some(cursor) => self.source(key, cursor.segment).await?,
            None => self.source_of(key, from).await?,
        };
        // An index is a hint: where it leads astray the segment itself decides.
        let least = fence.least(source.base);
        fence.limit(&mut source);
        let mut hint = match cursor {
            Some(_) => least,
            None if no_hint => least,
            None => {
                let entry = self.indexed_entry(&source, from).await?;
                let named = entry.map(|e| (u64::from(e.position), Due::To(e.offset(source.base))));
                // An entry that is not damaged is of a batch that is there.
                named.filter(|(position, _)| (least.0 + 1..source.end).contains(position)).unwrap_or(least)
            }
        };
        // Where the first batch begins, and its first offset.
        let mut known = cursor.map(|c| (c.position, from));
        // One batch may take more, if readers have it at all.
        let most = self.inner.disk.pool_size() / READERS_SHARE / 2;
        let mut want = budget.max_bytes.min(most).max(LOCATE_BYTES);
        if buggify(Site::ReadLittle) {
            want = HEADER_BYTES;
        }
        loop {
            let located = match known {
                Some(known) => Ok(known),
                None => self.locate(&source, hint, from).await,
            };
            let (start, first) = match located {
                Err(FetchError::Damaged(_)) if hint.0 > least.0 => {
                    hint = least;
                    continue;
                }
                located => located?,
            };
            known = Some((start, first));
            if start >= source.end {
                fence.refuse(source.base)?;
                // Compaction took what was here: it goes on with the next segment.
                let state = self.inner.state.borrow();
                let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
                return Ok(Cold::Behind(partition.written.end_of(source.base)));
            }
            let Stretch { slices, cut } = self.read_some(&source, start, want).await?;
            let walk = Walk::new(&slices, start, source.end, source.base);
            let mut run = scan::whole_batches(walk, budget)?;
            if run.bytes == 0
                && let Some(more) = run.wants
            {
                // The first batch reaches into what the disk cannot read.
                if let Some(error) = cut {
                    return Err(error.into());
                }
                if more > want {
                    want = more;
                    continue;
                }
            }
            // Every batch below a bound ends below it too, so one that claims to reach beyond is damaged.
            if run.bytes == 0 && run.wants.is_none() && budget.at_least_one && start < source.end {
                return Err(Damaged { position: start }.into());
            }
            if run.bytes > 0 {
                let checked = self.check_run(key, &slices, &source, (start, first), run.bytes)?;
                if checked.bytes == 0 && hint.0 > least.0 {
                    (hint, known) = (least, None);
                    continue;
                }
                if checked.bytes == 0 {
                    return Err(Damaged { position: start }.into());
                }
                (run.bytes, run.next_offset) = (checked.bytes, Some(checked.next));
            }
            if let Some(next) = run.next_offset {
                let cursor =
                    Cursor { offset: next, segment: source.base, position: start + run.bytes as u64 };
                let mut state = self.inner.state.borrow_mut();
                if let Some(slot) = state.slot(key)
                    && let Some(partition) = state.partition(slot)
                    && cursor.position < source.end
                    && partition.revision == source.revision
                {
                    partition.cursors.note(cursor);
                }
                drop(state);
                self.read_ahead(&source, cursor.position, run.bytes);
            }
            return Ok(Cold::Batches { slices: first_bytes(slices, run.bytes), bytes: run.bytes });
        }
    }

    /// How far a run of batches, with the position and the first offset of the first, is what the log vouches for.
    fn check_run(
        &self,
        key: PartitionKey,
        slices: &[Slice<D::Chunk>],
        source: &SegmentSource<D>,
        (start, next): (u64, Offset),
        bytes: usize,
    ) -> Result<Checked, FetchError> {
        let state = self.inner.state.borrow();
        let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
        let expectation = Expectation { next, gaps: partition.gaps, epochs: &partition.epochs };
        Ok(intact::check(slices, start, source.end, bytes, expectation))
    }

    /// The position and the first offset of the first batch that holds `target` or lies behind it; the segment's
    /// end if there is none. The walk begins at a position near it, with what is known of the batch there.
    async fn locate(
        &self,
        source: &SegmentSource<D>,
        (mut position, mut due): (u64, Due),
        target: Offset,
    ) -> Result<(u64, Offset), FetchError> {
        let gaps = self.inner.state.borrow().by_key(source.key).ok_or(FetchError::UnknownPartition)?.gaps;
        let mut want = LOCATE_BYTES;
        loop {
            let Stretch { slices, cut } = self.read_some(source, position, want).await?;
            let walk = Walk::new(&slices, position, source.end, source.base);
            match (scan::locate(walk, due, gaps, target)?, cut) {
                (Located::At(found), _) => return Ok((found.position, found.header.base_offset())),
                (Located::Above, _) => return Ok((source.end, source.end_offset)),
                (Located::More { .. }, Some(error)) => return Err(error.into()),
                // A batch longer than what was read: ask from its header on, for more.
                (Located::More { position: same, .. }, None) if same == position => want *= 2,
                (Located::More { position: at, due: next }, None) => (position, due) = (at, next),
            }
        }
    }
}

impl<D: Disk> State<D> {
    fn bounds(&self, key: PartitionKey) -> Result<Bounds, FetchError> {
        let partition = self.by_key(key).ok_or(FetchError::UnknownPartition)?;
        Ok(Bounds {
            log_start: partition.log_start,
            high_watermark: partition.high_watermark,
            last_stable: partition.high_watermark,
            leader_epoch: partition.leader_epoch,
        })
    }

    fn read_hot(
        &mut self,
        key: PartitionKey,
        from: Offset,
        max_bytes: usize,
        at_least_one: bool,
        mut give: impl FnMut(Slice<D::Chunk>),
    ) -> Result<Hot, FetchError> {
        let bounds = self.bounds(key)?;
        let partition = self.by_key(key).ok_or(FetchError::UnknownPartition)?;
        if from < bounds.log_start || from > partition.log_end() {
            return Err(FetchError::OutOfRange(bounds));
        }
        if from >= bounds.high_watermark {
            return Ok(Hot::Served { bounds, bytes: 0 });
        }
        if partition.tail.first_offset().is_none_or(|first| from < first) {
            return Ok(Hot::Cold(bounds));
        }
        let mut given = 0;
        for batch in partition.tail.from(from) {
            let bytes = batch.bytes as usize;
            let first = given == 0 && at_least_one;
            if !first && given + bytes > max_bytes {
                break;
            }
            batch.slices.iter().cloned().for_each(&mut give);
            given += bytes;
        }
        self.stats.bytes_out += given as u64;
        Ok(Hot::Served { bounds, bytes: given })
    }
}

/// What a reader is told while a file of the partition is between two names and the disk fails.
fn between_names(key: PartitionKey) -> DiskError {
    let file = FileName::partition_dir(key);
    DiskError { op: DiskOp::Rename, file, fault: DiskFault::Timeout, errno: 0 }
}

/// The first `bytes` of a row of slices.
fn first_bytes<C>(slices: Vec<Slice<C>>, mut bytes: usize) -> SmallVec<[Slice<C>; 4]>
where
    C: Clone + std::ops::Deref<Target = [u8]>,
{
    let mut out = SmallVec::new();
    for slice in slices {
        if bytes == 0 {
            break;
        }
        let n = slice.len().min(bytes);
        bytes -= n;
        out.push(if n == slice.len() { slice } else { slice.slice(0, n) });
    }
    assert!(bytes == 0, "the slices hold the run");
    out
}
