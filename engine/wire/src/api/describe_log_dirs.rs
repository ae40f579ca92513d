//! DescribeLogDirs (35): what lies in the data directories (KIP-113, 827, 1066).

use std::borrow::Cow;

use crate::{ApiKey, ErrorCode, Message};

message! {
    /// The request.
    pub struct Request<'a> {
        /// The topics.
        1.. => topics: Option<Vec<Topic<'a>>> = Some(Vec::new());
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
}

message! {
    /// A topic.
    pub struct Topic<'a> {
        /// Its name.
        1.. => topic: &'a str;
        /// The partitions.
        1.. => partitions: Vec<i32>;
    }
}

message! {
    /// The answer.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// Zero, or what went wrong.
        3.. => error_code: ErrorCode;
        /// One result for each that was asked for.
        1.. => results: Vec<LogDir<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
}

message! {
    /// A directory.
    pub struct LogDir<'a> {
        /// Zero, or what went wrong.
        1.. => error_code: ErrorCode;
        /// Path of the directory.
        1.. => log_dir: Cow<'a, str>;
        /// The topics.
        1.. => topics: Vec<DirTopic<'a>>;
        /// Bytes of its volume, -1 unknown.
        4.. => total_bytes: i64 = -1;
        /// Free bytes of its volume, -1 unknown.
        4.. => usable_bytes: i64 = -1;
        /// No new partitions are put there (KIP-1066).
        5.. => is_cordoned: bool;
    }
}

message! {
    /// A topic in a directory.
    pub struct DirTopic<'a> {
        /// Its name.
        1.. => name: Cow<'a, str>;
        /// The partitions.
        1.. => partitions: Vec<DirPartition>;
    }
}

message! {
    /// A partition in a directory.
    pub struct DirPartition {
        /// Its number.
        1.. => partition_index: i32;
        /// Bytes of its segments.
        1.. => partition_size: i64;
        /// How far it is behind the partition's end.
        1.. => offset_lag: i64;
        /// A copy that will take over from another directory.
        1.. => is_future_key: bool;
    }
}
