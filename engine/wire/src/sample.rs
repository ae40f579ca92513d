//! Values of every message, made from bytes: for tests and benchmarks (feature `sample`).
//!
//! The same bytes make the same value. An exhausted source gives zeros, so that a shorter source
//! makes a simpler value, which is what a shrinking test wants. Memory of lists is leaked.

use std::borrow::Cow;

use uuid::Uuid;

use crate::codec::{List, Records};
use crate::{ApiKey, DecodeError, ErrorCode, Message};

/// Most elements of a sampled array.
const ITEMS_MAX: u8 = 4;

const TEXTS: [&str; 8] =
    ["", "t", "orders", "päivää-日本", "a.b_c-d", "\"quoted\\\"", "x\ny\u{0}", "127.0.0.1"];

const RECORDS: [&[u8]; 4] = [b"", b"\x00", b"record bytes \xff\xfe", &[0x5a; 300]];

/// Where the choices come from.
#[derive(Debug)]
pub struct Entropy<'e> {
    bytes: &'e [u8],
}

impl<'e> Entropy<'e> {
    /// Choices from these bytes, then zeros.
    pub fn new(bytes: &'e [u8]) -> Self {
        Self { bytes }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }
}

/// Can be made from bytes.
pub trait Sample<'a>: Sized {
    /// A value as `version` carries it: fields of other versions keep their defaults.
    fn sample(entropy: &mut Entropy<'_>, version: i16) -> Self;
}

/// A message of `version` made from `entropy`.
pub fn message<'a, M: Message<'a> + Sample<'a>>(entropy: &[u8], version: i16) -> Result<M, DecodeError> {
    let key: ApiKey = M::KEY;
    key.shape(version)?;
    Ok(M::sample(&mut Entropy::new(entropy), version))
}

macro_rules! integers {
    ($($type:ty),*) => {
        $(
            impl<'a> Sample<'a> for $type {
                fn sample(entropy: &mut Entropy<'_>, _: i16) -> Self {
                    // Small, negative and extreme values as well as anything.
                    match entropy.byte() % 4 {
                        0 => entropy.byte() as $type,
                        1 => -1,
                        2 => <$type>::MAX,
                        _ => <$type>::from_be_bytes(entropy.bytes()),
                    }
                }
            }
        )*
    };
}

integers!(i8, i16, i32, i64);

impl<'a> Sample<'a> for u16 {
    fn sample(entropy: &mut Entropy<'_>, version: i16) -> Self {
        i16::sample(entropy, version) as u16
    }
}

impl<'a> Sample<'a> for &'a [u8] {
    fn sample(entropy: &mut Entropy<'_>, _: i16) -> Self {
        RECORDS[entropy.byte() as usize % RECORDS.len()]
    }
}

impl<'a> Sample<'a> for Cow<'a, [u8]> {
    fn sample(entropy: &mut Entropy<'_>, version: i16) -> Self {
        Cow::Borrowed(<&[u8]>::sample(entropy, version))
    }
}

impl<'a> Sample<'a> for bool {
    fn sample(entropy: &mut Entropy<'_>, _: i16) -> Self {
        entropy.byte() & 1 == 1
    }
}

impl<'a> Sample<'a> for ErrorCode {
    fn sample(entropy: &mut Entropy<'_>, _: i16) -> Self {
        ErrorCode::ALL[entropy.byte() as usize % ErrorCode::ALL.len()]
    }
}

impl<'a> Sample<'a> for Uuid {
    fn sample(entropy: &mut Entropy<'_>, _: i16) -> Self {
        Uuid::from_bytes(entropy.bytes())
    }
}

impl<'a> Sample<'a> for &'a str {
    fn sample(entropy: &mut Entropy<'_>, _: i16) -> Self {
        TEXTS[entropy.byte() as usize % TEXTS.len()]
    }
}

impl<'a> Sample<'a> for Cow<'a, str> {
    fn sample(entropy: &mut Entropy<'_>, version: i16) -> Self {
        Cow::Borrowed(<&str>::sample(entropy, version))
    }
}

impl<'a> Sample<'a> for Records<'a> {
    fn sample(entropy: &mut Entropy<'_>, _: i16) -> Self {
        match entropy.byte() {
            0xff => Records::Null,
            choice => Records::copied(RECORDS[choice as usize % RECORDS.len()]),
        }
    }
}

impl<'a, T: Sample<'a>> Sample<'a> for Option<T> {
    fn sample(entropy: &mut Entropy<'_>, version: i16) -> Self {
        (entropy.byte() & 1 == 1).then(|| T::sample(entropy, version))
    }
}

impl<'a, T: Sample<'a>> Sample<'a> for Vec<T> {
    fn sample(entropy: &mut Entropy<'_>, version: i16) -> Self {
        (0..entropy.byte() % (ITEMS_MAX + 1)).map(|_| T::sample(entropy, version)).collect()
    }
}

impl<'a, T: Sample<'a>> Sample<'a> for List<'a, T> {
    fn sample(entropy: &mut Entropy<'_>, version: i16) -> Self {
        List::of(Vec::leak(Vec::sample(entropy, version)))
    }
}
