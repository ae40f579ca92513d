//! A change of a consumer group, and the record of `__consumer_offsets` that it is.

use std::time::Duration;

use bytes::Bytes;
use wire::DecodeError;
use wire::stored::consumer_group::{
    ClassicProtocolValue, ClassicValue, CurrentValue, EpochValue, MemberValue, RegexValue, TargetEpochValue,
    TargetValue, TopicPartitions, from_bytes, to_bytes,
};
use wire::stored::group::{GroupKey, Key, MemberKey, RegexKey};

use super::state::{ClassicFace, Holding, Matched, Member, Parts, Phase};
use crate::base::{PartitionKey, TopicId};
use crate::group::Protocol;
use crate::group::coordinator::Record;

/// A change of a group; `Gone` names what ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Epoch {
        epoch: i32,
        hash: i64,
    },
    Member(Box<Member>),
    MemberGone(String),
    TargetEpoch(i32),
    Target {
        member: String,
        parts: Parts,
    },
    TargetGone(String),
    Holding {
        member: String,
        holding: Holding,
    },
    HoldingGone(String),
    Regex {
        pattern: String,
        matched: Matched,
    },
    RegexGone(String),
    /// The classic group of that name is none any more.
    ClassicGone,
    /// The consumer group of that name is none any more.
    EpochGone,
    TargetEpochGone,
}

impl Change {
    /// Whether it ends something rather than makes it.
    pub(crate) fn is_end(&self) -> bool {
        match self {
            Change::MemberGone(_)
            | Change::TargetGone(_)
            | Change::HoldingGone(_)
            | Change::RegexGone(_)
            | Change::ClassicGone
            | Change::EpochGone
            | Change::TargetEpochGone => true,
            Change::Epoch { .. }
            | Change::Member(_)
            | Change::TargetEpoch(_)
            | Change::Target { .. }
            | Change::Holding { .. }
            | Change::Regex { .. } => false,
        }
    }

    /// The record that makes the change of a group.
    pub(crate) fn to_record(&self, group: &str) -> Record {
        let of_member = |member| MemberKey { group, member };
        let (key, value) = match self {
            Change::Epoch { epoch, hash } => {
                let value = EpochValue { epoch: *epoch, metadata_hash: *hash };
                (Key::Epoch(GroupKey { group }), Some(to_bytes(&value)))
            }
            Change::Member(member) => (Key::Member(of_member(&member.id)), Some(member_value(member))),
            Change::MemberGone(id) => (Key::Member(of_member(id)), None),
            Change::TargetEpoch(epoch) => {
                let value = TargetEpochValue { assignment_epoch: *epoch };
                (Key::TargetEpoch(GroupKey { group }), Some(to_bytes(&value)))
            }
            Change::Target { member, parts } => {
                let value = TargetValue { topic_partitions: by_topic(parts) };
                (Key::Target(of_member(member)), Some(to_bytes(&value)))
            }
            Change::TargetGone(id) => (Key::Target(of_member(id)), None),
            Change::Holding { member, holding } => {
                let value = CurrentValue {
                    member_epoch: holding.epoch,
                    previous_member_epoch: holding.previous,
                    state: number_of(holding.phase),
                    assigned_partitions: by_topic(&holding.assigned),
                    partitions_pending_revocation: by_topic(&holding.revoking),
                };
                (Key::Current(of_member(member)), Some(to_bytes(&value)))
            }
            Change::HoldingGone(id) => (Key::Current(of_member(id)), None),
            Change::Regex { pattern, matched } => {
                let value = RegexValue {
                    topics: matched.topics.iter().map(String::as_str).collect(),
                    version: matched.version,
                    timestamp: matched.at,
                };
                (Key::Regex(RegexKey { group, pattern }), Some(to_bytes(&value)))
            }
            Change::RegexGone(pattern) => (Key::Regex(RegexKey { group, pattern }), None),
            Change::ClassicGone => (Key::Group(GroupKey { group }), None),
            Change::EpochGone => (Key::Epoch(GroupKey { group }), None),
            Change::TargetEpochGone => (Key::TargetEpoch(GroupKey { group }), None),
        };
        (key.to_bytes(), value)
    }
}

