//! DeleteGroups (42): deletes empty groups (KIP-229).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The groups.
        0.. => groups_names: Vec<&'a str>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::DeleteGroups;
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// One result for each that was asked for.
        0.. => results: Vec<GroupResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DeleteGroups;
}

message! {
    /// What became of a group.
    pub struct GroupResult<'a> {
        /// The group.
        0.. => group_id: Cow<'a, str>;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// What went wrong in words (KIP-1331).
        3.. => error_message: Option<Cow<'a, str>>;
    }
}
