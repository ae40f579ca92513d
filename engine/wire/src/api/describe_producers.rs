//! DescribeProducers (61): producers that a partition remembers (KIP-664).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::DescribeProducers;
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
        /// The topics.
        0.. => topics: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DescribeProducers;
}

message! {
    /// Producers of a topic.
    pub struct TopicResult<'a> {
        /// Its name.
        0.. => name: Cow<'a, str>;
        /// The partitions.
        0.. => partitions: Vec<PartitionResult<'a>>;
    }
}

message! {
    /// Producers of a partition.
    pub struct PartitionResult<'a> {
        /// Its number.
        0.. => partition_index: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
        /// The producers.
        0.. => active_producers: Vec<ProducerState>;
    }
}

message! {
    /// What a partition remembers of a producer.
    pub struct ProducerState {
        /// Its id.
        0.. => producer_id: i64;
        /// Its epoch.
        0.. => producer_epoch: i32;
        /// Its last sequence number, -1 none.
        0.. => last_sequence: i32 = -1;
        /// When it last wrote, in ms; -1 unknown.
        0.. => last_timestamp: i64 = -1;
        /// Epoch of its transaction coordinator, -1 unknown.
        0.. => coordinator_epoch: i32;
        /// First offset of its open transaction, -1 none.
        0.. => current_txn_start_offset: i64 = -1;
    }
}
