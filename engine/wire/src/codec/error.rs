//! Why bytes are not a message.

use crate::ApiKey;

/// Why bytes are not a message. Positions count from the first byte given to the
/// [`Reader`](super::Reader).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A fixed-size value or a length runs past the end.
    #[error("{need} bytes wanted at {at}, {left} left")]
    Short {
        /// Position of the value.
        at: usize,
        /// Its size in bytes.
        need: usize,
        /// Bytes left from there.
        left: usize,
    },
    /// An array cannot fit: even its smallest elements would take more bytes than are left.
    #[error("{count} elements of at least {size_min} bytes claimed at {at}, {left} bytes left")]
    Count {
        /// Position behind the count.
        at: usize,
        /// Elements claimed.
        count: u32,
        /// Smallest size of one element.
        size_min: usize,
        /// Bytes left.
        left: usize,
    },
    /// An array or a list of tags is longer than the protocol allows.
    #[error("{count} elements claimed at {at}, at most {max} allowed")]
    CountMax {
        /// Position behind the count.
        at: usize,
        /// Elements claimed.
        count: u32,
        /// Most allowed.
        max: u32,
    },
    /// A length below -1.
    #[error("length {length} at {at}")]
    Length {
        /// Position behind the length.
        at: usize,
        /// The length read.
        length: i32,
    },
    /// Null where the version has no null.
    #[error("null at {at}, which is not nullable in this version")]
    Null {
        /// Position behind the null.
        at: usize,
    },
    /// A stored message of a version that this build does not know.
    #[error("stored message of unknown version {version}")]
    StoredVersion {
        /// The version.
        version: i16,
    },
    /// A varint that does not end within five bytes or exceeds 32 bits.
    #[error("varint at {at} exceeds 32 bits")]
    Varint {
        /// Position of its first byte.
        at: usize,
    },
    /// A string that is not UTF-8.
    #[error("string at {at} is not UTF-8")]
    Utf8 {
        /// Position of its first byte.
        at: usize,
    },
    /// A tagged field whose value does not fill its size.
    #[error("tag {tag} at {at} announced {size} bytes, its value took {used}")]
    TagSize {
        /// Position of the value.
        at: usize,
        /// The tag.
        tag: u32,
        /// Announced size.
        size: usize,
        /// Bytes the value took.
        used: usize,
    },
    /// An API key that is not served.
    #[error("API key {0} is not served")]
    ApiKey(i16),
    /// A version outside the served range.
    #[error("{key:?} version {version} is not served")]
    Version {
        /// The API.
        key: ApiKey,
        /// The version asked for.
        version: i16,
    },
}
