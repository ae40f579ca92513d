//! The Kafka protocol: bytes to types and back, every count bounded.
//!
//! ```text
//! codec/          how a type lies on the wire: Reader, Writer, Field, List, Records, the `message!` table
//! api/            what is served: one file per API key, each a table of fields with the versions that carry them
//! error_code.rs   Kafka's error codes
//! header.rs       request and response headers
//! stored/         messages that lie in internal topics
//! ```
//!
//! Both directions are here: a broker decodes requests and encodes responses, a client the reverse.
//! The crate has no state, performs no I/O and knows nothing of what is inside a record batch.
//!
//! Invariants
//! - A decoder never panics and never allocates more than a constant times the bytes that are left.
//! - Produce and Fetch are lazily iterated views over the frame; decoding them allocates nothing.
//! - A record byte is never copied: an encoder leaves a *splice*, a hole of known length in the
//!   bytes it writes, and the sender puts the record bytes there (`writev`).
//!
//! ```
//! use wire::{metadata, Message, Reader, Writer};
//!
//! let mut w = Writer::new();
//! metadata::Request { topics: None, ..Default::default() }.encode(12, &mut w);
//! let request = metadata::Request::decode(12, &mut Reader::new(w.head())).unwrap();
//! assert_eq!(request.topics, None);
//! ```

#[macro_use]
pub mod codec;
mod api;
mod error_code;
mod header;
#[cfg(feature = "sample")]
pub mod sample;
pub mod stored;

pub use api::{ApiKey, LeaderIdAndEpoch, NodeEndpoint, VersionRange};
pub use api::{
    alter_configs, alter_partition_reassignments, alter_replica_log_dirs, api_versions,
    consumer_group_describe, consumer_group_heartbeat, create_partitions, create_topics, delete_groups,
    delete_records, delete_topics, describe_cluster, describe_configs, describe_groups, describe_log_dirs,
    describe_producers, describe_quorum, describe_topic_partitions, elect_leaders, fetch, find_coordinator,
    heartbeat, incremental_alter_configs, init_producer_id, join_group, leave_group, list_config_resources,
    list_groups, list_offsets, list_partition_reassignments, metadata, offset_commit, offset_delete,
    offset_fetch, offset_for_leader_epoch, produce, sync_group, unregister_broker,
};
pub use codec::{DecodeError, List, ListIter, Message, Reader, Records, Segment, Splice, Writer};
pub use error_code::ErrorCode;
pub use header::{RequestHeader, ResponseHeader};
