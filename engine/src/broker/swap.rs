//! The new files of a compacted segment take the place of the old ones, and recovery from a crash between.
//!
//! | step | on disk afterwards | recovery |
//! |---|---|---|
//! | 0 both checkpoints hold the group as closed | the group | – |
//! | 1 `cores/<core>/swap` says that it is being written | the group, parts of `.cleaned` | removes `.cleaned`, the old segments count |
//! | 2 the new files are written and flushed, their names synced | the group, all of `.cleaned` | the same |
//! | 3 `swap` says that the new segment counts | the same | goes on with 4 |
//! | 4 `.log` → `.log.deleted`, `.cleaned` → its name, the group's other files → `.deleted` or gone | one segment, `.deleted` | goes on with 4, whatever was done of it |
//! | 5 both checkpoints hold the new segment | the same | the same, which changes nothing |
//! | 6 `.deleted` is removed, then `swap` | one segment | – |
//!
//! Whatever may fail from step 3 on is tried until it works: both outcomes of it are sound, but nobody may
//! change these segments while it is open which of them stands.

use rustc_hash::FxHashMap;

use super::checkpoint::PartitionState;
use super::partition::SwapState;
use super::read::Cursors;
use super::shard::Shard;
use crate::base::{Bug, CoreId, Offset, PartitionKey, planted};
use crate::io::{Disk, DiskFault, DiskResult, FileName};
use crate::log::Damages;
use crate::log::cleaner::{SWAP_BYTES_MAX, Swap};
use crate::log::names::{DELETED_SUFFIX, SegmentFile};

/// The files that compaction writes for a segment. Snapshots of producers stay as they are.
const CLEANED: [SegmentFile; 3] = [SegmentFile::Log, SegmentFile::Index, SegmentFile::TimeIndex];

/// Both must hold a new segment before the old files go: a start may find the newer one damaged, and the older
/// one says nothing that is true of files that were replaced since.
pub(super) const CHECKPOINTS: usize = 2;

/// `cores/<core>/swap`.
pub(super) fn swap_file(core: CoreId) -> FileName {
    FileName::core_dir(core).join("swap")
}

/// Removes what steps 1 and 2 have written. Durably: nothing tells of it once `swap` is gone.
pub(super) async fn remove_cleaned<D: Disk>(disk: &D, swap: &Swap) -> DiskResult<()> {
    let dir = FileName::partition_dir(swap.key);
    for kind in CLEANED {
        disk.remove(&dir.join(kind.cleaned_name(swap.base))).await?;
    }
    sync_if_there(disk, &dir).await
}

/// Makes the names in a directory durable; one that is gone has none.
async fn sync_if_there<D: Disk>(disk: &D, dir: &FileName) -> DiskResult<()> {
    match disk.sync_dir(dir).await {
        Err(error) if error.fault == DiskFault::NotFound => Ok(()),
        synced => synced,
    }
}

/// Step 4. Whatever of it was done before is passed over.
async fn rename_files<D: Disk>(disk: &D, swap: &Swap) -> DiskResult<()> {
    let dir = FileName::partition_dir(swap.key);
    let entries = disk.list(&dir).await?;
    // A deleted topic's directory may be gone.
    if entries.is_empty() {
        return Ok(());
    }
    let there = |name: &FileName| entries.iter().any(|entry| entry.name == *name);
    for kind in CLEANED {
        let (cleaned, name) = (dir.join(kind.cleaned_name(swap.base)), dir.join(kind.name(swap.base)));
        if !there(&cleaned) {
            continue;
        }
        if kind == SegmentFile::Log && there(&name) {
            disk.rename(&name, &dir.join(kind.deleted_name(swap.base))).await?;
        }
        disk.rename(&cleaned, &name).await?;
    }
    for entry in &entries {
        match SegmentFile::parse(entry.name.base()) {
            Some((base, SegmentFile::Log)) if swap.base < base && base < swap.end => {
                disk.rename(&entry.name, &dir.join(SegmentFile::Log.deleted_name(base))).await?;
            }
            Some((base, _)) if swap.base < base && base < swap.end => disk.remove(&entry.name).await?,
            _ => {}
        }
    }
    disk.sync_dir(&dir).await
}

/// Finishes, or undoes, what compaction was at when each core died, and makes the states of the partitions
/// say so. The files that told of it are returned: remove them once a checkpoint holds the states.
///
/// # Errors
/// The disk's. Nothing is decided by then that another try would not decide again.
pub(super) async fn recover_swaps<D: Disk>(
    disk: &D,
    cores: impl Iterator<Item = CoreId>,
    states: &mut FxHashMap<PartitionKey, (CoreId, PartitionState)>,
) -> DiskResult<Vec<FileName>> {
    let mut told = Vec::new();
    for core in cores {
        let name = swap_file(core);
        let Some(bytes) = disk.read_small(&name, SWAP_BYTES_MAX).await? else { continue };
        let swap = match Swap::decode(&bytes) {
            Ok(swap) => swap,
            Err(error) => {
                tracing::error!(file = %name, %error, "what compaction was at cannot be read: kept aside");
                disk.rename(&name, &FileName::core_dir(core).join("damaged-swap")).await?;
                disk.sync_dir(&FileName::core_dir(core)).await?;
                continue;
            }
        };
        told.push(name);
        // Of a deleted topic nothing is left to be finished.
        let Some((_, state)) = states.get_mut(&swap.key) else { continue };
        let Some(segment) = swap.segment.as_ref().filter(|_| !planted(Bug::UndoSwap)) else {
            remove_cleaned(disk, &swap).await?;
            continue;
        };
        // Gone by retention since: then so are its files.
        if state.segments.replace(segment, swap.end) {
            forget_damage(&mut state.damages, &swap);
            state.gaps = true;
            rename_files(disk, &swap).await?;
            tracing::info!(partition = %swap.key, base = swap.base.0, "a compacted segment took its place");
        }
        remove_deleted(disk, &swap).await?;
    }
    Ok(told)
}

