//! Scripts of one client or several, told as what they ask and what they are told.

use std::time::Duration;

use super::*;
use crate::base::{Instant, TopicId};

const LIMITS: SessionLimits = SessionLimits { slots: 3, bytes_max: 1 << 20 };

fn at(seconds: u64) -> Instant {
    Instant::default().after(Duration::from_secs(seconds))
}

fn asked(partition: i32, offset: i64) -> Asked {
    Asked { partition, leader_epoch: -1, offset, last_epoch: -1, bytes_max: 1000 }
}

fn end(high_watermark: i64) -> Outcome {
    Outcome { high_watermark, log_start: 0, bytes: 0, special: false }
}

fn records(high_watermark: i64) -> Outcome {
    Outcome { bytes: 100, ..end(high_watermark) }
}

const ERROR: Outcome = Outcome { high_watermark: -1, log_start: -1, bytes: 0, special: true };

/// A cache and the ids that it gives: 1, 2, 3 …
struct World {
    cache: SessionCache,
    ids: i32,
}

impl World {
    fn new(limits: SessionLimits) -> World {
        World { cache: SessionCache::new(limits), ids: 0 }
    }

    /// Opens a session of partitions 0.. of `t`.
    fn open(&mut self, now: Instant, partitions: i32) -> i32 {
        let ids = &mut self.ids;
        let asks = (0..partitions).map(|p| (TopicRef::Name("t"), asked(p, 0), end(0)));
        self.cache.open(now, false, asks, || {
            *ids += 1;
            *ids
        })
    }

    /// One incremental request and its answer: the partitions served, in order, and those told of.
    fn fetch(
        &mut self,
        id: i32,
        epoch: i32,
        asks: &[Asked],
        forgets: &[i32],
        outcome: impl Fn(i32) -> Outcome,
    ) -> Result<(Vec<i32>, Vec<i32>), SessionError> {
        let t = TopicRef::Name("t");
        let asks = asks.iter().map(|a| (t, *a));
        let forgets = forgets.iter().map(|p| (t, *p));
        let Some(session) = self.cache.go_on(at(epoch as u64), (id, epoch), false, asks, forgets)? else {
            return Ok((Vec::new(), Vec::new()));
        };
        let wants: Vec<(u32, i32)> = session.partitions().map(|(slot, _, a)| (slot, a.partition)).collect();
        let session = self.cache.answering(id, epoch)?;
        let told = wants.iter().filter(|(slot, p)| session.tell(*slot, &outcome(*p))).map(|(_, p)| *p);
        let told = told.collect();
        session.answered();
        Ok((wants.into_iter().map(|(_, p)| p).collect(), told))
    }
}

#[test]
fn only_what_changed_is_told() {
    let mut world = World::new(LIMITS);
    let id = world.open(at(0), 3);
    assert_eq!(world.fetch(id, 1, &[], &[], |_| end(0)), Ok((vec![0, 1, 2], vec![])), "nothing new");
    let grown = |p| if p == 1 { records(5) } else { end(0) };
    assert_eq!(world.fetch(id, 2, &[], &[], grown).unwrap().1, [1], "records");
    let seen = |p| if p == 1 { end(5) } else { end(0) };
    assert_eq!(world.fetch(id, 3, &[asked(1, 5)], &[], seen).unwrap().1, [], "its watermark was told");
    let trimmed = |p| if p == 2 { Outcome { log_start: 3, ..end(0) } } else { seen(p) };
    assert_eq!(world.fetch(id, 4, &[], &[], trimmed).unwrap().1, [2], "the log's start");
    let broken = |p| if p == 0 { ERROR } else { trimmed(p) };
    for epoch in 5..7 {
        assert_eq!(world.fetch(id, epoch, &[], &[], broken).unwrap().1, [0], "errors are told each time");
    }
    assert_eq!(world.fetch(id, 7, &[], &[], trimmed).unwrap().1, [0], "and that one is over");
    assert_eq!(world.fetch(id, 8, &[], &[], trimmed).unwrap().1, []);
}

#[test]
fn partitions_that_gave_records_go_last() {
    let mut world = World::new(LIMITS);
    let id = world.open(at(0), 4);
    let gives = |list: &'static [i32]| move |p| if list.contains(&p) { records(9) } else { end(9) };
    assert_eq!(world.fetch(id, 1, &[], &[], gives(&[0, 2])).unwrap().0, [0, 1, 2, 3]);
    assert_eq!(world.fetch(id, 2, &[], &[], gives(&[1])).unwrap().0, [1, 3, 0, 2]);
    assert_eq!(world.fetch(id, 3, &[], &[], gives(&[])).unwrap().0, [3, 0, 2, 1]);
    assert_eq!(world.fetch(id, 4, &[], &[], gives(&[0, 1, 2, 3])).unwrap().0, [3, 0, 2, 1]);
    assert_eq!(world.fetch(id, 5, &[], &[], gives(&[])).unwrap().0, [3, 0, 2, 1]);
}

