//! Deleting topics.

use std::collections::BTreeSet;

use super::{Context, Decision, Refused, Why};
use crate::base::TopicId;
use crate::metadata::MetadataRecord;

/// A topic that a client wants gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeleteTopic {
    /// By its name.
    Name(String),
    /// By its identity.
    Id(TopicId),
}

/// A topic that was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedTopic {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: TopicId,
}

/// Decides on deletions, each by itself.
#[must_use]
pub fn delete_topics(cx: Context<'_>, requests: &[DeleteTopic]) -> Decision<DeletedTopic> {
    let mut records = Vec::new();
    let mut gone = BTreeSet::new();
    let replies = requests
        .iter()
        .map(|request| {
            if !cx.settings.delete_topics {
                let message = "deleting topics is disabled (delete.topic.enable=false)";
                return Err(Refused::new(Why::TopicDeletionDisabled, message));
            }
            let found = match request {
                DeleteTopic::Name(name) => cx.image.topic(name).ok_or_else(|| {
                    Refused::new(Why::UnknownTopicOrPartition, format!("no topic {name:.249}"))
                }),
                DeleteTopic::Id(id) => cx
                    .image
                    .topic_by_id(*id)
                    .ok_or_else(|| Refused::new(Why::UnknownTopicId, format!("no topic with id {id}"))),
            };
            let topic = found?;
            if !gone.insert(topic.id) {
                return Err(Refused::new(Why::InvalidRequest, "the topic is named twice in this request"));
            }
            records.push(MetadataRecord::TopicDeleted { id: topic.id });
            Ok(DeletedTopic { name: topic.name.clone(), id: topic.id })
        })
        .collect();
    Decision { records, replies }
}
