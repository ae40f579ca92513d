//! Static members and patterns of the new protocol (KIP-848).

use std::time::Duration;

use engine::group::{ConsumerHeartbeatAsk, GroupError};

use crate::crew::*;
use crate::world::*;

fn world(topics: &[(&str, i32)]) -> World {
    let mut world = World::new(settings());
    world.topics(topics);
    world
}

/// A static member that leaves for a while, under this instance, and another.
fn left_for_a_while(world: &mut World) -> (Mate, Mate) {
    let mut crew = vec![Mate::fixed("a", "first", &["orders"]), Mate::new("b", &["orders"])];
    world.settle(&mut crew);
    let other = crew.pop().expect("two");
    let gone = crew.pop().expect("two");
    assert_eq!(world.beat_as(gone.goes(-2)).expect("it leaves for a while").epoch, -2);
    (gone, other)
}

#[test]
fn a_static_member_that_is_back_has_its_part_and_nobody_else_moves() {
    let mut world = world(&[("orders", 4)]);
    let (gone, mut other) = left_for_a_while(&mut world);
    world.pass(Duration::from_secs(10));
    let epoch = other.epoch;
    assert_eq!(world.beat(&mut other).assignment, None);
    let mut back = Mate::fixed("a2", "first", &["orders"]);
    world.beat(&mut back);
    assert_eq!((back.epoch, &back.owned), (epoch, &gone.owned));
    assert_eq!(world.beat(&mut other).epoch, epoch);
    assert_eq!(world.beat_as(gone.asks()), Err(GroupError::FencedInstanceId));
}

#[test]
fn an_instance_that_is_in_use_is_not_released() {
    let mut world = world(&[("orders", 4)]);
    world.beat(&mut Mate::fixed("a", "first", &["orders"]));
    let thief = Mate::fixed("b", "first", &["orders"]);
    assert_eq!(world.beat_as(thief.asks()), Err(GroupError::UnreleasedInstanceId));
}

#[test]
fn a_static_member_that_does_not_come_back_is_out_after_its_session() {
    let mut world = world(&[("orders", 4)]);
    let (_, mut other) = left_for_a_while(&mut world);
    for _ in 0..5 {
        world.pass(Duration::from_secs(10));
        world.beat(&mut other);
    }
    world.beat(&mut other);
    assert_eq!(other.owned.len(), 4);
}

#[test]
fn a_static_member_that_leaves_for_good_frees_its_part_and_its_name() {
    let mut world = world(&[("orders", 4)]);
    let mut crew = vec![Mate::fixed("a", "first", &["orders"]), Mate::new("b", &["orders"])];
    world.settle(&mut crew);
    world.beat_as(crew[0].goes(-1)).expect("it leaves");
    world.beat(&mut crew[1]);
    assert_eq!(crew[1].owned.len(), 4);
    world.beat(&mut Mate::fixed("c", "first", &["orders"]));
}

#[test]
fn a_static_member_that_is_away_is_remembered_over_a_restart() {
    let mut world = world(&[("orders", 4)]);
    let (gone, other) = left_for_a_while(&mut world);
    let mut world = world.restart(settings());
    world.topics(&[("orders", 4)]);
    let mut back = Mate::fixed("a2", "first", &["orders"]);
    world.beat(&mut back);
    assert_eq!((back.epoch, back.owned), (other.epoch, gone.owned));
}

#[test]
fn an_instance_that_nobody_has_and_one_of_somebody_else_are_told_apart() {
    let mut world = world(&[("orders", 4)]);
    let mut one = Mate::fixed("a", "first", &["orders"]);
    world.beat(&mut one);
    let mut ask = one.asks();
    ask.instance = Some("second".to_owned());
    assert_eq!(world.beat_as(ask), Err(GroupError::UnknownMemberId));
    let mut ask = one.asks();
    ask.member = "b".to_owned();
    assert_eq!(world.beat_as(ask), Err(GroupError::FencedInstanceId));
    let mut ask = one.asks();
    ask.instance = None;
    assert_eq!(world.beat_as(ask).expect("it may leave its instance out").epoch, 1);
}

