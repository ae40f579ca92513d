//! What the cluster shall become: topics, placement, settings, producer ids. Pure decisions.
//!
//! Each function looks at an image and a request and gives a [`Decision`]: the records that make it
//! so, and a reply for each item of the request. It writes nothing: the caller appends the records,
//! and only then sends the replies. Decisions are made one after another, each on the image that
//! holds the one before.
//!
//! Invariants: the records of a decision fit the image that it was made on, in their order; an item
//! that is refused leaves no record; names and settings in records are checked and short.

mod configs;
mod create;
mod delete;
mod grow;
mod names;
mod placement;
mod room;
mod start;
#[cfg(test)]
mod tests;

pub use configs::{AlterConfigs, AlterTarget, Alteration, alter_configs};
pub use create::{CreateTopic, CreatedTopic, create_topics};
pub use delete::{DeleteTopic, DeletedTopic, delete_topics};
pub use grow::{GrowTopic, grow_topics};
pub use names::{TOPIC_NAME_BYTES_MAX, check_topic_name};
pub use start::{Start, start_records};

use crate::base::{NodeId, ProducerId};
use crate::config::{BrokerSettings, ConfigError};
use crate::metadata::{Image, MetadataRecord};

/// The most partitions of one topic.
pub const PARTITIONS_PER_TOPIC_MAX: usize = 10_000;

/// The most partitions that one request creates: its records must fit one append of the metadata
/// log.
pub const PARTITIONS_PER_REQUEST_MAX: usize = 20_000;

/// The most partitions that one core owns: each takes memory, descriptors and disk even when idle.
pub const PARTITIONS_PER_CORE_MAX: usize = 20_000;

/// Producer ids that a node is given at a time.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// What decisions are based on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The cluster.
    pub image: &'a Image,
    /// This broker's settings, altered ones included.
    pub settings: &'a BrokerSettings,
    /// Cores of this broker, at least 1.
    pub cores: u16,
}

impl Context<'_> {
    fn node(&self) -> NodeId {
        self.settings.node_id
    }

    /// Brokers that can hold a replica: this one, while there is no replication.
    fn live_brokers(&self) -> i16 {
        1
    }

    /// How many replicas an internal topic gets: as many as were asked for and can be. So Kafka's
    /// default of three works on one node.
    #[must_use]
    pub fn internal_replication(&self, wanted: i16) -> i16 {
        wanted.min(self.live_brokers())
    }
}

/// Records to append, then a reply for each item, in the request's order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision<T> {
    /// The changes; empty if nothing changes.
    pub records: Vec<MetadataRecord>,
    /// What to tell the client, once the changes are durable.
    pub replies: Vec<Result<T, Refused>>,
}

/// Why an item is refused: one for each of Kafka's error codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum Why {
    UnknownTopicOrPartition,
    UnknownTopicId,
    InvalidTopic,
    TopicAlreadyExists,
    InvalidPartitions,
    InvalidReplicationFactor,
    InvalidReplicaAssignment,
    InvalidConfig,
    InvalidRequest,
    PolicyViolation,
    TopicDeletionDisabled,
}

/// A refused item.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The kind of refusal.
    pub why: Why,
    /// A sentence for the client's user.
    pub message: String,
}

impl Refused {
    fn new(why: Why, message: impl Into<String>) -> Refused {
        Refused { why, message: message.into() }
    }
}

impl From<ConfigError> for Refused {
    fn from(error: ConfigError) -> Refused {
        Refused::new(Why::InvalidConfig, error.to_string())
    }
}

/// A block of producer ids for one node: `first..next`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerIds {
    /// The first.
    pub first: ProducerId,
    /// The one after the last.
    pub next: ProducerId,
}

/// Gives a node its next block of producer ids, to use once the record is durable. `None` when
/// there are no more, after 2^63.
#[must_use]
pub fn allocate_producer_ids(image: &Image, node: NodeId) -> Option<(MetadataRecord, ProducerIds)> {
    let first = image.next_producer_id();
    let next = ProducerId(first.0.checked_add(PRODUCER_ID_BLOCK)?);
    Some((MetadataRecord::ProducerIdsAllocated { node, first, next }, ProducerIds { first, next }))
}
