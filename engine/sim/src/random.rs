//! The one source of chance: a small generator that is the same on every machine for ever.

use std::ops::Range;

/// A stream of numbers that its seed decides (splitmix64).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range.
    ///
    /// # Panics
    /// If it is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        assert!(!range.is_empty(), "a number of an empty range");
        range.start + self.bits() % (range.end - range.start)
    }

    /// An index below `len`.
    ///
    /// # Panics
    /// If `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.within(0..len as u64) as usize
    }

    /// True `part` times in a million.
    pub fn chance(&mut self, part_per_million: u32) -> bool {
        self.bits() % 1_000_000 < u64::from(part_per_million)
    }

    /// True every other time.
    pub fn coin(&mut self) -> bool {
        self.bits() & 1 == 1
    }

    /// A stream of its own, so that what one part of a world draws does not shift another's.
    pub fn split(&mut self) -> Random {
        Random::new(self.bits())
    }
}
