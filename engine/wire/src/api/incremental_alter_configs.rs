//! IncrementalAlterConfigs (44): settings changed one by one.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

/// Config operation: set the value.
pub const OPERATION_SET: i8 = 0;
/// Config operation: back to the default.
pub const OPERATION_DELETE: i8 = 1;
/// Config operation: add words to a list.
pub const OPERATION_APPEND: i8 = 2;
/// Config operation: take words from a list.
pub const OPERATION_SUBTRACT: i8 = 3;

message! {
    /// Changes.
    pub struct Request<'a> {
        /// By resource.
        0.. => resources: Vec<Resource<'a>>;
        /// Check only, change nothing.
        0.. => validate_only: bool;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
}

message! {
    /// Changes to a resource.
    pub struct Resource<'a> {
        /// As in DescribeConfigs.
        0.. => resource_type: i8;
        /// Its name.
        0.. => resource_name: &'a str;
        /// The changes.
        0.. => configs: Vec<AlterableConfig<'a>>;
    }
}

message! {
    /// A change.
    pub struct AlterableConfig<'a> {
        /// Name of the setting.
        0.. => name: &'a str;
        /// One of the `OPERATION_` constants.
        0.. => config_operation: i8;
        /// The value; null to delete.
        0.. => value: Option<&'a str>;
    }
}

message! {
    /// What became of the changes.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// One result for each resource of the request.
        0.. => responses: Vec<ResourceResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
}

message! {
    /// What became of the changes to a resource: all or none.
    pub struct ResourceResult<'a> {
        /// Whether they were made.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
        /// As in the request.
        0.. => resource_type: i8;
        /// As in the request.
        0.. => resource_name: Cow<'a, str>;
    }
}
