//! InitProducerId (22): an id for an idempotent or transactional producer.

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// Asks for a producer id.
    pub struct Request<'a> {
        /// Transactional id; null for an idempotent producer.
        0.. => transactional_id: Option<&'a str>;
        /// After what time the coordinator aborts an idle transaction, in ms.
        0.. => transaction_timeout_ms: i32;
        /// The id that the producer has, -1 for none.
        3.. => producer_id: i64 = -1;
        /// Its epoch, -1 for none.
        3.. => producer_epoch: i16 = -1;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::InitProducerId;
}

message! {
    /// The producer id.
    pub struct Response {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// Whether an id was given.
        0.. => error_code: ErrorCode;
        /// The id, -1 on error.
        0.. => producer_id: i64 = -1;
        /// Its epoch, -1 on error.
        0.. => producer_epoch: i16;
    }
}

impl<'a> Message<'a> for Response {
    const KEY: ApiKey = ApiKey::InitProducerId;
}
