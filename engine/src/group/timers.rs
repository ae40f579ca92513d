//! Deadlines of groups, earliest first.
//!
//! A timer that fires is a question, not a verdict: its owner looks whether its time is really over
//! and sets the next one if not. So a heartbeat costs nothing here.

use std::collections::BTreeMap;

use super::settings::{PAUSE, TIMERS_MAX};
use crate::base::{Instant, Site, buggify};

/// Whose time may be over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// A member's session.
    Session { group: String, member: String },
    /// A member id that was given away and not used.
    Pending { group: String, member: String },
    /// A member's time to give partitions up.
    Revoke { group: String, member: String },
    /// The wait for members to join.
    Join { group: String, generation: i32 },
    /// The wait for members to sync.
    Sync { group: String, generation: i32 },
}

impl Timer {
    /// The group.
    pub(super) fn group(&self) -> &str {
        match self {
            Timer::Session { group, .. }
            | Timer::Pending { group, .. }
            | Timer::Revoke { group, .. }
            | Timer::Join { group, .. }
            | Timer::Sync { group, .. } => group,
        }
    }
}

/// The deadlines, on a clock that stands still while the broker does.
#[derive(Debug, Default)]
pub(super) struct Timers {
    list: BTreeMap<(Instant, u64), Timer>,
    next: u64,
    seen: Instant,
    lost: u64,
}

impl Timers {
    /// Time as members may use it: what the broker slept through is not counted.
    pub(super) fn steady(&mut self, now: Instant) -> Instant {
        let passed = now.since(self.seen);
        if self.seen != Instant(0) && passed > PAUSE {
            self.lost += u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        }
        self.seen = self.seen.max(now);
        Instant(self.seen.0.saturating_sub(self.lost))
    }

    /// Whether no member may be added: each has a timer.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= TIMERS_MAX
    }

    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.next += 1;
        self.list.insert((at, self.next), timer);
    }

    /// Takes one whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let entry = self.list.first_entry()?;
        let at = entry.key().0;
        (at <= now && !buggify(Site::TimerLate)).then(|| (at, entry.remove()))
    }
}
