//! Adding partitions to topics (CreatePartitions, KIP-195).

use std::collections::BTreeMap;

use super::room::Room;
use super::{Context, Decision, Refused, Why};
use crate::base::{NodeId, PartitionKey};
use crate::metadata::MetadataRecord;

/// A topic that a client wants larger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrowTopic {
    /// Its name.
    pub name: String,
    /// Partitions in all, not how many more.
    pub partitions: i32,
    /// The nodes of each new partition; `None` to leave it to the broker.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// Decides on larger topics, each by itself. Partitions of the topic `fixed` are never added: what it
/// holds is found by a hash over their number.
#[must_use]
pub fn grow_topics(
    cx: Context<'_>,
    requests: &[GrowTopic],
    fixed: &str,
    validate_only: bool,
) -> Decision<()> {
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for request in requests {
        *asked.entry(request.name.as_str()).or_default() += 1;
    }
    let mut room = Room::of(cx);
    let mut records = Vec::new();
    let replies = requests
        .iter()
        .map(|request| {
            if asked[request.name.as_str()] > 1 {
                return Err(Refused::new(Why::InvalidRequest, "the topic is named twice in this request"));
            }
            if request.name == fixed {
                let message = format!("the number of partitions of {fixed} cannot be changed");
                return Err(Refused::new(Why::InvalidPartitions, message));
            }
            grow(cx, request, &mut room, &mut records)
        })
        .collect();
    if validate_only {
        records.clear();
    }
    Decision { records, replies }
}

fn grow(
    cx: Context<'_>,
    request: &GrowTopic,
    room: &mut Room,
    records: &mut Vec<MetadataRecord>,
) -> Result<(), Refused> {
    let name = &request.name;
    let Some(topic) = cx.image.topic(name) else {
        return Err(Refused::new(Why::UnknownTopicOrPartition, format!("no topic {name:.249}")));
    };
    let old = topic.partitions.len();
    let new = usize::try_from(request.partitions).ok().and_then(|n| n.checked_sub(old)).filter(|&n| n > 0);
    let Some(new) = new else {
        let message = match usize::try_from(request.partitions) {
            Ok(same) if same == old => format!("topic {name} already has {old} partition(s)"),
            _ => format!(
                "topic {name} has {old} partition(s); {} would not be an increase",
                request.partitions
            ),
        };
        return Err(Refused::new(Why::InvalidPartitions, message));
    };
    room.check(old, new)?;
    if let Some(assignments) = &request.assignments {
        if assignments.len() != new {
            let message = format!("{new} partition(s) to add, but {} assignment(s)", assignments.len());
            return Err(Refused::new(Why::InvalidReplicaAssignment, message));
        }
        for (index, nodes) in (old..).zip(assignments) {
            room.check_replicas(index, nodes)?;
        }
    }
    for index in old..old + new {
        let key = PartitionKey { topic: topic.id, index: index as i32 };
        records.push(MetadataRecord::PartitionCreated { key, state: room.place() });
    }
    Ok(())
}
