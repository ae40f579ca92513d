//! What is served. One file per API key; each struct is a table of fields with the versions that
//! carry them, under Kafka's names. [`ApiKey`] is the visible list of keys and versions.

pub mod api_versions;
pub mod create_topics;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_topic_partitions;
pub mod fetch;
pub mod find_coordinator;
pub mod incremental_alter_configs;
pub mod init_producer_id;
mod key;
mod leader;
pub mod list_offsets;
pub mod metadata;
pub mod produce;
mod topics;

pub use key::{ApiKey, VersionRange};
pub use leader::{LeaderIdAndEpoch, NodeEndpoint};
