//! Records as a broker, ours or another, may have left them.

use std::time::Duration;

use engine::base::{PartitionKey, TopicId};
use wire::stored::consumer_group::{
    CurrentValue, EpochValue, MemberValue, TargetEpochValue, TargetValue, TopicPartitions, to_bytes,
};
use wire::stored::group::{GroupKey, Key, MemberKey};

use crate::world::*;

fn parts(keys: &[PartitionKey]) -> Vec<TopicPartitions> {
    let one = |key: &PartitionKey| {
        let PartitionKey { topic: TopicId(topic_id), index } = *key;
        TopicPartitions { topic_id, partitions: vec![index] }
    };
    keys.iter().map(one).collect()
}

pub(crate) fn epoch(epoch: i32) -> Record {
    let value = EpochValue { epoch, metadata_hash: 0 };
    (Key::Epoch(GroupKey { group: GROUP }).to_bytes(), Some(to_bytes(&value)))
}

pub(crate) fn target_epoch(epoch: i32) -> Record {
    let value = TargetEpochValue { assignment_epoch: epoch };
    (Key::TargetEpoch(GroupKey { group: GROUP }).to_bytes(), Some(to_bytes(&value)))
}

pub(crate) fn member(id: &str, names: &[&str]) -> Record {
    let value = MemberValue {
        client_id: "client",
        client_host: "/127.0.0.1",
        subscribed_topic_names: names.to_vec(),
        rebalance_timeout_ms: REBALANCE.as_millis() as i32,
        ..MemberValue::default()
    };
    (Key::Member(MemberKey { group: GROUP, member: id }).to_bytes(), Some(to_bytes(&value)))
}

pub(crate) fn target(id: &str, keys: &[PartitionKey]) -> Record {
    let value = TargetValue { topic_partitions: parts(keys) };
    (Key::Target(MemberKey { group: GROUP, member: id }).to_bytes(), Some(to_bytes(&value)))
}

/// What a member has, in an epoch, and what it is to give up: in a state as the record numbers it.
pub(crate) fn current(
    id: &str,
    epoch: i32,
    state: i8,
    has: &[PartitionKey],
    gives_up: &[PartitionKey],
) -> Record {
    let value = CurrentValue {
        member_epoch: epoch,
        previous_member_epoch: epoch - 1,
        state,
        assigned_partitions: parts(has),
        partitions_pending_revocation: parts(gives_up),
    };
    (Key::Current(MemberKey { group: GROUP, member: id }).to_bytes(), Some(to_bytes(&value)))
}

/// A broker that starts on these records, and the groups that it had to mend.
pub(crate) fn started_on(log: Vec<Record>) -> (World, Vec<String>) {
    let mut world = World::new(settings());
    let mut coordinator = engine::group::Coordinator::new(settings());
    for (key, value) in &log {
        coordinator.replay(key, value.as_deref()).expect("a record");
    }
    let mended = coordinator.loaded(at(world.now));
    coordinator.check();
    world.coordinator = coordinator;
    world.log = log;
    (world, mended)
}

/// A group of very many members, each of which wants these topics and has nothing yet.
pub(crate) fn crowd(count: usize, names: impl Fn(usize) -> Vec<String>) -> World {
    let mut log = vec![epoch(1)];
    for nth in 0..count {
        let names = names(nth);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        log.push(member(&id_of(nth), &names));
        log.push(current(&id_of(nth), 1, 0, &[], &[]));
    }
    log.push(target_epoch(1));
    let (world, mended) = started_on(log);
    assert!(mended.is_empty());
    world
}

/// The id of a member of a crowd.
pub(crate) fn id_of(nth: usize) -> String {
    format!("m{nth:05}")
}

pub(crate) const CONSUMER_SESSION: Duration = Duration::from_secs(45);
