//! ElectLeaders (43): elects leaders of partitions (KIP-460).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// 0 preferred, 1 unclean.
        1.. => election_type: i8;
        /// Partitions by topic.
        0.. => topic_partitions: Option<Vec<Topic<'a>>> = Some(Vec::new());
        /// How long the client waits, in ms.
        0.. => timeout_ms: i32 = 60_000;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::ElectLeaders;
}

message! {
    /// A topic.
    pub struct Topic<'a> {
        /// Its name.
        0.. => topic: &'a str;
        /// The partitions.
        0.. => partitions: Vec<i32>;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// Zero, or what went wrong.
        1.. => error_code: ErrorCode;
        /// One result for each partition.
        0.. => replica_election_results: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::ElectLeaders;
}

message! {
    /// What became of a topic.
    pub struct TopicResult<'a> {
        /// Its name.
        0.. => topic: Cow<'a, str>;
        /// One result for each partition.
        0.. => partition_result: Vec<PartitionResult<'a>>;
    }
}

message! {
    /// What became of a partition.
    pub struct PartitionResult<'a> {
        /// Its number.
        0.. => partition_id: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
    }
}
