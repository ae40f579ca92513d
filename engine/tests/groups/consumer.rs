//! The new protocol (KIP-848): one rule a test.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::base::PartitionKey;
use engine::config::{Assignor, GroupSettings};
use engine::group::{Answer, Ask, ConsumerHeartbeatAsk, GroupError, MemberRef};

use crate::crew::*;
use crate::world::*;

const CONSUMER_SESSION: Duration = Duration::from_secs(45);

/// Makes a request wrong.
type Spoil = fn(&mut ConsumerHeartbeatAsk);

fn world(topics: &[(&str, i32)]) -> World {
    let mut world = World::new(settings());
    world.topics(topics);
    world
}

fn sizes(crew: &[Mate]) -> Vec<usize> {
    crew.iter().map(|m| m.owned.len()).collect()
}

fn member(mate: &Mate) -> MemberRef {
    MemberRef {
        group: GROUP.to_owned(),
        generation: mate.epoch,
        member: mate.ask.member.clone(),
        instance: None,
    }
}

#[test]
fn the_first_member_gets_everything_and_the_group_is_stable() {
    let mut world = world(&[("orders", 6)]);
    let mut one = Mate::new("one", &["orders"]);
    let answer = world.beat(&mut one);
    assert_eq!((answer.epoch, answer.interval), (1, Duration::from_secs(5)));
    assert_eq!(one.owned, keys("orders", 0..6));
    assert_eq!((world.group_state(), world.group_type()), (Some("Stable"), Some("consumer")));
}

#[test]
fn a_partition_is_granted_only_when_its_owner_says_that_it_gave_it_up() {
    let mut world = world(&[("orders", 6)]);
    let (mut one, mut two) = (Mate::new("one", &["orders"]), Mate::new("two", &["orders"]));
    world.beat(&mut one);
    world.beat(&mut two);
    assert_eq!((two.epoch, two.owned.len()), (2, 0), "in the epoch, but nothing is free");
    let ask = one.asks();
    let told = world.beat_as(ask.clone()).expect("alive");
    assert_eq!(told.epoch, 1, "it keeps its epoch until it has given up");
    let kept = told.assignment.clone().expect("it is to give something up");
    assert_eq!(kept.len(), 3);
    assert_eq!(world.group_state(), Some("Reconciling"));
    // It calls without having given up; the other gets nothing for that.
    assert_eq!(world.beat_as(ask).expect("alive").assignment, None);
    world.beat(&mut two);
    assert!(two.owned.is_empty());
    one.takes(&told);
    assert_eq!(world.beat(&mut one).epoch, 2);
    world.beat(&mut two);
    assert_eq!(sizes(&[one.clone(), two.clone()]), [3, 3]);
    nothing_twice(&[one, two]);
    assert_eq!(world.group_state(), Some("Stable"));
}

#[test]
fn three_members_share_evenly_and_keep_what_they_have_when_one_leaves() {
    let mut world = world(&[("orders", 7), ("payments", 5)]);
    let mut crew: Vec<Mate> = ["a", "b", "c"].map(|id| Mate::new(id, &["orders", "payments"])).into();
    world.settle(&mut crew);
    assert_eq!(sizes(&crew), [4, 4, 4]);
    let before = crew.clone();
    let gone = crew.remove(1);
    world.beat_as(gone.goes(-1)).expect("it leaves");
    world.settle(&mut crew);
    assert_eq!(sizes(&crew), [6, 6]);
    assert!(crew[0].owned.is_superset(&before[0].owned) && crew[1].owned.is_superset(&before[2].owned));
    assert_eq!(world.beat_as(gone.asks()), Err(GroupError::UnknownMemberId));
}

#[test]
fn range_gives_contiguous_parts_that_meet_across_topics() {
    let mut settings = settings();
    settings.consumer.assignors = vec![Assignor::Range];
    let mut world = World::new(settings);
    world.topics(&[("orders", 5), ("payments", 5)]);
    let mut crew: Vec<Mate> = ["a", "b"].map(|id| Mate::new(id, &["orders", "payments"])).into();
    world.settle(&mut crew);
    assert_eq!(crew[0].owned, &keys("orders", 0..3) | &keys("payments", 0..3));
    assert_eq!(crew[1].owned, &keys("orders", 3..5) | &keys("payments", 3..5));
}

