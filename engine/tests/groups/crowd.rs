//! Groups in which very many ask, or vanish, at once.

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use engine::group::{Answer, Ask, GroupError, Protocol};

use crate::crew::*;
use crate::past::*;
use crate::world::*;

/// As many as may wait for one group.
const WAITING: usize = 20_000;

#[test]
fn a_full_line_of_heartbeats_that_change_nothing_is_answered_on_a_small_stack() {
    let crowd = || {
        let mut world = World::new(settings());
        world.topics(&[("orders", 1)]);
        let mut one = Mate::new("one", &["orders"]);
        world.beat(&mut one);
        world.hold();
        let joins = world.send(Mate::new("two", &["orders"]).asks());
        let ids: Vec<u64> = (0..WAITING).map(|_| world.send(one.asks())).collect();
        world.let_go(Ok(()));
        assert!(world.told(joins).is_ok());
        assert!(ids.into_iter().all(|id| world.told(id).is_ok()));
    };
    thread::Builder::new().stack_size(512 << 10).spawn(crowd).expect("a thread").join().expect("no overflow");
}

#[test]
fn very_many_members_that_fall_silent_at_once_are_out_in_one_step() {
    let mut world = crowd(10_000, |_| vec!["orders".to_owned()]);
    world.topics(&[("orders", 1)]);
    world.hold();
    world.pass(CONSUMER_SESSION + Duration::from_millis(300));
    assert_eq!(world.held.as_ref().map(Vec::len), Some(1));
    world.let_go(Ok(()));
    assert_eq!(world.group_state(), Some("Empty"));
}

#[test]
fn members_that_cling_to_what_they_have_are_out_in_one_step() {
    let mut world = World::new(settings());
    world.topics(&[("orders", 8)]);
    let mut crew = vec![Mate::new("a", &["orders"]), Mate::new("b", &["orders"])];
    world.settle(&mut crew);
    let mut more = [Mate::new("c", &["orders"]), Mate::new("d", &["orders"])];
    more.iter_mut().for_each(|mate| drop(world.beat(mate)));
    let cling = |world: &mut World| {
        crew.iter().for_each(|mate| drop(world.beat_as(mate.asks())));
    };
    for _ in 0..5 {
        cling(&mut world);
        more.iter_mut().for_each(|mate| drop(world.beat(mate)));
        world.pass(REBALANCE / 6);
    }
    cling(&mut world);
    more.iter_mut().for_each(|mate| drop(world.beat(mate)));
    world.hold();
    world.pass(REBALANCE / 6 + Duration::from_secs(1));
    assert_eq!(world.held.as_ref().map(Vec::len), Some(1));
    world.let_go(Ok(()));
    world.settle(&mut more);
    assert_eq!(more.map(|mate| mate.owned.len()), [4, 4]);
}

#[test]
fn very_many_members_that_want_different_topics_are_assigned_evenly() {
    const MEMBERS: usize = 3_000;
    const PARTITIONS: i32 = 20_000;
    let own = |nth: usize| format!("t{nth:05}");
    let mut world = crowd(MEMBERS, |nth| vec!["all".to_owned(), own(nth)]);
    let names: Vec<String> = (0..MEMBERS).map(own).collect();
    let mut topics: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    topics.push(("all", PARTITIONS));
    world.topics(&topics);
    world.beat(&mut Mate::new("one", &["all"]));
    let group = world.coordinator.describe_consumer(GROUP).expect("a group");
    let sizes: Vec<usize> = group.members.iter().map(|m| m.target.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), MEMBERS + PARTITIONS as usize, "each partition is somebody's");
    let (least, most) = (sizes.iter().min().expect("some"), sizes.iter().max().expect("some"));
    assert!(most - least <= 1, "{least} to {most}");
}

