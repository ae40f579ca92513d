//! AlterPartitionReassignments (45): to the broker where a partition is already, nothing moves; there
//! is no other broker, and no move to end.

use std::borrow::Cow;

use engine::metadata::Image;
use wire::ErrorCode;
use wire::alter_partition_reassignments::{PartitionResult, Request, Response, TopicResult};

use super::named;
use super::served::{Call, Refused};
use crate::shard::Catalog;

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.topics.iter().map(|t| t.partitions.len()))?;
    let catalog = call.core.catalog();
    let may_resize = request.allow_replication_factor_change;
    let topics = request.topics.iter().map(|topic| TopicResult {
        name: Cow::Borrowed(topic.name),
        partitions: topic
            .partitions
            .iter()
            .map(|p| {
                let judged =
                    judge(&catalog, topic.name, p.partition_index, p.replicas.as_deref(), may_resize);
                let (error_code, message) = judged.err().unzip();
                PartitionResult {
                    partition_index: p.partition_index,
                    error_code: error_code.unwrap_or_default(),
                    error_message: message.map(Cow::Owned),
                }
            })
            .collect(),
    });
    let response = Response {
        allow_replication_factor_change: may_resize,
        responses: topics.collect(),
        ..Response::default()
    };
    call.answer(&response);
    Ok(())
}

fn judge(
    catalog: &Catalog,
    topic: &str,
    index: i32,
    replicas: Option<&[i32]>,
    may_resize: bool,
) -> Result<(), (ErrorCode, String)> {
    let (_, state) = named::find(catalog, topic, index)
        .map_err(|code| (code, format!("there is no partition {index} of {topic:.249}")))?;
    let Some(wanted) = replicas else {
        return Err((ErrorCode::NoReassignmentInProgress, "no move is under way".to_owned()));
    };
    check_replicas(catalog.image(), wanted)
        .map_err(|message| (ErrorCode::InvalidReplicaAssignment, message))?;
    if !may_resize && wanted.len() != state.replicas.len() {
        let message = format!("{} replicas wanted, {} are there", wanted.len(), state.replicas.len());
        return Err((ErrorCode::InvalidReplicationFactor, message));
    }
    if wanted.iter().eq(state.replicas.iter().map(|node| &node.0)) {
        return Ok(());
    }
    Err((ErrorCode::InvalidReplicaAssignment, "replicas cannot be moved between brokers".to_owned()))
}

/// Whether these could be the replicas of a partition.
fn check_replicas(image: &Image, wanted: &[i32]) -> Result<(), String> {
    if wanted.is_empty() {
        return Err("the list of replicas is empty".to_owned());
    }
    for (at, &node) in wanted.iter().enumerate() {
        if image.broker(engine::base::NodeId(node)).is_none() {
            return Err(format!("there is no broker {node}"));
        }
        // Each is a broker that exists, and once: the list is no longer than those are many.
        if wanted[..at].contains(&node) {
            return Err(format!("broker {node} is named twice"));
        }
    }
    Ok(())
}
