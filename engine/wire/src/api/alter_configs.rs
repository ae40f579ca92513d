//! AlterConfigs (33): replaces all settings of a resource.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The resources.
        0.. => resources: Vec<Resource<'a>>;
        /// Check only, change nothing.
        0.. => validate_only: bool;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::AlterConfigs;
}

message! {
    /// A resource.
    pub struct Resource<'a> {
        /// What kind of resource, as in DescribeConfigs.
        0.. => resource_type: i8;
        /// Its name.
        0.. => resource_name: &'a str;
        /// All its settings.
        0.. => configs: Vec<Config<'a>>;
    }
}

message! {
    /// A setting.
    pub struct Config<'a> {
        /// Its name.
        0.. => name: &'a str;
        /// Its value, null for the default.
        0.. => value: Option<&'a str> = Some("");
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// One result for each that was asked for.
        0.. => responses: Vec<ResourceResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::AlterConfigs;
}

message! {
    /// What became of a resource.
    pub struct ResourceResult<'a> {
        /// Zero, or what went wrong.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
        /// What kind of resource, as in DescribeConfigs.
        0.. => resource_type: i8;
        /// Its name.
        0.. => resource_name: Cow<'a, str>;
    }
}
