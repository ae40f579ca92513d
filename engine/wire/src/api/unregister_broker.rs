//! UnregisterBroker (64): forgets a broker that is gone.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request {
        /// The broker.
        0.. => broker_id: i32;
    }
}

impl<'a> Message<'a> for Request {
    const KEY: ApiKey = ApiKey::UnregisterBroker;
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
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::UnregisterBroker;
}