/// The change that a replayed record makes, and of which group; `None` for what is not kept.
///
/// # Errors
/// [`DecodeError`] for a value that is none.
pub(crate) fn read<'a>(
    key: &Key<'a>,
    value: Option<&[u8]>,
) -> Result<Option<(&'a str, Change)>, DecodeError> {
    let change = match (key, value) {
        (Key::Epoch(key), Some(value)) => {
            let value: EpochValue = from_bytes(value)?;
            (key.group, Change::Epoch { epoch: value.epoch, hash: value.metadata_hash })
        }
        (Key::Epoch(key), None) => (key.group, Change::EpochGone),
        (Key::Member(key), Some(value)) => (key.group, Change::Member(Box::new(member(key.member, value)?))),
        (Key::Member(key), None) => (key.group, Change::MemberGone(key.member.to_owned())),
        (Key::TargetEpoch(key), Some(value)) => {
            let value: TargetEpochValue = from_bytes(value)?;
            (key.group, Change::TargetEpoch(value.assignment_epoch))
        }
        (Key::TargetEpoch(key), None) => (key.group, Change::TargetEpochGone),
        (Key::Target(key), Some(value)) => {
            let value: TargetValue = from_bytes(value)?;
            let parts = of_topics(&value.topic_partitions);
            (key.group, Change::Target { member: key.member.to_owned(), parts })
        }
        (Key::Target(key), None) => (key.group, Change::TargetGone(key.member.to_owned())),
        (Key::Current(key), Some(value)) => {
            let value: CurrentValue = from_bytes(value)?;
            let holding = Holding {
                epoch: value.member_epoch,
                previous: value.previous_member_epoch,
                phase: phase_of(value.state),
                assigned: of_topics(&value.assigned_partitions),
                revoking: of_topics(&value.partitions_pending_revocation),
            };
            (key.group, Change::Holding { member: key.member.to_owned(), holding })
        }
        (Key::Current(key), None) => (key.group, Change::HoldingGone(key.member.to_owned())),
        (Key::Regex(key), Some(value)) => {
            let value: RegexValue<'_> = from_bytes(value)?;
            let topics = value.topics.into_iter().map(str::to_owned).collect();
            let matched = Matched { topics, version: value.version, at: value.timestamp };
            (key.group, Change::Regex { pattern: key.pattern.to_owned(), matched })
        }
        (Key::Regex(key), None) => (key.group, Change::RegexGone(key.pattern.to_owned())),
        (Key::Partitions(_) | Key::Offset(_) | Key::Group(_) | Key::Unknown(_), _) => return Ok(None),
    };
    Ok(Some(change))
}

fn member_value(member: &Member) -> Vec<u8> {
    let classic = member.classic.as_ref().map(|face| ClassicValue {
        session_timeout_ms: millis(face.session),
        supported_protocols: face
            .protocols
            .iter()
            .map(|p| ClassicProtocolValue { name: &p.name, metadata: &p.metadata })
            .collect(),
    });
    to_bytes(&MemberValue {
        instance_id: member.instance.as_deref(),
        rack_id: member.rack.as_deref(),
        client_id: &member.client_id,
        client_host: &member.client_host,
        subscribed_topic_names: member.names.iter().map(String::as_str).collect(),
        subscribed_topic_regex: member.regex.as_deref(),
        rebalance_timeout_ms: millis(member.rebalance),
        server_assignor: member.assignor.as_deref(),
        classic,
    })
}

fn member(id: &str, value: &[u8]) -> Result<Member, DecodeError> {
    let value: MemberValue<'_> = from_bytes(value)?;
    let protocol = |p: ClassicProtocolValue<'_>| Protocol {
        name: p.name.to_owned(),
        metadata: Bytes::copy_from_slice(p.metadata),
    };
    let classic = value.classic.map(|face| ClassicFace {
        session: duration(face.session_timeout_ms),
        protocols: face.supported_protocols.into_iter().map(protocol).collect(),
    });
    Ok(Member {
        id: id.to_owned(),
        instance: value.instance_id.map(str::to_owned),
        rack: value.rack_id.map(str::to_owned),
        client_id: value.client_id.to_owned(),
        client_host: value.client_host.to_owned(),
        names: value.subscribed_topic_names.into_iter().map(str::to_owned).collect(),
        regex: value.subscribed_topic_regex.map(str::to_owned),
        rebalance: duration(value.rebalance_timeout_ms),
        assignor: value.server_assignor.map(str::to_owned),
        classic,
    })
}

fn number_of(phase: Phase) -> i8 {
    match phase {
        Phase::Stable => 0,
        Phase::Revoking => 1,
        Phase::Waiting => 2,
    }
}

/// A state that is not known is as good as waiting: the next heartbeat looks again.
fn phase_of(number: i8) -> Phase {
    match number {
        0 => Phase::Stable,
        1 => Phase::Revoking,
        _ => Phase::Waiting,
    }
}

fn by_topic(parts: &Parts) -> Vec<TopicPartitions> {
    let mut list: Vec<TopicPartitions> = Vec::new();
    for key in parts {
        match list.last_mut() {
            Some(last) if last.topic_id == key.topic.0 => last.partitions.push(key.index),
            _ => list.push(TopicPartitions { topic_id: key.topic.0, partitions: vec![key.index] }),
        }
    }
    list
}

fn of_topics(list: &[TopicPartitions]) -> Parts {
    let keys = |t: &TopicPartitions| {
        let topic = TopicId(t.topic_id);
        t.partitions.iter().map(move |&index| PartitionKey { topic, index }).collect::<Vec<_>>()
    };
    list.iter().flat_map(keys).collect()
}

fn millis(d: Duration) -> i32 {
    i32::try_from(d.as_millis()).unwrap_or(i32::MAX)
}

fn duration(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
