//! ListOffsets (2): offsets by time.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

/// A timestamp of a request that asks for the end: the high watermark, or the last stable offset for
/// read committed.
pub const LATEST: i64 = -1;
/// A timestamp of a request that asks for the log start.
pub const EARLIEST: i64 = -2;
/// A timestamp of a request that asks for the record with the largest timestamp (version 7 on).
pub const MAX_TIMESTAMP: i64 = -3;
/// A timestamp of a request that asks for the first offset on local disk (version 8 on).
pub const EARLIEST_LOCAL: i64 = -4;
/// A timestamp of a request that asks for the last offset in remote storage (version 9 on).
pub const LATEST_TIERED: i64 = -5;
/// A timestamp of a request that asks for the first offset that remote storage still lacks (version 11
/// on, KIP-1023).
pub const EARLIEST_PENDING_UPLOAD: i64 = -6;

message! {
    /// Asks for offsets.
    pub struct Request<'a> {
        /// Node id of a follower, -1 for a consumer.
        0.. => replica_id: i32;
        /// 0: read uncommitted, 1: read committed.
        2.. => isolation_level: i8;
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
        /// How long the client waits for remote storage, in ms.
        10.. => timeout_ms: i32;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::ListOffsets;
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
    /// A partition.
    pub struct Partition {
        /// Its number.
        0.. => partition_index: i32;
        /// The leader epoch that the client knows, -1 to skip the check.
        4.. => current_leader_epoch: i32 = -1;
        /// The time in ms, or one of the constants of this module.
        0.. => timestamp: i64;
    }
}

message! {
    /// The offsets found.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        2.. => throttle_time_ms: i32;
        /// The topics.
        0.. => topics: Vec<TopicResponse<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::ListOffsets;
}

message! {
    /// Offsets of a topic.
    pub struct TopicResponse<'a> {
        /// Its name.
        0.. => name: Cow<'a, str>;
        /// The partitions.
        0.. => partitions: Vec<PartitionResponse>;
    }
}

message! {
    /// The offset found in a partition. -1 everywhere, without an error, if no record is that late.
    pub struct PartitionResponse {
        /// Its number.
        0.. => partition_index: i32;
        /// Whether the search worked.
        0.. => error_code: ErrorCode;
        /// Time of the record found, in ms.
        1.. => timestamp: i64 = -1;
        /// Its offset.
        1.. => offset: i64 = -1;
        /// Its leader epoch.
        4.. => leader_epoch: i32 = -1;
    }
}
