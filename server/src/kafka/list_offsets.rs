//! ListOffsets (2): the ends of a log, its largest timestamp, the first record at or after a time.

use std::borrow::Cow;
use std::rc::Rc;

use engine::base::PartitionKey;
use engine::broker::{FetchError, TimedOffset};
use wire::ErrorCode;
use wire::list_offsets::{
    EARLIEST, EARLIEST_LOCAL, EARLIEST_PENDING_UPLOAD, LATEST, LATEST_TIERED, MAX_TIMESTAMP, Partition,
    PartitionResponse, Request, Response, Topic, TopicResponse,
};

use super::errors;
use super::fetch_plan::check_epoch;
use super::served::{Call, Refused};
use crate::shard::{Catalog, Core};

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    if request.replica_id >= 0 {
        return Err(Refused::Replica);
    }
    let catalog = call.core.catalog();
    let committed = request.isolation_level == 1;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            partitions.push(offset(call.core, &catalog, version, topic, asked, committed).await);
        }
        topics.push(TopicResponse { name: Cow::Borrowed(topic.name), partitions });
    }
    call.answer(&Response { topics, ..Response::default() });
    Ok(())
}

async fn offset(
    core: &Rc<Core>,
    catalog: &Catalog,
    version: i16,
    topic: &Topic<'_>,
    asked: &Partition,
    committed: bool,
) -> PartitionResponse {
    let index = asked.partition_index;
    let failed = |error_code| PartitionResponse { partition_index: index, error_code, ..Default::default() };
    let entry = catalog.topic(topic.name);
    let found = entry.and_then(|e| Some((e, e.topic.partitions.get(usize::try_from(index).ok()?)?)));
    let Some((entry, state)) = found else { return failed(ErrorCode::UnknownTopicOrPartition) };
    if state.leader != Some(core.node.id) {
        return failed(ErrorCode::NotLeaderOrFollower);
    }
    if let Some(code) = check_epoch(asked.current_leader_epoch, state.leader_epoch.0) {
        return failed(code);
    }
    if !is_known(asked.timestamp, version) {
        return failed(ErrorCode::UnsupportedVersion);
    }
    let key = PartitionKey { topic: entry.topic.id, index };
    let time = asked.timestamp;
    let look = move |core: Rc<Core>| async move { look_up(&core, key, time, committed).await };
    match core.call(core.node.core_of(state), look).await {
        Ok(Some(found)) => PartitionResponse {
            partition_index: index,
            timestamp: found.timestamp,
            offset: found.offset.0,
            leader_epoch: found.leader_epoch.0,
            ..Default::default()
        },
        Ok(None) => failed(ErrorCode::None),
        Err(error) => failed(errors::of_fetch(&error)),
    }
}

/// Whether a timestamp is one, or a special value of that version.
fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        LATEST | EARLIEST => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        EARLIEST_PENDING_UPLOAD => version >= 11,
        time => time >= 0,
    }
}

async fn look_up(
    core: &Core,
    key: PartitionKey,
    time: i64,
    committed: bool,
) -> Result<Option<TimedOffset>, FetchError> {
    let bounds = core.shard.bounds(key)?;
    let at = |offset| Ok(Some(TimedOffset { offset, timestamp: -1, leader_epoch: bounds.leader_epoch }));
    match time {
        LATEST if committed => at(bounds.last_stable),
        LATEST => at(bounds.high_watermark),
        EARLIEST | EARLIEST_LOCAL => {
            let leader_epoch = core.shard.epoch_at(key, bounds.log_start).unwrap_or(bounds.leader_epoch);
            Ok(Some(TimedOffset { offset: bounds.log_start, timestamp: -1, leader_epoch }))
        }
        // Nothing is tiered, and nothing waits to be.
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(None),
        MAX_TIMESTAMP => core.shard.max_timestamp(key).await,
        time => core.shard.offset_for_time(key, time).await,
    }
}