#[test]
fn what_waits_for_a_group_is_bounded_in_bytes() {
    let mut world = World::new(settings());
    world.topics(&[("orders", 1)]);
    world.hold();
    let first = world.send(Mate::new("one", &["orders"]).asks());
    let metadata = Bytes::from(vec![0; 1 << 20]);
    let ids: Vec<u64> = (0..64)
        .map(|nth| {
            let mut ask = join("", None, "", nth);
            ask.protocols = vec![Protocol { name: "range".to_owned(), metadata: metadata.clone() }];
            world.ask(Ask::Join(ask))
        })
        .collect();
    let refused = ids.iter().filter(|id| !world.waits(**id)).count();
    assert!((30..64).contains(&refused), "{refused} of 64 MiB did not fit");
    for id in ids {
        if !world.waits(id) {
            assert_eq!(world.join_error(id).0, GroupError::CoordinatorNotAvailable);
        }
    }
    world.let_go(Ok(()));
    assert!(world.told(first).is_ok());
}

#[test]
fn assignments_of_leaders_are_bounded_in_bytes() {
    let mut world = World::new(settings());
    let part = Bytes::from(vec![0; 1 << 20]);
    let mut refused = 0;
    for nth in 0..200 {
        let mut ask = join("", None, "", nth);
        ask.who.group = format!("g{nth}");
        let id = world.ask(Ask::Join(ask.clone()));
        let joined = match world.answer(id) {
            Answer::Join(Ok(joined)) => joined,
            other => {
                assert_eq!(other, Answer::Join(Err((GroupError::GroupMaxSizeReached, String::new()))));
                refused += 1;
                continue;
            }
        };
        let mut who = who(&joined);
        who.group = ask.who.group;
        let assignments = vec![(joined.member, part.clone())];
        let sync = engine::group::SyncAsk { who, protocol_type: None, protocol: None, assignments };
        let id = world.ask(Ask::Sync(sync));
        world.synced(id);
    }
    assert!(refused >= 100, "nobody new joins above 64 MiB: {refused}");
}

#[test]
fn very_many_protocols_of_one_member_are_refused() {
    let mut world = World::new(settings());
    for (count, expected) in [(65, Some(GroupError::InconsistentGroupProtocol)), (64, None)] {
        let mut ask = join("", None, "", count);
        let named = |nth| Protocol { name: format!("p{nth}"), metadata: Bytes::new() };
        ask.protocols = (0..count).map(named).collect();
        let id = world.ask(Ask::Join(ask));
        match (world.answer(id), expected) {
            (Answer::Join(Ok(joined)), None) => assert_eq!(joined.protocol, "p0"),
            (Answer::Join(Err((error, _))), Some(expected)) => assert_eq!(error, expected),
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn very_many_offsets_of_a_group_of_very_many_members_are_deleted_at_once() {
    let mut world = crowd(5_000, |nth| vec!["read".to_owned(), format!("t{nth:05}")]);
    world.topics(&[("read", 1)]);
    let partitions: Vec<(String, i32)> =
        (0..20_000).map(|n| (if n % 2 == 0 { "read" } else { "other" }.to_owned(), n)).collect();
    let id = world.ask(Ask::DeleteOffsets { group: GROUP.to_owned(), partitions });
    let Answer::DeleteOffsets(Ok(results)) = world.answer(id) else { panic!("it is answered") };
    let refused = results.iter().filter(|r| **r == Err(GroupError::GroupSubscribedToTopic)).count();
    assert_eq!((refused, results.len()), (10_000, 20_000));
}

#[test]
fn a_group_with_very_many_offsets_ends_in_appends_that_fit_into_batches() {
    let mut world = World::new(settings());
    for nth in 0..10 {
        let offset = |partition| engine::group::CommitOffset {
            topic: "t".repeat(249),
            partition: nth * 10_000 + partition,
            offset: 1,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let offsets = (0..10_000).map(offset).collect();
        world.ask(Ask::Commit(engine::group::CommitAsk { who: outsider(), knows_epochs: true, offsets }));
    }
    assert_eq!(world.coordinator.committed_count(), 100_000);
    world.hold();
    let id = world.ask(Ask::Delete { group: GROUP.to_owned() });
    let size = |records: &[Record]| records.iter().map(|(key, _)| key.len()).sum::<usize>();
    let held = world.held.as_ref().expect("held back");
    assert!(held.len() > 1 && held.iter().all(|(_, records)| size(records) < 2 << 20));
    world.let_go(Ok(()));
    assert_eq!(world.answer(id), Answer::Delete(Ok(())));
    assert_eq!(world.restart(settings()).coordinator.committed_count(), 0);
}
