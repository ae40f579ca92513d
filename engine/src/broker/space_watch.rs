//! What a shard does about the space on its disk: reads it, gives back what it can, tells of failures.

use super::shard::{Shard, State};
use super::space::{Purpose, Space, SpaceLevel, SpaceLimits};
use crate::base::{CoreId, Now};
use crate::io::{Disk, DiskError, DiskFault, DiskResult, FileName, Open};

/// Holds nothing; it is there to be given up.
const BALLAST: &str = "ballast";

impl<D: Disk> Shard<D> {
    /// Other limits of the disk's space, from the next look on.
    pub fn set_space_limits(&self, limits: SpaceLimits) {
        self.inner.state.borrow_mut().space.set_limits(limits);
    }

    /// What there is room for.
    #[must_use]
    pub fn space_level(&self) -> SpaceLevel {
        self.inner.state.borrow().space.level()
    }

    /// Whether what is deleted must go from the disk soon.
    #[must_use]
    pub fn is_tight_of_space(&self) -> bool {
        self.inner.state.borrow().space.is_tight()
    }

    /// Reads how much space there is.
    ///
    /// # Errors
    /// The disk's. The space is judged by the last reading then.
    pub async fn read_space(&self, now: Now) -> DiskResult<SpaceLevel> {
        let disk = self.inner.disk.space().await?;
        let mut guard = self.inner.state.borrow_mut();
        let state = &mut *guard;
        let unwritten = state.tails.unwritten() + state.frame.bytes();
        state.space.read(now.mono, disk, unwritten as u64);
        let level = state.space.level();
        if std::mem::replace(&mut state.space_told, level) != level {
            tell(self.inner.core, &state.space);
        }
        Ok(level)
    }

    /// As [`Shard::read_space`], and gives back what is kept only for speed when there is little. Call it a few
    /// times a second, one at a time.
    ///
    /// # Errors
    /// The disk's. The next call goes on.
    pub async fn look_at_space(&self, now: Now) -> DiskResult<()> {
        self.read_space(now).await?;
        if self.is_tight_of_space() {
            self.drop_free_segments().await?;
        }
        if self.inner.core == CoreId(0) { self.tend_ballast().await } else { Ok(()) }
    }

    /// Learns that an operation failed; whether that was for lack of space.
    pub(super) fn is_out_of_space(&self, error: &DiskError) -> bool {
        let out = error.fault == DiskFault::NoSpace;
        if out {
            let mut state = self.inner.state.borrow_mut();
            let now = self.inner.now.get().mono;
            state.space.failed(now);
            state.stats.no_space_errors += 1;
        }
        out
    }

    /// Segments kept for reuse are worth less than space.
    async fn drop_free_segments(&self) -> DiskResult<()> {
        loop {
            let Some(name) = self.inner.state.borrow_mut().free_segments.pop() else { return Ok(()) };
            let entries = self.inner.disk.list(&FileName::core_dir(self.inner.core)).await?;
            if let Some(entry) = entries.iter().find(|e| e.name == name) {
                self.bury_own(name, entry.len);
            }
        }
    }

    /// Gives the ballast up, or takes it again.
    async fn tend_ballast(&self) -> DiskResult<()> {
        let disk = &self.inner.disk;
        let held = self.inner.state.borrow().ballast;
        if let Some(held) = held
            && self.inner.state.borrow().space.ballast(held).is_none()
        {
            return Ok(());
        }
        let name = FileName::new(BALLAST);
        let held = match held {
            Some(bytes) => bytes,
            None => match disk.open(&name, Open::Existing).await {
                Ok(file) => disk.len(&file).await?,
                Err(error) if error.fault == DiskFault::NotFound => 0,
                Err(error) => return Err(error),
            },
        };
        let wanted = self.inner.state.borrow().space.ballast(held);
        match wanted {
            None => {}
            Some(0) => {
                disk.remove(&name).await?;
                tracing::warn!(bytes = held, "the ballast was given up: it comes back when there is space");
            }
            Some(bytes) => {
                let file = disk.open(&name, Open::OrCreate).await?;
                if let Err(error) = disk.allocate(&file, bytes).await {
                    disk.remove(&name).await?;
                    return Err(error);
                }
            }
        }
        self.inner.state.borrow_mut().ballast = Some(wanted.unwrap_or(held));
        Ok(())
    }
}

impl<D: Disk> State<D> {
    /// Whether there is room for bytes that nothing needs yet.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        self.space.has(Purpose::Produce, bytes)
    }
}

fn tell(core: CoreId, space: &Space) {
    let (core, free, floor) = (core.0, space.free(), space.floor());
    match space.level() {
        SpaceLevel::Plenty => tracing::info!(core, free, floor, "there is space again: producers are served"),
        SpaceLevel::Low => {
            tracing::error!(
                core,
                free,
                floor,
                "the disk is nearly full: producers are refused until there is space"
            );
        }
        SpaceLevel::Out => {
            tracing::error!(
                core,
                free,
                floor,
                "the disk is full: commits are refused too until there is space"
            );
        }
    }
}
