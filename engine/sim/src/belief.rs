//! What a machine may believe of its wall clock: the bounds that age is judged by.
//!
//! A start believes the clock, unless the file `clock` says that a jump was held, or nobody keeps the clock right:
//! then it goes on from the time in the file, except where the clock went on by an hour at most since. The rule is
//! worked out here once more, from the file, and not asked of the engine.

use engine::base::{JUMP_MS, RememberedTime, STEADY, WallMs};

use crate::world::World;

/// What a life may believe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Belief {
    /// When it began, ns.
    born: u64,
    /// The least and the most that the believed time is ahead of the monotonic clock, ms.
    least: i64,
    most: i64,
}

impl Belief {
    /// The clock is believed from the world's beginning on.
    pub(crate) fn of(wall: i64) -> Belief {
        Belief { born: 0, least: wall, most: wall }
    }
}

impl World {
    /// A start begins, of a machine whose clock somebody keeps right or nobody does. Whether it does not believe it.
    pub(crate) fn begin_life(&self, synchronised: bool) -> bool {
        let (believed, recalled) = self.belief_at_start(synchronised);
        self.inner.belief.set(believed);
        recalled
    }

    /// It has read the file now, or a moment ago.
    pub(crate) fn read_clock(&self, synchronised: bool) {
        let (now, _) = self.belief_at_start(synchronised);
        let before = self.inner.belief.get();
        let (least, most) = (before.least.min(now.least), before.most.max(now.most));
        self.inner.belief.set(Belief { least, most, ..before });
    }

    fn belief_at_start(&self, synchronised: bool) -> (Belief, bool) {
        let now = self.now();
        let (born, passed_ms) = (now.mono.0, (now.mono.0 / 1_000_000) as i64);
        let of_clock = now.wall.0 - passed_ms;
        let doubted = self.remembered().filter(|before| before.held || !synchronised);
        let doubted = doubted.filter(|before| !(0..=JUMP_MS).contains(&(now.wall.0 - before.believed.0)));
        let Some(before) = doubted else { return (Belief { born, least: of_clock, most: of_clock }, false) };
        let of_file = before.believed.0 - passed_ms;
        // Where the disk fails the file may not have been read: then the clock is believed.
        let errors = self.has_errors();
        let (least, most) =
            if errors { (of_file.min(of_clock), of_file.max(of_clock)) } else { (of_file, of_file) };
        (Belief { born, least, most }, true)
    }

    /// The earliest and the latest time that the machine may believe, ms: a clock that was set far ahead in this
    /// life has jumped, and age goes by the time of before. After a day it may have been steady for one.
    pub(crate) fn believable(&self) -> (i64, i64) {
        let Belief { born, least, most } = self.inner.belief.get();
        let now = self.now();
        let passed_ms = (now.mono.0 / 1_000_000) as i64;
        let is_steady = now.mono.0 - born >= STEADY.as_nanos() as u64;
        let latest = if is_steady { now.wall.0 } else { passed_ms + most + JUMP_MS };
        (now.wall.0.min(passed_ms + least), now.wall.0.min(latest))
    }

    /// What the file `clock` says. `None` if there is none.
    pub(crate) fn remembered(&self) -> Option<RememberedTime> {
        let text = String::from_utf8(self.inner.storage.borrow().content("clock")?).ok()?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.strip_prefix(": ")?.parse::<i64>().ok()
        };
        Some(RememberedTime { believed: WallMs(value("believed")?), held: value("held")? == 1 })
    }
}
