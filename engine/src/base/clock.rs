//! Which time is believed where something is deleted for its age.
//!
//! Anybody may set a wall clock, and a broker that believes a day that never was deletes a day of records. So
//! the wall clock's way is compared with the monotonic clock's. Where it comes out more than [`JUMP_MS`] ahead
//! it has *jumped*: what is deleted for its age goes by the time that it would be without the jump, until an
//! operator accepts it, the clock comes back, or it was steady for [`STEADY`].
//!
//! | what happens | what is believed |
//! |---|---|
//! | the clock goes on, or is set by an hour at most | the clock |
//! | it is set further ahead | the time of before, which goes on |
//! | it is set back | the clock: everything is younger, and nothing is deleted for it |
//! | it was steady for a day, ahead or back | the clock |
//! | the machine slept | the clock: sleep is time |
//! | a start, and somebody synchronises the clock | the clock: the broker was down |
//! | a start, and nobody does | the clock if it went on by an hour at most, else the time that was written down |
//! | a start while a jump was held | as before: a restart accepts nothing |

use std::time::Duration;

use super::time::{Instant, Now, WallMs};

/// A wall clock that is further ahead than this has jumped, ms.
pub const JUMP_MS: i64 = 3_600_000;

/// What a wall clock says for as long as this is believed.
pub const STEADY: Duration = Duration::from_secs(86_400);

/// A wall clock that moves by at most this against the monotonic one is steady, ms: nobody's drift is as
/// large in a day.
const WANDER_MS: i64 = 600_000;

/// What is written down, so that a restart sees a jump too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RememberedTime {
    /// The time that was believed.
    pub believed: WallMs,
    /// Whether that was not what the clock said.
    pub held: bool,
}

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockNews {
    /// The wall clock has jumped, and is not believed.
    Held {
        /// How far ahead it is.
        ahead_ms: i64,
    },
    /// It came back by itself.
    Back,
    /// It was steady for [`STEADY`], and is believed.
    Steady,
}

/// How the clock is judged now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClockReport {
    /// Whether a jump is held.
    pub held: bool,
    /// What the clock says beyond what is known of it, ms; negative if it was set back.
    pub ahead_ms: i64,
    /// What the clock says.
    pub wall: WallMs,
    /// What is believed.
    pub believed: WallMs,
    /// When a jump will be believed if the clock stays as it is, ms from now; 0 if none is held.
    pub steady_in_ms: u64,
}

/// The machine. Takes both clocks; says which time to go by.
///
/// What is believed runs ahead of the monotonic clock by at most [`JUMP_MS`] beyond the last distance
/// between the clocks that was accepted or steady for [`STEADY`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockGuard {
    /// The believed distance of the wall clock from the monotonic one, ms.
    anchor: i64,
    /// The distance that it has kept …
    distance: i64,
    /// … since then.
    since: Instant,
    /// How long the machine has slept: the monotonic clock does not count it.
    asleep: Duration,
    held: bool,
}

impl ClockGuard {
    /// Begins at a start. `synchronised` says whether something outside keeps the wall clock right.
    #[must_use]
    pub fn start(now: Now, remembered: Option<RememberedTime>, synchronised: bool) -> ClockGuard {
        let mut guard =
            ClockGuard { anchor: 0, distance: 0, since: now.mono, asleep: Duration::ZERO, held: false };
        guard.distance = guard.distance_at(now);
        guard.anchor = guard.distance;
        if let Some(before) = remembered.filter(|before| before.held || !synchronised) {
            let passed = now.wall.0.saturating_sub(before.believed.0);
            if !(0..=JUMP_MS).contains(&passed) {
                guard.anchor = before.believed.0.saturating_sub(guard.steady_ms(now));
            }
        }
        guard
    }

