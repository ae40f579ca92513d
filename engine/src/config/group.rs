//! Settings of consumer groups.

use std::time::Duration;

/// Settings of groups, each under Kafka's name in its doc.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`: how long the first join of an empty group waits for more.
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max: Duration,
    /// `group.max.size`: members of a group.
    pub members_max: usize,
    /// `offsets.retention.minutes`: how long offsets outlive the use of their group.
    pub offsets_retention: Duration,
    /// `offset.metadata.max.bytes`.
    pub metadata_bytes_max: usize,
    /// `offsets.topic.num.partitions`.
    pub offsets_partitions: i32,
    /// `offsets.topic.replication.factor`, at least 1: before it is capped by the live brokers.
    pub offsets_replication: i16,
    /// `offsets.topic.segment.bytes`.
    pub offsets_segment_bytes: i32,
    /// `offsets.retention.check.interval.ms`, at least 1.
    pub retention_check_interval: Duration,
}

impl Default for GroupSettings {
    fn default() -> GroupSettings {
        GroupSettings {
            initial_rebalance_delay: Duration::from_secs(3),
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(1800),
            members_max: i32::MAX as usize,
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            metadata_bytes_max: 4096,
            offsets_partitions: 50,
            offsets_replication: 3,
            offsets_segment_bytes: 100 << 20,
            retention_check_interval: Duration::from_secs(600),
        }
    }
}
