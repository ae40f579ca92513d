//! DescribeTopicPartitions (75): partitions of many topics, page by page.

use std::borrow::Cow;
use std::rc::Rc;

use engine::controller::check_topic_name;
use wire::ErrorCode;
use wire::describe_topic_partitions::{Cursor, Partition, Request, Response, Topic};

use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;
use crate::shard::{TopicEntry, View};

/// Partitions of one page at most, as Kafka's default.
const PAGE_MAX: usize = 2000;

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.topics.len())?;
    let catalog = call.core.catalog();
    let mut names: Vec<&str> = if request.topics.is_empty() {
        catalog.topics().map(|e| e.topic.name.as_str()).collect()
    } else {
        request.topics.iter().map(|t| t.name).collect()
    };
    names.sort_unstable();
    names.dedup();
    let (first, mut from) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.as_ref(), usize::try_from(cursor.partition_index).unwrap_or(0)),
        None => ("", 0),
    };
    let mut left = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, PAGE_MAX);
    let mut response = Response::default();
    for name in names.into_iter().filter(|n| *n >= first) {
        if name != first {
            from = 0;
        }
        if left == 0 {
            response.next_cursor = Some(cursor(name, from));
            break;
        }
        let Some(entry) = catalog.topic(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let partitions = page(entry, call.view(), from, left);
        let next = from + partitions.len();
        left -= partitions.len();
        let ends_here = next >= entry.topic.partitions.len();
        response.topics.push(Topic {
            name: Some(Cow::Owned(name.to_owned())),
            topic_id: entry.topic.id.0,
            is_internal: entry.internal,
            partitions,
            ..Topic::default()
        });
        if !ends_here {
            response.next_cursor = Some(cursor(name, next));
            break;
        }
    }
    call.answer(&response);
    Ok(())
}

fn cursor(name: &str, partition: usize) -> Cursor<'static> {
    Cursor {
        topic_name: Cow::Owned(name.to_owned()),
        partition_index: i32::try_from(partition).unwrap_or(i32::MAX),
    }
}

fn unknown(name: &str) -> Topic<'static> {
    let error_code = match check_topic_name(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    Topic { error_code, name: Some(Cow::Owned(name.to_owned())), ..Topic::default() }
}

fn page(entry: &Rc<TopicEntry>, view: View<'_>, from: usize, most: usize) -> Vec<Partition> {
    let page = entry.topic.keyed().skip(from).take(most);
    page.map(|(key, state)| Partition {
        error_code: if state.leader.is_some() { ErrorCode::None } else { ErrorCode::LeaderNotAvailable },
        partition_index: key.index,
        leader_id: view.leader(state),
        leader_epoch: state.leader_epoch.0,
        replica_nodes: view.replicas(state, &state.replicas),
        isr_nodes: view.replicas(state, &state.isr),
        // None are kept, and Kafka says so with empty lists: the Java client does not look for null.
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..Partition::default()
    })
    .collect()
}
