//! JoinGroup (11): a member joins a consumer group (KIP-394, 345, 814).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The group.
        0.. => group_id: &'a str;
        /// How long the member may be silent before it is dead, in ms.
        0.. => session_timeout_ms: i32;
        /// How long the member may take to rejoin or to revoke, in ms; -1: not said.
        1.. => rebalance_timeout_ms: i32 = -1;
        /// The member; empty if it has no id yet.
        0.. => member_id: &'a str;
        /// The static member that it is (KIP-345), null for a dynamic one.
        5.. => group_instance_id: Option<&'a str>;
        /// What kind of group it is, `consumer` for consumers.
        0.. => protocol_type: &'a str;
        /// What it supports, most wanted first.
        0.. => protocols: Vec<Protocol<'a>>;
        /// Why, in words (KIP-800).
        8.. => reason: Option<&'a str>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::JoinGroup;
}

message! {
    /// A protocol that the member supports.
    pub struct Protocol<'a> {
        /// Its name.
        0.. => name: &'a str;
        /// Opaque bytes or text of the member.
        0.. => metadata: &'a [u8];
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        2.. => throttle_time_ms: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// The generation of the group.
        0.. => generation_id: i32 = -1;
        /// What kind of group it is, `consumer` for consumers.
        7.. => protocol_type: Option<Cow<'a, str>>;
        /// The protocol that the group agreed on.
        0.., null 7.. => protocol_name: Option<Cow<'a, str>> = Some(Cow::Borrowed(""));
        /// The member that assigns.
        0.. => leader: Cow<'a, str>;
        /// The leader need not assign: the assignment stands (KIP-814).
        9.. => skip_assignment: bool;
        /// The member; empty if it has no id yet.
        0.. => member_id: Cow<'a, str>;
        /// The members.
        0.. => members: Vec<Member<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::JoinGroup;
}

message! {
    /// A member, told to the leader only.
    pub struct Member<'a> {
        /// The member; empty if it has no id yet.
        0.. => member_id: Cow<'a, str>;
        /// The static member that it is (KIP-345), null for a dynamic one.
        5.. => group_instance_id: Option<Cow<'a, str>>;
        /// Opaque bytes or text of the member.
        0.. => metadata: Cow<'a, [u8]>;
    }
}