    /// Looks at both clocks. `asleep` is how long the machine has slept since the start: the monotonic clock
    /// does not count that, and it is time all the same. Call it every few seconds at least.
    pub fn observe(&mut self, now: Now, asleep: Duration) -> Option<ClockNews> {
        self.asleep = asleep;
        let distance = self.distance_at(now);
        if distance.saturating_sub(self.distance).saturating_abs() > WANDER_MS {
            (self.distance, self.since) = (distance, now.mono);
        }
        let steady = now.mono.since(self.since) >= STEADY;
        if steady {
            (self.anchor, self.distance, self.since) = (distance, distance, now.mono);
        }
        let held = self.is_jump(distance);
        match (std::mem::replace(&mut self.held, held), held) {
            (false, true) => Some(ClockNews::Held { ahead_ms: distance.saturating_sub(self.anchor) }),
            (true, false) if steady => Some(ClockNews::Steady),
            (true, false) => Some(ClockNews::Back),
            _ => None,
        }
    }

    /// An operator says that the wall clock is right. Whether that ended a hold.
    pub fn accept(&mut self, now: Now) -> bool {
        let distance = self.distance_at(now);
        (self.anchor, self.distance, self.since) = (distance, distance, now.mono);
        std::mem::take(&mut self.held)
    }

    /// The time that age is counted by: never ahead of what `now` says.
    #[must_use]
    pub fn believed(&self, now: Now) -> WallMs {
        if self.is_jump(self.distance_at(now)) {
            WallMs(self.anchor.saturating_add(self.steady_ms(now)))
        } else {
            now.wall
        }
    }

    /// What to write down.
    #[must_use]
    pub fn remembered(&self, now: Now) -> RememberedTime {
        RememberedTime { believed: self.believed(now), held: self.is_jump(self.distance_at(now)) }
    }

    /// How it stands.
    #[must_use]
    pub fn report(&self, now: Now) -> ClockReport {
        let distance = self.distance_at(now);
        let held = self.is_jump(distance);
        let left = STEADY.saturating_sub(now.mono.since(self.since)).as_millis();
        ClockReport {
            held,
            ahead_ms: distance.saturating_sub(self.anchor),
            wall: now.wall,
            believed: self.believed(now),
            steady_in_ms: if held { left as u64 } else { 0 },
        }
    }

    fn is_jump(&self, distance: i64) -> bool {
        distance.saturating_sub(self.anchor) > JUMP_MS
    }

    fn distance_at(&self, now: Now) -> i64 {
        now.wall.0.saturating_sub(self.steady_ms(now))
    }

