//! CreatePartitions (37).

use std::borrow::Cow;

use engine::base::NodeId;
use engine::controller::{Context, GrowTopic, grow_topics};
use wire::ErrorCode;
use wire::create_partitions::{Request, Response, Topic, TopicResult};

use super::errors::{self, Fault, told};
use super::served::{Call, Refused};
use crate::limits::{ITEMS_PER_REQUEST_MAX, TOPICS_PER_REQUEST_MAX};
use crate::shard::OFFSETS_TOPIC;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.topics.len())?;
    let wanted: Vec<GrowTopic> = request.topics.iter().map(wanted).collect();
    let outcomes: Vec<Result<(), Fault>> = if wanted.len() > TOPICS_PER_REQUEST_MAX {
        let message = format!("more than {TOPICS_PER_REQUEST_MAX} topics in one request");
        vec![Err((ErrorCode::PolicyViolation, message)); wanted.len()]
    } else {
        let (cores, validate_only, count) = (call.core.node.cores, request.validate_only, wanted.len());
        let change = call.core.change(move |catalog| {
            let context = Context { image: catalog.image(), settings: catalog.broker(), cores };
            let decision = grow_topics(context, &wanted, OFFSETS_TOPIC, validate_only);
            (decision.records, decision.replies)
        });
        match change.await {
            Ok(replies) => {
                replies.into_iter().map(|r| r.map_err(|e| (errors::of_refusal(&e), e.message))).collect()
            }
            Err(error) => vec![Err(errors::of_control(&error)); count],
        }
    };
    let results =
        request.topics.iter().zip(outcomes).map(|(topic, outcome)| result(topic, outcome)).collect();
    call.answer(&Response { results, ..Response::default() });
    Ok(())
}

fn wanted(topic: &Topic<'_>) -> GrowTopic {
    let nodes = |ids: &[i32]| ids.iter().map(|&id| NodeId(id)).collect();
    GrowTopic {
        name: topic.name.to_owned(),
        partitions: topic.count,
        assignments: topic.assignments.as_ref().map(|all| all.iter().map(|a| nodes(&a.broker_ids)).collect()),
    }
}

fn result<'a>(topic: &Topic<'a>, outcome: Result<(), Fault>) -> TopicResult<'a> {
    let (error_code, error_message) = told(outcome);
    TopicResult { name: Cow::Borrowed(topic.name), error_code, error_message }
}
