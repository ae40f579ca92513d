//! Recovery: what the journals hold is written to the segments, and a new checkpoint voids them.
//!
//! It reads checkpoints, journals and directory listings, and of segments only the blocks of extents
//! that no flush mark covers, a frame's worth or two: its cost is bounded by the journals, whatever
//! the size of the data. An extent that does not verify was never acknowledged, nor anything of its
//! partition behind it: it ends that partition's log there, and no other's; one that the disk cannot read
//! stands. Running it twice, or killing it and running it again, ends in the same state: an entry that the
//! checkpoint's state holds already is passed over.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use super::checkpoint::{self, Checkpoint, CoreState, PartitionState};
use super::checkpoint_read;
use super::commit::slices_of;
use super::cores_gone;
use super::extent::is_placed;
use super::partition::Partition;
use super::recovery_error::RecoveryError;
use super::replay::{FrameReader, Included, ReadFrame, kept_aside};
use super::replay_file::PassedOver;
use super::segment::SegmentWriter;
use super::shard::{HostedPartition, Shard, ShardSettings};
use super::swap::recover_swaps;
use super::tail::{Held, TailBatch};
use crate::base::{Bug, CoreId, Now, Offset, PartitionKey, planted};
use crate::io::{Disk, DiskResult, FileName};
use crate::journal::{BatchPlace, Entry, EntryKind};
use crate::log::segments::{Applied, Place};

/// Replayed batches are written out when they and the window hold more than this share of the pool:
/// one byte in four.
const REPLAY_SHARE: usize = 4;

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Journal files read.
    pub journals: u64,
    /// Frames replayed: those that no checkpoint covered.
    pub frames: u64,
    /// Batches that were not in their segments yet.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Batches among them whose whole blocks were in their segments.
    pub extents: u64,
    /// Extents above every flush mark: their blocks were read and checked.
    pub extents_read: u64,
    /// Of these, the ones that did not verify: their partition's log ends there.
    pub extents_torn: u64,
    /// Frames that were durable once and do not verify now.
    pub frames_damaged: u64,
    /// Journal files that earlier starts kept aside, for such frames or for blocks that the disk could not read.
    pub journals_kept: u64,
    /// Partitions that could not be continued: fenced, their bytes kept.
    pub partitions_damaged: Vec<PartitionKey>,
    /// Whether a frame lay behind the end that was never acknowledged as flushed.
    pub torn: bool,
    /// Times that frames of relaxed topics were gone which no flush had promised: the logs of those partitions
    /// end before them.
    pub frames_unflushed: u64,
    /// Parts of journal files and checkpoints that the disk cannot read, and that nothing was needed of. The
    /// journal files are kept aside.
    pub passed_over: u64,
}

/// The result: one state per core, to be opened on that core's own thread.
#[derive(Debug)]
pub struct Recovered {
    /// By core, from 0.
    pub cores: Vec<CoreState>,
    /// What happened.
    pub report: RecoveryReport,
}

/// Replays the journals of every core that ever ran here into the partitions hosted now, spread
/// over `cores` cores. Partitions that the metadata does not name are ignored.
///
/// # Errors
/// See [`RecoveryError`]. Nothing is lost: the journals stay as they were until the new checkpoints stand.
pub async fn recover<D: Disk>(
    disk: &D,
    hosted: &[HostedPartition],
    cores: u16,
    now: Now,
) -> Result<Recovered, RecoveryError> {
    let mut recovery = Recovery::assemble(disk, hosted, cores, now).await?;
    for core in recovery.old.keys().copied().collect::<Vec<_>>() {
        recovery.replay(core).await?;
    }
    recovery.write_all().await?;
    recovery.leave_emptied();
    recovery.checkpoint().await?;
    Ok(recovery.finish())
}

struct Recovery<D: Disk> {
    disk: D,
    shards: Vec<Shard<D>>,
    owner: FxHashMap<PartitionKey, CoreId>,
    /// Cores that have a directory, with what their checkpoint says.
    old: BTreeMap<CoreId, Checkpoint>,
    /// Those of them whose newer checkpoint may be lost.
    older: BTreeSet<CoreId>,
    /// The core whose checkpoint or journal each partition was found in.
    old_owner: FxHashMap<PartitionKey, CoreId>,
    /// Partitions that an earlier start moved, and was cut, with cores that they were on before.
    leftovers: Vec<(PartitionKey, CoreId)>,
    sequence_max: u64,
    /// Frames that fit a journal file at most.
    frames_max: u64,
    incarnation_max: u64,
    /// Journal files with damage, or that cannot be read in places, which are kept aside.
    damaged: BTreeSet<FileName>,
    /// Cores whose directories hold such files from earlier starts.
    keeps_damaged: BTreeSet<CoreId>,
    /// Partitions whose log ended at an extent that was not completely written, or at one of a relaxed
    /// topic's batches that was not flushed.
    ended: FxHashSet<PartitionKey>,
    /// Where those of them go on whose end lies below their log start.
    starts: FxHashMap<PartitionKey, Offset>,
    /// Files that tell what compaction was at; it is done, and the new checkpoints say so.
    swaps: Vec<FileName>,
    report: RecoveryReport,
}

