//! What the cluster consists of: an immutable image, the records that change it, and the log that
//! keeps them.
//!
//! | file | what it knows |
//! |---|---|
//! | `image` | topics, partitions, brokers, settings, producer ids, at one moment |
//! | `record` | one change, and its bytes |
//! | `bytes` | numbers, strings and lists in those bytes |
//! | `storage` | frames of the log file and the snapshot file |
//! | `log` | the job that appends, snapshots and recovers |
//!
//! Invariants: an image changes only by [`Image::apply`], so that whoever applies the same records
//! in the same order has the same image; a record that does not fit the image is refused and changes
//! nothing; entries carry (term, index) and are what a quorum will replicate, a single node being a
//! quorum of one that never changes its term.

mod bytes;
mod image;
mod log;
mod record;
pub mod storage;
#[cfg(test)]
mod tests;

pub use bytes::Malformed;
pub use image::{ApplyError, Broker, Endpoint, GroupConfigs, Image, Partition, Position, Topic};
pub use log::{AppendError, LOG_BYTES_MAX, MetadataLog, OpenError, SNAPSHOT_BYTES_MAX};
pub use record::{ConfigResource, MetadataRecord, PartitionState};
