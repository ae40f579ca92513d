//! The cleaner: looks for the dirtiest compacted log of the core, compacts it, looks again.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::clean::{CleanError, Patient};
use super::partition::Partition;
use super::read::FetchError;
use super::shard::Shard;
use super::space::SpaceLevel;
use crate::base::{Instant, Now, Offset, PartitionKey, WallMs};
use crate::io::Disk;
use crate::log::cleaner::{CleanLimits, Cleanable, Facts, Throttle, cleanable, is_due};
use crate::log::scan::{Damaged, Step, Walk};
use crate::record::HEADER_BYTES;

/// A partition whose round failed is left alone this long.
const AFTER_ERROR: Duration = Duration::from_secs(300);

/// The timestamps of first batches, which `max.compaction.lag.ms` is counted from.
type FirstTimes = FxHashMap<(PartitionKey, Offset), i64>;

/// A round under way. It ends with this, also where its task is cancelled.
struct Cleaning<'a, D: Disk> {
    shard: &'a Shard<D>,
    slot: u32,
}

impl<'a, D: Disk> Cleaning<'a, D> {
    fn begin(shard: &'a Shard<D>, slot: u32) -> Cleaning<'a, D> {
        shard.inner.cleaning.set(true);
        Cleaning { shard, slot }
    }
}

impl<D: Disk> Drop for Cleaning<'_, D> {
    fn drop(&mut self) {
        self.shard.inner.cleaning.set(false);
        self.shard.stop_tending(self.slot);
    }
}

impl<D: Disk> Shard<D> {
    /// Compacts the core's logs until [`Shard::close`], one at a time. Spawn it once.
    pub async fn run_cleaner(&self) {
        if self.inner.settings.read_only {
            return;
        }
        let now = self.inner.now.get().mono;
        let mut throttle = Throttle::new(now, self.inner.cleaner.get().io_bytes_per_second);
        let mut first_times = FirstTimes::default();
        let mut rested: Option<Instant> = None;
        loop {
            let wait = self.inner.ticked.wait();
            if self.is_stopping() {
                return;
            }
            let (now, settings) = (self.inner.now.get(), self.inner.cleaner.get());
            let rests = rested.is_some_and(|since| now.mono < since.after(settings.backoff));
            // What it writes it gives back only in the end.
            let scarce = self.inner.state.borrow().space.level() != SpaceLevel::Plenty;
            if !settings.enabled || rests || scarce || self.inner.failed.get() {
                wait.await;
                continue;
            }
            match self.dirtiest(&mut first_times, now).await {
                Some(patient) => self.compact(&patient, &mut throttle).await,
                None => {
                    rested = Some(now.mono);
                    // Also where it shall not rest: the core has other work.
                    wait.await;
                }
            }
        }
    }

    async fn compact(&self, patient: &Patient, throttle: &mut Throttle) {
        if self.tend(patient.key) != Some(patient.slot) {
            // Retention is at work there; it takes a moment.
            self.inner.ticked.wait().await;
            return;
        }
        let _cleaning = Cleaning::begin(self, patient.slot);
        let Err(error) = self.clean(patient, throttle).await else { return };
        if matches!(error, CleanError::Interrupted) {
            return;
        }
        tracing::warn!(partition = %patient.key, %error, "compaction stopped for this partition");
        {
            let mut state = self.inner.state.borrow_mut();
            state.stats.compaction_errors += 1;
            let until = self.inner.now.get().mono.after(AFTER_ERROR);
            if let Some(partition) = state.partition(patient.slot) {
                partition.unclean_until = Some(until);
            }
        }
        if let CleanError::Damaged { base, damaged } = error
            && let Err(error) = self.list_met(patient.key, base, damaged).await
        {
            tracing::warn!(partition = %patient.key, %error, "what compaction met was not listed as damage");
        }
    }