impl<D: Disk> Recovery<D> {
    async fn assemble(
        disk: &D,
        hosted: &[HostedPartition],
        cores: u16,
        now: Now,
    ) -> Result<Self, RecoveryError> {
        let (mut old, mut older, mut passed_over) = (BTreeMap::new(), BTreeSet::new(), 0);
        for entry in disk.list(&FileName::new("cores")).await? {
            if let Ok(number) = entry.name.base().parse()
                && entry.is_dir
            {
                let core = CoreId(number);
                let newest = checkpoint_read::newest(disk, core).await?;
                if newest.may_be_older {
                    older.insert(core);
                }
                passed_over += u64::from(newest.passed_over);
                old.insert(core, newest.checkpoint.unwrap_or_default());
            }
        }
        let mut states: FxHashMap<PartitionKey, (CoreId, PartitionState)> = FxHashMap::default();
        let mut leftovers = Vec::new();
        for (core, checkpoint) in &mut old {
            for state in checkpoint.partitions.drain(..) {
                let key = state.key;
                let newer = states.get(&key).is_none_or(|(_, held)| held.generation < state.generation);
                let older =
                    if newer { states.insert(key, (*core, state)).map(|held| held.0) } else { Some(*core) };
                leftovers.extend(older.map(|core| (key, core)));
            }
        }
        let swaps = recover_swaps(disk, old.keys().copied(), &mut states).await?;
        let numbers = |f: fn(&Checkpoint) -> u64| old.values().map(f).max().unwrap_or(0);
        let sequence_max = numbers(|c| c.next_sequence.max(1) - 1);
        let incarnation_max = numbers(|c| c.incarnation);

        let mut owner = FxHashMap::default();
        let mut old_owner = FxHashMap::default();
        let mut by_core: Vec<Vec<(HostedPartition, PartitionState)>> = vec![Vec::new(); usize::from(cores)];
        for partition in hosted {
            let core = CoreId(partition.core.0 % cores);
            let partition = HostedPartition { core, ..partition.clone() };
            owner.insert(partition.key, core);
            let state = match states.remove(&partition.key) {
                Some((_, state)) if planted(Bug::ReuseOffsets) && state.segments.bytes() == 0 => {
                    PartitionState::new(partition.key, partition.leader_epoch)
                }
                Some((before, state)) => {
                    old_owner.insert(partition.key, before);
                    state
                }
                None => PartitionState::new(partition.key, partition.leader_epoch),
            };
            by_core[usize::from(core.0)].push((partition, state));
        }
        let shards = by_core.into_iter().enumerate().map(|(core, partitions)| {
            let core = CoreId(core as u16);
            let state = CoreState {
                core,
                next_sequence: 1,
                incarnation: 0,
                checkpoint_generation: old.get(&core).map_or(0, |c| c.generation),
                partitions,
            };
            Shard::assemble(disk.clone(), state, ShardSettings::default(), now)
        });
        Ok(Recovery {
            disk: disk.clone(),
            shards: shards.collect(),
            owner,
            old,
            older,
            old_owner,
            leftovers,
            sequence_max,
            frames_max: 0,
            incarnation_max,
            damaged: BTreeSet::new(),
            keeps_damaged: BTreeSet::new(),
            ended: FxHashSet::default(),
            starts: FxHashMap::default(),
            swaps,
            report: RecoveryReport { passed_over, ..RecoveryReport::default() },
        })
    }

