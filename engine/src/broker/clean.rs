//! One round of compaction over one partition.

use futures_util::future::{join, join3};

use super::cleaned::{CleanedSegment, TooLarge, Window};
use super::shard::Shard;
use super::space::SpaceLevel;
use super::swap::{CHECKPOINTS, remove_cleaned};
use crate::base::{Offset, PartitionKey, Site, WallMs, buggify};
use crate::io::{Disk, DiskError, FileName, Open};
use crate::log::cleaner::{
    Cleanable, Fill, Group, OffsetMap, Round, Survivors, Swap, Tally, Throttle, groups,
};
use crate::log::names::SegmentFile;
use crate::log::scan::Damaged;

/// Bytes worked on between two pauses, in which everything else on the core goes on: some 50 µs. They are
/// counted as they move: read, inflated and written.
const STEP_BYTES: u64 = 64 * 1024;

/// Why a round ended early. The log is as it was, or compacted in part.
#[derive(Debug, thiserror::Error)]
pub(super) enum CleanError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("segment {base}: {damaged}")]
    Damaged { base: Offset, damaged: Damaged },
    #[error("the compacted segment {base} would be larger than a segment may be")]
    TooLarge { base: Offset },
    #[error("keys were noted up to {noted}, and only what is below {end} was to be read")]
    Beyond { noted: Offset, end: Offset },
    /// The shard stops, or the partition is gone or no longer compacted.
    #[error("it was interrupted")]
    Interrupted,
}

/// A partition in a round.
pub(super) struct Patient {
    pub(super) slot: u32,
    pub(super) key: PartitionKey,
    pub(super) part: Cleanable,
}

/// Lets everything else on the core go on after every [`STEP_BYTES`].
#[derive(Default)]
struct Pace {
    paused_at: u64,
}

impl Pace {
    /// So many bytes were worked on, all in all.
    async fn step<D: Disk>(&mut self, worked: u64, disk: &D) {
        if worked - self.paused_at >= STEP_BYTES || buggify(Site::CleanerPauses) {
            self.paused_at = worked;
            disk.pause().await;
        }
    }
}

impl<D: Disk> Shard<D> {
    /// Whether background work ends.
    pub(super) fn is_stopping(&self) -> bool {
        self.inner.closing.get() || self.inner.draining.get()
    }

    /// Compacts what was found cleanable. The partition is tended by the caller.
    pub(super) async fn clean(&self, patient: &Patient, throttle: &mut Throttle) -> Result<(), CleanError> {
        self.vouch(patient).await?;
        let believed = self.believed_time(self.inner.now.get());
        let map = self.fill_map(patient, throttle).await?;
        let (round, groups, settings) = {
            let mut state = self.inner.state.borrow_mut();
            let partition = state.partition(patient.slot).ok_or(CleanError::Interrupted)?;
            let settings = partition.settings.clone();
            let round = Round::new(map, &partition.producers, believed, settings.delete_retention_ms);
            let (noted, end) = (round.end(), patient.part.end);
            if noted > end {
                return Err(CleanError::Beyond { noted, end });
            }
            let (log_start, bytes) = (partition.log_start, settings.segment_bytes);
            let groups = groups(&partition.written, log_start, round.end(), bytes);
            (round, groups, settings)
        };
        // No transaction was ever aborted: none can be begun yet.
        let mut survivors = Survivors::new(&round, Vec::new());
        for group in &groups {
            let swap = Swap { key: patient.key, base: group.base, end: group.end, segment: None };
            self.store_swap(&swap).await?;
            let written =
                self.rewrite(patient, group, &mut survivors, settings.index_interval_bytes, throttle).await;
            let is_last = group.end >= round.end();
            match written {
                Ok(Some(segment)) => {
                    let swap = Swap { segment: Some(segment), ..swap };
                    let cleaned = is_last.then_some(round.end());
                    if !self.swap_segments(patient.slot, &swap, cleaned).await {
                        // Recovery finds the swap as it stands.
                        return Err(CleanError::Interrupted);
                    }
                }
                Ok(None) => remove_cleaned(&self.inner.disk, &swap).await?,
                Err(error) => {
                    remove_cleaned(&self.inner.disk, &swap).await?;
                    self.forget_swap().await?;
                    return Err(error);
                }
            }
        }
        self.note_cleaned(patient.slot, round.end());
        self.forget_swap().await?;
        let tally = survivors.tally();
        let mut state = self.inner.state.borrow_mut();
        state.stats.compactions += 1;
        state.stats.compaction_records_dropped += tally.records_dropped;
        drop(state);
        tracing::debug!(partition = %patient.key, ?tally, to = round.end().0, "compacted");
        Ok(())
    }

