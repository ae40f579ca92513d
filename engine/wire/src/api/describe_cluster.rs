//! DescribeCluster (60): the brokers, or the controllers.

use std::borrow::Cow;

use super::metadata::OPERATIONS_NOT_ASKED;
use crate::{ApiKey, ErrorCode, Message};

/// Endpoint type of brokers.
pub const ENDPOINT_BROKER: i8 = 1;
/// Endpoint type of controllers.
pub const ENDPOINT_CONTROLLER: i8 = 2;

message! {
    /// Asks for the cluster.
    pub struct Request {
        /// Whether the operations allowed on the cluster are wanted.
        0.. => include_cluster_authorized_operations: bool;
        /// One of the `ENDPOINT_` constants.
        1.. => endpoint_type: i8 = ENDPOINT_BROKER;
        /// Whether brokers that are fenced are wanted too (KIP-1073).
        2.. => include_fenced_brokers: bool;
    }
}

impl<'a> Message<'a> for Request {
    const KEY: ApiKey = ApiKey::DescribeCluster;
}

message! {
    /// The cluster.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// Whether it could be described.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
        /// As in the request.
        1.. => endpoint_type: i8 = ENDPOINT_BROKER;
        /// Cluster id.
        0.. => cluster_id: Cow<'a, str>;
        /// Node id of the controller, -1 if unknown.
        0.. => controller_id: i32 = -1;
        /// The brokers.
        0.. => brokers: Vec<Broker<'a>>;
        /// Bits of the operations allowed on the cluster.
        0.. => cluster_authorized_operations: i32 = OPERATIONS_NOT_ASKED;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DescribeCluster;
}

message! {
    /// A broker.
    pub struct Broker<'a> {
        /// Node id.
        0.. => broker_id: i32;
        /// Its host.
        0.. => host: Cow<'a, str>;
        /// Its port.
        0.. => port: i32;
        /// Rack, if it has one.
        0.. => rack: Option<Cow<'a, str>>;
        /// Whether it may not serve (KIP-1073).
        2.. => is_fenced: bool;
    }
}