    /// Replays one old core's journal in sequence order.
    async fn replay(&mut self, core: CoreId) -> Result<(), RecoveryError> {
        let included = self.old[&core].included;
        let older = self.older.contains(&core);
        let mut reader = FrameReader::open(&self.disk, core, Included { up_to: included, older }).await?;
        while let Some(frame) = reader.next().await? {
            match frame {
                ReadFrame::Frame { sequence, view, chunks, start, proven } => {
                    if sequence <= included {
                        continue;
                    }
                    self.report.frames += 1;
                    for entry in view.entries() {
                        if proven || self.is_whole(core, &entry).await? {
                            self.apply(core, sequence, &entry, chunks, start);
                        }
                    }
                }
                ReadFrame::Damaged { sequence, file } => {
                    self.report.frames_damaged += 1;
                    tracing::error!(
                        core = core.0,
                        sequence,
                        %file,
                        "a frame that was durable does not verify: its bytes are kept, what it held is fenced"
                    );
                    self.damaged.insert(file);
                }
                ReadFrame::Unflushed { sequence } => {
                    self.report.frames_unflushed += 1;
                    tracing::warn!(
                        core = core.0,
                        sequence,
                        "frames of relaxed topics, acknowledged without a flush before the journal moved, are gone"
                    );
                }
            }
            // A small batch may pin a large chunk, and readers get half of the pool at most.
            let used = self.disk.pool_size() - self.disk.pool_free();
            if self.pending() > 0 && used > self.disk.pool_size() / REPLAY_SHARE {
                self.write_all().await?;
            }
        }
        let end = reader.end();
        self.report.journals += end.files;
        self.report.journals_kept += end.kept_aside;
        if end.kept_aside > 0 {
            self.keeps_damaged.insert(core);
        }
        self.damaged.extend(end.to_keep);
        self.report.torn |= end.torn;
        self.sequence_max = self.sequence_max.max(end.sequence_max);
        self.frames_max = self.frames_max.max(end.frames_max);
        self.incarnation_max = self.incarnation_max.max(end.incarnation_max);
        for PassedOver { file, why } in end.passed_over {
            tracing::error!(%file, "the disk cannot read all of a journal file, and nothing is missing: {why}");
            self.report.passed_over += 1;
            self.damaged.insert(file);
        }
        Ok(())
    }

    fn pending(&self) -> usize {
        self.shards.iter().map(|s| s.inner.state.borrow().tails.unwritten()).sum()
    }

    /// Whether an entry of a frame that no flush mark covers may be applied: an extent only if its
    /// blocks are in their segment. Where they are not, the partition's log ends.
    async fn is_whole(&mut self, core: CoreId, entry: &Entry<'_>) -> DiskResult<bool> {
        let place = &entry.place;
        let Some(extent) = entry.extent() else { return Ok(true) };
        if self.ended.contains(&place.key) || !self.continues(core, place) {
            return Ok(true);
        }
        self.report.extents_read += 1;
        if planted(Bug::ResurrectRecycled) || is_placed(&self.disk, place, &extent).await? {
            return Ok(true);
        }
        self.report.extents_torn += 1;
        self.ended.insert(place.key);
        Ok(false)
    }

    /// Whether an entry with this place would be the next of its partition.
    fn continues(&self, core: CoreId, place: &BatchPlace) -> bool {
        let Some(owner) = self.owner.get(&place.key) else { return false };
        if self.old_owner.get(&place.key).is_some_and(|old| *old != core) {
            return false;
        }
        let state = self.shards[usize::from(owner.0)].inner.state.borrow();
        state.by_key(place.key).is_some_and(|p| {
            p.generation == place.generation && !p.fenced && p.head.end() == place.base_offset
        })
    }

