//! Reading segments: aligned pages, a small cache of them, and read-ahead.

use std::collections::VecDeque;
use std::rc::Rc;

use futures_util::future::join_all;

use super::handles::{FileKey, Handle};
use super::probe::PROBE_WINDOW;
use super::read::FetchError;
use super::shard::{Shard, State};
use super::stretch::{PAGED_FROM, short};
use crate::base::{Instant, Offset, PartitionKey, Site, buggify};
use crate::io::{BLOCK, Disk, DiskError, DiskFault, IO_BYTES_MAX, Open, READERS_SHARE};
use crate::log::index::{Entry, IndexSearch, Lookup, OffsetEntry, SearchStep, TimeEntry};
use crate::log::names::SegmentFile;

/// The cache may hold this share of the pool: one byte in four.
const CACHE_SHARE: usize = 4;

/// This share of the pool is kept free for reads, as far as caches hold it: one byte in eight.
const READ_ROOM_SHARE: usize = 8;

/// Pages that wait to be read ahead, at most …
const AHEAD_MAX: usize = 32;
/// … and their files at most one of this many that may be open.
const AHEAD_FILES_SHARE: usize = 8;

/// Pages read ahead at the same time. Together with the pages that readers wait for this keeps the disk
/// busy; more would only stand before the journal's writes.
const AHEAD_LANES: usize = 8;

/// How far a reader in sequence is read ahead of: this many times what it took last.
const AHEAD_ANSWERS: u64 = 2;

/// Pages that could not be read, remembered at most.
const FAILED_MAX: usize = 64;

/// One page: 256 KiB of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PageId {
    key: PartitionKey,
    /// Of the partition: its files may be others after compaction.
    revision: u64,
    base: Offset,
    number: u64,
}

/// A page in memory.
struct Page<C> {
    id: PageId,
    chunk: C,
    /// A reader in sequence went past its end: it is the first to go.
    passed: bool,
}

/// What readers of a shard keep.
pub(super) struct Pages<D: Disk> {
    cache: VecDeque<Page<D::Chunk>>,
    /// Pages on their way from the disk: nobody asks for them again.
    loading: Vec<PageId>,
    ahead: VecDeque<(PageId, Handle<D>)>,
    /// Pages that could not be read as a whole, and when, oldest first.
    failed: VecDeque<(PageId, Instant)>,
    /// What large reads under way need of the readers' memory, bytes each.
    reserved: Vec<usize>,
}

impl<D: Disk> Default for Pages<D> {
    fn default() -> Self {
        Pages {
            cache: VecDeque::new(),
            loading: Vec::new(),
            ahead: VecDeque::new(),
            failed: VecDeque::new(),
            reserved: Vec::new(),
        }
    }
}

impl<D: Disk> Pages<D> {
    fn find(&self, id: PageId) -> Option<D::Chunk> {
        self.cache.iter().rev().find(|page| page.id == id).map(|page| page.chunk.clone())
    }

    fn keep(&mut self, id: PageId, chunk: D::Chunk, pool_bytes: usize) {
        if self.find(id).is_some() {
            return;
        }
        self.cache.push_back(Page { id, chunk, passed: false });
        self.shrink(pool_bytes);
    }

    /// Lets go of pages that the cache may not hold now. A read waits for readers' memory, of which the cache
    /// holds a part, and what only the cache holds would never come back by itself.
    fn shrink(&mut self, pool_bytes: usize) {
        let needed = self.reserved.iter().max().copied().unwrap_or(0);
        let left = (pool_bytes / READERS_SHARE).saturating_sub(needed) / IO_BYTES_MAX;
        while self.cache.len() > pages_max(pool_bytes).min(left) {
            self.drop_one();
        }
    }

    /// Lets go of one page, of those that readers have passed first. False if there is none.
    fn drop_one(&mut self) -> bool {
        let passed = self.cache.iter().position(|page| page.passed).unwrap_or(0);
        self.cache.remove(passed).is_some()
    }

    /// Pages that somebody is expected to ask for: there, on their way, or about to be.
    fn expected(&self) -> usize {
        self.cache.iter().filter(|page| !page.passed).count() + self.loading.len() + self.ahead.len()
    }

    /// A reader in sequence took everything of this segment before `position`.
    fn pass(&mut self, key: PartitionKey, base: Offset, position: u64) {
        for page in &mut self.cache {
            let before = (page.id.number + 1) * IO_BYTES_MAX as u64 <= position;
            page.passed |= before && page.id.key == key && page.id.base == base;
        }
    }

