//! Consumer groups through their coordinator's own door: requests in, answers and records out, time given.

mod consumer;
mod crew;
mod crowd;
mod damaged;
mod fixed;
mod migration;
mod own_settings;
mod past;
mod world;

use std::time::Duration;

use engine::config::GroupSettings;
use engine::group::{
    Answer, Ask, Coordinator, Effect, GroupError, JoinAnswer, JoinAsk, Leaver, MemberRef, State, Token,
    partition_of,
};

use world::*;

#[test]
fn a_group_goes_to_the_partition_that_java_clients_expect() {
    // "a".hashCode() is 97; a text whose hash is Integer.MIN_VALUE goes to partition 0.
    for (group, partition) in [("a", 47), ("", 0), ("polygenelubricants", 0)] {
        assert_eq!(partition_of(group, 50), partition, "{group}");
    }
}

#[test]
fn a_dynamic_member_is_given_an_id_first_and_joins_with_it() {
    let mut world = World::new(settings());
    let mut ask = join("", None, "a", 1);
    ask.known_id_required = true;
    let id = world.ask(Ask::Join(ask));
    let (error, member) = world.join_error(id);
    assert_eq!((error, member.as_str()), (GroupError::MemberIdRequired, "client-id1"));
    let id = world.join(&member, None, "a");
    let joined = world.joined(id);
    assert_eq!((joined.generation, joined.leader.as_str()), (1, "client-id1"));
}

#[test]
fn an_id_that_is_never_used_holds_up_a_rebalance_for_its_session_only() {
    let mut world = World::new(settings());
    let mut ask = join("", None, "a", 1);
    ask.known_id_required = true;
    let id = world.ask(Ask::Join(ask));
    world.join_error(id);
    let id = world.join("", None, "a");
    assert!(world.waits(id), "the other may still come");
    world.pass(SESSION);
    assert_eq!(world.joined(id).generation, 1);
}

#[test]
fn the_first_join_waits_for_more_members_and_longer_when_they_come() {
    let delay = Duration::from_secs(3);
    let mut world = World::new(GroupSettings { initial_rebalance_delay: delay, ..settings() });
    let first = world.join("", None, "a");
    world.pass(Duration::from_secs(2));
    let second = world.join("", None, "a");
    world.pass(Duration::from_secs(2));
    assert!(world.waits(first) && world.waits(second), "extended by the second member");
    world.pass(Duration::from_secs(2));
    let (first, second) = (world.joined(first), world.joined(second));
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!(first.members.len() + second.members.len(), 2, "only the leader is told the members");
}

#[test]
fn everybody_gets_its_part_once_the_assignment_is_durable() {
    let mut world = World::new(settings());
    let leader = world.stable();
    let other = world.join("", None, "b");
    assert_eq!(world.heartbeat(&leader), Err(GroupError::RebalanceInProgress));
    let again = world.join(&leader.member, None, "a");
    let (leader, other) = (world.joined(again), world.joined(other));
    assert_eq!((leader.generation, leader.members.len(), other.members.len()), (2, 2, 0));

    world.hold();
    let follower = world.sync(&other, &[]);
    let chief = world.sync(&leader, &[(&leader.member, "half"), (&other.member, "other half")]);
    assert!(world.waits(follower) && world.waits(chief), "nothing is told before it is durable");
    world.let_go(Ok(()));
    assert_eq!(world.synced(follower).assignment, "other half");
    assert_eq!(world.synced(chief).assignment, "half");
    assert_eq!(world.state(), Some(State::Stable));
}

#[test]
fn an_assignment_that_could_not_be_written_starts_another_rebalance() {
    let mut world = World::new(settings());
    let id = world.join("", None, "a");
    let joined = world.joined(id);
    world.hold();
    let sync = world.sync(&joined, &[(&joined.member, "all")]);
    world.let_go(Err(GroupError::NotCoordinator));
    assert_eq!(world.answer(sync), Answer::Sync(Err(GroupError::NotCoordinator)));
    assert_eq!(world.state(), Some(State::PreparingRebalance));
}