#[test]
fn the_assignor_that_most_members_want_is_used() {
    let mut world = world(&[("orders", 4)]);
    let mut crew: Vec<Mate> = ["a", "b", "c"].map(|id| Mate::new(id, &["orders"])).into();
    crew[1].ask.assignor = Some("range".to_owned());
    crew[2].ask.assignor = Some("range".to_owned());
    world.settle(&mut crew);
    assert_eq!(world.coordinator.describe_consumer(GROUP).expect("a group").assignor, "range");
    assert_eq!(crew[0].owned, keys("orders", 0..2));
}

#[test]
fn an_assignor_that_is_not_there_is_refused() {
    let mut world = world(&[("orders", 1)]);
    let mut one = Mate::new("one", &["orders"]);
    one.ask.assignor = Some("sticky".to_owned());
    assert_eq!(world.beat_as(one.asks()), Err(GroupError::UnsupportedAssignor));
}

#[test]
fn members_that_want_different_topics_get_only_theirs_and_evenly() {
    let mut world = world(&[("orders", 6), ("payments", 2)]);
    let mut crew = vec![Mate::new("a", &["orders"]), Mate::new("b", &["orders", "payments"])];
    world.settle(&mut crew);
    assert_eq!(sizes(&crew), [4, 4]);
    assert!(crew[0].owned.is_subset(&keys("orders", 0..6)));
}

#[test]
fn a_member_is_told_its_assignment_only_when_it_is_news() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    assert!(world.beat(&mut one).assignment.is_some(), "it joins");
    assert_eq!(world.beat(&mut one).assignment, None, "nothing new");
    let full =
        ConsumerHeartbeatAsk { rebalance: Some(REBALANCE), names: one.ask.names.clone(), ..one.asks() };
    assert!(world.beat_as(full).expect("alive").assignment.is_some(), "it asks for everything");
}

#[test]
fn what_a_member_is_told_is_durable_before() {
    let mut world = world(&[("orders", 2)]);
    let one = Mate::new("one", &["orders"]);
    world.hold();
    let id = world.send(one.asks());
    assert!(world.waits(id));
    assert_eq!(world.group_type(), Some("classic"), "nothing is changed before it is durable");
    world.let_go(Ok(()));
    assert_eq!(world.told(id).expect("joined").epoch, 1);
}

#[test]
fn a_step_that_could_not_be_made_durable_changes_nothing() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.hold();
    let id = world.send(one.asks());
    world.let_go(Err(GroupError::NotCoordinator));
    assert_eq!(world.told(id), Err(GroupError::NotCoordinator));
    assert_eq!(world.group_state(), None);
    assert_eq!(world.beat(&mut one).epoch, 1);
}

#[test]
fn who_calls_while_a_step_is_made_durable_is_answered_after_it_in_order() {
    let mut world = world(&[("orders", 2)]);
    let (one, two) = (Mate::new("one", &["orders"]), Mate::new("two", &["orders"]));
    world.hold();
    let ids = [world.send(one.asks()), world.send(two.asks()), world.send(two.asks())];
    assert!(ids.iter().all(|id| world.waits(*id)));
    world.let_go(Ok(()));
    let epochs: Vec<i32> = ids.iter().map(|id| world.told(*id).expect("joined").epoch).collect();
    assert_eq!(epochs, [1, 2, 2]);
}

#[test]
fn a_restart_loses_nothing() {
    let mut world = world(&[("orders", 6)]);
    let mut crew: Vec<Mate> = ["a", "b"].map(|id| Mate::new(id, &["orders"])).into();
    world.settle(&mut crew);
    let mut third = Mate::new("c", &["orders"]);
    world.beat(&mut third);
    let before = world.coordinator.describe_consumer(GROUP);
    let mut world = world.restart(settings());
    assert_eq!(world.coordinator.describe_consumer(GROUP), before);
    world.topics(&[("orders", 6)]);
    crew.push(third);
    world.settle(&mut crew);
    assert_eq!(sizes(&crew), [2, 2, 2]);
    assert_eq!(crew[0].epoch, 3, "the restart itself moved nothing");
}