    /// A page, or what there is of it, could not be read in one go.
    pub(super) fn note_failed(&mut self, id: PageId, now: Instant) {
        self.failed.retain(|(page, _)| *page != id);
        if self.failed.len() == FAILED_MAX {
            self.failed.pop_front();
        }
        self.failed.push_back((id, now));
    }

    /// Whether that was a short while ago.
    pub(super) fn has_failed(&self, id: PageId, now: Instant) -> bool {
        self.failed.iter().any(|(page, at)| *page == id && now.since(*at) < PROBE_WINDOW)
    }

    fn forget(&mut self, key: PartitionKey) {
        self.cache.retain(|page| page.id.key != key);
        self.ahead.retain(|(page, _)| page.key != key);
    }
}

impl<D: Disk> State<D> {
    /// Forgets what readers hold of segments of this partition.
    pub(super) fn forget_read(&mut self, key: PartitionKey) {
        self.pages.forget(key);
        self.handles.forget_flushed(key);
    }

    /// Keeps memory free for a read: cached batches go first, then cached pages. A read waits for
    /// memory, and what only a cache holds would never come back by itself.
    pub(super) fn make_read_room(&mut self, disk: &D) {
        let goal = disk.pool_size() / READ_ROOM_SHARE;
        if disk.pool_free() < goal {
            self.evict(goal - disk.pool_free(), disk);
        }
        let all = buggify(Site::DropPages);
        while (all || disk.pool_free() < goal) && self.pages.drop_one() {}
    }
}

/// Pages that the cache holds at most.
fn pages_max(pool_bytes: usize) -> usize {
    (pool_bytes / CACHE_SHARE / IO_BYTES_MAX).max(1)
}

/// A page on its way; whoever waits for it is told when it came, failed or was given up.
struct Loading<'a, D: Disk> {
    shard: &'a Shard<D>,
    id: PageId,
}

impl<D: Disk> Drop for Loading<'_, D> {
    fn drop(&mut self) {
        self.shard.inner.state.borrow_mut().pages.loading.retain(|id| *id != self.id);
        self.shard.inner.loaded.notify();
    }
}

/// Readers' memory that a large read may have to itself.
pub(super) struct Reserved<'a, D: Disk> {
    shard: &'a Shard<D>,
    bytes: usize,
}

impl<D: Disk> Drop for Reserved<'_, D> {
    fn drop(&mut self) {
        let reserved = &mut self.shard.inner.state.borrow_mut().pages.reserved;
        if let Some(at) = reserved.iter().position(|bytes| *bytes == self.bytes) {
            reserved.swap_remove(at);
        }
    }
}

/// One segment as a reader sees it.
pub(super) struct SegmentSource<D: Disk> {
    pub(super) key: PartitionKey,
    /// The partition's revision when it was opened.
    pub(super) revision: u64,
    pub(super) base: Offset,
    /// Where its bytes end.
    pub(super) end: u64,
    /// The offset behind those bytes, at the same moment.
    pub(super) end_offset: Offset,
    /// Where the bytes on disk end and those of `open` begin.
    pub(super) on_disk: u64,
    pub(super) open: Option<D::Chunk>,
    /// None if nothing of it is on disk.
    file: Option<Handle<D>>,
}

impl<D: Disk> SegmentSource<D> {
    /// Its file.
    ///
    /// # Errors
    /// Nothing of it is on disk: then there is nothing to be read there.
    pub(super) fn file(&self) -> Result<&D::File, DiskError> {
        self.file.as_deref().ok_or_else(|| short(self))
    }

    /// The segment as if it ended at `position`: what lies behind is not read.
    pub(super) fn end_at(&mut self, position: u64) {
        self.end = self.end.min(position);
        if position <= self.on_disk {
            self.on_disk = position;
            self.open = None;
        }
    }

    /// The page that holds a position.
    pub(super) fn page_at(&self, position: u64) -> PageId {
        self.page(position / IO_BYTES_MAX as u64)
    }

    fn page(&self, number: u64) -> PageId {
        PageId { key: self.key, revision: self.revision, base: self.base, number }
    }
}

impl<D: Disk> Shard<D> {
    /// The segment that holds `offset`.
    pub(super) async fn source_of(
        &self,
        key: PartitionKey,
        offset: Offset,
    ) -> Result<SegmentSource<D>, FetchError> {
        let base = {
            let state = self.inner.state.borrow();
            let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
            partition.written.find(offset).map(|s| s.base)
        };
        match base {
            Some(base) => self.source(key, base).await,
            None => Err(FetchError::OutOfRange(self.bounds(key)?)),
        }
    }

