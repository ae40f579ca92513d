//! DeleteTopics (20).

use std::borrow::Cow;

use engine::base::TopicId;
use engine::controller::{Context, DeleteTopic, delete_topics};
use wire::ErrorCode;
use wire::delete_topics::{Request, Response, TopicResult};

use super::errors;
use super::served::{Call, Refused};
use crate::limits::{ITEMS_PER_REQUEST_MAX, TOPICS_PER_REQUEST_MAX};

/// The first version whose topics may be named by id.
const VERSION_WITH_IDS: i16 = 6;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.topics.len().max(request.topic_names.len()))?;
    let wanted: Vec<DeleteTopic> = if version >= VERSION_WITH_IDS {
        let by = |t: &wire::delete_topics::Topic<'_>| match t.name {
            Some(name) => DeleteTopic::Name(name.to_owned()),
            None => DeleteTopic::Id(TopicId(t.topic_id)),
        };
        request.topics.iter().map(by).collect()
    } else {
        request.topic_names.iter().map(|n| DeleteTopic::Name((*n).to_owned())).collect()
    };
    let asked = wanted.clone();
    let replies = if wanted.len() > TOPICS_PER_REQUEST_MAX {
        Err((ErrorCode::PolicyViolation, format!("more than {TOPICS_PER_REQUEST_MAX} topics in one request")))
    } else {
        let cores = call.core.node.cores;
        let change = call.core.change(move |catalog| {
            let context = Context { image: catalog.image(), settings: catalog.broker(), cores };
            let decision = delete_topics(context, &wanted);
            (decision.records, decision.replies)
        });
        change.await.map_err(|error| errors::of_control(&error))
    };
    let responses = match replies {
        Err((code, message)) => asked.iter().map(|a| failed(a, code, message.clone())).collect(),
        Ok(replies) => asked
            .iter()
            .zip(replies)
            .map(|(asked, reply)| match reply {
                Ok(deleted) => TopicResult {
                    name: Some(Cow::Owned(deleted.name)),
                    topic_id: deleted.id.0,
                    ..TopicResult::default()
                },
                Err(refused) => failed(asked, errors::of_refusal(&refused), refused.message),
            })
            .collect(),
    };
    call.answer(&Response { responses, ..Response::default() });
    Ok(())
}

fn failed(asked: &DeleteTopic, error_code: ErrorCode, message: String) -> TopicResult<'static> {
    let (name, topic_id) = match asked {
        DeleteTopic::Name(name) => (Some(Cow::Owned(name.clone())), TopicId::ZERO),
        DeleteTopic::Id(id) => (None, *id),
    };
    TopicResult { name, topic_id: topic_id.0, error_code, error_message: Some(Cow::Owned(message)) }
}
