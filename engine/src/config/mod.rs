//! Settings under Kafka's own names: one definition each, from which everything else follows.
//!
//! A [`Def`] holds a setting's name, type, range, default and documentation. The parser, the
//! answer to DescribeConfigs, the check of an alteration and the documentation page all read the
//! same three tables ([`topic::DEFS`], [`broker::DEFS`], [`own_group::DEFS`]), so they cannot disagree.
//!
//! - [`topic`]: what a topic may override; resolved into [`TopicSettings`].
//! - [`broker`]: what a broker is started with; resolved into [`BrokerSettings`].
//! - [`own_group`]: what a consumer group may override; resolved into [`GroupOverrides`].
//!
//! Invariants: an unknown name is an error with a suggestion, never ignored; a value that would
//! have no effect although it asks for one (recompression) is refused with the reason;
//! what is stored has passed its definition's check.

mod alter;
pub mod broker;
mod broker_defs;
mod cleaner;
mod def;
mod describe;
pub mod docs;
mod group;
mod group_defs;
mod inherit;
mod listener;
pub mod own_group;
mod suggest;
#[cfg(test)]
mod tests;
pub mod topic;
mod topic_defs;

pub use alter::AlterOp;
pub use broker::{BrokerSettings, Layer, Origin};
pub use cleaner::CleanerSettings;
pub use def::{ConfigError, Def, Kind, Support, ValueType};
pub use describe::{Described, DescribedSynonym, Source};
pub use group::{Assignor, ConsumerGroupSettings, GroupSettings, Migration};
pub use listener::Listener;
pub use own_group::GroupOverrides;
pub use topic::{Cleanup, TopicSettings};

/// The largest batch that can be appended, in bytes, and so the upper end of `max.message.bytes`:
/// a batch is journaled whole, and one frame of the journal must hold it.
pub const BATCH_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// A batch of a compacted topic inflates to at most this, in bytes: its keys are read when it comes and
/// again whenever it is compacted, and each time all of it is in memory.
pub const INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest value of a setting, in bytes. Longer ones would make metadata records unbounded.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
