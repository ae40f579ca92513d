//! SyncGroup (14): the leader hands out assignments, each member gets its own.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The group.
        0.. => group_id: &'a str;
        /// The generation of the group.
        0.. => generation_id: i32;
        /// The member; empty if it has no id yet.
        0.. => member_id: &'a str;
        /// The static member that it is (KIP-345), null for a dynamic one.
        3.. => group_instance_id: Option<&'a str>;
        /// What kind of group it is, `consumer` for consumers.
        5.. => protocol_type: Option<&'a str>;
        /// The protocol that the group agreed on.
        5.. => protocol_name: Option<&'a str>;
        /// The assignments.
        0.. => assignments: Vec<Assignment<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::SyncGroup;
}

message! {
    /// What the leader gives a member.
    pub struct Assignment<'a> {
        /// The member; empty if it has no id yet.
        0.. => member_id: &'a str;
        /// What the member is assigned.
        0.. => assignment: &'a [u8];
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// What kind of group it is, `consumer` for consumers.
        5.. => protocol_type: Option<Cow<'a, str>>;
        /// The protocol that the group agreed on.
        5.. => protocol_name: Option<Cow<'a, str>>;
        /// What the member is assigned.
        0.. => assignment: Cow<'a, [u8]>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::SyncGroup;
}
