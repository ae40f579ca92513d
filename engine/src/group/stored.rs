//! Groups and offsets as records of `__consumer_offsets`, in Kafka's format.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::stored::group::{GroupKey, GroupValue, Key, MemberValue, OffsetKey, OffsetValue};
use wire::{DecodeError, Reader};

use super::answer::Committed;
use super::ask::{CommitOffset, Protocol};
use super::classic::{Group, State};
use super::coordinator::Record;
use super::member::Member;
use crate::base::{Bug, Instant, WallMs, planted};
use std::time::Duration;

/// A commit.
pub(super) fn offset_record(group: &str, offset: &CommitOffset, at: WallMs) -> Record {
    let key = Key::Offset(OffsetKey { group, topic: &offset.topic, partition: offset.partition });
    let value = OffsetValue {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: &offset.metadata,
        commit_timestamp: at.0,
        ..OffsetValue::default()
    };
    (key.to_bytes(), Some(value.to_bytes()))
}

/// The end of an offset.
pub(super) fn offset_tombstone(group: &str, topic: &str, partition: i32) -> Record {
    (Key::Offset(OffsetKey { group, topic, partition }).to_bytes(), None)
}

/// The end of a group.
pub(super) fn group_tombstone(group: &str) -> Record {
    (Key::Group(GroupKey { group }).to_bytes(), None)
}

/// A group with its members, their parts as they are or as the leader just assigned them.
pub(super) fn group_record(group: &Group, assignments: Option<&[(String, Bytes)]>) -> Record {
    let protocol = group.protocol.clone().unwrap_or_default();
    let subscriptions: Vec<Bytes> = group.members.values().map(|m| m.metadata(&protocol)).collect();
    // Of two for one member the later one counts, as where they are made.
    let assigned: Option<BTreeMap<&str, &Bytes>> =
        assignments.map(|list| list.iter().map(|(id, part)| (id.as_str(), part)).collect());
    let part = |m: &Member| match &assigned {
        None => m.assignment.clone(),
        Some(parts) => parts.get(m.id.as_str()).map(|part| (*part).clone()).unwrap_or_default(),
    };
    let parts: Vec<Bytes> = group.members.values().map(part).collect();
    let members = group.members.values().zip(subscriptions.iter().zip(&parts)).map(
        |(m, (subscription, assignment))| MemberValue {
            member_id: &m.id,
            group_instance_id: m.instance.as_deref(),
            client_id: &m.client_id,
            client_host: &m.client_host,
            rebalance_timeout: millis(m.rebalance),
            session_timeout: millis(m.session),
            subscription,
            assignment,
        },
    );
    let value = GroupValue {
        protocol_type: group.protocol_type.as_deref().unwrap_or_default(),
        generation: group.generation,
        protocol: group.protocol.as_deref(),
        leader: group.leader.as_deref(),
        current_state_timestamp: group.since.0,
        members: members.collect(),
    };
    (Key::Group(GroupKey { group: &group.name }).to_bytes(), Some(value.to_bytes()))
}

/// The offset that a record holds.
pub(super) fn committed(value: &[u8]) -> Result<Committed, DecodeError> {
    let value = OffsetValue::from_bytes(value)?;
    Ok(Committed {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.to_owned(),
        timestamp: value.commit_timestamp,
    })
}

/// Sets a group to what a record holds.
pub(super) fn restore(group: &mut Group, value: &[u8]) -> Result<(), DecodeError> {
    let value = GroupValue::from_bytes(value)?;
    group.protocol_type = Some(value.protocol_type.to_owned()).filter(|t| !t.is_empty());
    group.generation = if planted(Bug::ForgetGenerations) { 0 } else { value.generation.max(0) };
    group.protocol = value.protocol.map(str::to_owned);
    group.leader = value.leader.map(str::to_owned);
    group.since = WallMs(value.current_state_timestamp);
    group.members.clear();
    for stored in value.members {
        let instance = stored.group_instance_id.map(str::to_owned);
        let name = value.protocol.unwrap_or_default().to_owned();
        let metadata = Bytes::copy_from_slice(stored.subscription);
        let member = Member {
            id: stored.member_id.to_owned(),
            instance,
            client_id: stored.client_id.to_owned(),
            client_host: stored.client_host.to_owned(),
            session: duration(stored.session_timeout),
            rebalance: duration(stored.rebalance_timeout),
            protocols: vec![Protocol { name, metadata }],
            assignment: Bytes::copy_from_slice(stored.assignment),
            joining: None,
            syncing: None,
            is_new: false,
            has_synced: true,
            alive_until: Instant(0),
            watched_until: Instant(0),
        };
        group.members.insert(member.id.clone(), member);
    }
    let with_names = group.members.values().filter_map(|m| Some((m.instance.clone()?, m.id.clone())));
    group.statics = with_names.collect();
    if group.leader.as_ref().is_some_and(|id| !group.members.contains_key(id)) {
        group.leader = None;
    }
    group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
    Ok(())
}

/// The topics of a consumer's subscription, `None` if it is not one.
pub(super) fn subscribed_topics(metadata: &[u8]) -> Option<Vec<String>> {
    let mut r = Reader::new(metadata);
    r.i16().ok()?;
    let topics = wire::stored::group::texts(&mut r).ok()?;
    Some(topics.into_iter().map(str::to_owned).collect())
}

fn millis(d: Duration) -> i32 {
    i32::try_from(d.as_millis()).unwrap_or(i32::MAX)
}

fn duration(ms: i32) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}
