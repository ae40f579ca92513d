//! AlterPartitionReassignments (45): moves replicas between brokers (KIP-455).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// How long the client waits, in ms.
        0.. => timeout_ms: i32 = 60_000;
        /// Whether the number of replicas may change (KIP-860).
        1.. => allow_replication_factor_change: bool = true;
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::AlterPartitionReassignments;
}

message! {
    /// A topic.
    pub struct Topic<'a> {
        /// Its name.
        0.. => name: &'a str;
        /// The partitions.
        0.. => partitions: Vec<Partition>;
    }
}

message! {
    /// A partition and where it shall be; null ends a move.
    pub struct Partition {
        /// Its number.
        0.. => partition_index: i32;
        /// The replicas, the preferred leader first.
        0.. => replicas: Option<Vec<i32>>;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// Whether the number of replicas may change (KIP-860).
        1.. => allow_replication_factor_change: bool = true;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
        /// One result for each that was asked for.
        0.. => responses: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::AlterPartitionReassignments;
}

message! {
    /// What became of a topic.
    pub struct TopicResult<'a> {
        /// Its name.
        0.. => name: Cow<'a, str>;
        /// The partitions.
        0.. => partitions: Vec<PartitionResult<'a>>;
    }
}

message! {
    /// What became of a partition.
    pub struct PartitionResult<'a> {
        /// Its number.
        0.. => partition_index: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
    }
}
