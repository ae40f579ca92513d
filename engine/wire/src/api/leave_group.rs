//! LeaveGroup (13): members leave a consumer group.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The group.
        0.. => group_id: &'a str;
        /// The member; empty if it has no id yet.
        0..=2 => member_id: &'a str;
        /// The members.
        3.. => members: Vec<Member<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::LeaveGroup;
}

message! {
    /// A member that leaves.
    pub struct Member<'a> {
        /// The member; empty if it has no id yet.
        3.. => member_id: &'a str;
        /// The static member that it is (KIP-345), null for a dynamic one.
        3.. => group_instance_id: Option<&'a str>;
        /// Why, in words (KIP-800).
        5.. => reason: Option<&'a str>;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// The members.
        3.. => members: Vec<MemberResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::LeaveGroup;
}

message! {
    /// What became of a member.
    pub struct MemberResult<'a> {
        /// The member; empty if it has no id yet.
        3.. => member_id: Cow<'a, str>;
        /// The static member that it is (KIP-345), null for a dynamic one.
        3.. => group_instance_id: Option<Cow<'a, str>> = Some(Cow::Borrowed(""));
        /// Zero, or what went wrong.
        3.. => error_code: ErrorCode;
    }
}
