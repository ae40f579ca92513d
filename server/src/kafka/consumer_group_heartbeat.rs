//! ConsumerGroupHeartbeat (68): the new group protocol, all in one call (KIP-848).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use engine::base::{PartitionKey, TopicId};
use engine::group::{Answer, Ask, ConsumerHeartbeatAsk};
use uuid::Uuid;
use wire::ErrorCode;
use wire::consumer_group_heartbeat::{Assignment, Request, Response, TopicPartitions};

use super::group;
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    let names = request.subscribed_topic_names.as_ref().map_or(0, Vec::len);
    let owned: usize = request.topic_partitions.iter().flatten().map(|t| t.partitions.len()).sum();
    Refused::above(ITEMS_PER_REQUEST_MAX, names + owned)?;
    // Clients of version 0 get their id from us (KIP-1082).
    let member = match request.member_id {
        "" if version == 0 && request.member_epoch == 0 => Uuid::new_v4().to_string(),
        member => member.to_owned(),
    };
    let ask = ConsumerHeartbeatAsk {
        group: request.group_id.to_owned(),
        member: member.clone(),
        epoch: request.member_epoch,
        instance: request.instance_id.map(str::to_owned),
        rack: request.rack_id.map(str::to_owned),
        rebalance: u64::try_from(request.rebalance_timeout_ms).ok().map(Duration::from_millis),
        names: request.subscribed_topic_names.as_ref().map(|list| list.iter().map(|n| (*n).into()).collect()),
        regex: request.subscribed_topic_regex.map(str::to_owned),
        assignor: request.server_assignor.map(str::to_owned),
        owned: request.topic_partitions.as_deref().map(partitions),
        client_id: call.header.client_id.unwrap_or_default().to_owned(),
        client_host: call.client_host(),
    };
    let answer = match group::ask(call.core, request.group_id, Ask::ConsumerHeartbeat(ask)).await {
        Ok(Answer::ConsumerHeartbeat(answer)) => answer,
        Ok(other) => unreachable!("a heartbeat is answered with {other:?}"),
        Err(error_code) => {
            call.answer(&Response { error_code, ..Response::default() });
            return Ok(());
        }
    };
    let response = match answer {
        Ok(answer) => Response {
            member_id: Some(Cow::Owned(answer.member)),
            member_epoch: answer.epoch,
            heartbeat_interval_ms: i32::try_from(answer.interval.as_millis()).unwrap_or(i32::MAX),
            assignment: answer
                .assignment
                .map(|parts| Assignment { topic_partitions: by_topic(&parts, topic_partitions) }),
            ..Response::default()
        },
        Err(refusal) => Response {
            error_code: group::of_group(refusal.error),
            error_message: Some(refusal.text).filter(|t| !t.is_empty()).map(Cow::Owned),
            ..Response::default()
        },
    };
    debug_assert!(response.error_code != ErrorCode::None || response.member_id.is_some());
    call.answer(&response);
    Ok(())
}

fn partitions(topics: &[TopicPartitions]) -> BTreeSet<PartitionKey> {
    let keys = |t: &TopicPartitions| {
        let topic = TopicId(t.topic_id);
        t.partitions.iter().map(move |&index| PartitionKey { topic, index }).collect::<Vec<_>>()
    };
    topics.iter().flat_map(keys).collect()
}

fn topic_partitions(topic: TopicId, partitions: Vec<i32>) -> TopicPartitions {
    TopicPartitions { topic_id: topic.0, partitions }
}

/// Partitions, topic by topic.
pub(super) fn by_topic<T>(
    parts: &BTreeSet<PartitionKey>,
    mut make: impl FnMut(TopicId, Vec<i32>) -> T,
) -> Vec<T> {
    let mut list = Vec::new();
    let mut keys = parts.iter().peekable();
    while let Some(first) = keys.next() {
        let mut partitions = vec![first.index];
        while let Some(more) = keys.next_if(|key| key.topic == first.topic) {
            partitions.push(more.index);
        }
        list.push(make(first.topic, partitions));
    }
    list
}
