//! DeleteTopics (20).

use std::borrow::Cow;

use uuid::Uuid;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// Topics to delete.
    pub struct Request<'a> {
        /// The topics, by name or by id.
        6.. => topics: Vec<Topic<'a>>;
        /// The names of the topics.
        0..=5 => topic_names: Vec<&'a str>;
        /// How long the client waits, in ms.
        0.. => timeout_ms: i32;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::DeleteTopics;
}

message! {
    /// A topic to delete.
    pub struct Topic<'a> {
        /// Its name, null if asked by id.
        6.. => name: Option<&'a str>;
        /// Its id, zero if asked by name.
        6.. => topic_id: Uuid;
    }
}

message! {
    /// What became of the topics.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// One result for each topic of the request.
        0.. => responses: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DeleteTopics;
}

message! {
    /// What became of a topic.
    pub struct TopicResult<'a> {
        /// Its name, null if an unknown id was asked for.
        0.., null 6.. => name: Option<Cow<'a, str>> = Some(Cow::Borrowed(""));
        /// Its id.
        6.. => topic_id: Uuid;
        /// Whether it was deleted.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        5.. => error_message: Option<Cow<'a, str>>;
    }
}
