//! What a partition remembers of its idempotent producers (KIP-98), so that a retry is answered
//! with the original offset instead of being appended twice.
//!
//! Per producer id: its epoch and its last five batches, as many as a producer may have in flight.
//! Invariants: at most [`PRODUCERS_MAX`] entries and [`BATCHES_KEPT`] batches each, whose offsets
//! rise; an entry's epoch is that of its newest batch, if it has any.

mod entry;
mod snapshot;
mod stored;
mod table;

pub use entry::{BATCHES_KEPT, BatchMemo, NO_COORDINATOR_EPOCH, ProducerEntry};
pub use table::{PRODUCERS_MAX, ProducerError, ProducerTable, Verdict};
