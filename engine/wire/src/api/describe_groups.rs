//! DescribeGroups (15): state and members of groups.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The groups.
        0.. => groups: Vec<&'a str>;
        /// Say what the client may do.
        3.. => include_authorized_operations: bool;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::DescribeGroups;
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// The groups.
        0.. => groups: Vec<DescribedGroup<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DescribeGroups;
}

message! {
    /// A group.
    pub struct DescribedGroup<'a> {
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        6.. => error_message: Option<Cow<'a, str>>;
        /// The group.
        0.. => group_id: Cow<'a, str>;
        /// State of the group, in Kafka's words.
        0.. => group_state: Cow<'a, str>;
        /// What kind of group it is, `consumer` for consumers.
        0.. => protocol_type: Cow<'a, str>;
        /// The assignor that the group agreed on.
        0.. => protocol_data: Cow<'a, str>;
        /// The members.
        0.. => members: Vec<DescribedMember<'a>>;
        /// Bits of what the client may do, `i32::MIN` if not asked.
        3.. => authorized_operations: i32 = i32::MIN;
    }
}

message! {
    /// A member of a group.
    pub struct DescribedMember<'a> {
        /// The member; empty if it has no id yet.
        0.. => member_id: Cow<'a, str>;
        /// The static member that it is (KIP-345), null for a dynamic one.
        4.. => group_instance_id: Option<Cow<'a, str>>;
        /// Client id of the member.
        0.. => client_id: Cow<'a, str>;
        /// Address of the member.
        0.. => client_host: Cow<'a, str>;
        /// Its subscription, opaque.
        0.. => member_metadata: Cow<'a, [u8]>;
        /// Its assignment, opaque.
        0.. => member_assignment: Cow<'a, [u8]>;
    }
}
