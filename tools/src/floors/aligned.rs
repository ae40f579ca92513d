//! Memory that direct I/O accepts: a buffer that begins at a multiple of 4 KiB.

use std::ops::{Deref, DerefMut};

/// What direct I/O wants of addresses, positions and lengths, on any device of today.
pub(super) const BLOCK_BYTES: usize = 4 << 10;

/// A fixed buffer, filled with bytes that no device can compress or recognise as zeroes.
#[derive(Debug)]
pub(super) struct Aligned {
    bytes: Vec<u8>,
    from: usize,
    len: usize,
}

impl Aligned {
    /// `len` bytes, rounded up to whole blocks.
    pub(super) fn new(len: usize) -> Aligned {
        let len = len.next_multiple_of(BLOCK_BYTES);
        let mut bytes = vec![0; len + BLOCK_BYTES];
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for word in bytes.chunks_exact_mut(8) {
            // xorshift: never zero, never repeating within a buffer.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let from = bytes.as_ptr().align_offset(BLOCK_BYTES);
        assert!(from < BLOCK_BYTES, "a byte pointer can be aligned within a block");
        Aligned { bytes, from, len }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.from..self.from + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..self.from + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_at_a_block_wherever_it_is_moved() {
        for len in [1, 4096, 70_000] {
            let buffer = Box::new(Aligned::new(len));
            assert_eq!(buffer.as_ptr().align_offset(BLOCK_BYTES), 0);
            assert_eq!(buffer.len(), len.next_multiple_of(BLOCK_BYTES));
            assert!(buffer.chunks_exact(64).all(|part| part.iter().any(|b| *b != 0)));
        }
    }
}
