//! CreateTopics (19).

use std::borrow::Cow;

use uuid::Uuid;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// Topics to create.
    pub struct Request<'a> {
        /// The topics.
        0.. => topics: Vec<Topic<'a>>;
        /// How long the client waits, in ms.
        0.. => timeout_ms: i32 = 60_000;
        /// Check only, create nothing.
        1.. => validate_only: bool;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::CreateTopics;
}

message! {
    /// A topic to create.
    pub struct Topic<'a> {
        /// Its name.
        0.. => name: &'a str;
        /// Partitions, -1 for the broker's default (version 4 on) or with `assignments`.
        0.. => num_partitions: i32;
        /// Replicas of a partition, -1 for the broker's default (version 4 on) or with `assignments`.
        0.. => replication_factor: i16;
        /// Replicas placed by hand, or empty.
        0.. => assignments: Vec<ReplicaAssignment>;
        /// Settings.
        0.. => configs: Vec<TopicConfig<'a>>;
    }
}

message! {
    /// Replicas of a partition, placed by hand.
    pub struct ReplicaAssignment {
        /// The partition.
        0.. => partition_index: i32;
        /// Node ids, the preferred leader first.
        0.. => broker_ids: Vec<i32>;
    }
}

message! {
    /// A setting of the new topic.
    pub struct TopicConfig<'a> {
        /// Its name.
        0.. => name: &'a str;
        /// Its value.
        0.. => value: Option<&'a str>;
    }
}

message! {
    /// What became of the topics.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        2.. => throttle_time_ms: i32;
        /// One result for each topic of the request.
        0.. => topics: Vec<TopicResult<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::CreateTopics;
}

message! {
    /// What became of a topic.
    pub struct TopicResult<'a> {
        /// Its name.
        0.. => name: Cow<'a, str>;
        /// Its id.
        7.. => topic_id: Uuid;
        /// Whether it was created.
        0.. => error_code: ErrorCode;
        /// Text to the error.
        1.. => error_message: Option<Cow<'a, str>>;
        /// Partitions, -1 on error.
        5.. => num_partitions: i32 = -1;
        /// Replicas of a partition, -1 on error.
        5.. => replication_factor: i16 = -1;
        /// Its effective settings; null if the client may not see them.
        5.. => configs: Option<Vec<TopicConfigResult<'a>>> = Some(Vec::new());
    }
    tags {
        /// Why `configs` is null.
        0, 5.. => topic_config_error_code: ErrorCode;
    }
}

message! {
    /// An effective setting of the new topic.
    pub struct TopicConfigResult<'a> {
        /// Its name.
        5.. => name: Cow<'a, str>;
        /// Its value.
        5.. => value: Option<Cow<'a, str>>;
        /// Whether it cannot be changed.
        5.. => read_only: bool;
        /// Where it comes from, as in DescribeConfigs.
        5.. => config_source: i8 = -1;
        /// Whether its value is withheld.
        5.. => is_sensitive: bool;
    }
}
