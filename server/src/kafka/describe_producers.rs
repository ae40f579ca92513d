//! DescribeProducers (61): the idempotent producers that partitions remember.

use std::borrow::Cow;
use std::rc::Rc;

use engine::broker::ProducerView;
use wire::ErrorCode;
use wire::describe_producers::{PartitionResult, ProducerState, Request, Response, TopicResult};

use super::errors;
use super::named;
use super::served::{Call, Refused};
use crate::limits::PRODUCERS_PER_ANSWER_MAX;
use crate::shard::{Catalog, Core};

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.topics.iter().map(|t| t.partition_indexes.len()))?;
    let core = call.core.clone();
    let catalog = core.catalog();
    let mut left = PRODUCERS_PER_ANSWER_MAX;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for &index in &topic.partition_indexes {
            partitions.push(describe(&core, &catalog, topic.name, index, &mut left).await);
        }
        topics.push(TopicResult { name: Cow::Borrowed(topic.name), partitions });
    }
    call.answer(&Response { topics, ..Response::default() });
    Ok(())
}

async fn describe(
    core: &Rc<Core>,
    catalog: &Catalog,
    topic: &str,
    index: i32,
    left: &mut usize,
) -> PartitionResult<'static> {
    let mut result = PartitionResult { partition_index: index, ..PartitionResult::default() };
    match named::find_led(core, catalog, topic, index) {
        Err(code) => result.error_code = code,
        Ok(_) if *left == 0 => {
            result.error_code = ErrorCode::InvalidRequest;
            result.error_message = Some("too many producers for one answer: ask for fewer partitions".into());
        }
        Ok((key, state)) => {
            let look = move |core: Rc<Core>| async move { core.shard.producers(key) };
            match core.call(core.node.core_of(state), look).await {
                Ok(producers) => {
                    *left = left.saturating_sub(producers.len());
                    result.active_producers = producers.iter().map(state_of).collect();
                }
                Err(error) => result.error_code = errors::of_fetch(&error),
            }
        }
    }
    result
}

fn state_of(producer: &ProducerView) -> ProducerState {
    ProducerState {
        producer_id: producer.id,
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.txn_first_offset.map_or(-1, |offset| offset.0),
    }
}
