//! The scrub: reads every segment again and again, slowly, so that rot is found while a copy may still
//! exist and not when somebody needs the records.
//!
//! It holds no memory between looks, goes on where it stood before a restart, and lists what
//! it finds as a reader would. A range that holds again is taken off the list.

use std::cell::{Cell, RefCell};

use super::damage::{LOOK_BYTES, Look};
use super::pages::SegmentSource;
use super::read::FetchError;
use super::shard::Shard;
use crate::base::{Offset, WallMs};
use crate::io::{Disk, DiskResult, FileName};
use crate::log::DamagedRange;
use crate::log::scrub::{Pace, SCRUB_FILE_BYTES_MAX, Scrub, ScrubPlace};

/// Its place is written down after this many bytes; a crash costs at most as many again.
const SAVE_BYTES: u64 = 256 * 1024 * 1024;

/// A look counts for at least this many bytes: one at a small segment opens a file all the same.
const LOOK_COST_MIN: u64 = 64 * 1024;

/// How fast and how often a core scrubs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScrubLimits {
    /// Bytes a second that are read at most; 0 is no scrub.
    pub bytes_per_second: u64,
    /// Passes begin at least this far apart, ms.
    pub interval_ms: u64,
}

/// The scrub of a shard.
pub(super) struct ScrubState {
    pub(super) limits: Cell<ScrubLimits>,
    pub(super) scrub: RefCell<Scrub>,
    /// The place was read from the disk.
    loaded: Cell<bool>,
    /// Bytes checked when the place was last written down.
    saved: Cell<u64>,
}

impl ScrubState {
    pub(super) fn new(limits: ScrubLimits) -> ScrubState {
        ScrubState {
            limits: Cell::new(limits),
            scrub: RefCell::default(),
            loaded: Cell::default(),
            saved: Cell::default(),
        }
    }
}

/// How far one core's scrub has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScrubReport {
    /// Passes begun.
    pub pass: u64,
    /// Whether one is under way.
    pub under_way: bool,
    /// Bytes of this pass that were checked, of the last one between passes.
    pub checked: u64,
    /// Bytes of all segments now: what a pass covers.
    pub total: u64,
    /// Damaged ranges that it found.
    pub damaged: u64,
    /// When it began.
    pub began: WallMs,
    /// When the last whole pass ended; 0 if none did.
    pub ended: WallMs,
}

impl<D: Disk> Shard<D> {
    /// How it scrubs from now on: this core's share. A pass under way goes on.
    pub fn set_scrub(&self, limits: ScrubLimits) {
        self.inner.scrub.limits.set(limits);
    }

    /// How far the scrub has come.
    #[must_use]
    pub fn scrub_report(&self) -> ScrubReport {
        let scrub = *self.inner.scrub.scrub.borrow();
        let state = self.inner.state.borrow();
        ScrubReport {
            pass: scrub.pass,
            under_way: scrub.at.is_some(),
            checked: scrub.checked,
            total: state.partitions.iter().flatten().map(|p| p.written.bytes()).sum(),
            damaged: scrub.damaged,
            began: scrub.began,
            ended: scrub.ended,
        }
    }

    /// Scrubs until the shard closes.
    pub(super) async fn run_scrub(&self) {
        let inner = &self.inner;
        let mut pace = Pace::default();
        loop {
            let wait = inner.ticked.wait();
            if inner.closing.get() {
                return;
            }
            let (now, limits) = (inner.now.get(), inner.scrub.limits.get());
            if limits.bytes_per_second == 0 {
                wait.await;
                continue;
            }
            if !inner.scrub.loaded.get() {
                self.load_scrub().await;
            }
            if inner.scrub.scrub.borrow().is_due(now.wall, limits.interval_ms) {
                inner.scrub.scrub.borrow_mut().begin(now.wall);
                inner.scrub.saved.set(0);
            }
            let at = inner.scrub.scrub.borrow().at;
            match at {
                Some(at) if pace.may_go(now.mono, limits.bytes_per_second) => {
                    pace.spend(self.scrub_some(at).await);
                }
                _ => wait.await,
            }
        }
    }

