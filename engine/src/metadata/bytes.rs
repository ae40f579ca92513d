//! Numbers, strings and lists as metadata records hold them.
//!
//! | type | bytes |
//! |---|---|
//! | number | big-endian |
//! | string | u16 length, UTF-8 |
//! | list | u32 count, items |
//! | uuid | 16 |

use uuid::Uuid;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// The bytes end inside a value, or a count claims more items than they could hold.
    #[error("{needed} bytes needed, {left} left")]
    Short {
        /// What the value needs at least.
        needed: usize,
        /// What is there.
        left: usize,
    },
    /// A string that is not UTF-8.
    #[error("text that is not UTF-8")]
    Text,
    /// Bytes after the last field.
    #[error("{bytes} bytes left over")]
    Leftover {
        /// How many.
        bytes: usize,
    },
    /// A record that a newer version wrote.
    #[error("unknown record kind {kind} version {version}")]
    UnknownRecord {
        /// Its kind.
        kind: u8,
        /// Its version.
        version: u8,
    },
    /// A value outside its range.
    #[error("a value outside its range")]
    Range,
}

/// Takes values off the front of bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let short = Malformed::Short { needed: n, left: self.0.len() };
        let (head, rest) = self.0.split_at_checked(n).ok_or(short)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.bytes(N)?.try_into().expect("N bytes were taken"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, Malformed> {
        self.array().map(Uuid::from_bytes)
    }

    pub(super) fn string(&mut self) -> Result<String, Malformed> {
        let len = self.u16()?;
        let text = std::str::from_utf8(self.bytes(len.into())?).map_err(|_| Malformed::Text)?;
        Ok(text.to_owned())
    }

    /// A list whose items take at least `item_bytes_min` bytes each.
    pub(super) fn list<T>(
        &mut self,
        item_bytes_min: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u32()? as usize;
        let needed = count.saturating_mul(item_bytes_min);
        if needed > self.0.len() {
            return Err(Malformed::Short { needed, left: self.0.len() });
        }
        (0..count).map(|_| item(self)).collect()
    }

    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Leftover { bytes: self.0.len() }) }
    }
}

/// Appends a string.
///
/// # Panics
/// If it is longer than 65,535 bytes: whoever makes a record checks its texts first.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).expect("texts in records are short");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends a list.
pub(super) fn put_list<T>(out: &mut Vec<u8>, items: &[T], mut item: impl FnMut(&mut Vec<u8>, &T)) {
    let count = u32::try_from(items.len()).expect("lists in records are short");
    out.extend_from_slice(&count.to_be_bytes());
    items.iter().for_each(|i| item(out, i));
}
