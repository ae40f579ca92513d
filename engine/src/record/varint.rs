//! Zigzag varints: 7 bits a byte, lowest first, the top bit says that another follows.

/// Why a number could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum VarintError {
    /// The bytes ended inside it.
    Truncated,
    /// It has more bits than its type.
    TooLong,
}

/// Takes an i32 (at most 5 bytes) off the front.
#[inline]
pub(super) fn take_i32(bytes: &mut &[u8]) -> Result<i32, VarintError> {
    let raw = match take_short(bytes) {
        Some(raw) => raw,
        None => u32::try_from(take(bytes, 5)?).map_err(|_| VarintError::TooLong)?,
    };
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes an i64 (at most 10 bytes) off the front.
#[inline]
pub(super) fn take_i64(bytes: &mut &[u8]) -> Result<i64, VarintError> {
    let raw = match take_short(bytes) {
        Some(raw) => u64::from(raw),
        None => take(bytes, 10)?,
    };
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// A number of one or two bytes, which nearly all inside records are; `None` takes nothing.
#[inline]
fn take_short(bytes: &mut &[u8]) -> Option<u32> {
    let (&low, rest) = bytes.split_first()?;
    if low < 0x80 {
        *bytes = rest;
        return Some(u32::from(low));
    }
    let (&high, rest) = rest.split_first()?;
    if high < 0x80 {
        *bytes = rest;
        return Some(u32::from(low & 0x7f) | u32::from(high) << 7);
    }
    None
}

#[cold]
fn take(bytes: &mut &[u8], max: usize) -> Result<u64, VarintError> {
    let mut raw = 0u64;
    for (i, &b) in bytes.iter().enumerate().take(max) {
        let bits = u64::from(b & 0x7f);
        // The tenth byte holds only the 64th bit.
        if i == 9 && bits > 1 {
            return Err(VarintError::TooLong);
        }
        raw |= bits << (7 * i);
        if b & 0x80 == 0 {
            *bytes = &bytes[i + 1..];
            return Ok(raw);
        }
    }
    Err(if bytes.len() < max { VarintError::Truncated } else { VarintError::TooLong })
}

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, n: i64) {
    let mut raw = zigzag(n);
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Bytes that `put` appends.
pub(super) fn len(n: i64) -> usize {
    let bits = 64 - (zigzag(n) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}
