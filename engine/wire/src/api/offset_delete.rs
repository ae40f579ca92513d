//! OffsetDelete (47): deletes committed offsets (KIP-496).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The group.
        0.. => group_id: &'a str;
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::OffsetDelete;
}

message! {
    /// Offsets of a topic.
    pub struct Topic<'a> {
        /// Its name.
        0.. => name: &'a str;
        /// The partitions.
        0.. => partitions: Vec<Partition>;
    }
}

message! {
    /// A partition.
    pub struct Partition {
        /// Its number.
        0.. => partition_index: i32;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// The topics.
        0.. => topics: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::OffsetDelete;
}

message! {
    /// What became of a topic's offsets.
    pub struct TopicResult<'a> {
        /// Its name.
        0.. => name: Cow<'a, str>;
        /// The partitions.
        0.. => partitions: Vec<PartitionResult>;
    }
}

message! {
    /// What became of a partition's offset.
    pub struct PartitionResult {
        /// Its number.
        0.. => partition_index: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
    }
}
