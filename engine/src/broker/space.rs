//! Whether there is room on the disk: a floor below which producers are refused, and what may go on there.
//!
//! A file system that is full fails in the middle of things, so producers are refused before it is. What is
//! left then is a reserve: for what they were told already (it still moves from the journal to segments),
//! for commits, and for what gives space back.
//!
//! | free bytes | producers | commits, groups | reads, deletes, retention | free pool | ballast |
//! |---|---|---|---|---|---|
//! | from half above the floor on | yes | yes | yes | kept | kept |
//! | from the floor on | yes | yes | hurried | given back | kept |
//! | below it | refused | yes | yes | given back | kept |
//! | below [`LAST_BYTES`] | refused | refused | yes | given back | given back |
//!
//! Each core judges for itself, by what it has let in, so one may refuse where another does not yet: what gives
//! space back is hurried on all of them before.
//!
//! Producers come back only when there is a margin above the floor. Between two readings the machine counts
//! what it lets in: no load is fast enough to write through the floor. An operation that failed for lack of
//! space counts for more than a reading that says otherwise (a quota, inodes), for [`HOLD`].

use std::time::Duration;

use crate::base::Instant;
use crate::io::DiskSpace;

/// What is kept for the metadata, checkpoints and log starts alone, bytes; half of the floor if that is less.
pub const LAST_BYTES: u64 = 16 << 20;

/// The floor that is chosen where none is set: this part of the file system, …
const FLOOR_PART: u64 = 20;
/// … and no more than this, bytes.
const FLOOR_BYTES_MAX: u64 = 1 << 30;

/// How long producers are refused after an operation failed for lack of space although a reading finds some.
pub const HOLD: Duration = Duration::from_secs(2);

/// What bounds the use of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpaceLimits {
    /// Free bytes below which producers are refused: 0 never refuses, `None` is 5 % of the file system, 1 GiB
    /// at most.
    pub floor: Option<u64>,
    /// Bytes of the file that is given up when nothing else is left; 0 keeps none.
    pub ballast: u64,
    /// How many shards share the file system, at least 1.
    pub shards: u16,
}

impl Default for SpaceLimits {
    fn default() -> SpaceLimits {
        SpaceLimits { floor: None, ballast: 0, shards: 1 }
    }
}

impl SpaceLimits {
    /// The floor on a file system of this size, bytes.
    #[must_use]
    pub fn floor_of(&self, total: u64) -> u64 {
        self.floor.unwrap_or((total / FLOOR_PART).min(FLOOR_BYTES_MAX))
    }

    /// Whether a start gives the ballast up before it does anything else.
    #[must_use]
    pub fn starts_light(&self, disk: DiskSpace) -> bool {
        disk.free < self.floor_of(disk.total).max(LAST_BYTES)
    }
}

/// For whom an append is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A producer's records.
    Produce,
    /// What the broker itself remembers: commits and groups.
    Commit,
}

/// What there is room for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum SpaceLevel {
    /// Everything.
    #[default]
    Plenty,
    /// Not for producers.
    Low,
    /// Only for what gives space back.
    Out,
}

/// The machine. Takes readings, failures and what is let in; says what there is room for.
#[derive(Clone, Debug)]
pub(super) struct Space {
    limits: SpaceLimits,
    disk: Option<DiskSpace>,
    level: SpaceLevel,
    /// Bytes let in that no reading has seen.
    spent: u64,
    /// A producer was refused since the last reading.
    short: bool,
    /// Not before this may producers come back.
    held: Option<Instant>,
}

impl Space {
    /// Until the first reading there is room for everything.
    pub(super) fn new(limits: SpaceLimits) -> Space {
        Space { limits, disk: None, level: SpaceLevel::Plenty, spent: 0, short: false, held: None }
    }

    /// Other limits from the next reading on.
    pub(super) fn set_limits(&mut self, limits: SpaceLimits) {
        self.limits = limits;
    }

    /// What there is room for.
    pub(super) fn level(&self) -> SpaceLevel {
        self.level
    }

    /// Whether producers are refused, or may be by another shard: what is deleted must go, and nothing is kept for
    /// speed.
    pub(super) fn is_tight(&self) -> bool {
        self.level != SpaceLevel::Plenty || self.free() < self.floor() + self.floor() / 2
    }

    /// Free bytes by the last reading; 0 before the first.
    pub(super) fn free(&self) -> u64 {
        self.disk.map_or(0, |disk| disk.free)
    }

    /// Free bytes below which producers are refused; 0 before the first reading.
    pub(super) fn floor(&self) -> u64 {
        self.disk.map_or(0, |disk| self.limits.floor_of(disk.total))
    }

    /// The space that there is now. `unwritten` bytes were let in and are not in their segments yet.
    pub(super) fn read(&mut self, now: Instant, disk: DiskSpace, unwritten: u64) {
        self.disk = Some(disk);
        self.spent = unwritten;
        let left = self.left();
        let back = self.held.is_none_or(|until| now >= until);
        let near = std::mem::take(&mut self.short) || self.level != SpaceLevel::Plenty;
        let enough = self.floor() + if near { self.margin() } else { 0 };
        self.level = if left < self.last() {
            SpaceLevel::Out
        } else if left < enough || !back {
            SpaceLevel::Low
        } else {
            self.held = None;
            SpaceLevel::Plenty
        };
    }

