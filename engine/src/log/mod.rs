//! One partition's log: what it consists of and every decision about it. Pure data, no I/O.
//!
//! A log is a row of segments, each a file of whole record batches with two sparse indexes, under
//! Kafka's names and in Kafka's formats. Invariants, whichever part holds them:
//!
//! - Batches lie back to back: a batch's position is the size of its segment before it.
//! - Offsets rise without overlap; an append starts at the log's end.
//! - State that a checkpoint keeps can be rebuilt by applying later batches again: every `apply`
//!   and `on_batch` ignores a batch it has seen.
//! - What is decoded here came from a disk or a stranger: counts and lengths are checked against
//!   the bytes that are there, and nothing panics.

pub mod cleaner;
mod cursor;
pub mod damage;
pub mod epochs;
#[cfg(test)]
mod fixture;
pub mod index;
pub mod intact;
pub mod names;
pub mod producers;
pub mod repair;
pub mod retention;
pub mod scan;
pub mod scrub;
pub mod segments;
pub mod times;

pub use cursor::Malformed;
pub use damage::{Cause, DamagedRange, Damages};
pub use epochs::{EpochEnd, LeaderEpochs};
pub use index::{IndexSearch, IndexTail};
pub use producers::ProducerTable;
pub use segments::{Segment, Segments};
