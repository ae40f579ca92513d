//! Records that contradict each other: a broker starts on them, serves, and nothing is read by two.

use engine::group::GroupError;
use wire::stored::group::{GroupKey, GroupValue, Key, MemberValue};

use crate::crew::*;
use crate::past::*;
use crate::world::*;

#[test]
fn of_two_who_have_the_same_partition_one_is_to_join_again() {
    let [p0, p1] = [0, 1].map(|index| *keys("orders", [index]).first().expect("one"));
    let (mut world, mended) = started_on(vec![
        epoch(2),
        member("a", &["orders"]),
        member("b", &["orders"]),
        target("a", &[p0]),
        target("b", &[p1]),
        target_epoch(2),
        current("a", 2, 0, &[p0, p1], &[]),
        current("b", 2, 0, &[p1], &[]),
    ]);
    assert_eq!(mended, [GROUP]);
    world.topics(&[("orders", 2)]);
    let mut crew = [Mate::new("a", &["orders"]), Mate::new("b", &["orders"])];
    crew.iter_mut().for_each(|mate| mate.epoch = 2);
    (crew[0].owned, crew[1].owned) = (keys("orders", 0..2), keys("orders", [1]));
    assert_eq!(world.beat_as(crew[1].asks()), Err(GroupError::FencedMemberEpoch), "it gives all up");
    (crew[1].epoch, crew[1].owned) = (0, Default::default());
    world.settle(&mut crew);
    assert_eq!(crew.map(|mate| mate.owned.len()), [1, 1]);
}

#[test]
fn what_one_has_stays_its_own_when_another_who_had_it_too_lets_go() {
    let p0 = *keys("orders", [0]).first().expect("one");
    let (mut world, mended) = started_on(vec![
        epoch(2),
        member("a", &["orders"]),
        member("b", &["orders"]),
        target("b", &[p0]),
        target_epoch(2),
        current("b", 2, 0, &[p0], &[]),
        current("a", 2, 0, &[p0], &[]),
        current("a", 2, 0, &[], &[]),
    ]);
    assert!(mended.is_empty(), "in the end the records agree");
    world.topics(&[("orders", 1)]);
    let mut mate = Mate::new("c", &["orders"]);
    world.beat(&mut mate);
    assert!(mate.owned.is_empty(), "it is still another's");
}

#[test]
fn what_belongs_to_nobody_or_to_no_epoch_is_left_out() {
    let [p0, p1] = [0, 1].map(|index| *keys("orders", [index]).first().expect("one"));
    let (mut world, mended) = started_on(vec![
        epoch(2),
        member("ahead", &["orders"]),
        target("nobody", &[p0]),
        target_epoch(7),
        current("nobody", 2, 0, &[p0], &[]),
        current("ahead", 9, 0, &[p1], &[p1]),
    ]);
    assert_eq!(mended, [GROUP]);
    world.topics(&[("orders", 2)]);
    let mut ahead = Mate::new("ahead", &["orders"]);
    ahead.epoch = 9;
    assert_eq!(world.beat_as(ahead.asks()), Err(GroupError::FencedMemberEpoch));
    ahead.epoch = 0;
    world.beat(&mut ahead);
    assert_eq!(ahead.owned, keys("orders", 0..2));
}

#[test]
fn remains_of_a_group_without_its_epoch_are_no_group() {
    let p0 = *keys("orders", [0]).first().expect("one");
    let (world, mended) = started_on(vec![current("a", 1, 0, &[p0], &[]), target("a", &[p0])]);
    assert_eq!(mended, [GROUP]);
    assert_eq!(world.group_state(), None);
}

/// A classic group with these members: id and instance.
fn classic(members: &[(&'static str, &'static str)]) -> Record {
    let member = |(member_id, instance): &(&'static str, &'static str)| MemberValue {
        member_id,
        group_instance_id: Some(instance),
        client_id: "client",
        client_host: "/127.0.0.1",
        session_timeout: 10_000,
        rebalance_timeout: 60_000,
        ..MemberValue::default()
    };
    let value = GroupValue {
        protocol_type: "consumer",
        generation: -5,
        protocol: Some("range"),
        leader: Some("nobody"),
        current_state_timestamp: 0,
        members: members.iter().map(member).collect(),
    };
    (Key::Group(GroupKey { group: GROUP }).to_bytes(), Some(value.to_bytes()))
}

#[test]
fn a_member_of_two_static_names_does_not_stop_who_comes_under_either() {
    let (mut world, _) = started_on(vec![classic(&[("a", "first"), ("a", "second")])]);
    for instance in ["first", "second", "first"] {
        world.join("", Some(instance), "x");
        world.pass(REBALANCE + SESSION);
    }
    assert!(world.group_state().is_some());
}

#[test]
fn a_group_of_both_protocols_is_one_of_them() {
    let (mut world, mended) =
        started_on(vec![classic(&[("old", "first")]), epoch(3), member("new", &["orders"])]);
    assert_eq!(mended, [GROUP]);
    assert_eq!(world.group_type(), Some("consumer"));
    world.topics(&[("orders", 1)]);
    world.beat(&mut Mate::new("other", &["orders"]));
    let (world, mended) = started_on(vec![classic(&[("old", "first")]), epoch(3)]);
    assert_eq!((mended, world.group_type()), (vec![GROUP.to_owned()], Some("classic")));
}

/// A sequence that looks random and is the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides) as usize
    }
}

#[test]
fn whatever_the_records_of_a_group_are_it_loads_and_serves_everybody_in_the_end() {
    let ids = ["a", "b", "c"];
    let epochs = [-2, 0, 1, 2, 3, i32::MAX, i32::MIN];
    for seed in 0..3_000 {
        let mut dice = Dice(seed);
        let mut log = Vec::new();
        for _ in 0..dice.roll(14) + 2 {
            let id = ids[dice.roll(3)];
            let some = |dice: &mut Dice| {
                let from = dice.roll(4) as i32;
                keys("orders", from..from + dice.roll(3) as i32).into_iter().collect::<Vec<_>>()
            };
            let (one, two) = (some(&mut dice), some(&mut dice));
            let at = epochs[dice.roll(7)];
            log.push(match dice.roll(7) {
                0 => epoch(at),
                1 => target_epoch(at),
                2 | 3 => member(id, &["orders"]),
                4 => target(id, &one),
                5 => classic(&[("a", "first"), ("b", "first")]),
                _ => current(id, at.saturating_add(1), dice.roll(4) as i8, &one, &two),
            });
            if dice.roll(5) == 0 {
                let last = log.last().expect("just pushed").0.clone();
                log.push((last, None));
            }
        }
        let (mut world, _) = started_on(log);
        world.topics(&[("orders", 4)]);
        world.pass(CONSUMER_SESSION);
        world.pass(SESSION + REBALANCE);
        let mut crew = ids.map(|id| Mate::new(id, &["orders"]));
        if world.group_type() == Some("classic") && world.group_state() != Some("Empty") {
            world.join("", None, "x");
            continue;
        }
        world.settle(&mut crew);
        assert_eq!(crew.iter().map(|mate| mate.owned.len()).sum::<usize>(), 4, "{seed}");
    }
}
