//! The Kafka protocol: bytes to types and back, every count bounded.
//!
//! ```text
//! codec/          how a type lies on the wire: Reader, Writer, Field, List, Records, the `message!` table
//! api/            what is served: one file per API key, each a table of fields with the versions that carry them
//! error_code.rs   Kafka's error codes
//! header.rs       request and response headers
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

pub use api::{ApiKey, LeaderIdAndEpoch, NodeEndpoint, VersionRange};
pub use api::{
    api_versions, create_topics, delete_topics, describe_cluster, describe_configs,
    describe_topic_partitions, fetch, find_coordinator, incremental_alter_configs, init_producer_id,
    list_offsets, metadata, produce,
};
pub use codec::{DecodeError, List, ListIter, Message, Reader, Records, Segment, Splice, Writer};
pub use error_code::ErrorCode;
pub use header::{RequestHeader, ResponseHeader};
