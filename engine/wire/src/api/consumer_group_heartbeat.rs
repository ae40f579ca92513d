//! ConsumerGroupHeartbeat (68): the new group protocol, all in one call (KIP-848).

use std::borrow::Cow;

use uuid::Uuid;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The group.
        0.. => group_id: &'a str;
        /// The member; empty if it has no id yet.
        0.. => member_id: &'a str;
        /// The member epoch: 0 joins, -1 leaves, -2 leaves for a while (static).
        0.. => member_epoch: i32;
        /// The static member that it is, null for a dynamic one or if unchanged.
        0.. => instance_id: Option<&'a str>;
        /// Its rack, null if unknown or unchanged.
        0.. => rack_id: Option<&'a str>;
        /// How long the member may take to rejoin or to revoke, in ms; -1: not said.
        0.. => rebalance_timeout_ms: i32 = -1;
        /// Topics that it wants.
        0.. => subscribed_topic_names: Option<Vec<&'a str>>;
        /// Pattern of topics that it wants (RE2), null if unchanged.
        1.. => subscribed_topic_regex: Option<&'a str>;
        /// The assignor that it wants, null for the group's.
        0.. => server_assignor: Option<&'a str>;
        /// Partitions by topic.
        0.. => topic_partitions: Option<Vec<TopicPartitions>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::ConsumerGroupHeartbeat;
}

message! {
    /// Partitions of a topic.
    pub struct TopicPartitions {
        /// Its id.
        0.. => topic_id: Uuid;
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
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
        /// The member; empty if it has no id yet.
        0.. => member_id: Option<Cow<'a, str>>;
        /// The member epoch: 0 joins, -1 leaves, -2 leaves for a while (static).
        0.. => member_epoch: i32;
        /// When to call again, in ms.
        0.. => heartbeat_interval_ms: i32;
        /// What the member is assigned.
        0.. => assignment: Option<Assignment>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::ConsumerGroupHeartbeat;
}

message! {
    /// What a member is assigned.
    pub struct Assignment {
        /// Partitions by topic.
        0.. => topic_partitions: Vec<TopicPartitions>;
    }
}

nullable!(Assignment);
