//! Heartbeat (12): a member is alive.

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
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::Heartbeat;
}

message! {
    /// The answer.
    pub struct Response {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
    }
}

impl<'a> Message<'a> for Response {
    const KEY: ApiKey = ApiKey::Heartbeat;
}
