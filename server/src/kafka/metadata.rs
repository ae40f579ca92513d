//! Metadata (3): brokers, topics, leaders. Names of topics that do not exist may create them.

use std::borrow::Cow;
use std::rc::Rc;

use engine::base::TopicId;
use engine::controller::{CreateTopic, check_topic_name};
use wire::ErrorCode;
use wire::metadata::{Broker, Partition, Request, RequestTopic, Response, Topic};

use super::create_topics::create;
use super::errors;
use super::served::{Call, Refused};
use crate::limits::{ITEMS_PER_REQUEST_MAX, TOPICS_PER_REQUEST_MAX};
use crate::shard::{Catalog, Core, OFFSETS_TOPIC, TopicEntry, View};

/// The first version in which topics may be asked for by id.
const VERSION_WITH_IDS: i16 = 12;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    let named = match &request.topics {
        Some(topics) if version == 0 && topics.is_empty() => None,
        Some(topics) => Some(topics.as_slice()),
        None => None,
    };
    Refused::above(ITEMS_PER_REQUEST_MAX, named.map_or(0, <[_]>::len))?;
    if version < VERSION_WITH_IDS
        && named.is_some_and(|n| n.iter().any(|t| t.name.is_none() || !t.topic_id.is_nil()))
    {
        return Err(wire::DecodeError::Null { at: 0 }.into());
    }
    if let Some(named) = named {
        create_missing(call.core, &request, named).await;
    }
    let catalog = call.core.catalog();
    let view = call.view();
    let topics = match named {
        None => {
            let mut all: Vec<&Rc<TopicEntry>> = catalog.topics().collect();
            all.sort_by(|a, b| a.topic.name.cmp(&b.topic.name));
            all.into_iter().map(|entry| found(entry, view)).collect()
        }
        Some(named) => named.iter().map(|asked| look_up(&catalog, asked, view)).collect(),
    };
    let response = Response {
        brokers: view
            .nodes(catalog.image())
            .into_iter()
            .map(|b| Broker {
                node_id: b.id,
                host: b.host.into(),
                port: b.port.into(),
                rack: b.rack.map(Cow::Owned),
            })
            .collect(),
        cluster_id: Some(Cow::Owned(call.core.node.cluster_name())),
        controller_id: view.controller(),
        topics,
        ..Response::default()
    };
    call.answer(&response);
    Ok(())
}

/// Creates what may be created of the topics that are asked for by name and not there. What cannot be
/// is answered like any other topic that does not exist.
async fn create_missing(core: &Rc<Core>, request: &Request<'_>, named: &[RequestTopic<'_>]) {
    let catalog = core.catalog();
    if !request.allow_auto_topic_creation || !catalog.broker().auto_create_topics {
        return;
    }
    let mut missing: Vec<CreateTopic> = Vec::new();
    for name in named.iter().filter_map(|t| t.name) {
        let wanted = name != OFFSETS_TOPIC
            && catalog.topic(name).is_none()
            && check_topic_name(name).is_ok()
            && missing.len() < TOPICS_PER_REQUEST_MAX
            && !missing.iter().any(|m| m.name == name);
        if wanted {
            missing.push(CreateTopic::with_defaults(name));
        }
    }
    if missing.is_empty() {
        return;
    }
    match create(core, missing, false).await {
        Ok(replies) => {
            for refused in replies.into_iter().filter_map(Result::err) {
                tracing::debug!(%refused, "a topic was not created on first use");
            }
        }
        Err(error) => {
            errors::of_control(&error);
        }
    }
}

fn look_up(catalog: &Catalog, asked: &RequestTopic<'_>, view: View<'_>) -> Topic<'static> {
    let (entry, unknown) = match asked.name {
        Some(name) => {
            let unknown = match check_topic_name(name) {
                Ok(()) => ErrorCode::UnknownTopicOrPartition,
                Err(_) => ErrorCode::InvalidTopicException,
            };
            (catalog.topic(name), unknown)
        }
        None => (catalog.topic_by_id(TopicId(asked.topic_id)), ErrorCode::UnknownTopicId),
    };
    match entry {
        Some(entry) => found(entry, view),
        None => Topic {
            error_code: unknown,
            name: asked.name.map(|n| Cow::Owned(n.to_owned())),
            topic_id: asked.topic_id,
            ..Topic::default()
        },
    }
}

fn found(entry: &TopicEntry, view: View<'_>) -> Topic<'static> {
    let partitions = entry.topic.keyed().map(|(key, state)| Partition {
        partition_index: key.index,
        error_code: if state.leader.is_some() { ErrorCode::None } else { ErrorCode::LeaderNotAvailable },
        leader_id: view.leader(state),
        leader_epoch: state.leader_epoch.0,
        replica_nodes: view.replicas(state, &state.replicas),
        isr_nodes: view.replicas(state, &state.isr),
        ..Partition::default()
    });
    Topic {
        name: Some(Cow::Owned(entry.topic.name.clone())),
        topic_id: entry.topic.id.0,
        is_internal: entry.internal,
        partitions: partitions.collect(),
        ..Topic::default()
    }
}