    /// The segment that begins at `base`, opened for reading.
    pub(super) async fn source(
        &self,
        key: PartitionKey,
        base: Offset,
    ) -> Result<SegmentSource<D>, FetchError> {
        let (end, end_offset, open, revision) = {
            let state = self.inner.state.borrow();
            let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
            let segment = partition.written.find(base).filter(|s| s.base == base);
            let Some(segment) = segment else {
                return Err(FetchError::OutOfRange(self.bounds(key)?));
            };
            let active = partition.segment.index.base() == base;
            let open = if active { partition.segment.open.clone() } else { Vec::new() };
            (u64::from(segment.bytes), partition.written.end_of(base), open, partition.revision)
        };
        let on_disk = end - open.len() as u64;
        let file = match on_disk {
            0 => None,
            _ => Some(self.handle(key, revision, base, SegmentFile::Log).await?),
        };
        let open = if open.is_empty() { None } else { Some(self.copied(&open).await) };
        Ok(SegmentSource { key, revision, base, end, end_offset, on_disk, open, file })
    }

    async fn copied(&self, bytes: &[u8]) -> D::Chunk {
        let mut buffer = self.take_io(BLOCK).await;
        buffer[..bytes.len()].copy_from_slice(bytes);
        self.inner.disk.seal(buffer, bytes.len())
    }

    pub(super) async fn handle(
        &self,
        key: PartitionKey,
        revision: u64,
        base: Offset,
        file: SegmentFile,
    ) -> Result<Handle<D>, DiskError> {
        let file = FileKey { partition: key, base, kind: file };
        let held = self.inner.state.borrow_mut().handles.get(file);
        if let Some(held) = held {
            return Ok(held);
        }
        let opened = self.open_file(file, Open::Existing).await?;
        let mut state = self.inner.state.borrow_mut();
        // Compaction may have put another file under the name.
        let same = state.by_key(key).is_some_and(|p| p.revision == revision);
        Ok(if same { state.handles.insert(file, opened) } else { Rc::new(opened) })
    }

