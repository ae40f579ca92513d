//! Which partition a lane writes next.
//!
//! Forced ones first (a checkpoint waits for them), then those with a whole transfer to write, and
//! when too much is acknowledged but not in its segment, those that have waited longest.

use super::shard::State;
use crate::base::{PartitionKey, Site, buggify};
use crate::io::{Disk, IO_BYTES_MAX};

/// A partition with this much unwritten is written at once: the transfer is as large as they get.
const RIPE_BYTES: usize = IO_BYTES_MAX;

/// With more partitions than this in line for the writer, a frame that leaves early is not worth the memory
/// that it holds until the last of its partitions is written …
const SPREAD_ABOVE: usize = 32;

/// … so the open one then waits until it is this many times as large.
const SPREAD_TIMES: usize = 2;

impl<D: Disk> State<D> {
    /// Bytes from which the open frame leaves while another is in flight; `least` with few partitions.
    pub(super) fn early_bytes(&self, least: usize) -> usize {
        if self.dirty.len() > SPREAD_ABOVE { least * SPREAD_TIMES } else { least }
    }

    /// A durable batch arrived in this partition.
    pub(super) fn mark_dirty(&mut self, slot: u32) {
        let Some(partition) = self.partition(slot) else { return };
        let enough = partition.tail.unwritten_bytes() >= RIPE_BYTES || buggify(Site::WriteAtOnce);
        let ripe = enough && !partition.ripe;
        let dirty = !partition.dirty;
        partition.dirty = true;
        partition.ripe |= ripe;
        if dirty {
            self.dirty.push_back(slot);
            assert!(self.dirty.len() <= self.partitions.len(), "a partition stands in line once");
        }
        if ripe {
            self.ripe.push_back(slot);
        }
    }

    /// Asks for a partition to be written soon.
    pub(super) fn mark_ripe(&mut self, slot: u32) {
        let Some(partition) = self.partition(slot) else { return };
        if !partition.ripe {
            partition.ripe = true;
            self.ripe.push_back(slot);
        }
    }

    /// Whether a lane would find something to write.
    pub(super) fn has_writes(&self, disk: &D) -> bool {
        !self.forced.is_empty() || !self.ripe.is_empty() || self.above_write_behind(disk)
    }

    /// Acknowledged bytes may lag behind their segments by half of the pool.
    pub(super) fn above_write_behind(&self, disk: &D) -> bool {
        self.tails.unwritten() > disk.pool_size() / 2
    }

    pub(super) fn next_write(&mut self, disk: &D) -> Option<u32> {
        loop {
            let (slot, in_line) = match self.forced.pop_front().or_else(|| self.ripe.pop_front()) {
                Some(slot) => (slot, true),
                None if self.above_write_behind(disk) => (self.dirty.pop_front()?, false),
                None => return None,
            };
            let Some(partition) = self.partition(slot) else { continue };
            partition.ripe = false;
            // One that is ripe or forced keeps its place in the line of those that wait longest.
            partition.dirty &= in_line;
            if partition.writing || (partition.tail.unwritten_bytes() == 0 && !partition.suspect) {
                continue;
            }
            partition.writing = true;
            return Some(slot);
        }
    }

    /// Whether the lane that has this partition should go on with it.
    pub(super) fn wants_more(&self, slot: u32) -> bool {
        let Some(Some(partition)) = self.partitions.get(slot as usize) else { return false };
        partition.tail.unwritten_bytes() >= RIPE_BYTES
            || partition.tail.oldest_unwritten().is_some_and(|oldest| oldest <= self.force_below)
    }

    /// A lane lets a partition go.
    pub(super) fn release(&mut self, slot: u32) {
        let force_below = self.force_below;
        let Some(partition) = self.partition(slot) else {
            self.abandon_less(slot);
            return;
        };
        partition.writing = false;
        if partition.offline {
            // The next tick tries again.
            return;
        }
        let forced = partition.tail.oldest_unwritten().is_some_and(|oldest| oldest <= force_below);
        if forced {
            self.forced.push_back(slot);
        }
        if self.partition(slot).is_some_and(|p| p.tail.unwritten_bytes() > 0) {
            self.mark_dirty(slot);
        }
    }

    /// One of those that hold a deleted partition lets it go.
    pub(super) fn abandon_less(&mut self, slot: u32) {
        if let Some(at) = self.abandoned.iter().position(|abandoned| *abandoned == slot) {
            self.abandoned.swap_remove(at);
        }
    }

    /// The key of a slot that is still hosted.
    pub(super) fn key_of(&self, slot: u32) -> Option<PartitionKey> {
        self.partitions.get(slot as usize)?.as_deref().map(|p| p.key)
    }
}