#[test]
fn a_pattern_takes_in_whole_names_and_those_that_come_later() {
    let mut world = world(&[("shop-a", 2), ("my-shop-a", 2), ("orders", 2)]);
    let mut one = Mate::by_pattern("a", "shop-.*");
    world.beat(&mut one);
    assert_eq!(one.owned, keys("shop-a", 0..2));
    world.pass(Duration::from_secs(2));
    world.topics(&[("shop-a", 2), ("my-shop-a", 2), ("orders", 2), ("shop-b", 1)]);
    world.beat(&mut one);
    assert_eq!(one.owned, &keys("shop-a", 0..2) | &keys("shop-b", 0..1));
    let described = world.coordinator.describe_consumer(GROUP).expect("a group");
    assert_eq!(described.members[0].regex.as_deref(), Some("shop-.*"));
}

#[test]
fn names_and_a_pattern_go_together() {
    let mut world = world(&[("shop-a", 1), ("orders", 1)]);
    let mut one = Mate::by_pattern("a", "^shop-.*$");
    one.ask.names = Some(["orders".to_owned()].into());
    world.beat(&mut one);
    assert_eq!(one.owned, &keys("shop-a", 0..1) | &keys("orders", 0..1));
}

#[test]
fn a_pattern_that_is_none_too_long_or_too_large_is_refused() {
    let mut world = world(&[("orders", 1)]);
    let long = "a".repeat(5_000);
    for pattern in ["shop-(", "a)|(b", "(?=x)", r"(x)\1", r"((\w{100}){100}){100}", r"\pL{9}", &long] {
        let ask = Mate::by_pattern("a", pattern).asks();
        assert_eq!(world.beat_as(ask), Err(GroupError::InvalidRegularExpression), "{pattern}");
    }
    assert_eq!(world.group_state(), None, "nothing is kept of them");
}

#[test]
fn a_pattern_that_would_explode_elsewhere_takes_linear_time() {
    let name = "a".repeat(200);
    let mut world = world(&[(&name, 1)]);
    let mut one = Mate::by_pattern("a", "(a*)*(a*)*(a*)*b");
    world.beat(&mut one);
    assert!(one.owned.is_empty());
}

#[test]
fn different_patterns_of_a_group_are_bounded() {
    let mut world = world(&[("orders", 1)]);
    let mut refused = 0;
    for n in 0..100 {
        let ask = Mate::by_pattern(&format!("m{n}"), &format!("orders-{n}")).asks();
        match world.beat_as(ask) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, GroupError::InvalidRegularExpression);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 36);
}

#[test]
fn a_pattern_is_given_up_with_an_empty_one() {
    let mut world = world(&[("shop-a", 1), ("orders", 1)]);
    let mut one = Mate::by_pattern("a", "shop-.*");
    one.ask.names = Some(["orders".to_owned()].into());
    world.beat(&mut one);
    let ask = ConsumerHeartbeatAsk { regex: Some(String::new()), ..one.asks() };
    let answer = world.beat_as(ask).expect("alive");
    assert_eq!(answer.assignment, Some(keys("orders", 0..1)));
    let described = world.coordinator.describe_consumer(GROUP).expect("a group");
    assert_eq!(described.members[0].regex, None);
}

#[test]
fn patterns_are_remembered_over_a_restart() {
    let mut world = world(&[("shop-a", 2)]);
    let mut one = Mate::by_pattern("a", "shop-.*");
    world.beat(&mut one);
    let mut world = world.restart(settings());
    world.topics(&[("shop-a", 2)]);
    let written = world.log.len();
    assert_eq!(world.beat(&mut one).epoch, 1);
    assert_eq!(world.log.len(), written, "nothing was new");
}

#[test]
fn a_pattern_over_very_many_topics_is_looked_for_bit_by_bit() {
    const TOPICS: usize = 20_000;
    let names: Vec<String> = (0..TOPICS).map(|n| format!("shop-{n:05}")).collect();
    let mut topics: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut world = world(&topics);
    let mut one = Mate::by_pattern("a", r"shop-\d+");
    world.beat(&mut one);
    assert!(one.owned.is_empty(), "not within one call");
    world.pass(Duration::from_secs(2));
    world.beat(&mut one);
    assert_eq!(one.owned.len(), TOPICS);
    world.pass(Duration::from_secs(2));
    // Of topics that come and go only those are looked at.
    topics.pop();
    topics.extend([("shop-x", 1), ("shop-99999", 1)]);
    world.topics(&topics);
    world.beat(&mut one);
    assert_eq!(one.owned.len(), TOPICS - 1, "it gives one up first");
    world.beat(&mut one);
    assert_eq!(one.owned.len(), TOPICS);
    assert!(one.owned.is_superset(&keys("shop-99999", 0..1)));
}

