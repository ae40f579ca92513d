//! Keys and values of chance, the same in each run.

/// A generator of numbers.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// One that gives the same numbers for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 20) % end
    }

    /// Fills a value half with the name of a field and half with digits: such as a service would write, so
    /// that it compresses to less than half, and not to nothing.
    pub fn fill(&mut self, value: &mut [u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for part in value.chunks_mut(16) {
            let digits = self.below(1 << 32);
            let mut text = *b"\"field\":........";
            for (at, byte) in text[8..].iter_mut().enumerate() {
                *byte = DIGITS[(digits >> (4 * at)) as usize % 16];
            }
            part.copy_from_slice(&text[..part.len()]);
        }
    }
}
