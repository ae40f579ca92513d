//! DescribeQuorum (55): this node is the metadata's only voter, and so its leader.

use std::borrow::Cow;

use wire::ErrorCode;
use wire::describe_quorum::{Listener, Node, PartitionResult, ReplicaState, Request, Response, TopicResult};

use super::served::{Call, Refused};
use crate::runtime::clock;

/// What Kafka calls the topic of the metadata, which has one partition.
const METADATA_TOPIC: &str = "__cluster_metadata";

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.topics.iter().map(|t| t.partitions.len()))?;
    let catalog = call.core.catalog();
    let node = &call.core.node;
    let position = catalog.image().position();
    let now = clock::now().wall.0;
    // An offset behind the last entry; entries are numbered from 1.
    let end = i64::try_from(position.index).unwrap_or(i64::MAX).saturating_add(1);
    let described = |partition_index| PartitionResult {
        partition_index,
        leader_id: node.id.0,
        leader_epoch: i32::try_from(position.term).unwrap_or(i32::MAX),
        high_watermark: end,
        current_voters: vec![ReplicaState {
            replica_id: node.id.0,
            replica_directory_id: node.directory,
            log_end_offset: end,
            last_fetch_timestamp: now,
            last_caught_up_timestamp: now,
        }],
        ..PartitionResult::default()
    };
    let unknown = |partition_index| PartitionResult {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition,
        leader_id: -1,
        leader_epoch: -1,
        high_watermark: -1,
        ..PartitionResult::default()
    };
    let topics = request.topics.iter().map(|topic| TopicResult {
        topic_name: Cow::Borrowed(topic.topic_name),
        partitions: topic
            .partitions
            .iter()
            .map(|p| match p.partition_index {
                0 if topic.topic_name == METADATA_TOPIC => described(0),
                index => unknown(index),
            })
            .collect(),
    });
    let at = &node.advertised[call.session.listener];
    let listener = Listener {
        name: Cow::Borrowed(at.name.as_str()),
        host: Cow::Borrowed(at.host.as_str()),
        port: at.port,
    };
    let nodes = vec![Node { node_id: node.id.0, listeners: vec![listener] }];
    let response = Response { topics: topics.collect(), nodes, ..Response::default() };
    call.answer(&response);
    Ok(())
}
