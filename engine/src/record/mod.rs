//! Record batches, magic 2: the only shape in which records enter, lie on disk and leave.
//!
//! Batches are stored byte for byte as the producer sent them. The base offset and the leader
//! epoch lie outside the checksum, so an append patches them in place.

mod header;

pub use header::{
    Attributes, BatchHeader, Codec, HEADER_BYTES, LOG_OVERHEAD, MAGIC, TimestampType, crc_matches,
};