#[test]
fn a_member_that_was_there_keeps_its_topics_while_they_are_looked_for_after_a_restart() {
    let names: Vec<String> = (0..5_000).map(|n| format!("shop-{n:05}")).collect();
    let topics: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut world = world(&topics);
    let mut one = Mate::by_pattern("a", "shop-.*");
    world.beat(&mut one);
    world.pass(Duration::from_secs(2));
    world.beat(&mut one);
    let (epoch, owned) = (one.epoch, one.owned.clone());
    assert_eq!(owned.len(), 5_000);
    let mut world = world.restart(settings());
    world.topics(&topics);
    for _ in 0..3 {
        world.beat(&mut one);
        assert_eq!((one.epoch, &one.owned), (epoch, &owned));
        world.pass(Duration::from_secs(2));
    }
}

#[test]
fn a_pattern_that_matches_more_than_a_record_holds_is_refused() {
    let names: Vec<String> = (0..4_000).map(|n| format!("{n:05}{}", "x".repeat(244))).collect();
    let topics: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut world = world(&topics);
    let mut one = Mate::by_pattern("a", ".*");
    world.beat(&mut one);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.beat_as(one.asks()), Err(GroupError::InvalidRegularExpression));
    let mut two = Mate::by_pattern("b", "0000.*");
    world.beat(&mut two);
    world.pass(Duration::from_secs(10));
    world.beat(&mut two);
    assert_eq!(two.owned.len(), 10, "a narrower one is served");
}

#[test]
fn topics_that_patterns_match_count_as_what_members_keep() {
    let names: Vec<String> = (0..1_500).map(|n| format!("{n:05}{}", "x".repeat(244))).collect();
    let topics: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut world = world(&topics);
    let mut answers = Vec::new();
    for nth in 0..400 {
        let mut mate = Mate::by_pattern("a", ".*");
        mate.ask.group = format!("g{nth}");
        answers.push(world.beat_as(mate.asks()));
        if nth == 0 {
            world.pass(Duration::from_secs(10));
        }
    }
    assert!(answers[1].as_ref().is_ok_and(|told| told.assignment.as_ref().is_some_and(|a| a.len() == 1_500)));
    assert_eq!(answers.last(), Some(&Err(GroupError::GroupMaxSizeReached)));
}

#[test]
fn patterns_are_those_that_people_write() {
    let mut world = world(&[("orders-eu_1", 1), ("orders.us", 1), ("Payments", 1)]);
    for (pattern, matched) in [
        (r"orders-\w+", 1),
        (r"orders[-.].*", 2),
        (r"(?i)payments", 1),
        (r"^(orders-eu_1|orders\.us|nothing)$", 2),
        (r"[[:alpha:]]+\.us", 1),
        ("é.*", 0),
    ] {
        let mut mate = Mate::by_pattern("a", pattern);
        world.beat(&mut mate);
        assert_eq!(mate.owned.len(), matched, "{pattern}");
        world.beat_as(mate.goes(-1)).expect("it leaves");
    }
}

#[test]
fn very_many_topics_that_come_at_once_are_taken_in_when_all_are_looked_at() {
    let mut world = world(&[("old-x", 1)]);
    let mut one = Mate::by_pattern("a", ".*-x+");
    world.beat(&mut one);
    assert_eq!(one.owned.len(), 1);
    world.pass(Duration::from_secs(2));
    let names: Vec<String> = (0..12_000).map(|n| format!("{n:05}-{}", "x".repeat(24))).collect();
    let mut topics: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    topics.push(("old-x", 1));
    world.topics(&topics);
    let epoch = one.epoch;
    world.beat(&mut one);
    assert_eq!((one.epoch, one.owned.len()), (epoch, 1), "until then it keeps what it had");
    world.pass(Duration::from_secs(3));
    world.beat(&mut one);
    assert_eq!(one.owned.len(), 12_001);
}
