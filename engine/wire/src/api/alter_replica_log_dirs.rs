//! AlterReplicaLogDirs (34): moves replicas between directories (KIP-113).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The directories.
        1.. => dirs: Vec<Dir<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::AlterReplicaLogDirs;
}

message! {
    /// A directory and what shall lie there.
    pub struct Dir<'a> {
        /// Its path.
        1.. => path: &'a str;
        /// The topics.
        1.. => topics: Vec<Topic<'a>>;
    }
}

message! {
    /// A topic.
    pub struct Topic<'a> {
        /// Its name.
        1.. => name: &'a str;
        /// The partitions.
        1.. => partitions: Vec<i32>;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// One result for each that was asked for.
        1.. => results: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::AlterReplicaLogDirs;
}

message! {
    /// What became of a topic.
    pub struct TopicResult<'a> {
        /// Its name.
        1.. => topic_name: Cow<'a, str>;
        /// The partitions.
        1.. => partitions: Vec<PartitionResult>;
    }
}

message! {
    /// What became of a partition.
    pub struct PartitionResult {
        /// Its number.
        1.. => partition_index: i32;
        /// Zero, or what went wrong.
        1.. => error_code: ErrorCode;
    }
}