#[test]
fn partitions_are_added_changed_and_forgotten() {
    let mut world = World::new(LIMITS);
    let id = world.open(at(0), 2);
    let (served, told) = world.fetch(id, 1, &[asked(7, 3)], &[0, 9], |_| end(0)).unwrap();
    assert_eq!((served, told), (vec![1, 7], vec![7]), "a new partition is told of, whatever it holds");
    let bytes = world.cache.bytes();
    assert_eq!(world.fetch(id, 2, &[asked(0, 0)], &[], |_| end(0)).unwrap(), (vec![1, 7, 0], vec![0]));
    assert_eq!(world.cache.bytes(), bytes, "it had three partitions for a moment before");
    let session = world.cache.answering(id, 2).unwrap();
    assert_eq!(session.partitions().map(|(_, _, a)| a.offset).collect::<Vec<_>>(), [0, 3, 0]);
    assert_eq!(world.fetch(id, 3, &[asked(5, 0)], &[0, 1, 7, 5], |_| end(0)), Ok((vec![], vec![])));
    assert_eq!((world.cache.len(), world.cache.bytes()), (0, 0), "an empty session is closed");
}

#[test]
fn requests_that_do_not_fit_their_session_are_refused() {
    let mut world = World::new(LIMITS);
    let id = world.open(at(0), 1);
    let none = |p| -> Outcome { end(i64::from(p)) };
    assert_eq!(world.fetch(id + 1, 1, &[], &[], none), Err(SessionError::NotFound { id: id + 1 }));
    assert_eq!(world.fetch(0, 1, &[], &[], none), Err(SessionError::NotFound { id: 0 }));
    for got in [2, -5, i32::MIN] {
        assert_eq!(world.fetch(id, got, &[], &[], none), Err(SessionError::Epoch { id, expected: 1, got }));
    }
    let by_id = [(TopicRef::Id(TopicId::ZERO), asked(0, 0))].into_iter();
    let refused = world.cache.go_on(at(0), (id, 1), true, by_id, std::iter::empty()).err();
    assert_eq!(refused, Some(SessionError::Form { id }));
    assert!(world.fetch(id, 1, &[], &[], none).is_ok(), "it is as it was");
    assert_eq!(world.cache.answering(id, 5).err(), Some(SessionError::Epoch { id, expected: 2, got: 5 }));
    world.cache.close(id);
    assert_eq!(world.cache.answering(id, 1).err(), Some(SessionError::NotFound { id }));
    world.cache.close(id);
}

#[test]
fn an_epoch_follows_the_last_one() {
    assert_eq!(super::cache::next_epoch(1), 2);
    assert_eq!(super::cache::next_epoch(i32::MAX), 1);
}

#[test]
fn a_young_session_gives_way_to_none_and_an_idle_one_to_any() {
    let mut world = World::new(LIMITS);
    let first = world.open(at(0), 5);
    let second = world.open(at(1), 5);
    let third = world.open(at(2), 5);
    assert!(first > 0 && second > 0 && third > 0);
    assert_eq!(world.open(at(120), 500), 0, "all are young, and none was idle for long");
    assert_eq!(world.cache.len(), 3);
    let fourth = world.open(at(121), 1);
    assert!(fourth > 0, "the first was idle for more than two minutes");
    assert!(world.cache.answering(first, 0).is_err());
    assert!(world.cache.answering(second, 0).is_ok());
    assert_eq!((world.cache.len(), world.cache.evicted()), (3, 1));
}

#[test]
fn a_session_that_has_lived_gives_way_to_a_larger_one_only() {
    let mut world = World::new(LIMITS);
    let ids = [8, 4, 6].map(|size| world.open(at(0), size));
    let used = |world: &mut World, id, now| {
        world
            .cache
            .go_on(at(now), (id, 1), false, std::iter::empty(), std::iter::empty())
            .map(|_| ())
            .unwrap();
    };
    ids.iter().for_each(|&id| used(&mut world, id, 130));
    assert_eq!(world.open(at(131), 3), 0, "smaller than each");
    assert_eq!(world.open(at(131), 4), 0, "as large as the smallest: two clients would take turns");
    let larger = world.open(at(131), 5);
    assert!(larger > 0);
    assert_eq!(world.cache.answering(ids[1], 1).err(), Some(SessionError::NotFound { id: ids[1] }));
    assert_eq!(world.open(at(131), 5), 0, "those left are larger, and the new one is young");
    assert!(world.open(at(131), 7) > 0);
}

