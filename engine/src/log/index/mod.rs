//! A segment's two sparse indexes, in Kafka's formats.
//!
//! | `.index` bytes | field | | `.timeindex` bytes | field |
//! |---|---|---|---|---|
//! | 0–3 | offset − base offset | | 0–7 | largest timestamp so far, ms |
//! | 4–7 | position in the `.log` | | 8–11 | last offset of its batch − base offset |
//!
//! An entry is due at the first batch after more than `index.interval.bytes` of others. The offset
//! entry names that batch's *last* offset and its position; the time entry, written at the same
//! moment, at a roll and at a clean stop, names the largest timestamp so far if it rose since.
//! Both therefore rise strictly, and a lookup is for the largest entry not above the target.
//!
//! Files grow in whole 4 KiB blocks. What is younger lives in an [`IndexTail`], in memory and in
//! the checkpoint. A block is 341⅓ time entries, so they may straddle two.

mod entry;
mod pace;
mod search;
mod tail;

pub use entry::{Entry, OffsetEntry, TimeEntry};
pub use pace::{Due, IndexPace, NO_TIMESTAMP, TimestampOffset};
pub use search::{IndexSearch, SearchStep};
pub use tail::{FileTail, IndexTail, Lookup};
