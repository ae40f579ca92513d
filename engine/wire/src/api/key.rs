//! The served keys and versions.

use crate::codec::{DecodeError, Shape};

/// An inclusive range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// Lowest version.
    pub min: i16,
    /// Highest version.
    pub max: i16,
}

impl VersionRange {
    /// Whether `version` is in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Every version of the range, ascending.
    pub fn versions(self) -> impl Iterator<Item = i16> {
        self.min..=self.max
    }
}

macro_rules! served {
    ($( $name:ident = $code:literal, $min:literal..=$max:literal, flexible $flexible:literal; )*) => {
        /// The APIs that this build speaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i16)]
        #[non_exhaustive]
        pub enum ApiKey {
            $(
                #[doc = concat!(stringify!($name), " (", $code, "), versions ", $min, " to ", $max, ", flexible from ", $flexible)]
                $name = $code,
            )*
        }

        impl ApiKey {
            /// Every API, by key.
            pub const ALL: &'static [ApiKey] = &[$( ApiKey::$name, )*];

            /// The API of that key, if it is served.
            pub const fn from_code(code: i16) -> Option<ApiKey> {
                match code {
                    $( $code => Some(ApiKey::$name), )*
                    _ => None,
                }
            }

            /// The versions that decode and encode.
            pub const fn served(self) -> VersionRange {
                match self {
                    $( ApiKey::$name => VersionRange { min: $min, max: $max }, )*
                }
            }

            /// The first flexible version.
            pub const fn flexible_from(self) -> i16 {
                match self {
                    $( ApiKey::$name => $flexible, )*
                }
            }
        }
    };
}

served! {
    Produce = 0, 3..=13, flexible 9;
    Fetch = 1, 4..=18, flexible 12;
    ListOffsets = 2, 1..=11, flexible 6;
    Metadata = 3, 0..=13, flexible 9;
    OffsetCommit = 8, 2..=10, flexible 8;
    OffsetFetch = 9, 1..=10, flexible 6;
    FindCoordinator = 10, 0..=6, flexible 3;
    JoinGroup = 11, 0..=9, flexible 6;
    Heartbeat = 12, 0..=4, flexible 4;
    LeaveGroup = 13, 0..=5, flexible 4;
    SyncGroup = 14, 0..=5, flexible 4;
    DescribeGroups = 15, 0..=6, flexible 5;
    ListGroups = 16, 0..=5, flexible 3;
    ApiVersions = 18, 0..=5, flexible 3;
    CreateTopics = 19, 2..=7, flexible 5;
    DeleteTopics = 20, 1..=6, flexible 4;
    DeleteRecords = 21, 0..=2, flexible 2;
    InitProducerId = 22, 0..=5, flexible 2;
    OffsetForLeaderEpoch = 23, 2..=4, flexible 4;
    DescribeConfigs = 32, 1..=4, flexible 4;
    AlterConfigs = 33, 0..=2, flexible 2;
    AlterReplicaLogDirs = 34, 1..=2, flexible 2;
    DescribeLogDirs = 35, 1..=5, flexible 2;
    CreatePartitions = 37, 0..=3, flexible 2;
    DeleteGroups = 42, 0..=3, flexible 2;
    ElectLeaders = 43, 0..=2, flexible 2;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1;
    AlterPartitionReassignments = 45, 0..=1, flexible 0;
    ListPartitionReassignments = 46, 0..=0, flexible 0;
    OffsetDelete = 47, 0..=0, flexible 1;
    DescribeQuorum = 55, 0..=2, flexible 0;
    DescribeCluster = 60, 0..=2, flexible 0;
    DescribeProducers = 61, 0..=0, flexible 0;
    UnregisterBroker = 64, 0..=0, flexible 0;
    ConsumerGroupHeartbeat = 68, 0..=1, flexible 0;
    ConsumerGroupDescribe = 69, 0..=1, flexible 0;
    ListConfigResources = 74, 0..=1, flexible 0;
    DescribeTopicPartitions = 75, 0..=0, flexible 0;
}

impl ApiKey {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The versions to name in an ApiVersions response. Produce is advertised from 0, because older
    /// librdkafka takes that for the sign that compression is understood; such requests are refused.
    pub const fn advertised(self) -> VersionRange {
        match self {
            ApiKey::Produce => VersionRange { min: 0, max: self.served().max },
            _ => self.served(),
        }
    }

    /// How `version` lies on the wire.
    pub const fn shape(self, version: i16) -> Result<Shape, DecodeError> {
        if !self.served().contains(version) {
            return Err(DecodeError::Version { key: self, version });
        }
        Ok(Shape { version, flexible: version >= self.flexible_from() })
    }
}
