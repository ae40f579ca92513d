//! Record batches, magic 2: the only shape in which records enter, lie on disk and leave.
//!
//! Batches are stored byte for byte as the producer sent them. The base offset and the leader
//! epoch lie outside the checksum, so an append patches them in place.
//!
//! | file | what it knows |
//! |---|---|
//! | `header` | the 61 bytes before the records |
//! | `varint` | the numbers inside records |
//! | `records` | one record after another, borrowed |
//! | `codec` | compressing, and inflating with an output bound |
//! | `codecs` | the same with memory that is used again |
//! | `validate` | what a producer may send |
//! | `patch` | the two changes a broker makes to a batch, and a generator's restamping |
//! | `build` | new batches |
//! | `retain` | a batch with some of its records: what compaction leaves |
//!
//! Invariants: no bytes make anything here panic or allocate more than a stated bound; a batch that
//! passed [`validate()`] walks to its end without an error.

mod build;
mod codec;
mod codecs;
mod header;
mod patch;
mod records;
mod retain;
#[cfg(test)]
mod tests;
mod validate;
mod varint;

pub use build::BatchBuilder;
pub use codec::{InflateError, compress, inflate};
pub use codecs::{Deflater, Inflater};
pub(crate) use header::CRC_FROM;
pub use header::{
    Attributes, BatchHeader, Codec, HEADER_BYTES, LOG_OVERHEAD, MAGIC, TimestampType, crc_matches,
};
pub use patch::{Patch, Stamp, restamp, stamp_append_time};
pub use records::{Header, Headers, Record, RecordError, RecordFault, Records, payload};
pub use retain::{Retained, RetainedRecord, empty_batch};
pub use validate::{BadTimestamp, BatchError, BatchSummary, Blame, Limits, ProducerFields, validate};
