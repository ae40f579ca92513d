//! What is served. One file per API key; each struct is a table of fields with the versions that
//! carry them, under Kafka's names. [`ApiKey`] is the visible list of keys and versions.

pub mod api_versions;
pub mod create_topics;
pub mod fetch;
mod key;
mod leader;
pub mod metadata;
pub mod produce;
mod topics;

pub use key::{ApiKey, VersionRange};
pub use leader::{LeaderIdAndEpoch, NodeEndpoint};
