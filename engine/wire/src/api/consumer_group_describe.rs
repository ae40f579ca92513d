//! ConsumerGroupDescribe (69): groups of the new protocol (KIP-848).

use std::borrow::Cow;

use uuid::Uuid;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The groups.
        0.. => group_ids: Vec<&'a str>;
        /// Say what the client may do.
        0.. => include_authorized_operations: bool;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::ConsumerGroupDescribe;
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// The groups.
        0.. => groups: Vec<DescribedGroup<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::ConsumerGroupDescribe;
}

message! {
    /// A group.
    pub struct DescribedGroup<'a> {
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
        /// The group.
        0.. => group_id: Cow<'a, str>;
        /// State of the group, in Kafka's words.
        0.. => group_state: Cow<'a, str>;
        /// Rises with each change of members or subscriptions.
        0.. => group_epoch: i32;
        /// The group epoch that the target assignment was made for.
        0.. => assignment_epoch: i32;
        /// The assignor in use.
        0.. => assignor_name: Cow<'a, str>;
        /// The members.
        0.. => members: Vec<Member<'a>>;
        /// Bits of what the client may do, `i32::MIN` if not asked.
        0.. => authorized_operations: i32 = i32::MIN;
    }
}

message! {
    /// A member.
    pub struct Member<'a> {
        /// The member; empty if it has no id yet.
        0.. => member_id: Cow<'a, str>;
        /// The static member that it is, null for a dynamic one or if unchanged.
        0.. => instance_id: Option<Cow<'a, str>>;
        /// Its rack, null if unknown or unchanged.
        0.. => rack_id: Option<Cow<'a, str>>;
        /// The member epoch: 0 joins, -1 leaves, -2 leaves for a while (static).
        0.. => member_epoch: i32;
        /// Client id of the member.
        0.. => client_id: Cow<'a, str>;
        /// Address of the member.
        0.. => client_host: Cow<'a, str>;
        /// Topics that it wants.
        0.. => subscribed_topic_names: Vec<Cow<'a, str>>;
        /// Pattern of topics that it wants (RE2), null if unchanged.
        0.. => subscribed_topic_regex: Option<Cow<'a, str>>;
        /// What the member is assigned.
        0.. => assignment: Assignment<'a>;
        /// What it shall have in the end.
        0.. => target_assignment: Assignment<'a>;
        /// 0 a classic member, 1 one of the new protocol, -1 unknown.
        1.. => member_type: i8 = -1;
    }
}

message! {
    /// What a member is assigned.
    pub struct Assignment<'a> {
        /// Partitions by topic.
        0.. => topic_partitions: Vec<TopicPartitions<'a>>;
    }
}

message! {
    /// Partitions of a topic.
    pub struct TopicPartitions<'a> {
        /// Its id.
        0.. => topic_id: Uuid;
        /// Its name.
        0.. => topic_name: Cow<'a, str>;
        /// The partitions.
        0.. => partitions: Vec<i32>;
    }
}
