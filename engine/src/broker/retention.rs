//! Retention and the end of segments: what is old leaves the names at once and the disk slowly.

use super::partition::SwapState;
use super::produce::FRAME_BYTES_TARGET;
use super::segment::SegmentWriter;
use super::shard::{Shard, State};
use crate::base::{Bug, Now, Offset, PartitionKey, Site, WallMs, buggify, planted};
use crate::io::{Disk, DiskError, DiskFault, DiskOp, DiskResult, FileName};
use crate::journal::BatchPlace;
use crate::log::names::{CLEANED_SUFFIX, DELETED_SUFFIX, SegmentFile};
use crate::log::retention::{self, RetentionLimits};

/// Segment files kept for reuse per core: a file whose blocks were written before takes appends
/// without converting extents.
const FREE_SEGMENTS: usize = 4;

/// Smaller files are not worth keeping, bytes.
const FREE_SEGMENT_BYTES_MIN: u64 = 1024 * 1024;

impl<D: Disk> Shard<D> {
    /// Applies `retention.ms` and `retention.bytes` to every partition. Call it every
    /// `log.retention.check.interval.ms`.
    pub async fn housekeep(&self, now: Now) {
        self.inner.now.set(now);
        if self.inner.settings.read_only {
            return;
        }
        let keys: Vec<PartitionKey> = self.inner.state.borrow().by_key.keys().copied().collect();
        for key in keys {
            if self.inner.failed.get() || self.inner.closing.get() {
                return;
            }
            if let Err(error) = self.retain(key, now).await {
                self.is_out_of_space(&error);
                tracing::warn!(partition = %key, %error, "retention stopped for this partition");
            }
        }
    }

    async fn retain(&self, key: PartitionKey, now: Now) -> DiskResult<()> {
        // While compaction is at work the next round looks again.
        let Some(slot) = self.tend(key) else { return Ok(()) };
        let retained = self.retain_tended(key, now).await;
        self.stop_tending(slot);
        retained
    }

    /// Keeps others from a partition's closed segments. `None` if somebody is at work on them, or was stopped while
    /// they changed their names (only the next start knows then which of them count), or it is gone.
    pub(super) fn tend(&self, key: PartitionKey) -> Option<u32> {
        let mut state = self.inner.state.borrow_mut();
        let slot = state.slot(key)?;
        let partition = state.partition(slot)?;
        if buggify(Site::Tended) {
            return None;
        }
        let free = partition.swap == SwapState::Settled && !std::mem::replace(&mut partition.tended, true);
        free.then_some(slot)
    }

    /// Lets others at a partition's closed segments again.
    pub(super) fn stop_tending(&self, slot: u32) {
        let mut state = self.inner.state.borrow_mut();
        match state.partition(slot) {
            Some(partition) => partition.tended = false,
            None => state.abandon_less(slot),
        }
        drop(state);
        self.inner.files.notify();
    }