#[test]
fn a_silent_member_is_out_after_its_session_and_others_get_its_part() {
    let mut world = world(&[("orders", 4)]);
    let mut crew: Vec<Mate> = ["a", "b"].map(|id| Mate::new(id, &["orders"])).into();
    world.settle(&mut crew);
    let silent = crew.remove(0);
    for _ in 0..12 {
        world.pass(CONSUMER_SESSION / 9);
        world.beat(&mut crew[0]);
    }
    world.settle(&mut crew);
    assert_eq!(sizes(&crew), [4]);
    assert_eq!(world.beat_as(silent.asks()), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_paused_broker_expires_no_member_of_the_new_protocol() {
    let mut world = world(&[("orders", 1)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    world.now += CONSUMER_SESSION * 3;
    world.look();
    world.beat(&mut one);
    assert_eq!(one.epoch, 1);
}

#[test]
fn sessions_begin_anew_with_a_restart_and_still_end() {
    let mut world = world(&[("orders", 1)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    world.pass(CONSUMER_SESSION - Duration::from_secs(1));
    let mut world = world.restart(settings());
    world.pass(CONSUMER_SESSION - Duration::from_secs(1));
    assert_eq!(world.group_state(), Some("Stable"));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.group_state(), Some("Empty"));
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_out() {
    let mut world = world(&[("orders", 2)]);
    let (mut one, mut two) = (Mate::new("one", &["orders"]), Mate::new("two", &["orders"]));
    world.beat(&mut one);
    world.beat(&mut two);
    let clinging = one.asks();
    for _ in 0..13 {
        let _ = world.beat_as(clinging.clone());
        world.beat(&mut two);
        world.pass(REBALANCE / 12);
    }
    assert_eq!(world.beat_as(clinging), Err(GroupError::UnknownMemberId));
    world.beat(&mut two);
    assert_eq!(two.owned.len(), 2);
}

#[test]
fn an_epoch_ahead_or_behind_is_fenced() {
    let mut world = world(&[("orders", 2)]);
    let mut crew: Vec<Mate> = ["a", "b"].map(|id| Mate::new(id, &["orders"])).into();
    world.settle(&mut crew);
    let mut ask = crew[0].asks();
    ask.epoch = 99;
    assert_eq!(world.beat_as(ask.clone()), Err(GroupError::FencedMemberEpoch));
    ask.epoch = 1;
    ask.owned = Some(keys("orders", 0..2));
    assert_eq!(world.beat_as(ask), Err(GroupError::FencedMemberEpoch), "it owns more than it has");
}

#[test]
fn a_member_that_missed_an_answer_goes_on_from_the_epoch_before() {
    let mut world = world(&[("orders", 2)]);
    let mut crew: Vec<Mate> = ["a", "b"].map(|id| Mate::new(id, &["orders"])).into();
    world.settle(&mut crew);
    let mut ask = crew[0].asks();
    ask.epoch -= 1;
    let answer = world.beat_as(ask).expect("the epoch before, owning what it has");
    assert_eq!((answer.epoch, answer.assignment), (2, Some(crew[0].owned.clone())));
}

#[test]
fn a_fenced_member_joins_again_under_its_id_and_gets_its_part_back() {
    let mut world = world(&[("orders", 4)]);
    let mut crew: Vec<Mate> = ["a", "b"].map(|id| Mate::new(id, &["orders"])).into();
    world.settle(&mut crew);
    let before = crew[0].owned.clone();
    crew[0].epoch = 0;
    crew[0].owned.clear();
    world.beat(&mut crew[0]);
    assert_eq!(crew[0].owned, before);
    assert_eq!(crew[0].epoch, 2, "nobody else has to move");
}

#[test]
fn unknown_members_and_groups_are_refused() {
    let mut world = world(&[("orders", 2)]);
    let mut stranger = Mate::new("stranger", &["orders"]);
    stranger.epoch = 3;
    assert_eq!(world.beat_as(stranger.asks()), Err(GroupError::GroupIdNotFound));
    world.beat(&mut Mate::new("one", &["orders"]));
    assert_eq!(world.beat_as(stranger.asks()), Err(GroupError::UnknownMemberId));
    assert_eq!(world.beat_as(stranger.goes(-1)), Err(GroupError::UnknownMemberId));
    assert_eq!(world.group_state(), Some("Stable"));
}

#[test]
fn requests_that_make_no_sense_are_invalid() {
    let mut world = world(&[("orders", 2)]);
    let joins = Mate::new("one", &["orders"]).asks();
    let wrong: [(&str, Spoil); 9] = [
        ("no group", |a| a.group.clear()),
        ("no member", |a| a.member.clear()),
        ("an empty instance", |a| a.instance = Some(String::new())),
        ("an empty rack", |a| a.rack = Some(String::new())),
        ("no rebalance time-out", |a| a.rebalance = None),
        ("partitions at the join", |a| a.owned = Some(keys("orders", 0..1))),
        ("no subscription", |a| a.names = None),
        ("an epoch that does not exist", |a| a.epoch = -3),
        ("a dynamic member that leaves for a while", |a| a.epoch = -2),
    ];
    for (what, make) in wrong {
        let mut ask = joins.clone();
        make(&mut ask);
        assert_eq!(world.beat_as(ask), Err(GroupError::InvalidRequest), "{what}");
    }
    let long = ConsumerHeartbeatAsk { group: "g".repeat(40_000), ..joins };
    assert_eq!(world.beat_as(long), Err(GroupError::InvalidGroupId));
    assert_eq!(world.coordinator.list().count(), 0, "nothing is kept of them");
}

#[test]
fn a_full_group_takes_no_member_more_but_keeps_those_it_has() {
    let mut settings = settings();
    settings.consumer.members_max = 1;
    let mut world = World::new(settings);
    world.topics(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    assert_eq!(world.beat_as(Mate::new("two", &["orders"]).asks()), Err(GroupError::GroupMaxSizeReached));
    one.epoch = 0;
    world.beat(&mut one);
}

#[test]
fn more_partitions_and_new_topics_move_the_group() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders", "payments"]);
    world.beat(&mut one);
    world.pass(Duration::from_secs(2));
    world.topics(&[("orders", 3), ("other", 4)]);
    world.beat(&mut one);
    assert_eq!((one.epoch, one.owned.clone()), (2, keys("orders", 0..3)));
    world.pass(Duration::from_secs(2));
    world.topics(&[("orders", 3), ("payments", 1), ("other", 4)]);
    world.beat(&mut one);
    assert_eq!((one.epoch, one.owned.len()), (3, 4));
}

#[test]
fn a_topic_that_nobody_wants_moves_no_group() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    world.pass(Duration::from_secs(2));
    world.topics(&[("orders", 2), ("other", 9)]);
    let written = world.log.len();
    world.beat(&mut one);
    assert_eq!((one.epoch, world.log.len()), (1, written));
}

#[test]
fn a_deleted_topic_is_taken_back() {
    let mut world = world(&[("orders", 2), ("payments", 2)]);
    let mut one = Mate::new("one", &["orders", "payments"]);
    world.beat(&mut one);
    world.pass(Duration::from_secs(2));
    world.topics(&[("orders", 2)]);
    world.beat(&mut one);
    assert_eq!(one.owned, keys("orders", 0..2));
    assert_eq!(world.beat(&mut one).epoch, 2);
}

#[test]
fn a_changed_subscription_moves_the_group() {
    let mut world = world(&[("orders", 2), ("payments", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    let ask = ConsumerHeartbeatAsk { names: Some(["payments".to_owned()].into()), ..one.asks() };
    let answer = world.beat_as(ask).expect("alive");
    assert_eq!(answer.assignment, Some(BTreeSet::new()), "first it gives up");
    one.takes(&answer);
    world.beat(&mut one);
    assert_eq!(one.owned, keys("payments", 0..2));
}

#[test]
fn a_commit_needs_the_members_own_epoch() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    let commit = |world: &mut World, who: MemberRef| {
        let id = world.commit(who, 7);
        world.committed(id)
    };
    assert_eq!(commit(&mut world, member(&one)), Ok(()));
    let stale = MemberRef { generation: 0, ..member(&one) };
    assert_eq!(commit(&mut world, stale), Err(GroupError::StaleMemberEpoch));
    let stranger = MemberRef { member: "stranger".to_owned(), ..member(&one) };
    assert_eq!(commit(&mut world, stranger), Err(GroupError::UnknownMemberId));
    assert_eq!(commit(&mut world, outsider()), Err(GroupError::UnknownMemberId));
    world.beat_as(one.goes(-1)).expect("it leaves");
    assert_eq!(commit(&mut world, outsider()), Ok(()), "an admin resets an empty group");
    assert_eq!(world.offset(), Some(7));
}

#[test]
fn a_fetch_of_offsets_by_a_member_needs_its_epoch_too() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    let may = |member, epoch| world.coordinator.may_fetch(GROUP, member, epoch);
    assert_eq!(may(Some("one"), 1), Ok(()));
    assert_eq!(may(Some("one"), 2), Err(GroupError::StaleMemberEpoch));
    assert_eq!(may(Some("two"), 1), Err(GroupError::UnknownMemberId));
    assert_eq!(may(None, -1), Ok(()), "an admin looks");
    assert_eq!(world.coordinator.may_fetch("another", Some("one"), 1), Ok(()), "there is nothing to see");
}

#[test]
fn a_group_with_members_is_not_deleted_and_an_empty_one_is_with_all_records() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    let id = world.commit(member(&one), 7);
    world.committed(id).expect("a member commits");
    let delete = |world: &mut World| {
        let id = world.ask(Ask::Delete { group: GROUP.to_owned() });
        world.answer(id)
    };
    assert_eq!(delete(&mut world), Answer::Delete(Err(GroupError::NonEmptyGroup)));
    world.beat_as(one.goes(-1)).expect("it leaves");
    assert_eq!(delete(&mut world), Answer::Delete(Ok(())));
    assert_eq!((world.group_state(), world.offset()), (None, None));
    let world = world.restart(settings());
    assert_eq!((world.group_state(), world.offset()), (None, None));
}

#[test]
fn somebody_who_joins_while_the_group_is_deleted_is_in_a_new_one() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    world.beat_as(one.goes(-1)).expect("it leaves");
    world.hold();
    world.ask(Ask::Delete { group: GROUP.to_owned() });
    let id = world.send(Mate::new("two", &["orders"]).asks());
    world.let_go(Ok(()));
    assert_eq!(world.told(id).expect("joined").epoch, 1);
}

#[test]
fn subscribed_offsets_are_kept_and_others_age() {
    let retention = Duration::from_secs(3600);
    let mut world = World::new(GroupSettings { offsets_retention: retention, ..settings() });
    world.topics(&[("orders", 1), ("payments", 1)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    let id = world.commit(member(&one), 7);
    world.committed(id).expect("a member commits");
    let expire = |world: &mut World| {
        let mut out = Vec::new();
        world.coordinator.expire(at(world.now), &mut out);
        world.carry_out(out);
    };
    world.now += retention;
    world.look();
    expire(&mut world);
    assert_eq!(world.offset(), Some(7), "it is subscribed to");
    let ask = ConsumerHeartbeatAsk { names: Some(["payments".to_owned()].into()), ..one.asks() };
    world.beat_as(ask).expect("alive");
    expire(&mut world);
    assert_eq!(world.offset(), None);
}

#[test]
fn an_empty_classic_group_becomes_a_consumer_group_and_keeps_its_offsets() {
    let mut world = world(&[("orders", 2)]);
    let joined = world.stable();
    let id = world.commit(who(&joined), 7);
    world.committed(id).expect("a member commits");
    world.ask(leave(&joined));
    world.beat(&mut Mate::new("one", &["orders"]));
    assert_eq!((world.group_type(), world.offset()), (Some("consumer"), Some(7)));
    let world = world.restart(settings());
    assert_eq!((world.group_type(), world.offset()), (Some("consumer"), Some(7)));
}

#[test]
fn an_empty_consumer_group_becomes_a_classic_group_and_keeps_its_offsets() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    let id = world.commit(member(&one), 7);
    world.committed(id).expect("a member commits");
    world.beat_as(one.goes(-1)).expect("it leaves");
    world.stable();
    assert_eq!((world.group_type(), world.offset()), (Some("classic"), Some(7)));
    let world = world.restart(settings());
    assert_eq!((world.group_type(), world.group_state()), (Some("classic"), Some("Stable")));
    assert_eq!(world.offset(), Some(7));
}

#[test]
fn thousands_of_members_that_come_and_vanish_leave_nothing() {
    let mut world = world(&[("orders", 50)]);
    for n in 0..1_000 {
        world.beat(&mut Mate::new(&format!("m{n}"), &["orders"]));
    }
    let held: usize = {
        let group = world.coordinator.describe_consumer(GROUP).expect("a group");
        group.members.iter().map(|m| m.assigned.len()).sum()
    };
    assert!(held <= 50, "nobody gave anything up");
    world.pass(CONSUMER_SESSION + Duration::from_secs(1));
    assert_eq!(world.group_state(), Some("Empty"));
    world.ask(Ask::Delete { group: GROUP.to_owned() });
    assert_eq!(world.group_state(), None);
}

#[test]
fn partitions_of_topics_that_nobody_knows_change_nothing() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    let strange: BTreeSet<PartitionKey> = keys("nowhere", -5..5);
    let ask = ConsumerHeartbeatAsk { owned: Some(strange), ..one.asks() };
    let answer = world.beat_as(ask).expect("alive");
    assert_eq!((answer.epoch, answer.assignment), (1, None));
}

#[test]
fn a_member_that_is_to_give_up_more_has_its_whole_time_for_that_too() {
    let mut world = world(&[("orders", 6)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    let mut others = vec![Mate::new("two", &["orders"])];
    world.beat(&mut others[0]);
    let told = world.beat_as(one.asks()).expect("it is to give three up");
    for _ in 0..5 {
        world.pass(REBALANCE / 6);
        world.beat_as(one.asks()).expect("it has time");
        others.iter_mut().for_each(|mate| drop(world.beat(mate)));
    }
    others.push(Mate::new("three", &["orders"]));
    world.beat(&mut others[1]);
    one.takes(&told);
    let told = world.beat_as(one.asks()).expect("it gave them up");
    assert_eq!((told.epoch, told.assignment.as_ref().map(BTreeSet::len)), (1, Some(2)), "one more");
    for _ in 0..2 {
        world.pass(REBALANCE / 6);
        world.beat_as(one.asks()).expect("it has time again");
        others.iter_mut().for_each(|mate| drop(world.beat(mate)));
    }
    one.takes(&told);
    assert_eq!(world.beat(&mut one).epoch, 3);
}

#[test]
fn topics_that_could_not_be_taken_in_are_not_looked_at_by_every_call() {
    let mut world = world(&[("orders", 2)]);
    let mut one = Mate::new("one", &["orders"]);
    world.beat(&mut one);
    world.pass(Duration::from_secs(2));
    world.topics(&[("orders", 3)]);
    world.hold();
    let id = world.send(one.asks());
    world.let_go(Err(GroupError::UnknownServerError));
    assert_eq!(world.told(id), Err(GroupError::UnknownServerError));
    world.hold();
    let id = world.send(one.asks());
    assert!(world.told(id).is_ok(), "it is told at once what it was told before");
    world.let_go(Ok(()));
    world.pass(Duration::from_secs(2));
    world.beat(&mut one);
    assert_eq!(one.owned.len(), 3);
}