    async fn load_scrub(&self) {
        let name = self.scrub_file();
        let read = self.inner.disk.read_small(&name, SCRUB_FILE_BYTES_MAX).await;
        let scrub = read.ok().flatten().and_then(|bytes| Scrub::decode(&bytes)).unwrap_or_default();
        self.inner.scrub.saved.set(scrub.checked);
        self.inner.scrub.scrub.replace(scrub);
        self.inner.scrub.loaded.set(true);
    }

    /// Writes the place down.
    pub(super) async fn save_scrub(&self) -> DiskResult<()> {
        let state = &self.inner.scrub;
        if !state.loaded.get() {
            return Ok(());
        }
        let scrub = *state.scrub.borrow();
        self.inner.disk.replace(&self.scrub_file(), scrub.encode().into_bytes()).await?;
        state.saved.set(scrub.checked);
        Ok(())
    }

    fn scrub_file(&self) -> FileName {
        FileName::core_dir(self.inner.core).join("scrub")
    }

    /// One look from `at` on. Gives the bytes that it counts for.
    async fn scrub_some(&self, at: ScrubPlace) -> u64 {
        let Some(at) = self.scrub_target(at) else {
            {
                let mut scrub = self.inner.scrub.scrub.borrow_mut();
                (scrub.at, scrub.ended) = (None, self.inner.now.get().wall);
                tracing::info!(
                    core = self.inner.core.0,
                    pass = scrub.pass,
                    bytes = scrub.checked,
                    damaged = scrub.damaged,
                    "the scrub has read everything once"
                );
            }
            self.save_or_warn().await;
            return LOOK_COST_MIN;
        };
        // What a look reads beside its piece counts too.
        let again = Cell::new(0);
        let (position, next) = match self.scrub_segment(at, &again).await {
            Ok(reached) => reached,
            // The partition or the segment went away, or the disk hangs: the next one.
            Err(_) => (u64::MAX, Offset(i64::MAX)),
        };
        let bytes = if position == u64::MAX { 0 } else { position.saturating_sub(at.position) };
        let checked = {
            let mut scrub = self.inner.scrub.scrub.borrow_mut();
            scrub.checked += bytes;
            scrub.at = Some(ScrubPlace { position, next, ..at });
            scrub.checked
        };
        if checked >= self.inner.scrub.saved.get() + SAVE_BYTES {
            self.save_or_warn().await;
        }
        (bytes + again.get()).max(LOOK_COST_MIN)
    }

    async fn save_or_warn(&self) {
        if let Err(error) = self.save_scrub().await {
            tracing::warn!(%error, "the place of the scrub was not written down");
        }
    }

    /// The first place at or behind `at` with bytes to look at. `None` at the end of everything.
    fn scrub_target(&self, at: ScrubPlace) -> Option<ScrubPlace> {
        let state = self.inner.state.borrow();
        let place = |key, least: ScrubPlace| {
            let partition = state.by_key(key)?;
            let same = |base, bytes| key == least.key && base == least.segment && least.position < bytes;
            partition.written.iter().filter(|s| s.bytes > 0).find_map(|s| {
                if same(s.base, u64::from(s.bytes)) {
                    return Some(least);
                }
                let behind = key != least.key
                    || s.base > least.segment
                    || (s.base == least.segment && least.position == 0);
                behind.then_some(ScrubPlace { key, segment: s.base, position: 0, next: s.base })
            })
        };
        if let Some(here) = place(at.key, at) {
            return Some(here);
        }
        // A look at every name: `LOOK_COST_MIN` bounds how often.
        let behind = state.partitions.iter().flatten().filter(|p| p.key > at.key && p.written.bytes() > 0);
        let next = behind.map(|p| p.key).min()?;
        place(next, ScrubPlace::start_of(next))
    }