    async fn retain_tended(&self, key: PartitionKey, now: Now) -> DiskResult<()> {
        self.sweep(key).await?;
        let believed = self.believed_time(now);
        let (slot, plan) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(slot) = state.slot(key) else { return Ok(()) };
            let Some(partition) = state.partition(slot) else { return Ok(()) };
            let idle_ms = self.inner.producer_expiration_ms.get();
            let idle_ms = if planted(Bug::ExpireProducersTooSoon) { 0 } else { idle_ms };
            partition.producers.expire(believed, idle_ms);
            let limits = RetentionLimits::from(&*partition.settings);
            let (start, visible) = (partition.log_start, partition.high_watermark);
            let fast_ms = if planted(Bug::RetainByFastClock) { 7_200_000 } else { 0 };
            let (time, mut limits) = (WallMs(believed.0 + fast_ms), limits);
            if planted(Bug::RetainTooLittle) {
                limits.bytes = limits.bytes.map(|bytes| bytes / 4);
            }
            let of = |segments| retention::plan(segments, start, visible, time, limits);
            match of(&partition.written) {
                Some(plan) => (slot, plan),
                None => {
                    if of(&partition.head).is_some() {
                        self.write_soon(&mut state, slot);
                    }
                    return Ok(());
                }
            }
        };
        if plan.roll && !self.leave_active(slot, now).await? {
            return Ok(());
        }
        if !self.raise_log_start(slot, plan.log_start).await {
            return Ok(());
        }
        self.drop_segments(slot, key, plan.log_start).await
    }

    /// Once per partition: removes files of segments below the first one, which a crash between a
    /// raised log start and their removal left behind, and what a failed disk kept compaction from removing.
    async fn sweep(&self, key: PartitionKey) -> DiskResult<()> {
        let first = {
            let mut state = self.inner.state.borrow_mut();
            let Some(slot) = state.slot(key) else { return Ok(()) };
            let Some(partition) = state.partition(slot) else { return Ok(()) };
            if std::mem::replace(&mut partition.swept, true) {
                return Ok(());
            }
            partition.written.iter().next().map_or(Offset::ZERO, |s| s.base)
        };
        for entry in self.inner.disk.list(&FileName::partition_dir(key)).await? {
            let name = entry.name.base();
            let temporary = name.ends_with(CLEANED_SUFFIX) || name.ends_with(DELETED_SUFFIX);
            if temporary || SegmentFile::parse(name).is_some_and(|(base, _)| base < first) {
                self.bury(&entry.name, entry.len).await?;
            }
        }
        Ok(())
    }

    /// Rolls an active segment that is old as a whole. False if it was appended to meanwhile: the
    /// next round looks again.
    async fn leave_active(&self, slot: u32, now: Now) -> DiskResult<bool> {
        {
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(false) };
            if partition.writing || partition.log_end() != partition.written.end() {
                self.write_soon(&mut state, slot);
                return Ok(false);
            }
            partition.head.roll(now);
            partition.writing = true;
        }
        let finished = self.finish_segment(slot).await;
        if let Err(error) = &finished {
            self.inner.state.borrow_mut().note_unanswered(error);
        }
        if finished.is_ok()
            && let Some(partition) = self.inner.state.borrow_mut().partition(slot)
        {
            partition.written.roll(now);
            partition.segment = SegmentWriter::new(partition.written.active().base);
        }
        self.let_go(slot);
        finished.map(|()| true)
    }

    /// What is old but only in the journal is brought to its segment: the next round finds it there. Without
    /// this a partition that is too quiet to be written would keep its records for ever.
    fn write_soon(&self, state: &mut State<D>, slot: u32) {
        if state.partition(slot).is_some_and(|p| p.tail.unwritten_bytes() > 0) {
            state.mark_ripe(slot);
            self.inner.written.notify();
        }
    }

    /// Makes a higher log start durable. False if the shard failed first.
    pub(super) async fn raise_log_start(&self, slot: u32, log_start: Offset) -> bool {
        loop {
            if self.inner.failed.get() {
                return false;
            }
            let pushed = {
                let mut guard = self.inner.state.borrow_mut();
                let state = &mut *guard;
                state.push_log_start(slot, log_start, self.inner.now.get().wall, &self.inner.disk)
            };
            match pushed {
                Some(Ok(ticket)) => {
                    self.inner.work.notify();
                    return self.until_durable(ticket).await.is_ok();
                }
                Some(Err(())) => self.room().await,
                None => return false,
            }
        }
    }

    async fn drop_segments(&self, slot: u32, key: PartitionKey, below: Offset) -> DiskResult<()> {
        let dropped = {
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(()) };
            // A segment goes if the next one begins at or below the log start.
            let first = partition.written.find(below).map_or(below, |s| s.base);
            let dropped = partition.written.drop_before(first);
            partition.head.drop_before(first);
            partition.epochs.truncate_from_start(below);
            partition.damages.drop_before(first);
            state.forget_read(key);
            state.stats.segments_dropped += dropped.len() as u64;
            dropped
        };
        let dir = FileName::partition_dir(key);
        let entries = self.inner.disk.list(&dir).await?;
        let mut kept = false;
        for segment in &dropped {
            let log = dir.join(SegmentFile::Log.name(segment.base));
            if let Some(entry) = entries.iter().find(|entry| entry.name == log) {
                kept |= self.retire(&log, entry.len).await?;
            }
            for file in [SegmentFile::Index, SegmentFile::TimeIndex, SegmentFile::Snapshot] {
                self.inner.disk.remove(&dir.join(file.name(segment.base))).await?;
            }
        }
        if kept {
            self.inner.disk.sync_dir(&FileName::core_dir(self.inner.core)).await?;
        }
        self.inner.disk.sync_dir(&dir).await
    }

    /// Takes a segment's file out of its partition: into the free pool, or away. Whether it is kept, under a
    /// name that is yet to be made durable. A file with a write under way is never used again: the write would
    /// land in what another partition has there.
    async fn retire(&self, name: &FileName, bytes: u64) -> DiskResult<bool> {
        let keep = {
            let mut state = self.inner.state.borrow_mut();
            let room = !state.unanswered.remove(name)
                && state.free_segments.len() < FREE_SEGMENTS
                && (bytes >= FREE_SEGMENT_BYTES_MIN || buggify(Site::KeepSmallFiles))
                && !state.space.is_tight();
            room.then(|| {
                state.next_free += 1;
                FileName::core_dir(self.inner.core).join(format_args!("free-{:08}", state.next_free))
            })
        };
        let Some(free) = keep else {
            self.bury(name, bytes).await?;
            return Ok(false);
        };
        self.inner.disk.rename(name, &free).await?;
        self.inner.state.borrow_mut().free_segments.push(free);
        Ok(true)
    }
}

