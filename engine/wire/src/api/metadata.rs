//! Metadata (3): brokers, topics, partitions and their leaders.

use std::borrow::Cow;

use uuid::Uuid;

use crate::{ApiKey, ErrorCode, Message};

/// The value of an authorized-operations field that was not asked for.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

message! {
    /// Asks for topics.
    pub struct Request<'a> {
        /// The topics; null asks for all, an empty list for none (in version 0 for all).
        0.., null 1.. => topics: Option<Vec<RequestTopic<'a>>> = Some(Vec::new());
        /// Whether a missing topic may be created. Below version 4 it may.
        4.. => allow_auto_topic_creation: bool = true;
        /// Whether the operations allowed on the cluster are wanted.
        8..=10 => include_cluster_authorized_operations: bool;
        /// Whether the operations allowed on each topic are wanted.
        8.. => include_topic_authorized_operations: bool;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::Metadata;
}

message! {
    /// A topic by name or by id.
    pub struct RequestTopic<'a> {
        /// Its id, zero if asked by name. Not to be used below version 12.
        10.. => topic_id: Uuid;
        /// Its name, null if asked by id.
        0.., null 10.. => name: Option<&'a str> = Some("");
    }
}

message! {
    /// The cluster as the broker sees it.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        3.. => throttle_time_ms: i32;
        /// Every broker that is named below, and the others.
        0.. => brokers: Vec<Broker<'a>>;
        /// Cluster id.
        2.. => cluster_id: Option<Cow<'a, str>>;
        /// Node id of the controller, -1 if unknown.
        1.. => controller_id: i32 = -1;
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
        /// Bits of the operations allowed on the cluster.
        8..=10 => cluster_authorized_operations: i32 = OPERATIONS_NOT_ASKED;
        /// An error of the whole request, as that the client must bootstrap anew (KIP-1102).
        13.. => error_code: ErrorCode;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::Metadata;
}

message! {
    /// A broker.
    pub struct Broker<'a> {
        /// Node id.
        0.. => node_id: i32;
        /// Host of the listener that the request came through.
        0.. => host: Cow<'a, str>;
        /// Its port.
        0.. => port: i32;
        /// Rack, if it has one.
        1.. => rack: Option<Cow<'a, str>>;
    }
}

message! {
    /// A topic.
    pub struct Topic<'a> {
        /// Whether the topic could be described.
        0.. => error_code: ErrorCode;
        /// Its name, null if an unknown id was asked for.
        0.., null 12.. => name: Option<Cow<'a, str>> = Some(Cow::Borrowed(""));
        /// Its id.
        10.. => topic_id: Uuid;
        /// Whether it is one of the broker's own.
        1.. => is_internal: bool;
        /// Its partitions.
        0.. => partitions: Vec<Partition>;
        /// Bits of the operations allowed on the topic.
        8.. => topic_authorized_operations: i32 = OPERATIONS_NOT_ASKED;
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
        7.. => leader_epoch: i32 = -1;
        /// Node ids of all replicas.
        0.. => replica_nodes: Vec<i32>;
        /// Node ids of the in-sync replicas.
        0.. => isr_nodes: Vec<i32>;
        /// Node ids of the offline replicas.
        5.. => offline_replicas: Vec<i32>;
    }
}
