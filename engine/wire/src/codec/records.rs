//! Record bytes: never copied by this crate.

use std::fmt;
use std::ops::Range;

use super::field::array_size_min;
use super::{DecodeError, Field, Reader, Shape, Writer};

/// The record bytes of a partition.
#[derive(Clone, Copy)]
pub enum Records<'a> {
    /// Null: none.
    Null,
    /// Bytes of the frame that was decoded. Encoding them copies them.
    Bytes {
        /// The bytes.
        bytes: &'a [u8],
        /// Position of the first one in the frame.
        at: usize,
    },
    /// To be encoded: a hole of that many bytes, into which the sender puts them.
    Splice {
        /// Length of the records.
        bytes: usize,
    },
}

impl<'a> Records<'a> {
    /// These bytes, copied when they are encoded. For tests and cold paths.
    pub const fn copied(bytes: &'a [u8]) -> Self {
        Records::Bytes { bytes, at: 0 }
    }

    /// The bytes of the frame that was decoded; none if null.
    pub const fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Records::Bytes { bytes, .. } => Some(bytes),
            Records::Null | Records::Splice { .. } => None,
        }
    }

    /// Where the bytes lie in the frame that was decoded, so that they can be patched in place or
    /// cut out as a reference-counted slice.
    pub const fn range(&self) -> Option<Range<usize>> {
        match self {
            Records::Bytes { bytes, at } => Some(*at..*at + bytes.len()),
            Records::Null | Records::Splice { .. } => None,
        }
    }

    /// Number of bytes; 0 if null.
    pub const fn len(&self) -> usize {
        match self {
            Records::Null => 0,
            Records::Bytes { bytes, .. } => bytes.len(),
            Records::Splice { bytes } => *bytes,
        }
    }

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Records<'_> {
    fn default() -> Self {
        Records::copied(&[])
    }
}

impl<'a> Field<'a> for Records<'a> {
    fn size_min(shape: Shape) -> usize {
        array_size_min(shape)
    }

    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        Ok(match r.bytes(shape)? {
            None => Records::Null,
            Some(bytes) => Records::Bytes { bytes, at: r.position() - bytes.len() },
        })
    }

    fn write(&self, w: &mut Writer, shape: Shape) {
        match *self {
            Records::Null => w.bytes_length(None, shape),
            Records::Bytes { bytes, .. } => {
                w.bytes_length(Some(bytes.len()), shape);
                w.raw(bytes);
            }
            Records::Splice { bytes } => {
                w.bytes_length(Some(bytes), shape);
                w.splice(bytes);
            }
        }
    }
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Records::Null => f.write_str("None"),
            Records::Bytes { bytes, .. } => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Records::Splice { bytes } => write!(f, "Splice({bytes})"),
        }
    }
}

impl PartialEq for Records<'_> {
    /// Equal content; where it lies does not matter.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Records::Null, Records::Null) => true,
            (Records::Bytes { bytes: a, .. }, Records::Bytes { bytes: b, .. }) => a == b,
            (Records::Splice { bytes: a }, Records::Splice { bytes: b }) => a == b,
            _ => false,
        }
    }
}