#[test]
fn members_that_do_not_join_again_are_out_after_the_rebalance_time_out() {
    let mut world = World::new(settings());
    let silent = world.stable();
    let id = world.join("", None, "b");
    world.pass(SESSION / 2);
    assert!(world.waits(id));
    world.pass(REBALANCE);
    let joined = world.joined(id);
    assert_eq!(joined.members.len(), 1);
    assert_eq!(world.heartbeat(&silent), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_silent_member_is_dead_after_its_session_and_a_beating_one_lives() {
    let mut world = World::new(settings());
    let joined = world.stable();
    for _ in 0..5 {
        world.pass(SESSION / 2);
        assert_eq!(world.heartbeat(&joined), Ok(()));
    }
    world.pass(SESSION + Duration::from_secs(1));
    assert_eq!(world.state(), Some(State::Empty));
    assert_eq!(world.heartbeat(&joined), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_broker_that_was_paused_does_not_expire_its_members() {
    let mut world = World::new(settings());
    let joined = world.stable();
    world.pass(Duration::from_secs(1));
    world.now += SESSION * 3;
    world.look();
    assert_eq!(world.heartbeat(&joined), Ok(()), "what the broker slept through does not count");
    world.pass(SESSION + Duration::from_secs(1));
    assert_eq!(world.state(), Some(State::Empty), "its sessions still end");
}

#[test]
fn a_wrong_generation_an_unknown_member_and_a_bad_session_are_refused() {
    let mut world = World::new(settings());
    let joined = world.stable();
    let old = JoinAnswer { generation: joined.generation - 1, ..joined.clone() };
    assert_eq!(world.heartbeat(&old), Err(GroupError::IllegalGeneration));
    let stranger = JoinAnswer { member: "stranger".to_owned(), ..joined };
    assert_eq!(world.heartbeat(&stranger), Err(GroupError::UnknownMemberId));
    let id = world.join("stranger", None, "a");
    assert_eq!(world.join_error(id).0, GroupError::UnknownMemberId);
    let mut ask = join("", None, "a", 9);
    ask.session = Duration::from_millis(1);
    let id = world.ask(Ask::Join(ask));
    assert_eq!(world.join_error(id).0, GroupError::InvalidSessionTimeout);
    let mut ask = join("", None, "a", 10);
    ask.protocols[0].name = "sticky".to_owned();
    let id = world.ask(Ask::Join(ask));
    assert_eq!(world.join_error(id).0, GroupError::InconsistentGroupProtocol);
    let mut ask = join("", None, "a", 11);
    ask.who.group.clear();
    let id = world.ask(Ask::Join(ask));
    assert_eq!(world.join_error(id).0, GroupError::InvalidGroupId);
}

#[test]
fn a_full_group_takes_nobody_more() {
    let mut world = World::new(GroupSettings { members_max: 1, ..settings() });
    world.stable();
    let id = world.join("", None, "b");
    assert_eq!(world.join_error(id).0, GroupError::GroupMaxSizeReached);
}

#[test]
fn ids_that_are_given_away_and_never_used_are_bounded() {
    let mut coordinator = Coordinator::new(settings());
    let now = at(Duration::from_secs(1));
    let mut given = 0;
    for n in 0..300_000 {
        let mut out = Vec::new();
        let ask = JoinAsk { known_id_required: true, ..join("", None, "a", n) };
        coordinator.ask(now, Token(n), Ask::Join(ask), &mut out);
        match &out[..] {
            [Effect::Answer(_, Answer::Join(Err((GroupError::MemberIdRequired, _))))] => given += 1,
            [Effect::Answer(_, Answer::Join(Err((GroupError::GroupMaxSizeReached, _))))] => break,
            other => panic!("neither an id nor a refusal: {other:?}"),
        }
    }
    assert_eq!(given, 200_000);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_its_old_self_is_fenced() {
    let mut world = World::new(settings());
    let id = world.join("", Some("till-1"), "a");
    let before = world.joined(id);
    let id = world.sync(&before, &[(&before.member, "everything")]);
    world.synced(id);

    let id = world.join("", Some("till-1"), "a");
    let after = world.joined(id);
    assert_ne!(after.member, before.member);
    assert_eq!(after.generation, before.generation, "no rebalance");
    assert_eq!(after.leader, before.member, "a client that cannot skip must not assign");
    let id = world.sync(&after, &[]);
    assert_eq!(world.synced(id).assignment, "everything");
    let fenced = MemberRef { instance: Some("till-1".to_owned()), ..who(&before) };
    let id = world.ask(Ask::Heartbeat(fenced));
    assert_eq!(world.answer(id), Answer::Heartbeat(Err(GroupError::FencedInstanceId)));
}

#[test]
fn leaving_hands_the_part_to_the_others_and_the_last_one_leaves_an_empty_group() {
    let mut world = World::new(settings());
    let joined = world.stable();
    let leaver = Leaver { member: joined.member.clone(), instance: None };
    let stranger = Leaver { member: "stranger".to_owned(), instance: None };
    let id = world.ask(Ask::Leave { group: GROUP.to_owned(), members: vec![leaver, stranger] });
    let Answer::Leave(Ok(left)) = world.answer(id) else { panic!("not a leave") };
    assert_eq!([left[0].result, left[1].result], [Ok(()), Err(GroupError::UnknownMemberId)]);
    assert_eq!(world.state(), Some(State::Empty));
    assert_eq!(world.coordinator.describe(GROUP).map(|d| d.members.len()), Some(0));
}

#[test]
fn a_commit_is_told_and_seen_only_when_it_is_durable() {
    let mut world = World::new(settings());
    let joined = world.stable();
    world.hold();
    let id = world.commit(who(&joined), 42);
    assert!(world.waits(id));
    assert_eq!(world.offset(), None);
    world.let_go(Ok(()));
    assert_eq!(world.committed(id), Ok(()));
    assert_eq!(world.offset(), Some(42));

    world.hold();
    let id = world.commit(who(&joined), 43);
    world.let_go(Err(GroupError::NotCoordinator));
    assert_eq!(world.committed(id), Err(GroupError::NotCoordinator));
    assert_eq!(world.offset(), Some(42));
}

#[test]
fn commits_are_taken_while_a_rebalance_is_prepared_and_refused_while_it_completes() {
    let mut world = World::new(settings());
    let joined = world.stable();
    let other = world.join("", None, "b");
    let id = world.commit(who(&joined), 1);
    assert_eq!(world.committed(id), Ok(()), "preparing");
    let again = world.join(&joined.member, None, "a");
    let joined = world.joined(again);
    world.joined(other);
    let id = world.commit(who(&joined), 2);
    assert_eq!(world.committed(id), Err(GroupError::RebalanceInProgress), "completing");
    assert_eq!(world.heartbeat(&joined), Ok(()));
}

#[test]
fn an_outsider_commits_only_while_nobody_is_in() {
    let mut world = World::new(settings());
    let id = world.commit(outsider(), 7);
    assert_eq!(world.committed(id), Ok(()));
    world.stable();
    let id = world.commit(outsider(), 8);
    assert_eq!(world.committed(id), Err(GroupError::UnknownMemberId));
    let elsewhere =
        MemberRef { group: "nobody".to_owned(), generation: 1, member: "m".to_owned(), instance: None };
    let id = world.commit(elsewhere, 1);
    assert_eq!(world.committed(id), Err(GroupError::IllegalGeneration));
    assert_eq!(world.offset(), Some(7));
}

#[test]
fn text_beside_an_offset_is_kept_and_one_that_is_too_long_is_refused() {
    let mut world = World::new(GroupSettings { metadata_bytes_max: 5, ..settings() });
    let id = world.commit(outsider(), 1);
    assert_eq!(world.committed(id), Ok(()));
    let fetched = world.coordinator.fetch(GROUP, None);
    let committed = fetched[0].committed.as_ref().expect("just committed");
    assert_eq!((committed.metadata.as_str(), committed.leader_epoch), ("näin", 3));
    let mut world = World::new(GroupSettings { metadata_bytes_max: 4, ..settings() });
    let id = world.commit(outsider(), 1);
    assert_eq!(world.committed(id), Err(GroupError::OffsetMetadataTooLarge));
}

#[test]
fn a_restart_keeps_members_parts_and_offsets() {
    let mut world = World::new(settings());
    let joined = world.stable();
    let id = world.commit(who(&joined), 42);
    world.committed(id).expect("a member commits");
    let mut world = world.restart(settings());
    assert_eq!(world.state(), Some(State::Stable));
    assert_eq!(world.offset(), Some(42));
    assert_eq!(world.heartbeat(&joined), Ok(()));
    let id = world.sync(&joined, &[]);
    assert_eq!(world.synced(id).assignment, "everything");
    world.pass(SESSION + Duration::from_secs(1));
    assert_eq!(world.state(), Some(State::Empty), "sessions begin anew, and end");
}

#[test]
fn a_group_is_deleted_only_when_it_is_empty_and_stays_deleted() {
    let mut world = World::new(settings());
    let joined = world.stable();
    let id = world.commit(who(&joined), 42);
    world.committed(id).expect("a member commits");
    let delete = || Ask::Delete { group: GROUP.to_owned() };
    let id = world.ask(delete());
    assert_eq!(world.answer(id), Answer::Delete(Err(GroupError::NonEmptyGroup)));
    let leaver = Leaver { member: joined.member, instance: None };
    world.ask(Ask::Leave { group: GROUP.to_owned(), members: vec![leaver] });
    let id = world.ask(delete());
    assert_eq!(world.answer(id), Answer::Delete(Ok(())));
    assert_eq!(world.state(), None);
    let mut world = world.restart(settings());
    assert_eq!((world.state(), world.offset()), (None, None));
    let id = world.ask(delete());
    assert_eq!(world.answer(id), Answer::Delete(Err(GroupError::GroupIdNotFound)));
}

#[test]
fn offsets_of_a_topic_that_is_read_cannot_be_deleted() {
    // A consumer's subscription: version 0, one topic, no user data.
    const SUBSCRIPTION: &str = "\0\0\0\0\0\u{1}\0\u{6}orders\0\0\0\0";
    let mut world = World::new(settings());
    let id = world.join("", None, SUBSCRIPTION);
    let joined = world.joined(id);
    let id = world.sync(&joined, &[]);
    world.synced(id);
    let id = world.commit(who(&joined), 42);
    world.committed(id).expect("a member commits");
    let partitions = vec![("orders".to_owned(), 0), ("other".to_owned(), 0)];
    let id = world.ask(Ask::DeleteOffsets { group: GROUP.to_owned(), partitions });
    let expected = vec![Err(GroupError::GroupSubscribedToTopic), Ok(())];
    assert_eq!(world.answer(id), Answer::DeleteOffsets(Ok(expected)));
    assert_eq!(world.offset(), Some(42));
}

#[test]
fn offsets_outlive_their_group_for_as_long_as_they_are_kept() {
    let retention = Duration::from_secs(3600);
    let mut world = World::new(GroupSettings { offsets_retention: retention, ..settings() });
    let joined = world.stable();
    let id = world.commit(who(&joined), 42);
    world.committed(id).expect("a member commits");
    let expire = |world: &mut World| {
        let mut out = Vec::new();
        world.coordinator.expire(at(world.now), &mut out);
        world.carry_out(out);
    };
    for _ in 0..2 * 360 {
        world.pass(SESSION - Duration::from_secs(1));
        world.heartbeat(&joined).expect("alive");
    }
    expire(&mut world);
    assert_eq!(world.offset(), Some(42), "never while its group is in use");
    world.ask(Ask::Leave {
        group: GROUP.to_owned(),
        members: vec![Leaver { member: joined.member, instance: None }],
    });
    world.pass(Duration::from_secs(60));
    expire(&mut world);
    assert_eq!(world.offset(), Some(42), "counted from when it became empty");
    world.now += retention;
    expire(&mut world);
    assert_eq!((world.offset(), world.state()), (None, None));
}

#[test]
fn a_topic_that_is_deleted_takes_its_offsets_along() {
    let mut world = World::new(settings());
    let id = world.commit(outsider(), 7);
    world.committed(id).expect("from outside");
    let mut out = Vec::new();
    world.coordinator.forget_topic(at(world.now), "orders", &mut out);
    world.carry_out(out);
    assert_eq!(world.offset(), None);
    assert_eq!(world.restart(settings()).offset(), None);
}

#[test]
fn records_that_are_damaged_or_newer_are_told_apart() {
    let mut coordinator = Coordinator::new(settings());
    assert!(coordinator.replay(&[0, 1, 0], None).is_err());
    assert_eq!(coordinator.replay(&[0, 99, 1, 2, 3], None), Ok(engine::group::Replayed::Unknown(99)));
}

#[test]
fn who_joins_by_the_new_protocol_while_an_empty_group_is_deleted_waits_for_its_end() {
    let mut world = World::new(settings());
    world.topics(&[("orders", 4)]);
    let id = world.commit(outsider(), 7);
    world.committed(id).expect("nobody is in it");
    world.hold();
    let delete = world.ask(Ask::Delete { group: GROUP.to_owned() });
    let mut crew = [crew::Mate::new("one", &["orders"]), crew::Mate::new("two", &["orders"])];
    let asked = [world.send(crew[0].asks()), world.send(crew[1].asks())];
    world.let_go(Ok(()));
    assert_eq!(world.answer(delete), Answer::Delete(Ok(())));
    for (mate, id) in crew.iter_mut().zip(asked) {
        mate.takes(&world.told(id).expect("it joins"));
    }
    world.settle(&mut crew);
    assert_eq!((crew[0].owned.len(), crew[1].owned.len()), (2, 2));
    assert_eq!(world.offset(), None);
}

#[test]
fn who_joins_while_an_empty_group_expires_waits_for_its_end() {
    let mut world = World::new(settings());
    world.topics(&[("orders", 4)]);
    let id = world.commit(outsider(), 7);
    world.committed(id).expect("nobody is in it");
    world.now += settings().offsets_retention;
    world.hold();
    let mut out = Vec::new();
    world.coordinator.expire(at(world.now), &mut out);
    world.carry_out(out);
    let mut one = crew::Mate::new("one", &["orders"]);
    let id = world.send(one.asks());
    world.let_go(Ok(()));
    one.takes(&world.told(id).expect("it joins"));
    assert_eq!((one.owned.len(), world.offset()), (4, None));
}

#[test]
fn a_commit_on_its_way_when_its_group_is_deleted_does_not_come_back() {
    let mut world = World::new(settings());
    let id = world.commit(outsider(), 1);
    world.committed(id).expect("nobody is in it");
    world.hold();
    world.ask(Ask::Commit(engine::group::CommitAsk {
        who: outsider(),
        knows_epochs: true,
        offsets: vec![engine::group::CommitOffset {
            topic: "payments".to_owned(),
            partition: 3,
            offset: 9,
            leader_epoch: -1,
            metadata: String::new(),
        }],
    }));
    let delete = world.ask(Ask::Delete { group: GROUP.to_owned() });
    world.let_go(Ok(()));
    assert_eq!(world.answer(delete), Answer::Delete(Ok(())));
    assert_eq!(world.coordinator.committed_count(), 0);
    let world = world.restart(settings());
    assert_eq!(world.coordinator.committed_count(), 0, "nor after a restart");
}

#[test]
fn a_group_with_a_commit_on_its_way_does_not_expire() {
    let mut world = World::new(settings());
    let id = world.commit(outsider(), 1);
    world.committed(id).expect("nobody is in it");
    world.now += settings().offsets_retention;
    world.hold();
    world.commit(outsider(), 2);
    let mut out = Vec::new();
    world.coordinator.expire(at(world.now), &mut out);
    world.carry_out(out);
    world.let_go(Ok(()));
    assert_eq!(world.offset(), Some(2));
}

/// Seed 607 of rough weather: the end of the older offset came behind the newer one and took it along.
#[test]
fn an_offset_that_is_committed_again_while_the_old_one_expires_stays() {
    let mut world = World::new(settings());
    let id = world.commit(outsider(), 1);
    world.committed(id).expect("nobody is in it");
    world.now += settings().offsets_retention;
    // Another one is fresh: the group stays.
    let payments = engine::group::CommitOffset {
        topic: "payments".to_owned(),
        partition: 3,
        offset: 9,
        leader_epoch: -1,
        metadata: String::new(),
    };
    let ask = engine::group::CommitAsk { who: outsider(), knows_epochs: true, offsets: vec![payments] };
    let id = world.ask(Ask::Commit(ask));
    world.committed(id).expect("nobody is in it");
    world.hold();
    let id = world.commit(outsider(), 2);
    let mut out = Vec::new();
    world.coordinator.expire(at(world.now), &mut out);
    world.carry_out(out);
    world.let_go(Ok(()));
    assert_eq!(world.committed(id), Ok(()));
    assert_eq!(world.offset(), Some(2));
    assert_eq!(world.restart(settings()).offset(), Some(2));
}

#[test]
fn texts_that_no_record_can_hold_are_refused_and_never_cut() {
    let mut world = World::new(settings());
    let long = "x".repeat(32_767);
    let spoil: [fn(&mut JoinAsk, String); 5] = [
        |ask, long| ask.client_id = long,
        |ask, long| ask.who.instance = Some(long),
        |ask, long| ask.who.member = long,
        |ask, long| ask.protocol_type = long,
        |ask, long| ask.protocols[0].name = long,
    ];
    for spoil in spoil {
        let mut ask = join("", None, "a", 1);
        spoil(&mut ask, long.clone());
        let id = world.ask(Ask::Join(ask));
        assert_eq!(world.join_error(id).0, GroupError::InvalidRequest);
    }
    assert_eq!(world.state(), None);
    let mut ask = join("", None, "a", 1);
    ask.client_id = "x".repeat(32_000);
    let id = world.ask(Ask::Join(ask));
    let joined = world.joined(id);
    let id = world.sync(&joined, &[(&joined.member, "everything")]);
    world.synced(id);
    let mut world = world.restart(settings());
    assert_eq!(world.heartbeat(&joined), Ok(()), "its whole id is remembered");
}

#[test]
fn text_beside_an_offset_that_no_record_can_hold_is_refused_whatever_the_setting_says() {
    let mut world = World::new(GroupSettings { metadata_bytes_max: usize::MAX, ..settings() });
    for (length, expected) in [(32_767, Ok(())), (32_768, Err(GroupError::OffsetMetadataTooLarge))] {
        let offsets = vec![engine::group::CommitOffset {
            topic: "orders".to_owned(),
            partition: 0,
            offset: 1,
            leader_epoch: -1,
            metadata: "x".repeat(length),
        }];
        let ask = engine::group::CommitAsk { who: outsider(), knows_epochs: true, offsets };
        let id = world.ask(Ask::Commit(ask));
        assert_eq!(world.committed(id), expected);
    }
}

#[test]
fn a_commit_on_its_way_when_its_topic_is_deleted_goes_with_it() {
    let mut world = World::new(settings());
    world.hold();
    world.commit(outsider(), 7);
    let mut out = Vec::new();
    world.coordinator.forget_topic(at(world.now), "orders", &mut out);
    world.carry_out(out);
    world.let_go(Ok(()));
    assert_eq!(world.offset(), None);
    assert_eq!(world.restart(settings()).offset(), None);
}

#[test]
fn of_two_assignments_for_one_member_the_later_one_counts_also_after_a_restart() {
    let mut world = World::new(settings());
    let id = world.join("", None, "a");
    let joined = world.joined(id);
    let member = joined.member.as_str();
    let id = world.sync(&joined, &[(member, "first"), (member, "second")]);
    assert_eq!(world.synced(id).assignment, "second");
    let mut world = world.restart(settings());
    let id = world.sync(&joined, &[]);
    assert_eq!(world.synced(id).assignment, "second");
}
