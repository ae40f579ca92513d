//! DeleteRecords (21): moves the log start offset forward (KIP-107).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
        /// How long the client waits, in ms.
        0.. => timeout_ms: i32;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::DeleteRecords;
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
    /// A partition and its new start.
    pub struct Partition {
        /// Its number.
        0.. => partition_index: i32;
        /// Records below it go; -1: all below the high watermark.
        0.. => offset: i64;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// The topics.
        0.. => topics: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DeleteRecords;
}

message! {
    /// What became of a topic.
    pub struct TopicResult<'a> {
        /// Its name.
        0.. => name: Cow<'a, str>;
        /// The partitions.
        0.. => partitions: Vec<PartitionResult>;
    }
}

message! {
    /// What became of a partition.
    pub struct PartitionResult {
        /// Its number.
        0.. => partition_index: i32;
        /// The new log start offset, -1 on error.
        0.. => low_watermark: i64;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
    }
}
