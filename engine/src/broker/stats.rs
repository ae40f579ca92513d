//! Counters of one shard.

use super::shard::Shard;
use crate::io::Disk;

/// What a shard has done since it was opened, and how full it is now.
#[derive(Clone, Debug, Default)]
pub struct ShardStats {
    /// Partitions hosted.
    pub partitions: u64,
    /// Batches appended.
    pub batches: u64,
    /// Records appended.
    pub records: u64,
    /// Bytes of batches appended.
    pub bytes_in: u64,
    /// Bytes of batches handed to fetches.
    pub bytes_out: u64,
    /// Bytes of them read from segments.
    pub bytes_read_cold: u64,
    /// Group commits.
    pub commits: u64,
    /// Frames that left while another was still in flight.
    pub commits_overlapped: u64,
    /// Group commits that were flushed.
    pub flushes: u64,
    /// Bytes written to the journal.
    pub journal_bytes: u64,
    /// Batches whose whole blocks went straight to their segments.
    pub extents: u64,
    /// Bytes written to segments.
    pub segment_bytes: u64,
    /// Segment files that are open now.
    pub files_open: u64,
    /// Segment files opened.
    pub files_opened: u64,
    /// Idle segment files closed to make room for others: they are opened again when they are needed.
    pub files_closed: u64,
    /// Checkpoints taken.
    pub checkpoints: u64,
    /// Appends refused for lack of memory (the client's connection waited).
    pub appends_waited: u64,
    /// Duplicates of idempotent producers answered with the original offset.
    pub duplicates: u64,
    /// Rounds of compaction that ended.
    pub compactions: u64,
    /// Bytes of segments that compaction has read.
    pub compaction_bytes_read: u64,
    /// Bytes of segments that it has written.
    pub compaction_bytes_written: u64,
    /// Records that it has dropped.
    pub compaction_records_dropped: u64,
    /// Rounds that failed.
    pub compaction_errors: u64,
    /// The dirtiest compacted log when compaction last looked: its part that no round has seen, percent.
    pub compaction_dirty_percent_max: u64,
    /// Partitions that compaction leaves alone for a while because a round failed.
    pub compaction_uncleanable_partitions: u64,
    /// Segments that were full or old and gave way to their successor.
    pub segments_rolled: u64,
    /// Segments dropped by retention.
    pub segments_dropped: u64,
    /// Bytes of deleted files that are still to be given back to the disk.
    pub deleted_bytes: u64,
    /// Operations on segments that failed.
    pub segment_errors: u64,
    /// Reads of segments that failed.
    pub read_errors: u64,
    /// Reads that were made only because another failed: to learn which blocks can be read.
    pub read_probes: u64,
    /// Damaged ranges of segments that are listed now.
    pub damaged_ranges: u64,
    /// Their bytes.
    pub damaged_bytes: u64,
    /// Partitions that are read and never appended to: their journal could not continue them.
    pub partitions_fenced: u64,
    /// 1 while the core's journal cannot be written.
    pub offline: u64,
    /// Journal files that failed; what they held in flight went to others.
    pub journals_failed: u64,
    /// Checkpoints that failed; each is tried again.
    pub checkpoints_failed: u64,
    /// Partitions that refuse appends because a file of theirs failed.
    pub partitions_offline: u64,
    /// Damaged ranges found since the start, by readers and by the scrub.
    pub damages_found: u64,
    /// Ranges that a load of groups went over: damaged, or not readable however often the disk was asked …
    pub load_ranges_passed_over: u64,
    /// … and their offsets.
    pub load_offsets_passed_over: u64,
    /// Bytes of damaged ranges that were put back from a copy.
    pub repaired_bytes: u64,
    /// Appends refused for lack of space on the disk.
    pub appends_no_space: u64,
    /// Operations that the disk refused for lack of space.
    pub no_space_errors: u64,
    /// Free bytes of the disk at the last look.
    pub disk_bytes_free: u64,
    /// Free bytes below which producers are refused.
    pub disk_bytes_floor: u64,
    /// 0 while there is room for everything, 1 while producers are refused, 2 while commits are too.
    pub disk_level: u64,
    /// Bytes of the ballast, on core 0.
    pub ballast_bytes: u64,
    /// Bytes of journal not yet covered by a checkpoint.
    pub journal_bytes_used: u64,
    /// Bytes acknowledged and not yet in a segment.
    pub unwritten_bytes: u64,
    /// The pool, bytes.
    pub pool_bytes: u64,
    /// The pool's free part, bytes.
    pub pool_bytes_free: u64,
}

impl<D: Disk> Shard<D> {
    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let state = self.inner.state.borrow();
        let mut stats = state.stats.clone();
        stats.files_open = state.handles.count() as u64;
        stats.files_opened = state.handles.opened;
        stats.files_closed = state.handles.closed;
        stats.partitions = state.by_key.len() as u64;
        stats.journal_bytes_used = state.ring.bytes_used();
        stats.pool_bytes = self.inner.disk.pool_size() as u64;
        stats.pool_bytes_free = self.inner.disk.pool_free() as u64;
        stats.unwritten_bytes = state.tails.unwritten() as u64;
        stats.offline = u64::from(self.inner.failed.get());
        for partition in state.partitions.iter().flatten() {
            stats.damaged_ranges += partition.damages.as_slice().len() as u64;
            stats.damaged_bytes += partition.damages.bytes();
            stats.partitions_fenced += u64::from(partition.fenced);
            stats.partitions_offline += u64::from(partition.offline);
        }
        stats.deleted_bytes = state.graves.bytes();
        stats.disk_bytes_free = state.space.free();
        stats.disk_bytes_floor = state.space.floor();
        stats.disk_level = state.space.level() as u64;
        stats.ballast_bytes = state.ballast.unwrap_or(0);
        stats
    }
}
