//! OffsetCommit (8): answered when the offsets are on disk.

use std::borrow::Cow;

use engine::base::TopicId;
use engine::group::{Answer, Ask, CommitAsk, CommitOffset, MemberRef};
use wire::ErrorCode;
use wire::offset_commit::{PartitionResult, Request, Response, Topic, TopicResult};

use super::group;
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;
use crate::shard::Catalog;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    let items = request.topics.iter().map(|t| t.partitions.len()).sum();
    Refused::above(ITEMS_PER_REQUEST_MAX, items)?;
    let catalog = call.core.catalog();
    let mut offsets = Vec::with_capacity(items);
    // The verdict on each partition; `None` waits for the coordinator's.
    let mut verdicts: Vec<Option<ErrorCode>> = Vec::with_capacity(items);
    for topic in &request.topics {
        let (name, partitions, unknown) = resolve(&catalog, topic, version);
        for partition in &topic.partitions {
            let exists = usize::try_from(partition.partition_index).is_ok_and(|i| i < partitions);
            let Some(name) = name.filter(|_| exists) else {
                verdicts.push(Some(unknown));
                continue;
            };
            verdicts.push(None);
            offsets.push(CommitOffset {
                topic: name.to_owned(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.unwrap_or_default().to_owned(),
            });
        }
    }
    let who = MemberRef {
        group: request.group_id.to_owned(),
        generation: request.generation_id_or_member_epoch,
        member: request.member_id.to_owned(),
        instance: request.group_instance_id.map(str::to_owned),
    };
    let waiting = offsets.len();
    let codes: Vec<ErrorCode> = if waiting == 0 {
        Vec::new()
    } else {
        let ask = CommitAsk { who, knows_epochs: version >= 9, offsets };
        match group::ask(call.core, request.group_id, Ask::Commit(ask)).await {
            Ok(Answer::Commit(results)) => results.into_iter().map(group::code).collect(),
            Ok(other) => unreachable!("a commit is answered with {other:?}"),
            Err(code) => vec![code; waiting],
        }
    };
    let mut codes = codes.into_iter();
    let mut verdicts = verdicts.into_iter();
    let mut code =
        || verdicts.next().flatten().unwrap_or_else(|| codes.next().expect("a code for each offset"));
    let topics = request.topics.iter().map(|topic| TopicResult {
        name: Cow::Borrowed(topic.name),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|p| PartitionResult { partition_index: p.partition_index, error_code: code() })
            .collect(),
    });
    let topics = topics.collect();
    call.answer(&Response { topics, ..Response::default() });
    Ok(())
}

/// A topic's name and number of partitions, and what to say if there is none of that name or id.
fn resolve<'a>(catalog: &'a Catalog, topic: &Topic<'_>, version: i16) -> (Option<&'a str>, usize, ErrorCode) {
    let (entry, unknown) = if version >= 10 {
        (catalog.topic_by_id(TopicId(topic.topic_id)), ErrorCode::UnknownTopicId)
    } else {
        (catalog.topic(topic.name), ErrorCode::UnknownTopicOrPartition)
    };
    match entry {
        Some(entry) => {
            (Some(&entry.topic.name), entry.topic.partitions.len(), ErrorCode::UnknownTopicOrPartition)
        }
        None => (None, 0, unknown),
    }
}
