//! ListPartitionReassignments (46): moves under way (KIP-455).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// How long the client waits, in ms.
        0.. => timeout_ms: i32 = 60_000;
        /// The topics.
        0.. => topics: Option<Vec<Topic<'a>>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
}

message! {
    /// A topic.
    pub struct Topic<'a> {
        /// Its name.
        0.. => name: &'a str;
        /// Numbers of the partitions.
        0.. => partition_indexes: Vec<i32>;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
        /// The topics.
        0.. => topics: Vec<OngoingTopic<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
}

message! {
    /// Moves of a topic.
    pub struct OngoingTopic<'a> {
        /// Its name.
        0.. => name: Cow<'a, str>;
        /// The partitions.
        0.. => partitions: Vec<OngoingPartition>;
    }
}

message! {
    /// A move.
    pub struct OngoingPartition {
        /// Its number.
        0.. => partition_index: i32;
        /// The replicas, the preferred leader first.
        0.. => replicas: Vec<i32>;
        /// Replicas being added.
        0.. => adding_replicas: Vec<i32>;
        /// Replicas being removed.
        0.. => removing_replicas: Vec<i32>;
    }
}
