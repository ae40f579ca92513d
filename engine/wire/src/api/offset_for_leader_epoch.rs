//! OffsetForLeaderEpoch (23): where a leader epoch ended (KIP-101, 320).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The broker; for a client -1 or -2.
        3.. => replica_id: i32 = -2;
        /// The topics.
        2.. => topics: Vec<Topic<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
}

message! {
    /// A topic.
    pub struct Topic<'a> {
        /// Its name.
        2.. => topic: &'a str;
        /// The partitions.
        2.. => partitions: Vec<Partition>;
    }
}

message! {
    /// A partition and the epoch asked for.
    pub struct Partition {
        /// Its number.
        2.. => partition: i32;
        /// The epoch that the client believes current, -1 to skip the check.
        2.. => current_leader_epoch: i32 = -1;
        /// The leader epoch.
        2.. => leader_epoch: i32;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        2.. => throttle_time_ms: i32;
        /// The topics.
        2.. => topics: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
}

message! {
    /// Answers for a topic.
    pub struct TopicResult<'a> {
        /// Its name.
        2.. => topic: Cow<'a, str>;
        /// The partitions.
        2.. => partitions: Vec<EpochEndOffset>;
    }
}

message! {
    /// Where the largest epoch not above the one asked for ended.
    pub struct EpochEndOffset {
        /// Zero, or what went wrong.
        2.. => error_code: ErrorCode;
        /// Its number.
        2.. => partition: i32;
        /// The leader epoch.
        2.. => leader_epoch: i32 = -1;
        /// Where that epoch ended, -1 unknown.
        2.. => end_offset: i64 = -1;
    }
}