    fn apply(&mut self, core: CoreId, sequence: u64, entry: &Entry<'_>, chunks: &[D::Chunk], start: usize) {
        let place = &entry.place;
        let Some(owner) = self.owner.get(&place.key) else { return };
        // Only the core that the state came from may continue it.
        if self.old_owner.get(&place.key).is_some_and(|old| *old != core) {
            return;
        }
        let shard = self.shards[usize::from(owner.0)].clone();
        let mut guard = shard.inner.state.borrow_mut();
        let state = &mut *guard;
        let Some(slot) = state.slot(place.key) else { return };
        let now = Now { wall: place.appended_at, ..shard.inner.now.get() };
        let Some(partition) = state.partition(slot) else { return };
        if place.generation != partition.generation {
            return;
        }
        self.old_owner.entry(place.key).or_insert(core);
        if entry.kind == EntryKind::LogStart {
            // Also of a partition that takes no appends: what was deleted from it stays deleted.
            if place.base_offset <= partition.head.end() {
                let before = if planted(Bug::LogStartGoesBack) { Offset::ZERO } else { partition.log_start };
                partition.log_start = before.max(place.base_offset);
            } else if self.report.frames_unflushed > 0 && partition.settings.is_relaxed() {
                // What was deleted was not promised, and is gone.
                self.starts.insert(place.key, place.base_offset);
                self.ended.insert(place.key);
            } else if !partition.fenced {
                // It was visible up to there once: to go on below would give its offsets a second time.
                fence(partition, sequence, &mut self.report);
            }
            return;
        }
        if partition.fenced || self.ended.contains(&place.key) {
            return;
        }
        let Some(header) = entry.header() else { return };
        let Some(bytes) = header.total_bytes() else { return };
        let at = u32::try_from(place.position).map(|position| Place { segment: place.segment, position });
        let interval = partition.settings.index_interval_bytes;
        let applied = at.ok().map(|at| partition.head.apply(header, at, now, interval));
        match applied {
            Some(Ok(Applied::Already)) => return,
            Some(Ok(_)) => {}
            // What came before was not promised, and is gone.
            Some(Err(_)) if self.report.frames_unflushed > 0 && partition.settings.is_relaxed() => {
                self.ended.insert(place.key);
                return;
            }
            Some(Err(_)) | None => {
                fence(partition, sequence, &mut self.report);
                return;
            }
        }
        if !planted(Bug::ReplayWithoutProducers) {
            partition.producers.apply(header);
        }
        if !planted(Bug::ReplayWithoutEpochs) {
            partition.epochs.assign(place.leader_epoch, place.base_offset);
        }
        let held = if entry.kind == EntryKind::Extent { Held::Ends } else { Held::Whole };
        partition.show(TailBatch {
            base_offset: place.base_offset,
            last_offset: place.last_offset,
            max_timestamp: header.max_timestamp(),
            segment: place.segment,
            position: place.position as u32,
            bytes: bytes as u32,
            sequence,
            slices: slices_of(chunks, start + entry.at, entry.payload.len()),
            held,
        });
        state.tails.push(sequence, Vec::new(), bytes);
        state.mark_dirty(slot);
        state.forced.push_back(slot);
        self.report.batches += 1;
        self.report.extents += u64::from(held == Held::Ends);
        self.report.bytes += entry.payload.len() as u64;
    }

    /// Writes everything replayed so far into segments and lets go of its memory.
    async fn write_all(&self) -> DiskResult<()> {
        // One after the other: memory that one gives back wakes only its own lanes.
        for shard in &self.shards {
            shard.write_everything().await?;
        }
        Ok(())
    }

    /// A partition whose log start is its end goes on in a new segment: the files of the one before may be
    /// gone already, and what would be appended to it could not be found behind its missing beginning.
    fn leave_emptied(&self) {
        for shard in &self.shards {
            let now = shard.inner.now.get();
            let mut state = shard.inner.state.borrow_mut();
            for partition in state.partitions.iter_mut().flatten() {
                if let Some(start) = self.starts.get(&partition.key).filter(|_| !partition.fenced) {
                    partition.log_start = *start;
                    partition.head.skip_to(*start, now);
                    partition.written.skip_to(*start, now);
                    partition.segment = SegmentWriter::new(*start);
                }
                let end = partition.written.end();
                let emptied = partition.log_start == end && partition.head.end() == end;
                if emptied && !partition.fenced && partition.written.active().bytes > 0 {
                    partition.head.roll(now);
                    partition.written.roll(now);
                    let base = partition.written.active().base;
                    partition.head.drop_before(base);
                    partition.written.drop_before(base);
                    partition.segment = SegmentWriter::new(base);
                }
            }
        }
    }