    /// Sees to it that both checkpoints hold the segments as closed: no journal entry may grow them again, also
    /// where a start cannot read the newer one.
    async fn vouch(&self, patient: &Patient) -> Result<(), CleanError> {
        for _ in 0..CHECKPOINTS {
            let vouched = {
                let mut state = self.inner.state.borrow_mut();
                let standing = state.checkpoint_generation;
                let partition = state.partition(patient.slot).ok_or(CleanError::Interrupted)?;
                partition.captured.is_closed_in_both(patient.part.end, standing)
            };
            if vouched {
                return Ok(());
            }
            if !self.take_checkpoint().await? {
                return Err(CleanError::Interrupted);
            }
        }
        Ok(())
    }

    fn note_cleaned(&self, slot: u32, to: Offset) {
        if let Some(partition) = self.inner.state.borrow_mut().partition(slot) {
            partition.cleaned = partition.cleaned.max(to);
        }
    }

    /// The closed segments with a base in `from..end`, and the one that holds `from`: base, size, end, and
    /// when each was last appended to.
    fn segments_of(&self, patient: &Patient, from: Offset, end: Offset) -> Vec<Part> {
        let mut state = self.inner.state.borrow_mut();
        let Some(partition) = state.partition(patient.slot) else { return Vec::new() };
        let written = &partition.written;
        let parts = written.iter().take(written.len() - 1).map(|s| Part {
            base: s.base,
            bytes: u64::from(s.bytes),
            end: written.end_of(s.base),
            last_append: s.last_append,
        });
        parts.filter(|part| part.end > from && part.base < end).collect()
    }

    /// Reads the dirty part and notes the latest offset of each key, as far as there is memory.
    async fn fill_map(&self, patient: &Patient, throttle: &mut Throttle) -> Result<OffsetMap, CleanError> {
        let Cleanable { from, end, .. } = patient.part;
        let settings = self.inner.cleaner.get();
        let seed = patient.key.topic.0.as_u64_pair().1 ^ self.inner.now.get().mono.0;
        let map = OffsetMap::new(from, end, settings.dedupe_bytes, settings.load_ppm, seed);
        let mut fill = Fill::new(map, from, Vec::new());
        let mut pace = Pace::default();
        let mut window = Window::default();
        for part in self.segments_of(patient, from, end) {
            let file = self.open_closed(patient, &part).await?;
            window = self.window(patient, &part).with_memory_of(window);
            while !window.is_done() {
                let wanted = window.wanted();
                self.throttled(patient, throttle, wanted.map_or(0, |(_, len)| len), 0).await?;
                let buffer = window.buffer(wanted);
                let work = async {
                    while let Some(batch) = window.next()? {
                        if !fill.visit(batch) {
                            return Ok(false);
                        }
                        pace.step(fill.worked(), &self.inner.disk).await;
                    }
                    Ok(true)
                };
                let (read, worked) = join(self.read_window(&file, wanted, buffer), work).await;
                let damaged = |damaged| CleanError::Damaged { base: part.base, damaged };
                if !worked.map_err(damaged)? {
                    return Ok(fill.finish());
                }
                if let Some(asked) = wanted {
                    window.fill(asked, read?).map_err(damaged)?;
                }
            }
            fill.seen_to(part.end);
        }
        Ok(fill.finish())
    }