    /// Makes the cache leave `bytes` of the readers' memory to a read, if that is what it may take.
    pub(super) fn reserve(&self, bytes: usize) -> Option<Reserved<'_, D>> {
        let pool = self.inner.disk.pool_size();
        if bytes + pool / CACHE_SHARE <= pool / READERS_SHARE {
            return None;
        }
        let mut state = self.inner.state.borrow_mut();
        state.pages.reserved.push(bytes);
        state.pages.shrink(pool);
        Some(Reserved { shard: self, bytes })
    }

    /// A page from the cache, or from whoever reads it already, or from the disk.
    pub(super) async fn load_page(&self, id: PageId, file: &D::File) -> Result<D::Chunk, DiskError> {
        loop {
            let wait = self.inner.loaded.wait();
            {
                let mut state = self.inner.state.borrow_mut();
                if let Some(chunk) = state.pages.find(id) {
                    return Ok(chunk);
                }
                if !state.pages.loading.contains(&id) {
                    state.pages.loading.push(id);
                    break;
                }
            }
            wait.await;
        }
        let loading = Loading { shard: self, id };
        self.inner.state.borrow_mut().make_read_room(&self.inner.disk);
        let chunk = self.inner.disk.read(file, id.number * IO_BYTES_MAX as u64, IO_BYTES_MAX).await?;
        let mut state = self.inner.state.borrow_mut();
        if chunk.len() == IO_BYTES_MAX && state.by_key(id.key).is_some_and(|p| p.revision == id.revision) {
            state.pages.keep(id, chunk.clone(), self.inner.disk.pool_size());
        }
        drop(state);
        drop(loading);
        Ok(chunk)
    }

    /// A reader in sequence took `bytes` up to `position`: what it will ask for next is read meanwhile, as
    /// long as no page has to go for it that another reader still expects.
    pub(super) fn read_ahead(&self, source: &SegmentSource<D>, position: u64, bytes: usize) {
        let Some(file) = source.file.as_ref().filter(|_| bytes >= PAGED_FROM) else { return };
        let unit = IO_BYTES_MAX as u64;
        let first = position / unit;
        let until = position + bytes as u64 * AHEAD_ANSWERS;
        let last = (until / unit).min((source.on_disk / unit).saturating_sub(1));
        let ahead_max = AHEAD_MAX.min(self.inner.disk.files_max() / AHEAD_FILES_SHARE);
        let now = self.inner.now.get().mono;
        let mut state = self.inner.state.borrow_mut();
        state.pages.pass(source.key, source.base, position);
        let cached_max = pages_max(self.inner.disk.pool_size());
        let mut room = cached_max.saturating_sub(state.pages.expected());
        for number in first..=last {
            let id = source.page(number);
            let known = (number + 1) * unit > source.on_disk
                || state.pages.find(id).is_some()
                || state.pages.has_failed(id, now)
                || state.pages.loading.contains(&id)
                || state.pages.ahead.iter().any(|(page, _)| *page == id);
            if !known && room > 0 && state.pages.ahead.len() < ahead_max {
                state.pages.ahead.push_back((id, Rc::clone(file)));
                room -= 1;
            }
        }
        drop(state);
        self.inner.ahead.notify();
    }

    /// Reads pages ahead of readers in sequence until the shard closes.
    pub(super) async fn run_read_ahead(&self) {
        join_all((0..AHEAD_LANES).map(|_| self.run_ahead_lane())).await;
    }

    async fn run_ahead_lane(&self) {
        loop {
            let wait = self.inner.ahead.wait();
            if self.inner.closing.get() {
                return;
            }
            let next = self.inner.state.borrow_mut().pages.ahead.pop_front();
            let Some((id, file)) = next else {
                wait.await;
                continue;
            };
            // What it is shows itself to the reader who asks for these bytes.
            if let Err(error) = self.load_page(id, &file).await
                && self.note_unreadable(&error)
            {
                self.inner.state.borrow_mut().pages.note_failed(id, self.inner.now.get().mono);
            }
        }
    }

    /// The offset index's entry for the last batch that ends at or before `target`, as the index has it. That batch
    /// may hold the target as its last offset; the one before it never does.
    pub(super) async fn indexed_entry(
        &self,
        source: &SegmentSource<D>,
        target: Offset,
    ) -> Result<Option<OffsetEntry>, FetchError> {
        let relative = u32::try_from(target.0 - source.base.0).unwrap_or(u32::MAX);
        let lookup = {
            let state = self.inner.state.borrow();
            let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
            (partition.segment.index.base() == source.base)
                .then(|| partition.segment.index.lookup_offset(target))
        };
        self.finish_lookup(source, SegmentFile::Index, lookup, relative).await
    }

    /// The time index's last entry below `target` ms: everything up to its offset is older.
    pub(super) async fn indexed_time(
        &self,
        source: &SegmentSource<D>,
        target: i64,
    ) -> Result<Option<TimeEntry>, FetchError> {
        let before = target.saturating_sub(1);
        let lookup = {
            let state = self.inner.state.borrow();
            let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
            (partition.segment.index.base() == source.base)
                .then(|| partition.segment.index.lookup_time(before))
        };
        self.finish_lookup(source, SegmentFile::TimeIndex, lookup, before).await
    }

    /// Answers a lookup from memory (the active segment) or by reading the index file. An index
    /// that is missing or cannot be read is no error: the scan then begins at the segment's start.
    async fn finish_lookup<E: Entry>(
        &self,
        source: &SegmentSource<D>,
        which: SegmentFile,
        lookup: Option<Lookup<E>>,
        target: E::Key,
    ) -> Result<Option<E>, FetchError> {
        let mut search = match lookup {
            Some(Lookup::Found(entry)) => return Ok(entry),
            Some(Lookup::OnDisk(search)) => Some(search),
            None => None,
        };
        let file = match self.handle(source.key, source.revision, source.base, which).await {
            Ok(file) => file,
            Err(error) if error.fault == DiskFault::Timeout => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        if search.is_none() {
            let bytes = self.inner.disk.len(&file).await?;
            search = Some(IndexSearch::new(target, bytes as usize / E::BYTES));
        }
        let mut search = search.expect("set above");
        loop {
            match search.step() {
                SearchStep::Done(entry) => return Ok(entry),
                SearchStep::Read { at, len } => match self.inner.disk.read(&file, at, len).await {
                    Ok(chunk) => search.feed(&chunk),
                    Err(error) if error.fault == DiskFault::Timeout => return Err(error.into()),
                    Err(_) => return Ok(None),
                },
            }
        }
    }
}
