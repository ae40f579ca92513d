//! OffsetForLeaderEpoch (23): where a leader epoch ended, so that a consumer sees a truncation instead
//! of reading on as if nothing had happened (KIP-320).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use engine::base::{CoreId, LeaderEpoch, PartitionKey};
use wire::offset_for_leader_epoch::{EpochEndOffset, Request, Response, TopicResult};

use super::errors;
use super::fetch_plan::check_epoch;
use super::named;
use super::served::{Call, Refused};
use crate::shard::Core;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.topics.iter().map(|t| t.partitions.len()))?;
    if request.replica_id >= 0 {
        return Err(Refused::Replica);
    }
    let core = call.core.clone();
    let catalog = core.catalog();
    let mut results = Vec::new();
    // What is asked of each core, with the place of its answer.
    let mut asked: BTreeMap<CoreId, Vec<(usize, PartitionKey, LeaderEpoch)>> = BTreeMap::new();
    for topic in &request.topics {
        for want in &topic.partitions {
            let found = named::find_led(&core, &catalog, topic.topic, want.partition).and_then(|found| {
                match check_epoch(want.current_leader_epoch, found.1.leader_epoch.0) {
                    Some(code) => Err(code),
                    None => Ok(found),
                }
            });
            let mut result = EpochEndOffset { partition: want.partition, ..EpochEndOffset::default() };
            match found {
                Ok((key, state)) => asked.entry(core.node.core_of(state)).or_default().push((
                    results.len(),
                    key,
                    LeaderEpoch(want.leader_epoch),
                )),
                Err(code) => result.error_code = code,
            }
            results.push(result);
        }
    }
    for (at, wants) in asked {
        let look = move |core: Rc<Core>| async move {
            let look = |(index, key, epoch)| (index, core.shard.epoch_end(key, epoch));
            wants.into_iter().map(look).collect::<Vec<_>>()
        };
        for (index, end) in core.call(at, look).await {
            match end {
                Ok(Some(end)) => {
                    results[index].leader_epoch = end.epoch.0;
                    results[index].end_offset = end.end.0;
                }
                // Newer than the leader's: nothing is known, which is no error.
                Ok(None) => {}
                Err(error) => results[index].error_code = errors::of_fetch(&error),
            }
        }
    }
    let mut results = results.into_iter();
    let topics = request.topics.iter().map(|topic| TopicResult {
        topic: Cow::Borrowed(topic.topic),
        partitions: results.by_ref().take(topic.partitions.len()).collect(),
    });
    call.answer(&Response { topics: topics.collect(), ..Response::default() });
    Ok(())
}