    /// Writes what survives of a group. `None` if it is one segment of which everything does.
    async fn rewrite(
        &self,
        patient: &Patient,
        group: &Group,
        survivors: &mut Survivors<'_>,
        interval: u32,
        throttle: &mut Throttle,
    ) -> Result<Option<crate::log::Segment>, CleanError> {
        let before: Tally = survivors.tally();
        let mut cleaned = CleanedSegment::create(&self.inner.disk, patient.key, group.base, interval).await?;
        let mut last_append = WallMs(i64::MIN);
        let mut pace = Pace { paused_at: survivors.worked() };
        let mut window = Window::default();
        for part in self.segments_of(patient, group.base, group.end) {
            last_append = last_append.max(part.last_append);
            let file = self.open_closed(patient, &part).await?;
            window = self.window(patient, &part).with_memory_of(window);
            while !window.is_done() {
                let wanted = window.wanted();
                let (at, blocks) = cleaned.take_blocks();
                let len = wanted.map_or(0, |(_, len)| len);
                self.throttled(patient, throttle, len, blocks.len()).await?;
                let (target, buffer) = (cleaned.file.clone(), window.buffer(wanted));
                let pending = &mut cleaned.pending;
                let work = async {
                    while let Some(batch) = window.next()? {
                        survivors.visit(batch, pending);
                        pace.step(survivors.worked(), &self.inner.disk).await;
                    }
                    Ok(())
                };
                let write = self.write_padded(&target, at, &blocks);
                let (read, worked, wrote) = join3(self.read_window(&file, wanted, buffer), work, write).await;
                let damaged = |damaged| CleanError::Damaged { base: part.base, damaged };
                worked.map_err(damaged)?;
                wrote?;
                cleaned.give_back(blocks);
                cleaned.count().map_err(|TooLarge| CleanError::TooLarge { base: group.base })?;
                if let Some(asked) = wanted {
                    window.fill(asked, read?).map_err(damaged)?;
                }
            }
        }
        if group.count == 1 && survivors.tally().batches_changed == before.batches_changed {
            return Ok(None);
        }
        self.throttled(patient, throttle, 0, cleaned.pending.len()).await?;
        Ok(Some(self.finish_cleaned(cleaned, last_append).await?))
    }

    fn window(&self, patient: &Patient, part: &Part) -> Window {
        let state = self.inner.state.borrow();
        let epochs = state.by_key(patient.key).map(|p| p.epochs.clone()).unwrap_or_default();
        Window::new(part.base, part.bytes, part.end, epochs)
    }

    async fn open_closed(&self, patient: &Patient, part: &Part) -> Result<D::File, CleanError> {
        let name = FileName::partition_dir(patient.key).join(SegmentFile::Log.name(part.base));
        Ok(self.inner.disk.open(&name, Open::Existing).await?)
    }

    /// Waits until so many bytes may be read and written, and looks whether the round shall go on.
    async fn throttled(
        &self,
        patient: &Patient,
        throttle: &mut Throttle,
        read: usize,
        written: usize,
    ) -> Result<(), CleanError> {
        loop {
            let wait = self.inner.ticked.wait();
            let now = self.inner.now.get().mono;
            {
                let mut state = self.inner.state.borrow_mut();
                let partition = state.partition(patient.slot);
                let goes_on = partition
                    .is_some_and(|p| p.settings.cleanup.compacts() && !p.fenced && p.damages.is_empty());
                let scarce = state.space.level() != SpaceLevel::Plenty;
                let settings = self.inner.cleaner.get();
                if self.is_stopping() || self.inner.failed.get() || scarce || !goes_on || !settings.enabled {
                    return Err(CleanError::Interrupted);
                }
                throttle.set_rate(now, settings.io_bytes_per_second);
                if throttle.is_ready(now) {
                    throttle.take(now, (read + written) as u64);
                    state.stats.compaction_bytes_read += read as u64;
                    state.stats.compaction_bytes_written += written as u64;
                    return Ok(());
                }
            }
            wait.await;
        }
    }
}

/// A closed segment of the round.
struct Part {
    base: Offset,
    bytes: u64,
    end: Offset,
    last_append: WallMs,
}
