//! ListConfigResources (74): resources that have settings (KIP-1000, 1142).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request {
        /// Kinds to list; empty: all.
        1.. => resource_types: Vec<i8>;
    }
}

impl<'a> Message<'a> for Request {
    const KEY: ApiKey = ApiKey::ListConfigResources;
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// The resources.
        0.. => config_resources: Vec<ConfigResource<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::ListConfigResources;
}

message! {
    /// A resource that has settings.
    pub struct ConfigResource<'a> {
        /// Its name.
        0.. => resource_name: Cow<'a, str>;
        /// What kind of resource, as in DescribeConfigs.
        1.. => resource_type: i8 = 16;
    }
}
