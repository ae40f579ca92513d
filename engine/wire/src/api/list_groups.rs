//! ListGroups (16): the groups that this broker coordinates.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// Only groups in these states; empty: all.
        4.. => states_filter: Vec<&'a str>;
        /// Only groups of these types; empty: all.
        5.. => types_filter: Vec<&'a str>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::ListGroups;
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// The groups.
        0.. => groups: Vec<ListedGroup<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::ListGroups;
}

message! {
    /// A group.
    pub struct ListedGroup<'a> {
        /// The group.
        0.. => group_id: Cow<'a, str>;
        /// What kind of group it is, `consumer` for consumers.
        0.. => protocol_type: Cow<'a, str>;
        /// State of the group, in Kafka's words.
        4.. => group_state: Cow<'a, str>;
        /// `classic` or `consumer`.
        5.. => group_type: Cow<'a, str>;
    }
}
