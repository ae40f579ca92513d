//! DeleteRecords (21): raises log starts. Answered once the new ones are durable.

use std::borrow::Cow;
use std::collections::BTreeMap;

use engine::base::{CoreId, Offset};
use engine::broker::DeleteRecords;
use wire::ErrorCode;
use wire::delete_records::{Partition, PartitionResult, Request, Response, Topic, TopicResult};

use super::errors;
use super::named;
use super::served::{Call, Refused};
use crate::shard::{Catalog, Core};

/// Everything below the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// Partitions of one core, and where their answers stand: topic and partition.
type Asked = (Vec<DeleteRecords>, Vec<(usize, usize)>);

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.topics.iter().map(|t| t.partitions.len()))?;
    let catalog = call.core.catalog();
    let mut topics: Vec<TopicResult<'_>> = Vec::with_capacity(request.topics.len());
    let mut per_core: BTreeMap<CoreId, Asked> = BTreeMap::new();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let error = match look_up(call.core, &catalog, topic, asked) {
                Ok((core, wanted)) => {
                    let (wants, places) = per_core.entry(core).or_default();
                    wants.push(wanted);
                    places.push((topics.len(), partitions.len()));
                    ErrorCode::None
                }
                Err(code) => code,
            };
            partitions.push(failed(asked.partition_index, error));
        }
        topics.push(TopicResult { name: Cow::Borrowed(topic.name), partitions });
    }
    for (core, (wants, places)) in per_core {
        let outcomes =
            call.core.call(core, move |core| async move { core.shard.delete_records(&wants).await }).await;
        for ((topic, partition), outcome) in places.into_iter().zip(outcomes) {
            let result = &mut topics[topic].partitions[partition];
            match outcome {
                Ok(log_start) => result.low_watermark = log_start.0,
                Err(error) => result.error_code = errors::of_delete_records(&error),
            }
        }
    }
    call.answer(&Response { topics, ..Response::default() });
    Ok(())
}

fn look_up(
    core: &Core,
    catalog: &Catalog,
    topic: &Topic<'_>,
    asked: &Partition,
) -> Result<(CoreId, DeleteRecords), ErrorCode> {
    if catalog.topic(topic.name).is_some_and(|entry| entry.internal) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let (key, state) = named::find_led(core, catalog, topic.name, asked.partition_index)?;
    if catalog.topic(topic.name).is_some_and(|entry| !entry.settings.cleanup.deletes()) {
        return Err(ErrorCode::PolicyViolation);
    }
    let before = (asked.offset != HIGH_WATERMARK).then_some(Offset(asked.offset));
    Ok((core.node.core_of(state), DeleteRecords { key, before }))
}

fn failed(partition_index: i32, error_code: ErrorCode) -> PartitionResult {
    PartitionResult { partition_index, low_watermark: -1, error_code }
}
