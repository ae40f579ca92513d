//! The partition that a request names.

use engine::base::PartitionKey;
use engine::metadata::Partition;
use wire::ErrorCode;

use crate::shard::{Catalog, Core};

/// Finds a partition, whoever leads it; UNKNOWN_TOPIC_OR_PARTITION if there is none.
pub(super) fn find<'a>(
    catalog: &'a Catalog,
    topic: &str,
    index: i32,
) -> Result<(PartitionKey, &'a Partition), ErrorCode> {
    let entry = catalog.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let state = usize::try_from(index).ok().and_then(|i| entry.topic.partitions.get(i));
    let state = state.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Ok((PartitionKey { topic: entry.topic.id, index }, state))
}

/// Finds a partition that this node leads; NOT_LEADER_OR_FOLLOWER if another does.
pub(super) fn find_led<'a>(
    core: &Core,
    catalog: &'a Catalog,
    topic: &str,
    index: i32,
) -> Result<(PartitionKey, &'a Partition), ErrorCode> {
    let found = find(catalog, topic, index)?;
    if found.1.leader == Some(core.node.id) { Ok(found) } else { Err(ErrorCode::NotLeaderOrFollower) }
}
