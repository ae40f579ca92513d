//! OffsetFetch (9): what a group has committed.

use std::borrow::Cow;

use uuid::Uuid;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The group.
        1..=7 => group_id: &'a str;
        /// The topics.
        1..=7, null 2.. => topics: Option<Vec<Topic<'a>>> = Some(Vec::new());
        /// The groups.
        8.. => groups: Vec<Group<'a>>;
        /// Wait for open transactions to decide (KIP-447).
        7.. => require_stable: bool;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::OffsetFetch;
}

message! {
    /// A topic, up to version 7.
    pub struct Topic<'a> {
        /// Its name.
        1..=7 => name: &'a str;
        /// Numbers of the partitions.
        1..=7 => partition_indexes: Vec<i32>;
    }
}

message! {
    /// A group and what is asked of it.
    pub struct Group<'a> {
        /// The group.
        8.. => group_id: &'a str;
        /// The member; empty if it has no id yet.
        9.. => member_id: Option<&'a str>;
        /// The member epoch: 0 joins, -1 leaves, -2 leaves for a while (static).
        9.. => member_epoch: i32 = -1;
        /// The topics.
        8.. => topics: Option<Vec<GroupTopic<'a>>> = Some(Vec::new());
    }
}

message! {
    /// A topic of a group, from version 8.
    pub struct GroupTopic<'a> {
        /// Its name.
        8..=9 => name: &'a str;
        /// Its id.
        10.. => topic_id: Uuid;
        /// Numbers of the partitions.
        8.. => partition_indexes: Vec<i32>;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        3.. => throttle_time_ms: i32;
        /// The topics.
        1..=7 => topics: Vec<TopicOffsets<'a>>;
        /// Zero, or what went wrong.
        2..=7 => error_code: ErrorCode;
        /// The groups.
        8.. => groups: Vec<GroupResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::OffsetFetch;
}

message! {
    /// Offsets of a topic, up to version 7.
    pub struct TopicOffsets<'a> {
        /// Its name.
        1..=7 => name: Cow<'a, str>;
        /// The partitions.
        1..=7 => partitions: Vec<PartitionOffset<'a>>;
    }
}

message! {
    /// The offsets of a group.
    pub struct GroupResult<'a> {
        /// The group.
        8.. => group_id: Cow<'a, str>;
        /// The topics.
        8.. => topics: Vec<GroupTopicOffsets<'a>>;
        /// Zero, or what went wrong.
        8.. => error_code: ErrorCode;
    }
}

message! {
    /// The offset of a partition, up to version 7.
    pub struct PartitionOffset<'a> {
        /// Its number.
        1..=7 => partition_index: i32;
        /// The offset of the next record to read; -1: none.
        1..=7 => committed_offset: i64;
        /// Leader epoch of the last record read; -1: unknown.
        5..=7 => committed_leader_epoch: i32 = -1;
        /// Opaque bytes or text of the member.
        1..=7 => metadata: Option<Cow<'a, str>> = Some(Cow::Borrowed(""));
        /// Zero, or what went wrong.
        1..=7 => error_code: ErrorCode;
    }
}

message! {
    /// Offsets of a topic, from version 8.
    pub struct GroupTopicOffsets<'a> {
        /// Its name.
        8..=9 => name: Cow<'a, str>;
        /// Its id.
        10.. => topic_id: Uuid;
        /// The partitions.
        8.. => partitions: Vec<GroupPartitionOffset<'a>>;
    }
}

message! {
    /// The offset of a partition, from version 8.
    pub struct GroupPartitionOffset<'a> {
        /// Its number.
        8.. => partition_index: i32;
        /// The offset of the next record to read; -1: none.
        8.. => committed_offset: i64;
        /// Leader epoch of the last record read; -1: unknown.
        8.. => committed_leader_epoch: i32 = -1;
        /// Opaque bytes or text of the member.
        8.. => metadata: Option<Cow<'a, str>> = Some(Cow::Borrowed(""));
        /// Zero, or what went wrong.
        8.. => error_code: ErrorCode;
    }
}
