//! DescribeQuorum (55): the metadata quorum (KIP-836).

use std::borrow::Cow;

use uuid::Uuid;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
}

message! {
    /// A topic; only the metadata topic has an answer.
    pub struct Topic<'a> {
        /// Its name.
        0.. => topic_name: &'a str;
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
        /// Text to the error.
        2.. => error_message: Option<Cow<'a, str>>;
        /// The topics.
        0.. => topics: Vec<TopicResult<'a>>;
        /// The nodes.
        2.. => nodes: Vec<Node<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
}

message! {
    /// A topic.
    pub struct TopicResult<'a> {
        /// Its name.
        0.. => topic_name: Cow<'a, str>;
        /// The partitions.
        0.. => partitions: Vec<PartitionResult<'a>>;
    }
}

message! {
    /// A node of the quorum.
    pub struct Node<'a> {
        /// Its node id.
        2.. => node_id: i32;
        /// Its listeners.
        2.. => listeners: Vec<Listener<'a>>;
    }
}

message! {
    /// The quorum of a partition.
    pub struct PartitionResult<'a> {
        /// Its number.
        0.. => partition_index: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        2.. => error_message: Option<Cow<'a, str>>;
        /// The leader's node id.
        0.. => leader_id: i32;
        /// The leader epoch.
        0.. => leader_epoch: i32;
        /// The high watermark.
        0.. => high_watermark: i64;
        /// The voters.
        0.. => current_voters: Vec<ReplicaState>;
        /// The observers.
        0.. => observers: Vec<ReplicaState>;
    }
}

message! {
    /// An endpoint of a node.
    pub struct Listener<'a> {
        /// Its name.
        2.. => name: Cow<'a, str>;
        /// Its host.
        2.. => host: Cow<'a, str>;
        /// Its port.
        2.. => port: u16;
    }
}

message! {
    /// How far a replica is.
    pub struct ReplicaState {
        /// The broker; for a client -1 or -2.
        0.. => replica_id: i32;
        /// Its directory id.
        2.. => replica_directory_id: Uuid;
        /// Its log end offset.
        0.. => log_end_offset: i64;
        /// When it last fetched, in ms; -1 for the leader itself.
        1.. => last_fetch_timestamp: i64 = -1;
        /// When it was last level with the leader, in ms; -1 unknown.
        1.. => last_caught_up_timestamp: i64 = -1;
    }
}