    /// An operation failed for lack of space.
    pub(super) fn failed(&mut self, now: Instant) {
        self.held = Some(now.after(HOLD));
        self.level = self.level.max(SpaceLevel::Low);
    }

    /// Whether there is room for `bytes` more.
    pub(super) fn has(&self, purpose: Purpose, bytes: u64) -> bool {
        let (worst, least) = match purpose {
            Purpose::Produce => (SpaceLevel::Plenty, self.floor()),
            Purpose::Commit => (SpaceLevel::Low, self.last()),
        };
        let Some(disk) = self.disk.filter(|_| self.floor() > 0) else { return self.level <= worst };
        // The other shards count for themselves: each has its share.
        let share = disk.free.saturating_sub(least) / u64::from(self.limits.shards);
        self.level <= worst && self.spent + bytes <= share
    }

    /// Somebody was told that there is no room.
    pub(super) fn refused(&mut self, purpose: Purpose) {
        self.short |= purpose == Purpose::Produce;
    }

    /// These bytes were let in.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.spent += bytes;
    }

    /// The size that the ballast should get, if it is to change; `held` is the one that it has.
    pub(super) fn ballast(&self, held: u64) -> Option<u64> {
        let wanted = self.limits.ballast;
        let disk = self.disk?;
        let least = self.last().max(LAST_BYTES.min(wanted));
        if held > 0 && (disk.free < least || self.level == SpaceLevel::Out || held != wanted) {
            return Some(0);
        }
        let room = self.floor() + self.margin() + wanted + least;
        (held == 0 && wanted > 0 && self.level == SpaceLevel::Plenty && self.left() >= room).then_some(wanted)
    }

    /// Free bytes without those that are let in already, by all shards if they are like this one.
    fn left(&self) -> u64 {
        self.free().saturating_sub(self.spent * u64::from(self.limits.shards))
    }

    fn last(&self) -> u64 {
        LAST_BYTES.min(self.floor() / 2)
    }

    /// So that the last deleted segment does not let producers in for one more batch.
    fn margin(&self) -> u64 {
        self.floor() / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const TOTAL: u64 = 10_000 * MIB;

    fn at(millis: u64) -> Instant {
        Instant::default().after(Duration::from_millis(millis))
    }

    fn space(floor: u64, ballast: u64, shards: u16) -> Space {
        Space::new(SpaceLimits { floor: Some(floor), ballast, shards })
    }

    fn take(space: &mut Space, purpose: Purpose, bytes: u64) -> bool {
        let has = space.has(purpose, bytes);
        space.spend(if has { bytes } else { 0 });
        has
    }

    fn read(space: &mut Space, millis: u64, free: u64) -> SpaceLevel {
        space.read(at(millis), DiskSpace { free, total: TOTAL }, 0);
        space.level()
    }

    #[test]
    fn producers_are_refused_below_the_floor_and_commits_below_the_last_bytes() {
        let mut space = space(80 * MIB, 0, 1);
        assert!(take(&mut space, Purpose::Produce, MIB), "nothing is known yet");
        assert_eq!(read(&mut space, 0, 80 * MIB), SpaceLevel::Plenty);
        assert_eq!(read(&mut space, 1, 80 * MIB - 1), SpaceLevel::Low);
        assert!(!take(&mut space, Purpose::Produce, 1) && take(&mut space, Purpose::Commit, MIB));
        assert_eq!(read(&mut space, 2, 16 * MIB), SpaceLevel::Low);
        assert_eq!(read(&mut space, 3, 16 * MIB - 1), SpaceLevel::Out);
        assert!(!take(&mut space, Purpose::Produce, 1) && !take(&mut space, Purpose::Commit, 1));
    }

    #[test]
    fn what_gives_space_back_is_hurried_before_the_first_shard_refuses() {
        let (mut quiet, mut busy) = (space(80 * MIB, 0, 2), space(80 * MIB, 0, 2));
        assert!(!quiet.is_tight(), "nothing is known yet");
        assert_eq!(read(&mut quiet, 0, 120 * MIB), SpaceLevel::Plenty);
        assert!(!quiet.is_tight());
        busy.read(at(1), DiskSpace { free: 100 * MIB, total: TOTAL }, 15 * MIB);
        assert_eq!(busy.level(), SpaceLevel::Low);
        assert_eq!(read(&mut quiet, 1, 100 * MIB), SpaceLevel::Plenty);
        assert!(quiet.is_tight() && busy.is_tight());
        let mut boundless = space(0, 0, 2);
        assert_eq!(read(&mut boundless, 2, 0), SpaceLevel::Plenty);
        assert!(!boundless.is_tight());
    }

    #[test]
    fn producers_come_back_with_a_margin_above_the_floor() {
        let mut space = space(80 * MIB, 0, 1);
        read(&mut space, 0, 79 * MIB);
        assert_eq!(read(&mut space, 1, 80 * MIB), SpaceLevel::Low);
        assert_eq!(read(&mut space, 2, 90 * MIB - 1), SpaceLevel::Low);
        assert_eq!(read(&mut space, 3, 90 * MIB), SpaceLevel::Plenty);
        assert_eq!(read(&mut space, 4, 80 * MIB), SpaceLevel::Plenty);
    }

    #[test]
    fn no_load_writes_through_the_floor_between_two_readings() {
        let mut space = space(80 * MIB, 0, 2);
        read(&mut space, 0, 100 * MIB);
        assert!(take(&mut space, Purpose::Produce, 10 * MIB), "its half");
        assert!(!take(&mut space, Purpose::Produce, 1));
        assert!(take(&mut space, Purpose::Commit, MIB));
        // What is not in its segment yet counts at the next reading too.
        space.read(at(1), DiskSpace { free: 100 * MIB, total: TOTAL }, 6 * MIB);
        assert_eq!(space.level(), SpaceLevel::Plenty);
        assert!(take(&mut space, Purpose::Produce, 4 * MIB) && !take(&mut space, Purpose::Produce, 1));
        // Who was refused within the margin is not let in again by each reading.
        space.refused(Purpose::Produce);
        space.read(at(2), DiskSpace { free: 100 * MIB, total: TOTAL }, 6 * MIB);
        assert_eq!(space.level(), SpaceLevel::Low);
        space.read(at(3), DiskSpace { free: 100 * MIB, total: TOTAL }, 5 * MIB);
        assert_eq!(space.level(), SpaceLevel::Plenty);
        // Far above it that was a burst.
        space.refused(Purpose::Produce);
        space.read(at(4), DiskSpace { free: 1000 * MIB, total: TOTAL }, 5 * MIB);
        assert_eq!(space.level(), SpaceLevel::Plenty);
    }

    #[test]
    fn a_failure_counts_for_more_than_a_reading_for_a_while() {
        for floor in [80 * MIB, 0] {
            let mut space = space(floor, 0, 1);
            read(&mut space, 0, 1000 * MIB);
            space.failed(at(10));
            assert!(!take(&mut space, Purpose::Produce, 1) && take(&mut space, Purpose::Commit, 1));
            assert_eq!(read(&mut space, 2009, 1000 * MIB), SpaceLevel::Low);
            assert_eq!(read(&mut space, 2010, 1000 * MIB), SpaceLevel::Plenty);
            assert!(take(&mut space, Purpose::Produce, 1));
        }
    }

    #[test]
    fn the_floor_is_a_part_of_the_file_system_unless_it_is_set() {
        let auto = SpaceLimits::default();
        assert_eq!(auto.floor_of(256 * MIB), 256 * MIB / 20);
        assert_eq!(auto.floor_of(1 << 40), 1 << 30);
        assert_eq!(SpaceLimits { floor: Some(7), ..auto }.floor_of(1 << 40), 7);
        assert!(auto.starts_light(DiskSpace { free: (1 << 30) - 1, total: 1 << 40 }));
        assert!(!auto.starts_light(DiskSpace { free: 1 << 30, total: 1 << 40 }));
        assert!(SpaceLimits { floor: Some(0), ..auto }.starts_light(DiskSpace { free: 0, total: 1 << 40 }));
    }

    #[test]
    fn the_ballast_goes_last_and_comes_back_only_where_it_leaves_room() {
        let mut space = space(80 * MIB, 64 * MIB, 1);
        assert_eq!(space.ballast(0), None, "nothing is known yet");
        read(&mut space, 0, 169 * MIB);
        assert_eq!(space.ballast(0), None, "producers would soon be refused for it");
        read(&mut space, 1, 170 * MIB);
        assert_eq!((space.ballast(0), space.ballast(64 * MIB)), (Some(64 * MIB), None));
        assert_eq!(space.ballast(32 * MIB), Some(0), "another size was set");
        read(&mut space, 2, 79 * MIB);
        assert_eq!((space.ballast(0), space.ballast(64 * MIB)), (None, None));
        read(&mut space, 3, 15 * MIB);
        assert_eq!(space.ballast(64 * MIB), Some(0));
        // Without a floor too, and not in turns.
        let mut space = Space::new(SpaceLimits { floor: Some(0), ballast: 64 * MIB, shards: 1 });
        read(&mut space, 0, 15 * MIB);
        assert_eq!(space.ballast(64 * MIB), Some(0));
        read(&mut space, 1, 79 * MIB);
        assert_eq!(space.ballast(0), None);
    }

    #[test]
    fn without_a_floor_nothing_is_refused_before_the_disk_does() {
        let mut space = space(0, 0, 1);
        assert_eq!(read(&mut space, 0, 1), SpaceLevel::Plenty);
        assert!(take(&mut space, Purpose::Produce, 10 * MIB) && take(&mut space, Purpose::Commit, 10 * MIB));
    }
}
