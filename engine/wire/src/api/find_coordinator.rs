//! FindCoordinator (10): who coordinates a group or a transactional id.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

/// Key type of a consumer group.
pub const KEY_GROUP: i8 = 0;
/// Key type of a transactional id.
pub const KEY_TRANSACTION: i8 = 1;
/// Key type of a share group (version 6 on).
pub const KEY_SHARE: i8 = 2;

message! {
    /// Asks for coordinators.
    pub struct Request<'a> {
        /// The key.
        0..=3 => key: &'a str;
        /// One of the `KEY_` constants; a group in version 0.
        1.. => key_type: i8;
        /// The keys.
        4.. => coordinator_keys: Vec<&'a str>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::FindCoordinator;
}

message! {
    /// The coordinators: one in its own fields up to version 3, a list from version 4.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// Whether the coordinator is known.
        0..=3 => error_code: ErrorCode;
        /// Text to the error.
        1..=3 => error_message: Option<Cow<'a, str>>;
        /// Its node id, -1 on error.
        0..=3 => node_id: i32;
        /// Its host.
        0..=3 => host: Cow<'a, str>;
        /// Its port, -1 on error.
        0..=3 => port: i32;
        /// One result for each key of the request.
        4.. => coordinators: Vec<Coordinator<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::FindCoordinator;
}

message! {
    /// The coordinator of a key.
    pub struct Coordinator<'a> {
        /// The key.
        4.. => key: Cow<'a, str>;
        /// Its node id, -1 on error.
        4.. => node_id: i32;
        /// Its host.
        4.. => host: Cow<'a, str>;
        /// Its port, -1 on error.
        4.. => port: i32;
        /// Whether the coordinator is known.
        4.. => error_code: ErrorCode;
        /// Text to the error.
        4.. => error_message: Option<Cow<'a, str>>;
    }
}
