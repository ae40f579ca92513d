//! Settings of consumer groups.

use std::collections::BTreeMap;
use std::time::Duration;

use super::own_group::GroupOverrides;

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
    /// Groups of the new protocol.
    pub consumer: ConsumerGroupSettings,
}

/// Settings of groups of the new protocol (KIP-848).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerGroupSettings {
    /// `group.consumer.session.timeout.ms`: how long a member may be silent.
    pub session: Duration,
    /// `group.consumer.min.session.timeout.ms` and `.max.`: what a group may have of its own.
    pub session_bounds: (Duration, Duration),
    /// `group.consumer.heartbeat.interval.ms`: what members are told.
    pub heartbeat: Duration,
    /// `group.consumer.min.heartbeat.interval.ms` and `.max.`: what a group may have of its own.
    pub heartbeat_bounds: (Duration, Duration),
    /// `group.consumer.max.size`: members of a group.
    pub members_max: usize,
    /// `group.consumer.assignors`, the default first; never empty.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub migration: Migration,
    /// What groups have of their own, by their ids.
    pub overrides: BTreeMap<String, GroupOverrides>,
}

impl ConsumerGroupSettings {
    /// How long a member of a group may be silent.
    #[must_use]
    pub fn session_of(&self, group: &str) -> Duration {
        self.overrides.get(group).and_then(|own| own.session).unwrap_or(self.session)
    }

    /// How often members of a group are told to call, less than a session.
    #[must_use]
    pub fn heartbeat_of(&self, group: &str) -> Duration {
        let heartbeat = self.overrides.get(group).and_then(|own| own.heartbeat).unwrap_or(self.heartbeat);
        let session = self.session_of(group);
        // Bounds of the broker may have moved one of them alone.
        if heartbeat < session { heartbeat } else { session / 2 }
    }
}

/// An assignor of the coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assignor {
    /// Everybody gets as much as the others, and keeps what it has as far as that allows.
    Uniform,
    /// Contiguous ranges of each topic.
    Range,
}

impl Assignor {
    /// Kafka's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The assignor of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Assignor> {
        [Assignor::Uniform, Assignor::Range].into_iter().find(|a| a.name() == name)
    }
}

/// Whether a group with members may change its protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Migration {
    /// A classic group becomes one of the new protocol when the first such member joins.
    pub upgrade: bool,
    /// It becomes classic again when the last such member leaves.
    pub downgrade: bool,
}

impl Migration {
    /// The policy of a word.
    #[must_use]
    pub fn named(word: &str) -> Migration {
        Migration {
            upgrade: matches!(word, "upgrade" | "bidirectional"),
            downgrade: matches!(word, "downgrade" | "bidirectional"),
        }
    }
}

impl Default for ConsumerGroupSettings {
    fn default() -> ConsumerGroupSettings {
        ConsumerGroupSettings {
            session: Duration::from_secs(45),
            session_bounds: (Duration::from_secs(45), Duration::from_secs(60)),
            heartbeat: Duration::from_secs(5),
            heartbeat_bounds: (Duration::from_secs(5), Duration::from_secs(15)),
            members_max: i32::MAX as usize,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration: Migration { upgrade: true, downgrade: true },
            overrides: BTreeMap::new(),
        }
    }
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
            consumer: ConsumerGroupSettings::default(),
        }
    }
}