    /// New checkpoints on every core. A partition that moved stands in both of its new core's, under a higher
    /// generation, before its old core's may forget it: one of the two may be lost.
    async fn checkpoint(&mut self) -> DiskResult<()> {
        // The new checkpoints cover what is damaged: from then on only these names tell of it.
        for file in &self.damaged {
            self.disk.replace(&kept_aside(file), Vec::new()).await?;
        }
        // A partition that moves is written by its new core, but its old core's checkpoint counts
        // on its segments first, names and all.
        for shard in &self.shards {
            shard.flush_written().await?;
        }
        let mut leaving: FxHashMap<CoreId, Vec<PartitionState>> = FxHashMap::default();
        let found = self.old_owner.iter().map(|(key, core)| (*key, *core));
        let held: BTreeSet<(PartitionKey, CoreId)> = found.chain(self.leftovers.iter().copied()).collect();
        for (key, before) in &held {
            let Some(owner) = self.owner.get(key).filter(|owner| *owner != before) else { continue };
            let shard = &self.shards[usize::from(owner.0)];
            let mut state = shard.inner.state.borrow_mut();
            let Some(slot) = state.slot(*key) else { continue };
            let Some(partition) = state.partition(slot) else { continue };
            leaving.entry(*before).or_default().push(partition.to_state());
            partition.generation += 1;
        }
        // A file that is kept aside takes the word along that frames of the files before it are void. They have
        // numbers below these: each lies in a file whose first number was seen.
        let void = if self.damaged.is_empty() { 0 } else { self.frames_max };
        let next = self.sequence_max + void + 1;
        for shard in &self.shards {
            let mut state = shard.inner.state.borrow_mut();
            state.sequence = next;
            state.incarnation = self.incarnation_max;
            shard.inner.durable.set(next - 1);
        }
        let moved = !leaving.is_empty();
        self.checkpoint_all(&leaving).await?;
        // Nor may the older one, where the newer is lost, count on the files that compaction replaced, on a journal
        // that is kept aside, or on a frame whose extents are not there: the next journal file will vouch for it.
        let torn = self.report.extents_torn > 0;
        if moved || torn || !self.swaps.is_empty() || !self.damaged.is_empty() {
            self.checkpoint_all(&leaving).await?;
        }
        if moved {
            self.checkpoint_all(&FxHashMap::default()).await?;
        }
        for file in &self.swaps {
            self.disk.remove(file).await?;
            if let Some(dir) = file.parent() {
                self.disk.sync_dir(&dir).await?;
            }
        }
        for core in self.cores_gone() {
            let generation = self.old[&core].generation;
            cores_gone::cover(&self.disk, core, generation, next, self.incarnation_max).await?;
        }
        for file in &self.damaged {
            let Some(dir) = file.parent() else { continue };
            self.disk.rename(file, &kept_aside(file)).await?;
            self.disk.sync_dir(&dir).await?;
        }
        for core in self.cores_gone().filter(|core| !self.keeps(*core)) {
            cores_gone::remove(&self.disk, core).await?;
        }
        Ok(())
    }

    /// Cores that have a directory and do not run any more.
    fn cores_gone(&self) -> impl Iterator<Item = CoreId> {
        self.old.keys().copied().filter(|core| usize::from(core.0) >= self.shards.len())
    }

    /// Whether a core's directory stays for a journal that is kept aside.
    fn keeps(&self, core: CoreId) -> bool {
        self.keeps_damaged.contains(&core)
            || self.damaged.iter().any(|file| file.parent() == Some(FileName::core_dir(core)))
    }

    /// A new checkpoint of every core, with what is leaving it.
    async fn checkpoint_all(&self, leaving: &FxHashMap<CoreId, Vec<PartitionState>>) -> DiskResult<()> {
        for shard in &self.shards {
            let leaving = leaving.get(&shard.inner.core).map_or(&[][..], Vec::as_slice);
            shard.checkpoint_with(leaving).await?;
        }
        Ok(())
    }

    fn finish(self) -> Recovered {
        let cores = self.shards.iter().map(Shard::to_state).collect();
        Recovered { cores, report: self.report }
    }
}

/// What the journal says of this partition does not continue what is there.
fn fence<D: Disk>(partition: &mut Partition<D>, sequence: u64, report: &mut RecoveryReport) {
    tracing::error!(
        partition = %partition.key,
        sequence,
        "the journal does not continue this partition: it is fenced, its bytes are kept"
    );
    partition.fenced = true;
    report.partitions_damaged.push(partition.key);
}

impl<D: Disk> Shard<D> {
    /// A checkpoint of everything, which the journal of no core is needed for any more. `leaving`
    /// are partitions that stay in it until their new core's checkpoint stands.
    pub(super) async fn checkpoint_with(&self, leaving: &[PartitionState]) -> DiskResult<()> {
        self.inner.disk.make_dir(&FileName::core_dir(self.inner.core)).await?;
        let mut out = Vec::new();
        checkpoint::begin(&mut out);
        let mut count = leaving.len() as u32;
        for state in leaving {
            checkpoint::add(&mut out, state);
        }
        for partition in self.inner.state.borrow().partitions.iter().flatten() {
            checkpoint::add(&mut out, &partition.to_state());
            count += 1;
        }
        self.finish_checkpoint(out, count, self.inner.durable.get()).await
    }

    /// The shard's state as plain data.
    fn to_state(&self) -> CoreState {
        let state = self.inner.state.borrow();
        let partitions = state.partitions.iter().flatten().map(|p| {
            let hosted = HostedPartition {
                key: p.key,
                core: self.inner.core,
                leader_epoch: p.leader_epoch,
                settings: (*p.settings).clone(),
            };
            (hosted, p.to_state())
        });
        CoreState {
            core: self.inner.core,
            next_sequence: state.sequence,
            incarnation: state.incarnation,
            checkpoint_generation: state.checkpoint_generation,
            partitions: partitions.collect(),
        }
    }
}