#[test]
fn a_newcomer_closes_few_sessions_or_none() {
    let limits = SessionLimits { slots: 100, bytes_max: 20_000 };
    let mut world = World::new(limits);
    while world.open(at(0), 1) > 0 {}
    let (held, bytes) = (world.cache.len(), world.cache.bytes());
    assert!(held > 2 * SESSION_VICTIMS_MAX, "{held} sessions");
    let one = bytes / held;
    assert_eq!(world.open(at(200), 100), 0, "that would take nearly all of them");
    assert_eq!((world.cache.len(), world.cache.evicted()), (held, 0));
    assert!(world.open(at(200), 10) > 0);
    let gone = held + 1 - world.cache.len();
    assert!((2..=SESSION_VICTIMS_MAX).contains(&gone), "{gone} of {one} bytes each");
    assert_eq!(world.cache.evicted(), gone as u64);
}

#[test]
fn memory_is_bounded_whatever_is_asked() {
    let limits = SessionLimits { slots: 100, bytes_max: 20_000 };
    let mut world = World::new(limits);
    assert_eq!(world.open(at(0), 1000), 0, "larger than the whole cache");
    let small = world.open(at(0), 10);
    let growing = world.open(at(0), 10);
    let many: Vec<Asked> = (0..1000).map(|p| asked(p, 0)).collect();
    let grown = world.fetch(growing, 1, &many, &[], |_| end(0));
    assert_eq!(grown, Err(SessionError::NotFound { id: growing }));
    assert_eq!(world.cache.len(), 1, "the one that grew is closed");
    assert!(world.fetch(small, 1, &[], &[], |_| end(0)).is_ok());
    // What is asked for is not even looked at beyond the bound.
    let mut looked = 0;
    let endless = (0..).map(|p| (TopicRef::Name("t"), asked(p, 0))).inspect(|_| looked += 1);
    let grown = world.cache.go_on(at(3), (small, 2), false, endless, std::iter::empty()).err();
    assert_eq!(grown, Some(SessionError::NotFound { id: small }));
    let endless = (0..).map(|p| (TopicRef::Name("t"), asked(p, 0), end(0)));
    assert_eq!(world.cache.open(at(3), false, endless, || 1), 0);
    assert!(looked < 1000 && world.cache.is_empty());
    assert!(world.open(at(3), 10) > 0);
    let mut opened = 1;
    while world.open(at(3), 10) > 0 {
        opened += 1;
        assert!(world.cache.bytes() <= limits.bytes_max);
    }
    assert!((2..100).contains(&opened), "{opened} sessions");
    // A long name counts.
    let mut world = World::new(limits);
    let name = "n".repeat(30_000);
    let asks = [(TopicRef::Name(&name), asked(0, 0), end(0))].into_iter();
    assert_eq!(world.cache.open(at(0), false, asks, || 1), 0);
    // What was forgotten is not given back: the lists stay as large as they grew.
    let id = world.open(at(0), 50);
    let all: Vec<i32> = (1..50).collect();
    let bytes = world.cache.bytes();
    world.fetch(id, 1, &[], &all, |_| end(0)).unwrap();
    assert_eq!(world.cache.bytes(), bytes);
    world.cache.close(id);
    assert_eq!(world.cache.bytes(), 0);
}

#[test]
fn a_partition_that_is_named_twice_is_one() {
    let mut world = World::new(LIMITS);
    let twice = [asked(0, 0), asked(1, 0), asked(0, 4)].map(|a| (TopicRef::Name("t"), a, records(9)));
    let id = world.cache.open(at(0), false, twice.into_iter(), || 1);
    assert_eq!(world.fetch(id, 1, &[], &[], |_| records(9)).unwrap().0, [0, 1]);
    let session = world.cache.answering(id, 1).unwrap();
    assert_eq!(session.partitions().next().map(|(_, _, a)| a.offset), Some(4), "as it was named last");
}

#[test]
fn without_slots_there_are_no_sessions() {
    let mut world = World::new(SessionLimits { slots: 0, ..LIMITS });
    assert_eq!(world.open(at(0), 1), 0);
    let mut world = World::new(LIMITS);
    assert_eq!(world.open(at(0), 0), 0, "nothing to remember");
    let mut ids = [0, -3, 4].into_iter();
    let asks = || [(TopicRef::Id(TopicId::ZERO), asked(0, 0), end(0))].into_iter();
    assert_eq!(world.cache.open(at(0), true, asks(), || ids.next().unwrap()), 4);
    let mut ids = [4, 5].into_iter();
    assert_eq!(
        world.cache.open(at(0), true, asks(), || ids.next().unwrap()),
        5,
        "an id in use is passed over"
    );
}
