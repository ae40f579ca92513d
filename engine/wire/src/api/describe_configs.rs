//! DescribeConfigs (32): settings and where they come from.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

/// Resource type of a topic.
pub const RESOURCE_TOPIC: i8 = 2;
/// Resource type of a broker; the name is its node id, empty for the cluster-wide default.
pub const RESOURCE_BROKER: i8 = 4;
/// Resource type of a broker's loggers; the name is its node id.
pub const RESOURCE_BROKER_LOGGER: i8 = 8;
/// Resource type of a subscription to clients' metrics (KIP-714).
pub const RESOURCE_CLIENT_METRICS: i8 = 16;
/// Resource type of a group (KIP-848).
pub const RESOURCE_GROUP: i8 = 32;

/// Config source: set on the topic.
pub const SOURCE_TOPIC: i8 = 1;
/// Config source: set at run time on one broker.
pub const SOURCE_DYNAMIC_BROKER: i8 = 2;
/// Config source: set at run time for all brokers.
pub const SOURCE_DYNAMIC_DEFAULT_BROKER: i8 = 3;
/// Config source: given to the broker at its start.
pub const SOURCE_STATIC_BROKER: i8 = 4;
/// Config source: nobody set it.
pub const SOURCE_DEFAULT: i8 = 5;
/// Config source: set on the group.
pub const SOURCE_GROUP: i8 = 8;

/// Type of a value, from version 3 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    /// Not told.
    Unknown = 0,
    /// `true` or `false`.
    Boolean = 1,
    /// Text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// A floating-point number.
    Double = 6,
    /// Comma-separated words.
    List = 7,
    /// A class name.
    Class = 8,
    /// A secret.
    Password = 9,
}

message! {
    /// Asks for settings.
    pub struct Request<'a> {
        /// Of these resources.
        0.. => resources: Vec<Resource<'a>>;
        /// Whether the values behind the effective one are wanted.
        1.. => include_synonyms: bool;
        /// Whether texts are wanted.
        3.. => include_documentation: bool;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
}

message! {
    /// What to describe.
    pub struct Resource<'a> {
        /// One of the `RESOURCE_` constants.
        0.. => resource_type: i8;
        /// Its name.
        0.. => resource_name: &'a str;
        /// The wanted settings; null for all.
        0.. => configuration_keys: Option<Vec<&'a str>>;
    }
}

message! {
    /// Settings.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        0.. => throttle_time_ms: i32;
        /// One result for each resource of the request.
        0.. => results: Vec<ResourceResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
}

message! {
    /// Settings of a resource.
    pub struct ResourceResult<'a> {
        /// Whether it could be described.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        0.. => error_message: Option<Cow<'a, str>>;
        /// One of the `RESOURCE_` constants.
        0.. => resource_type: i8;
        /// Its name.
        0.. => resource_name: Cow<'a, str>;
        /// Its settings.
        0.. => configs: Vec<Config<'a>>;
    }
}

message! {
    /// A setting.
    pub struct Config<'a> {
        /// Its name.
        0.. => name: Cow<'a, str>;
        /// Its effective value; null if withheld.
        0.. => value: Option<Cow<'a, str>>;
        /// Whether it cannot be changed at run time.
        0.. => read_only: bool;
        /// One of the `SOURCE_` constants.
        1.. => config_source: i8 = -1;
        /// Whether its value is withheld.
        0.. => is_sensitive: bool;
        /// The effective value and those behind it.
        1.. => synonyms: Vec<Synonym<'a>>;
        /// A [`ConfigType`].
        3.. => config_type: i8;
        /// What it does.
        3.. => documentation: Option<Cow<'a, str>>;
    }
}

message! {
    /// A value behind the effective one.
    pub struct Synonym<'a> {
        /// Name of the setting there.
        1.. => name: Cow<'a, str>;
        /// Its value; null if withheld.
        1.. => value: Option<Cow<'a, str>>;
        /// One of the `SOURCE_` constants.
        1.. => source: i8;
    }
}