    /// Lists damage that a round met, as a reader who met it would.
    async fn list_met(&self, key: PartitionKey, base: Offset, met: Damaged) -> Result<(), FetchError> {
        let source = self.source(key, base).await?;
        self.past_damage(&source, (0, base), met.position).await?;
        Ok(())
    }

    /// The partition that is compacted next, if any is due.
    async fn dirtiest(&self, first_times: &mut FirstTimes, now: Now) -> Option<Patient> {
        let slots = self.inner.state.borrow().partitions.len() as u32;
        let believed = self.believed_time(now);
        let (mut best, mut best_ppm): (Option<Patient>, u32) = (None, 0);
        let (mut dirty_max, mut uncleanable) = (0, 0);
        first_times.retain(|(key, _), _| self.inner.state.borrow().slot(*key).is_some());
        for slot in 0..slots {
            let found = {
                let mut state = self.inner.state.borrow_mut();
                let Some(partition) = state.partition(slot).filter(|p| p.settings.cleanup.compacts()) else {
                    continue;
                };
                let waits = partition.unclean_until.is_some_and(|until| now.mono < until);
                if waits || !partition.damages.is_empty() {
                    uncleanable += 1;
                    continue;
                }
                partition.unclean_until = None;
                partition.cleanable(believed)
            };
            let Some((key, part, limits)) = found else { continue };
            dirty_max = dirty_max.max(part.dirty_ppm());
            let first = match limits.lag_max_ms {
                u64::MAX => None,
                _ => self.first_time(key, &part, first_times).await,
            };
            if is_due(&part, &limits, first, believed) && (best.is_none() || part.dirty_ppm() > best_ppm) {
                best_ppm = part.dirty_ppm();
                best = Some(Patient { slot, key, part });
            }
        }
        let mut state = self.inner.state.borrow_mut();
        state.stats.compaction_dirty_percent_max = u64::from(dirty_max) / 10_000;
        state.stats.compaction_uncleanable_partitions = uncleanable;
        drop(state);
        best
    }

    /// The earliest timestamp of the first batches of the dirty segments, as far as they can be read.
    async fn first_time(&self, key: PartitionKey, part: &Cleanable, known: &mut FirstTimes) -> Option<i64> {
        let bases: Vec<Offset> = {
            let state = self.inner.state.borrow();
            let written = &state.by_key(key)?.written;
            let dirty = |base: &Offset| *base < part.end && written.end_of(*base) > part.from;
            written.iter().map(|s| s.base).filter(dirty).collect()
        };
        known.retain(|(of, base), _| *of != key || bases.contains(base));
        let mut earliest = None;
        for base in bases {
            let time = match known.get(&(key, base)) {
                Some(time) => *time,
                None => {
                    let read = self.steady(key, async || {
                        let source = self.source(key, base).await?;
                        let slices = self.read_range(&source, 0, HEADER_BYTES).await?;
                        match Walk::new(&slices, 0, source.end, source.base).next()? {
                            Step::Batch(found) => Ok(found.header.max_timestamp()),
                            Step::More { .. } | Step::End => Ok(-1),
                        }
                    });
                    // What cannot be read shows itself to the round.
                    let Ok(time) = read.await else { continue };
                    known.insert((key, base), time);
                    time
                }
            };
            if time > 0 {
                earliest = Some(earliest.map_or(time, |before: i64| before.min(time)));
            }
        }
        earliest
    }
}

impl<D: Disk> Partition<D> {
    /// What of it may be compacted now; `None` if nothing may.
    fn cleanable(&self, now: WallMs) -> Option<(PartitionKey, Cleanable, CleanLimits)> {
        if self.fenced || self.offline || self.suspect {
            return None;
        }
        let facts = Facts {
            segments: &self.written,
            log_start: self.log_start,
            cleaned: self.cleaned,
            // No transaction is ever open yet.
            last_stable: self.high_watermark,
        };
        let limits = CleanLimits::from(&*self.settings);
        let part = cleanable(&facts, &limits, now);
        (part.dirty_bytes > 0).then_some((self.key, part, limits))
    }
}