    /// Looks at one piece of a segment. Gives where it ended and the offset due there; `again` grows by the
    /// bytes that were read for a second look.
    async fn scrub_segment(&self, at: ScrubPlace, again: &Cell<u64>) -> Result<(u64, Offset), FetchError> {
        let revision = {
            let state = self.inner.state.borrow();
            state.by_key(at.key).ok_or(FetchError::UnknownPartition)?.revision
        };
        let mut source = match self.source(at.key, at.segment).await {
            Ok(source) => source,
            Err(FetchError::Disk(error)) => {
                let found = self.list_unopened(at.key, revision, at.segment, error)?;
                self.inner.scrub.scrub.borrow_mut().damaged += u64::from(found);
                return Ok((u64::MAX, Offset(i64::MAX)));
            }
            Err(error) => return Err(error),
        };
        if let Some(range) = self.listed(&source, at.position) {
            self.look_again(source, range).await?;
            return Ok((u64::from(range.end_position), range.end));
        }
        let until = at.position + LOOK_BYTES as u64;
        if let Some(listed) = self.listed_after(&source, at.position) {
            source.end_at(listed);
        }
        let enough = |position, _| position >= until;
        match self.look(&source, at.position, at.next, enough).await? {
            Look::Sound { position, next } => Ok((position, next)),
            Look::Flawed { position, next, cause } => {
                if at.position > 0 && !self.is_flawed(&source, (position, next), again).await? {
                    // The segment was written anew since the place was noted.
                    return Ok((u64::MAX, Offset(i64::MAX)));
                }
                // Where the range ends may lie behind what was looked at.
                let whole = self.source(at.key, at.segment).await?;
                if whole.revision != source.revision {
                    // Compaction put another in its place: the next pass looks at that.
                    return Ok((u64::MAX, Offset(i64::MAX)));
                }
                let range = self.damaged_range(&whole, position, next, cause).await?;
                let found = self.list(at.key, whole.revision, range);
                self.inner.scrub.scrub.borrow_mut().damaged += u64::from(found);
                Ok((u64::from(range.end_position), range.end))
            }
        }
    }

    /// Whether a walk from a batch that is known to begin where it does comes to a flaw at this position too.
    async fn is_flawed(
        &self,
        source: &SegmentSource<D>,
        (at, due): (u64, Offset),
        again: &Cell<u64>,
    ) -> Result<bool, FetchError> {
        let (position, next) = self.sound_start(source, due).await?;
        again.set(at.saturating_sub(position));
        let look = self.look(source, position, next, |reached, _| reached > at).await?;
        Ok(matches!(look, Look::Flawed { position: flaw, .. } if flaw == at))
    }

    /// A listed range is looked at again: one that holds now is taken off the list.
    async fn look_again(&self, mut source: SegmentSource<D>, range: DamagedRange) -> Result<(), FetchError> {
        let end = u64::from(range.end_position);
        source.end_at(end);
        let look = self.look(&source, u64::from(range.position), range.first, |_, _| false).await?;
        let mut state = self.inner.state.borrow_mut();
        let gaps = state.by_key(source.key).is_some_and(|p| p.gaps);
        // Where offsets may be missing, the last of the range may be.
        let ends = |next| next == range.end || (gaps && next <= range.end);
        let holds = matches!(look, Look::Sound { position, next } if position == end && ends(next));
        let same = state.by_key(source.key).is_some_and(|p| p.revision == source.revision);
        let slot = state.slot(source.key).filter(|_| holds && same);
        let removed = slot.and_then(|slot| state.partition(slot)?.damages.remove(range.first));
        if removed.is_some() {
            tracing::info!(
                partition = %source.key,
                first_offset = range.first.0,
                end_offset = range.end.0,
                "a range that was damaged holds again: it is served"
            );
        }
        Ok(())
    }
}