/// Every batch of the group held when it was rewritten: what was listed of it since is gone with its files.
fn forget_damage(damages: &mut Damages, swap: &Swap) {
    let listed: Vec<Offset> = damages.as_slice().iter().map(|range| range.first).collect();
    for first in listed.into_iter().filter(|first| swap.base <= *first && *first < swap.end) {
        damages.remove(first);
    }
}

async fn remove_deleted<D: Disk>(disk: &D, swap: &Swap) -> DiskResult<()> {
    let dir = FileName::partition_dir(swap.key);
    for entry in disk.list(&dir).await? {
        if entry.name.base().ends_with(DELETED_SUFFIX) {
            disk.remove(&entry.name).await?;
        }
    }
    sync_if_there(disk, &dir).await
}

impl<D: Disk> Shard<D> {
    /// Stores what compaction is at.
    pub(super) async fn store_swap(&self, swap: &Swap) -> DiskResult<()> {
        self.inner.disk.replace(&swap_file(self.inner.core), swap.encode()).await
    }

    /// Forgets what compaction was at.
    pub(super) async fn forget_swap(&self) -> DiskResult<()> {
        self.inner.disk.remove(&swap_file(self.inner.core)).await?;
        self.inner.disk.sync_dir(&FileName::core_dir(self.inner.core)).await
    }

    /// Steps 3 to 6 of a swap whose new files are durable. Once it counts everything below `cleaned`, if
    /// given, is compacted: a checkpoint holds both or neither, or an older record that was only to go would
    /// never be looked at again. False if the shard stops first: recovery goes on.
    pub(super) async fn swap_segments(&self, slot: u32, swap: &Swap, cleaned: Option<Offset>) -> bool {
        while let Err(error) = self.store_swap(swap).await {
            tracing::warn!(partition = %swap.key, %error, "a compacted segment waits to take its place");
            if !self.next_try(slot).await {
                return false;
            }
        }
        self.set_swap(slot, SwapState::UnderWay);
        while let Err(error) = rename_files(&self.inner.disk, swap).await {
            tracing::error!(partition = %swap.key, %error, "a compacted segment cannot take its place: reads are refused until it can");
            self.set_swap(slot, SwapState::Stuck);
            if !self.next_try(slot).await {
                return false;
            }
        }
        {
            let mut state = self.inner.state.borrow_mut();
            state.names_changed = true;
            state.forget_read(swap.key);
            let Some(partition) = state.partition(slot) else { return false };
            let segment = swap.segment.as_ref().expect("a swap that counts has a segment");
            // What was compacted away is shown to nobody any more, from memory neither.
            partition.tail.forget_below(swap.end);
            // They are positions in the files that are gone.
            partition.cursors = Cursors::default();
            forget_damage(&mut partition.damages, swap);
            for segments in [&mut partition.written, &mut partition.head] {
                assert!(segments.replace(segment, swap.end), "{}: nobody else changes them", swap.key);
            }
            partition.cleaned = partition.cleaned.max(cleaned.unwrap_or(Offset::ZERO));
        }
        self.set_swap(slot, SwapState::Settled);
        for _ in 0..CHECKPOINTS {
            while !matches!(self.take_checkpoint().await, Ok(true)) {
                if !self.next_try(slot).await {
                    return false;
                }
            }
        }
        if let Err(error) = self.remove_replaced(swap).await {
            // They stay until the partition is swept after the next start.
            tracing::warn!(partition = %swap.key, %error, "what was compacted was not removed");
        }
        true
    }

    fn set_swap(&self, slot: u32, swap: SwapState) {
        let mut state = self.inner.state.borrow_mut();
        if let Some(partition) = state.partition(slot) {
            partition.swap = swap;
            partition.revision += 1;
        }
        drop(state);
        self.inner.files.notify();
    }

    /// Waits for the clock to move on. False if the shard stops, or the partition is gone.
    async fn next_try(&self, slot: u32) -> bool {
        self.inner.ticked.wait().await;
        !self.is_stopping() && self.inner.state.borrow().key_of(slot).is_some()
    }

    async fn remove_replaced(&self, swap: &Swap) -> DiskResult<()> {
        let dir = FileName::partition_dir(swap.key);
        for entry in self.inner.disk.list(&dir).await? {
            if entry.name.base().ends_with(DELETED_SUFFIX) {
                self.bury(&entry.name, entry.len).await?;
            }
        }
        sync_if_there(&self.inner.disk, &dir).await
    }
}
