//! Log compaction: the latest record of each key, decided without touching a file.
//!
//! A round reads the dirty part of a log and notes the latest offset of each key ([`Fill`] into an
//! [`OffsetMap`]); then it reads all segments below the map's end and writes what survives
//! ([`Survivors`]), a [`Group`] of segments at a time into one.
//!
//! | file | what it decides |
//! |---|---|
//! | `plan` | what may be compacted, whether it is due, which segments become one |
//! | `map` | the latest offset of each key, in memory of a fixed size |
//! | `fill` | which keys are noted in it |
//! | `round` | what a round knows when it judges |
//! | `survivors` | which batches and records stay |
//! | `transactions` | what was aborted, which markers nobody needs |
//! | `throttle` | how fast it may read and write |
//! | `swap` | what is stored while files change their names |
//!
//! Invariants: no record moves to another offset; a batch's last offset stays with it; the latest record of
//! a key below the map's end stays until its tombstone's time has come; what cannot be read stays as it is;
//! running a round again over its own outcome, at the same time, changes nothing.

mod fill;
mod map;
mod plan;
mod round;
mod survivors;
mod swap;
#[cfg(test)]
mod tests;
mod throttle;
mod transactions;

pub use fill::Fill;
pub use map::{KeyHash, OffsetMap};
pub use plan::{CleanLimits, Cleanable, Facts, Group, cleanable, groups, is_due};
pub use round::Round;
pub use survivors::{Fate, Survivors, Tally};
pub use swap::{SWAP_BYTES_MAX, Swap};
pub use throttle::Throttle;
pub use transactions::{Aborted, Marker, Transactions};