    /// The monotonic clock with sleep, ms.
    fn steady_ms(&self, now: Now) -> i64 {
        let passed = Duration::from_nanos(now.mono.0).saturating_add(self.asleep);
        i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: i64 = 1_700_000_000_000;
    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    /// `passed` ms after the start, with a wall clock that is `ahead` ms ahead.
    fn at(passed: i64, ahead: i64) -> Now {
        Now { mono: Instant(passed as u64 * 1_000_000), wall: WallMs(T0 + passed + ahead) }
    }

    fn guard() -> ClockGuard {
        ClockGuard::start(at(0, 0), None, true)
    }

    fn observe(guard: &mut ClockGuard, now: Now) -> Option<ClockNews> {
        guard.observe(now, Duration::ZERO)
    }

    #[test]
    fn a_clock_that_is_set_by_an_hour_is_believed_and_one_by_more_is_held() {
        let mut clock = guard();
        assert_eq!(observe(&mut clock, at(MINUTE, HOUR)), None);
        assert_eq!(clock.believed(at(MINUTE, HOUR)), at(MINUTE, HOUR).wall);
        let jumped = at(2 * MINUTE, HOUR + 1);
        assert_eq!(clock.believed(jumped), at(2 * MINUTE, 0).wall, "before anybody looked");
        assert_eq!(observe(&mut clock, jumped), Some(ClockNews::Held { ahead_ms: HOUR + 1 }));
        assert_eq!(observe(&mut clock, jumped), None, "it is told once");
        // What is believed goes on.
        assert_eq!(clock.believed(at(HOUR, DAY)), at(HOUR, 0).wall);
        let report = clock.report(at(HOUR, DAY));
        assert!(report.held && report.ahead_ms == DAY && report.wall == at(HOUR, DAY).wall);
    }

    #[test]
    fn a_jump_ends_with_an_operators_word_with_the_clocks_return_or_after_a_steady_day() {
        let mut held = guard();
        assert!(!held.accept(at(0, 0)), "there was none");
        observe(&mut held, at(MINUTE, 9 * DAY));

        let mut accepted = held;
        assert!(accepted.accept(at(HOUR, 9 * DAY)));
        assert_eq!(accepted.believed(at(HOUR, 9 * DAY)), at(HOUR, 9 * DAY).wall);
        assert_eq!(observe(&mut accepted, at(HOUR, 9 * DAY)), None);

        let mut back = held;
        assert_eq!(observe(&mut back, at(HOUR, MINUTE)), Some(ClockNews::Back));
        assert_eq!(back.believed(at(HOUR, MINUTE)), at(HOUR, MINUTE).wall);

        let mut steady = held;
        assert_eq!(observe(&mut steady, at(DAY, 9 * DAY)), None);
        assert_eq!(steady.report(at(DAY, 9 * DAY)).steady_in_ms, MINUTE as u64);
        assert_eq!(observe(&mut steady, at(DAY + MINUTE, 9 * DAY)), Some(ClockNews::Steady));
        assert_eq!(steady.believed(at(DAY + MINUTE, 9 * DAY)), at(DAY + MINUTE, 9 * DAY).wall);

        let mut restless = held;
        for hour in 1..100 {
            assert_eq!(observe(&mut restless, at(hour * HOUR, 9 * DAY + hour * HOUR)), None);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_is_believed_and_its_return_is_no_jump_within_the_day() {
        let mut clock = guard();
        assert_eq!(observe(&mut clock, at(HOUR, -5 * DAY)), None);
        assert_eq!(clock.believed(at(HOUR, -5 * DAY)), at(HOUR, -5 * DAY).wall);
        assert_eq!(observe(&mut clock, at(2 * HOUR, 0)), None);
        assert_eq!(clock.believed(at(2 * HOUR, 0)), at(2 * HOUR, 0).wall);
        // After a day it is what the clock says, and the return is a jump.
        for hour in 3..=28 {
            observe(&mut clock, at(hour * HOUR, -5 * DAY));
        }
        assert!(matches!(observe(&mut clock, at(29 * HOUR, 0)), Some(ClockNews::Held { .. })));
    }

    #[test]
    fn a_machine_that_slept_has_not_jumped() {
        let mut clock = guard();
        let slept = Duration::from_millis(8 * HOUR as u64);
        assert_eq!(clock.observe(at(HOUR, 8 * HOUR), slept), None);
        assert_eq!(clock.believed(at(HOUR, 8 * HOUR)), at(HOUR, 8 * HOUR).wall);
        assert!(matches!(clock.observe(at(HOUR, 10 * HOUR), slept), Some(ClockNews::Held { .. })));
    }

    #[test]
    fn a_start_believes_a_synchronised_clock_and_another_for_an_hour() {
        let before = |held| Some(RememberedTime { believed: WallMs(T0), held });
        let held_at = |remembered, synchronised, ahead| {
            let now = at(0, ahead);
            let mut clock = ClockGuard::start(now, remembered, synchronised);
            let held = observe(&mut clock, now).is_some();
            assert_eq!(held, clock.believed(now) != now.wall);
            assert!(!held || clock.believed(now) == WallMs(T0));
            held
        };
        for (remembered, synchronised, ahead, held) in [
            (None, false, 900 * DAY, false),
            (before(false), true, 9 * DAY, false),
            (before(false), true, -9 * DAY, false),
            (before(false), false, HOUR, false),
            (before(false), false, HOUR + 1, true),
            (before(false), false, -9 * DAY, false),
            (before(true), true, HOUR + 1, true),
            (before(true), true, HOUR, false),
        ] {
            let told = (remembered, synchronised, ahead);
            assert_eq!(held_at(remembered, synchronised, ahead), held, "{told:?}");
        }
    }

    #[test]
    fn a_clock_that_begins_in_the_past_and_is_then_set_right_has_not_jumped() {
        let before = RememberedTime { believed: WallMs(T0), held: false };
        let mut clock = ClockGuard::start(at(0, -19_000 * DAY), Some(before), false);
        assert_eq!(observe(&mut clock, at(MINUTE, -19_000 * DAY)), None);
        assert_eq!(observe(&mut clock, at(2 * MINUTE, HOUR)), None);
    }

    #[test]
    fn a_clock_that_drifts_as_clocks_do_is_never_held() {
        for ppm in [-500, 500, 5_000] {
            let mut clock = guard();
            for minutes in 0..60 * 24 * 90 {
                let now = at(minutes * MINUTE, minutes * MINUTE * ppm / 1_000_000);
                assert_eq!(observe(&mut clock, now), None, "{ppm} ppm, {minutes} minutes");
                assert_eq!(clock.believed(now), now.wall);
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Event {
        Pass(i64),
        Set(i64),
        Accept,
        Restart { synchronised: bool },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            8 => (0..3 * HOUR).prop_map(Event::Pass),
            1 => (0..2 * DAY).prop_map(Event::Pass),
            4 => (-DAY..DAY).prop_map(Event::Set),
            2 => (-2 * HOUR..2 * HOUR).prop_map(Event::Set),
            1 => any::<i64>().prop_map(Event::Set),
            1 => Just(Event::Accept),
            1 => any::<bool>().prop_map(|synchronised| Event::Restart { synchronised }),
        ]
    }

    proptest! {
        /// Whatever the clock does: age grows with time, an hour more each time that the clock was steady for
        /// a day (and may then be where it was), and otherwise only where somebody vouches for the clock.
        #[test]
        fn what_is_believed_runs_ahead_by_an_hour_at_most(events in prop::collection::vec(event(), 1..80)) {
            let (mut passed, mut ahead) = (0, 0);
            let mut clock = guard();
            // The most that may be believed, as a distance from the monotonic clock, and what was steady.
            let mut bound = 0;
            let (mut kept, mut since) = (0, 0);
            for event in events {
                match event {
                    Event::Pass(ms) => passed += ms,
                    Event::Set(to) => ahead = to.clamp(-900 * DAY, 900 * DAY),
                    Event::Accept => {
                        clock.accept(at(passed, ahead));
                        (bound, kept, since) = (ahead, ahead, passed);
                    }
                    Event::Restart { synchronised } => {
                        let now = at(passed, ahead);
                        let remembered = clock.remembered(now);
                        clock = ClockGuard::start(now, Some(remembered), synchronised);
                        // It is believed, or what was believed before is.
                        bound = bound.max(remembered.believed.0 - T0 - passed + JUMP_MS);
                        if synchronised && !remembered.held {
                            bound = bound.max(ahead);
                        }
                        (kept, since) = (ahead, passed);
                    }
                }
                let now = at(passed, ahead);
                if (ahead - kept).abs() > WANDER_MS {
                    (kept, since) = (ahead, passed);
                }
                if passed - since >= DAY {
                    (bound, kept, since) = (ahead, ahead, passed);
                }
                observe(&mut clock, now);
                let believed = clock.believed(now);
                prop_assert!(believed <= now.wall);
                prop_assert!(believed.0 - T0 - passed <= bound + JUMP_MS);
                prop_assert_eq!(clock.report(now).held, believed < now.wall);
            }
        }
    }
}
