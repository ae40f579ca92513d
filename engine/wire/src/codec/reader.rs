//! Bytes → values, never past the end.

use uuid::Uuid;

use super::{ARRAY_MAX, DecodeError, Shape, TAGS_MAX};

/// A cursor over one frame. Positions are relative to the slice it was made from.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
}

macro_rules! fixed {
    ($($name:ident: $type:ty;)*) => {
        $(
            #[doc = concat!("A big-endian `", stringify!($type), "`.")]
            pub fn $name(&mut self) -> Result<$type, DecodeError> {
                Ok(<$type>::from_be_bytes(self.array()?))
            }
        )*
    };
}

impl<'a> Reader<'a> {
    /// Reads `frame` from its first byte. A frame is what follows the four size bytes.
    pub fn new(frame: &'a [u8]) -> Self {
        Self { frame, at: 0 }
    }

    /// Position of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.frame.len() - self.at
    }

    /// Whether everything was read. Kafka tolerates bytes behind a message.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        match self.frame[self.at..].get(..n) {
            Some(bytes) => {
                self.at += n;
                Ok(bytes)
            }
            None => Err(DecodeError::Short { at: self.at, need: n, left: self.remaining() }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.frame[self.at..].first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(DecodeError::Short { at: self.at, need: N, left: self.remaining() }),
        }
    }

    fixed! {
        u8: u8;
        i8: i8;
        i16: i16;
        i32: i32;
        i64: i64;
    }

    /// 16 bytes; all zero means "none".
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    /// An unsigned varint of at most 32 bits: seven bits a byte, lowest first, the top bit says "more".
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let at = self.at;
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint { at })
    }

    /// A nullable string.
    pub fn string(&mut self, shape: Shape) -> Result<Option<&'a str>, DecodeError> {
        let length = if shape.flexible { self.compact_length()? } else { self.length(i16::into, Self::i16)? };
        let Some(length) = length else { return Ok(None) };
        let at = self.at;
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(DecodeError::Utf8 { at }),
        }
    }

    /// Nullable bytes.
    pub fn bytes(&mut self, shape: Shape) -> Result<Option<&'a [u8]>, DecodeError> {
        let length = if shape.flexible { self.compact_length()? } else { self.length(i32::into, Self::i32)? };
        length.map(|n| self.take(n)).transpose()
    }

    /// The count of a nullable array whose elements take at least `size_min` bytes each. What it
    /// returns may be used as a capacity.
    pub fn count(&mut self, size_min: usize, shape: Shape) -> Result<Option<u32>, DecodeError> {
        let count = if shape.flexible { self.compact_length()? } else { self.length(i32::into, Self::i32)? };
        let Some(count) = count else { return Ok(None) };
        // Both length forms fit 32 bits.
        let count = count as u32;
        self.check_count(count, size_min, ARRAY_MAX)?;
        Ok(Some(count))
    }

    fn check_count(&self, count: u32, size_min: usize, max: u32) -> Result<(), DecodeError> {
        let (at, left) = (self.at, self.remaining());
        if (count as u64).saturating_mul(size_min as u64) > left as u64 {
            return Err(DecodeError::Count { at, count, size_min, left });
        }
        if count > max {
            return Err(DecodeError::CountMax { at, count, max });
        }
        Ok(())
    }

    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.uvarint()?.checked_sub(1).map(|n| n as usize))
    }

    fn length<T>(
        &mut self,
        widen: impl FnOnce(T) -> i32,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<usize>, DecodeError> {
        match widen(read(self)?) {
            -1 => Ok(None),
            length => {
                usize::try_from(length).map(Some).map_err(|_| DecodeError::Length { at: self.at, length })
            }
        }
    }

    /// Walks the tagged fields that close a struct of a flexible version. `known` reads the value of
    /// a tag that it knows and returns true; everything else is skipped.
    pub fn tags(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        self.check_count(count, 2, TAGS_MAX)?;
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let at = self.at;
            self.take(size)?;
            // The value may not read past its own end.
            let mut value = Reader { frame: &self.frame[..self.at], at };
            if known(tag, &mut value)? && !value.is_empty() {
                return Err(DecodeError::TagSize { at, tag, size, used: value.at - at });
            }
        }
        Ok(())
    }
}
