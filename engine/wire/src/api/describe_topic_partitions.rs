//! DescribeTopicPartitions (75): Metadata in pages, with the eligible leaders (KIP-966).

use std::borrow::Cow;

use uuid::Uuid;

use super::metadata::OPERATIONS_NOT_ASKED;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// Asks for topics.
    pub struct Request<'a> {
        /// The topics; empty for all.
        0.. => topics: Vec<TopicRequest<'a>>;
        /// Most partitions in the response.
        0.. => response_partition_limit: i32 = 2000;
        /// Where to go on, null to start.
        0.. => cursor: Option<Cursor<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
}

message! {
    /// A topic.
    pub struct TopicRequest<'a> {
        /// Its name.
        0.. => name: &'a str;
    }
}

message! {
    /// The first partition of the next page.
    pub struct Cursor<'a> {
        /// Its topic.
        0.. => topic_name: Cow<'a, str>;
        /// Its number.
        0.. => partition_index: i32;
    }
}

nullable!(Cursor<'a>);

message! {
    /// A page of topics.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
        /// Where to go on, null at the end.
        0.. => next_cursor: Option<Cursor<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
}

message! {
    /// A topic.
    pub struct Topic<'a> {
        /// Whether it could be described.
        0.. => error_code: ErrorCode;
        /// Its name.
        0.. => name: Option<Cow<'a, str>> = Some(Cow::Borrowed(""));
        /// Its id.
        0.. => topic_id: Uuid;
        /// Whether it is one of the broker's own.
        0.. => is_internal: bool;
        /// Its partitions.
        0.. => partitions: Vec<Partition>;
        /// Bits of the operations allowed on the topic.
        0.. => topic_authorized_operations: i32 = OPERATIONS_NOT_ASKED;
    }
}

message! {
    /// A partition.
    pub struct Partition {
        /// Whether it has a leader.
        0.. => error_code: ErrorCode;
        /// Its number.
        0.. => partition_index: i32;
        /// Node id of the leader, -1 if there is none.
        0.. => leader_id: i32;
        /// Epoch of the leader, -1 if unknown.
        0.. => leader_epoch: i32 = -1;
        /// Node ids of all replicas.
        0.. => replica_nodes: Vec<i32>;
        /// Node ids of the in-sync replicas.
        0.. => isr_nodes: Vec<i32>;
        /// Node ids of further replicas that may lead; null if not kept.
        0.. => eligible_leader_replicas: Option<Vec<i32>>;
        /// Node ids of the last known eligible ones; null if not kept.
        0.. => last_known_elr: Option<Vec<i32>>;
        /// Node ids of the offline replicas.
        0.. => offline_replicas: Vec<i32>;
    }
}
