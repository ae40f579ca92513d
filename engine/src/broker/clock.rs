//! What a shard does about its wall clock: watches it, tells of a jump, and writes down what it believes.
//!
//! All cores judge for themselves, by the same two clocks. Core 0 writes the file `clock`, replaced
//! atomically, for all of them. It is text; what cannot be read is no time that was written down.
//!
//! ```text
//! version: 0
//! believed: 1763870400000                     the time by which age was counted, wall clock, ms
//! held: 0                                     1: the wall clock had jumped, and was not believed
//! ```

use std::cell::Cell;
use std::time::Duration;

use super::shard::Shard;
use crate::base::{
    Bug, ClockGuard, ClockNews, ClockReport, CoreId, Instant, Now, RememberedTime, WallMs, planted,
};
use crate::io::{Disk, DiskResult, FileName};

/// The file, in the data directory.
const FILE: &str = "clock";

/// A file with more bytes is not ours.
const FILE_BYTES_MAX: usize = 4096;

/// How often the time is written down. After a kill a start knows the time no better, and takes that much
/// less downtime for ordinary where nobody synchronises the clock.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// A jump is written down at once, and where that fails again after this.
const SAVE_NEWS_EVERY: Duration = Duration::from_secs(5);

/// A shard's clock.
#[derive(Debug)]
pub(super) struct ShardClock {
    guard: Cell<ClockGuard>,
    /// How long the machine has slept since the start.
    asleep: Cell<Duration>,
    /// When the file was last written, or that was tried, and what it says of a jump.
    tried: Cell<Option<Instant>>,
    saved_held: Cell<Option<bool>>,
}

impl ShardClock {
    /// Until the file is read the clock is believed.
    pub(super) fn new(now: Now) -> ShardClock {
        ShardClock {
            guard: Cell::new(ClockGuard::start(now, None, true)),
            asleep: Cell::new(Duration::ZERO),
            tried: Cell::new(None),
            saved_held: Cell::new(None),
        }
    }

    /// The time that age is counted by.
    pub(super) fn believed(&self, now: Now) -> WallMs {
        if planted(Bug::BelieveClockJump) { now.wall } else { self.guard.get().believed(now) }
    }
}

impl<D: Disk> Shard<D> {
    /// The time by which age is counted where something is deleted for it: what the wall clock says unless it
    /// has jumped.
    #[must_use]
    pub fn believed_time(&self, now: Now) -> WallMs {
        self.inner.clock.believed(now)
    }

    /// How the wall clock is judged.
    #[must_use]
    pub fn clock_report(&self, now: Now) -> ClockReport {
        self.inner.clock.guard.get().report(now)
    }

    /// How long the machine has slept since the start, which the monotonic clock does not count. Call it before
    /// [`Shard::tick`], or never where machines do not sleep.
    pub fn slept(&self, total: Duration) {
        self.inner.clock.asleep.set(total);
    }

    /// An operator says that the wall clock is right: what is too old by it may go.
    pub fn accept_clock(&self, now: Now) {
        let clock = &self.inner.clock;
        let mut guard = clock.guard.get();
        let was_held = guard.accept(now);
        clock.guard.set(guard);
        if was_held {
            tracing::warn!(
                core = self.inner.core.0,
                wall_ms = now.wall.0,
                "the wall clock's jump was accepted"
            );
        }
    }

    /// Looks at the clock with every tick.
    pub(super) fn watch_clock(&self, now: Now) {
        let clock = &self.inner.clock;
        let mut guard = clock.guard.get();
        let news = guard.observe(now, clock.asleep.get());
        clock.guard.set(guard);
        let core = self.inner.core.0;
        match news {
            None => {}
            // One line for the machine.
            Some(_) if core != 0 => {}
            Some(ClockNews::Held { ahead_ms }) => tracing::error!(
                ahead_ms,
                wall_ms = now.wall.0,
                believed_ms = guard.believed(now).0,
                "the wall clock jumped ahead: nothing is deleted for its age by it until it is accepted \
                 (`ringlog clock accept`) or steady for a day"
            ),
            Some(ClockNews::Back) => tracing::warn!("the wall clock is back where it should be"),
            Some(ClockNews::Steady) => {
                tracing::warn!(wall_ms = now.wall.0, "the wall clock was steady for a day and is believed");
            }
        }
    }

    /// Reads what an earlier life believed.
    pub(super) async fn recall_time(&self, now: Now) {
        let read = self.inner.disk.read_small(&FileName::new(FILE), FILE_BYTES_MAX).await;
        let remembered = match read {
            Ok(None) => None,
            Ok(Some(bytes)) => {
                let remembered = std::str::from_utf8(&bytes).ok().and_then(decode);
                if remembered.is_none() {
                    tracing::warn!(file = FILE, "the time that was written down cannot be read");
                }
                remembered
            }
            Err(error) => {
                tracing::warn!(%error, "the time that was written down cannot be read");
                None
            }
        };
        let synchronised = self.inner.settings.clock_synchronised;
        self.inner.clock.guard.set(ClockGuard::start(now, remembered, synchronised));
        self.watch_clock(now);
    }

    /// Writes down on core 0 what is believed, when that is due. Call it a few times a second, one at a time.
    ///
    /// # Errors
    /// The disk's. A later call tries again.
    pub async fn remember_time(&self, now: Now) -> DiskResult<()> {
        let clock = &self.inner.clock;
        let held = clock.guard.get().remembered(now).held;
        let every = if clock.saved_held.get() == Some(held) { SAVE_EVERY } else { SAVE_NEWS_EVERY };
        if clock.tried.get().is_some_and(|at| now.mono.since(at) < every) {
            return Ok(());
        }
        self.save_time(now).await
    }

    /// Writes it down at a clean stop, if it ever was.
    pub(super) async fn save_last_time(&self, now: Now) -> DiskResult<()> {
        if self.inner.clock.tried.get().is_some() { self.save_time(now).await } else { Ok(()) }
    }

    async fn save_time(&self, now: Now) -> DiskResult<()> {
        if self.inner.core != CoreId(0) || self.inner.settings.read_only {
            return Ok(());
        }
        let clock = &self.inner.clock;
        clock.tried.set(Some(now.mono));
        let remembered = clock.guard.get().remembered(now);
        self.inner.disk.replace(&FileName::new(FILE), encode(remembered).into_bytes()).await?;
        clock.saved_held.set(Some(remembered.held));
        Ok(())
    }
}

fn encode(time: RememberedTime) -> String {
    format!("version: 0\nbelieved: {}\nheld: {}\n", time.believed.0, u8::from(time.held))
}

fn decode(text: &str) -> Option<RememberedTime> {
    let mut lines = text.lines();
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ");
    if value("version")? != "0" {
        return None;
    }
    let believed = WallMs(value("believed")?.parse().ok()?);
    let held = match value("held")? {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    // Its end shows that it is whole.
    text.ends_with('\n').then_some(RememberedTime { believed, held })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_read_back_and_nothing_else_is() {
        for time in [(1_763_870_400_000, false), (-1, true)] {
            let time = RememberedTime { believed: WallMs(time.0), held: time.1 };
            let text = encode(time);
            assert_eq!(decode(&text), Some(time));
            assert!((0..text.len()).all(|n| decode(&text[..n]).is_none()));
        }
        let held_twice = "version: 0\nbelieved: 5\nheld: 2\n";
        for text in
            ["", "version: 1\nbelieved: 5\nheld: 0\n", "version: 0\nbelieved: x\nheld: 0\n", held_twice]
        {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
