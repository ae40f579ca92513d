//! OffsetCommit (8): how far a group has read.

use std::borrow::Cow;

use uuid::Uuid;

use crate::{ApiKey, ErrorCode, Message};

/// The newest version that names topics; later ones want ids.
pub const NEWEST_BY_NAME: i16 = 9;

message! {
    /// The request.
    pub struct Request<'a> {
        /// The group.
        2.. => group_id: &'a str;
        /// Generation of the classic protocol, member epoch of the new one, -1 from outside a group.
        2.. => generation_id_or_member_epoch: i32 = -1;
        /// The member; empty if it has no id yet.
        2.. => member_id: &'a str;
        /// The static member that it is (KIP-345), null for a dynamic one.
        7.. => group_instance_id: Option<&'a str>;
        /// How long to keep the offsets, in ms; -1: as the broker says.
        2..=4 => retention_time_ms: i64 = -1;
        /// The topics.
        2.. => topics: Vec<Topic<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::OffsetCommit;
}

message! {
    /// Offsets of a topic.
    pub struct Topic<'a> {
        /// Its name.
        2..=9 => name: &'a str;
        /// Its id.
        10.. => topic_id: Uuid;
        /// The partitions.
        2.. => partitions: Vec<Partition<'a>>;
    }
}

message! {
    /// The offset of a partition.
    pub struct Partition<'a> {
        /// Its number.
        2.. => partition_index: i32;
        /// The offset of the next record to read; -1: none.
        2.. => committed_offset: i64;
        /// Leader epoch of the last record read; -1: unknown.
        6.. => committed_leader_epoch: i32 = -1;
        /// Text of the client beside the offset.
        2.. => committed_metadata: Option<&'a str> = Some("");
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        3.. => throttle_time_ms: i32;
        /// The topics.
        2.. => topics: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::OffsetCommit;
}

message! {
    /// What became of a topic's offsets.
    pub struct TopicResult<'a> {
        /// Its name.
        2..=9 => name: Cow<'a, str>;
        /// Its id.
        10.. => topic_id: Uuid;
        /// The partitions.
        2.. => partitions: Vec<PartitionResult>;
    }
}

message! {
    /// What became of a partition's offset.
    pub struct PartitionResult {
        /// Its number.
        2.. => partition_index: i32;
        /// Zero, or what went wrong.
        2.. => error_code: ErrorCode;
    }
}
