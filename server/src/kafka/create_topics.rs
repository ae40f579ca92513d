//! CreateTopics (19).

use std::borrow::Cow;
use std::rc::Rc;

use engine::base::NodeId;
use engine::config::topic;
use engine::controller::{Context, CreateTopic, CreatedTopic, Refused as ItemRefused, create_topics};
use uuid::Uuid;
use wire::ErrorCode;
use wire::create_topics::{Request, Response, Topic, TopicConfigResult, TopicResult};

use super::errors;
use super::served::{Call, Refused};
use crate::limits::{ITEMS_PER_REQUEST_MAX, TOPICS_PER_REQUEST_MAX};
use crate::shard::{ControlError, Core};

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.topics.len())?;
    let wanted: Vec<CreateTopic> = request.topics.iter().map(wanted).collect();
    let names: Vec<String> = wanted.iter().map(|w| w.name.clone()).collect();
    let fails = |code: ErrorCode, message: &str| -> Vec<TopicResult<'static>> {
        names.iter().map(|name| failed(name.clone(), code, message.to_owned())).collect()
    };
    let topics = if wanted.len() > TOPICS_PER_REQUEST_MAX {
        let message = format!("more than {TOPICS_PER_REQUEST_MAX} topics in one request");
        fails(ErrorCode::PolicyViolation, &message)
    } else {
        match create(call.core, wanted, request.validate_only).await {
            Err(error) => {
                let (code, message) = errors::of_control(&error);
                fails(code, &message)
            }
            Ok(replies) => names
                .iter()
                .zip(replies)
                .map(|(name, reply)| match reply {
                    Ok(created) => result(call.core, created),
                    Err(refused) => failed(name.clone(), errors::of_refusal(&refused), refused.message),
                })
                .collect(),
        }
    };
    call.answer(&Response { topics, ..Response::default() });
    Ok(())
}

/// Creates topics, or says whether they could be.
pub(super) async fn create(
    core: &Rc<Core>,
    wanted: Vec<CreateTopic>,
    validate_only: bool,
) -> Result<Vec<Result<CreatedTopic, ItemRefused>>, ControlError> {
    let cores = core.node.cores;
    core.change(move |catalog| {
        let context = Context { image: catalog.image(), settings: catalog.broker(), cores };
        let decision = create_topics(context, &wanted, validate_only, Uuid::new_v4);
        (decision.records, decision.replies)
    })
    .await
}

fn wanted(topic: &Topic<'_>) -> CreateTopic {
    let nodes = |ids: &[i32]| ids.iter().map(|&id| NodeId(id)).collect();
    CreateTopic {
        name: topic.name.to_owned(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic.assignments.iter().map(|a| (a.partition_index, nodes(&a.broker_ids))).collect(),
        configs: topic.configs.iter().map(|c| (c.name.to_owned(), c.value.map(str::to_owned))).collect(),
    }
}

fn result(core: &Core, created: CreatedTopic) -> TopicResult<'static> {
    let described = topic::describe(&created.configs, core.catalog().broker());
    let configs = described.into_iter().map(|d| TopicConfigResult {
        name: Cow::Borrowed(d.name),
        value: d.value.map(Cow::Owned),
        read_only: d.read_only,
        config_source: d.source as i8,
        is_sensitive: d.sensitive,
    });
    TopicResult {
        name: Cow::Owned(created.name),
        topic_id: created.id.0,
        num_partitions: created.partitions,
        replication_factor: created.replication_factor,
        configs: Some(configs.collect()),
        ..TopicResult::default()
    }
}

fn failed(name: String, error_code: ErrorCode, message: String) -> TopicResult<'static> {
    TopicResult {
        name: Cow::Owned(name),
        error_code,
        error_message: Some(Cow::Owned(message)),
        ..TopicResult::default()
    }
}