impl<D: Disk> State<D> {
    /// Puts the new log start into the open frame. `None` if the partition is gone, `Err` if there is no
    /// room now.
    pub(super) fn push_log_start(
        &mut self,
        slot: u32,
        log_start: Offset,
        now: WallMs,
        disk: &D,
    ) -> Option<Result<super::shard::Ticket, ()>> {
        let partition = self.partitions.get(slot as usize)?.as_deref()?;
        if !self.frame.fits(0, FRAME_BYTES_TARGET) {
            return Some(Err(()));
        }
        let end = partition.head.end_place();
        let place = BatchPlace {
            key: partition.key,
            generation: partition.generation,
            leader_epoch: partition.leader_epoch,
            base_offset: log_start.max(partition.log_start),
            last_offset: log_start.max(partition.log_start),
            segment: end.segment,
            position: u64::from(end.position),
            appended_at: now,
        };
        let pushed = self.frame.push_log_start(slot, &place, |bytes| disk.take(bytes));
        Some(pushed.map(|()| super::shard::Ticket(self.sequence)).map_err(|_| ()))
    }

    /// Remembers a file of which an operation has no answer: it may be carried out at any time. Where nobody ever
    /// gives the file another meaning that does no harm.
    pub(super) fn note_unanswered(&mut self, error: &DiskError) {
        if error.fault == DiskFault::Timeout && error.op != DiskOp::Flush {
            self.unanswered.insert(error.file.clone());
        }
    }

    /// Asks for another try of partitions whose segments failed. One with nothing left to write
    /// (an index failed) is tried by its next append.
    pub(super) fn retry_offline(&mut self) {
        for slot in 0..self.partitions.len() as u32 {
            let Some(partition) = self.partition(slot).filter(|p| p.offline) else { continue };
            if partition.tail.unwritten_bytes() > 0 || partition.suspect {
                self.mark_ripe(slot);
            } else {
                partition.offline = false;
            }
        }
    }
}
