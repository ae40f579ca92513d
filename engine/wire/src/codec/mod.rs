//! How a value lies on the wire.
//!
//! Everything is big-endian. A *flexible* version writes lengths as unsigned varints of n + 1 (0 is
//! null) and closes every struct with tagged fields; a *classic* version writes fixed lengths (-1 is
//! null) and has no tags.
//!
//! | type   | classic             | flexible                    |
//! |--------|---------------------|-----------------------------|
//! | string | i16 length, bytes   | uvarint length + 1, bytes   |
//! | bytes  | i32 length, bytes   | uvarint length + 1, bytes   |
//! | array  | i32 count, elements | uvarint count + 1, elements |
//! | struct | fields              | fields, tagged fields       |
//! | tags   | absent              | uvarint count, then (uvarint tag, uvarint size, bytes) ascending |
//!
//! Invariants: a count is believed only if `count * smallest element` fits into the bytes left, a
//! length only if that many bytes are left; arrays stop at [`ARRAY_MAX`], tags at [`TAGS_MAX`].

mod error;
#[macro_use]
mod field;
mod list;
#[macro_use]
mod message;
mod reader;
mod records;
mod writer;

pub use error::DecodeError;
pub use field::Field;
pub use list::{List, ListIter};
pub use message::Message;
pub use reader::Reader;
pub use records::Records;
pub use writer::{FrameStart, Segment, Splice, Writer};

/// Most elements in one array, as Kafka 4.4.
pub const ARRAY_MAX: u32 = 1_000_000;
/// Most tagged fields in one struct, as Kafka 4.4.
pub const TAGS_MAX: u32 = 10_000;

/// The version of a message, and whether it is a flexible one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Version of the message that a value is part of.
    pub version: i16,
    /// Compact lengths and tagged fields.
    pub flexible: bool,
}
