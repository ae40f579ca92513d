//! CreatePartitions (37): adds partitions to topics (KIP-195).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
        /// How long the client waits, in ms.
        0.. => timeout_ms: i32;
        /// Check only, change nothing.
        0.. => validate_only: bool;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::CreatePartitions;
}

message! {
    /// A topic to grow.
    pub struct Topic<'a> {
        /// Its name.
        0.. => name: &'a str;
        /// Partitions in all, not how many more.
        0.. => count: i32;
        /// The assignments.
        0.. => assignments: Option<Vec<Assignment>> = Some(Vec::new());
    }
}

message! {
    /// Replicas of a new partition, placed by hand.
    pub struct Assignment {
        /// Node ids, the preferred leader first.
        0.. => broker_ids: Vec<i32>;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// One result for each that was asked for.
        0.. => results: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::CreatePartitions;
}

message! {
    /// What became of a topic.
    pub struct TopicResult<'a> {
        /// Its name.
        0.. => name: Cow<'a, str>;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
    }
}
