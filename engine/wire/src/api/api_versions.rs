//! ApiVersions (18): what the broker speaks.

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

/// The node id of a client that knows no broker yet.
pub const ANY_NODE: i32 = -1;

message! {
    /// Asks for the served keys and versions.
    pub struct Request<'a> {
        /// Name of the client library.
        3.. => client_software_name: &'a str;
        /// Its version.
        3.. => client_software_version: &'a str;
        /// The cluster that the client believes to speak to, null before it knows one (KIP-1242).
        5.. => cluster_id: Option<&'a str>;
        /// The broker that it believes to speak to, -1 before it knows one.
        5.. => node_id: i32 = ANY_NODE;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::ApiVersions;
}

impl Request<'_> {
    /// Whether name and version have the form that Kafka demands from version 3 on
    /// (`[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`); otherwise the answer is INVALID_REQUEST.
    pub fn is_valid(&self, version: i16) -> bool {
        version < 3
            || (is_software_word(self.client_software_name) && is_software_word(self.client_software_version))
    }
}

fn is_software_word(word: &str) -> bool {
    let ends_well = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = word.as_bytes();
    ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.'))
}

message! {
    /// The served keys and versions. Its header is v0 in every version.
    pub struct Response<'a> {
        /// UNSUPPORTED_VERSION if the request's version is not served; the body is then version 0.
        0.. => error_code: ErrorCode;
        /// Keys and versions.
        0.. => api_keys: Vec<ApiVersion>;
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
    }
    tags {
        /// Features that the broker knows.
        0, 3.. => supported_features: Vec<SupportedFeatureKey<'a>>;
        /// Epoch of the finalized features, -1 if unknown.
        1, 3.. => finalized_features_epoch: i64 = -1;
        /// Features in force in the cluster. They change what clients do: name none by accident.
        2, 3.. => finalized_features: Vec<FinalizedFeatureKey<'a>>;
        /// Always false: there is no ZooKeeper.
        3, 3.. => zk_migration_ready: bool;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::ApiVersions;
}

impl Response<'_> {
    /// Advertises `keys` with their versions.
    pub fn advertised(error_code: ErrorCode, keys: &[ApiKey]) -> Self {
        Self {
            error_code,
            api_keys: keys.iter().map(|key| ApiVersion::of(*key)).collect(),
            ..Self::default()
        }
    }

    /// The highest version of `key` that both sides speak.
    pub fn highest_common(&self, key: ApiKey) -> Option<i16> {
        let theirs = self.api_keys.iter().find(|api| api.api_key == key.code())?;
        let version = theirs.max_version.min(key.served().max);
        (version >= theirs.min_version.max(key.served().min)).then_some(version)
    }
}

message! {
    /// One key and its versions.
    pub struct ApiVersion {
        /// The key.
        0.. => api_key: i16;
        /// Lowest version.
        0.. => min_version: i16;
        /// Highest version.
        0.. => max_version: i16;
    }
}

impl ApiVersion {
    /// What this build advertises for `key`.
    pub const fn of(key: ApiKey) -> Self {
        let range = key.advertised();
        Self { api_key: key.code(), min_version: range.min, max_version: range.max }
    }
}

message! {
    /// A feature that the broker knows.
    pub struct SupportedFeatureKey<'a> {
        /// Its name.
        3.. => name: Cow<'a, str>;
        /// Lowest level.
        3.. => min_version: i16;
        /// Highest level.
        3.. => max_version: i16;
    }
}

message! {
    /// A feature in force in the cluster.
    pub struct FinalizedFeatureKey<'a> {
        /// Its name.
        3.. => name: Cow<'a, str>;
        /// Highest level in force.
        3.. => max_version_level: i16;
        /// Lowest level in force.
        3.. => min_version_level: i16;
    }
}
