//! How fast compaction may read and write.

use crate::base::Instant;

const NANOS: u128 = 1_000_000_000;

/// Bytes a second, with what was used beyond them paid back before more is taken. What is not used is
/// kept for one second.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    /// `u64::MAX` is no limit.
    bytes_per_second: u64,
    /// What may be used now; below zero it is owed.
    left: i128,
    at: Instant,
}

impl Throttle {
    /// From `now` on this many bytes a second; `u64::MAX` is no limit.
    #[must_use]
    pub fn new(now: Instant, bytes_per_second: u64) -> Throttle {
        Throttle { bytes_per_second, left: i128::from(bytes_per_second), at: now }
    }

    /// Another rate from `now` on. What is owed stays owed.
    pub fn set_rate(&mut self, now: Instant, bytes_per_second: u64) {
        self.refill(now);
        self.bytes_per_second = bytes_per_second;
        self.left = self.left.min(i128::from(bytes_per_second));
    }

    /// Counts bytes that are read or written now.
    pub fn take(&mut self, now: Instant, bytes: u64) {
        self.refill(now);
        self.left -= i128::from(bytes);
    }

    /// Whether nothing is owed any more.
    pub fn is_ready(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.bytes_per_second == u64::MAX || self.left >= 0
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.0.saturating_sub(self.at.0);
        let earned = u128::from(elapsed) * u128::from(self.bytes_per_second) / NANOS;
        // What is left of a moment beyond whole bytes is not used up.
        if earned > 0 {
            self.at.0 += (earned * NANOS / u128::from(self.bytes_per_second)) as u64;
            self.left = (self.left + earned as i128).min(i128::from(self.bytes_per_second));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_was_used_beyond_the_rate_is_paid_back_first() {
        let mut throttle = Throttle::new(Instant(0), 1_000);
        throttle.take(Instant(0), 3_000);
        for (at, ready) in [(0, false), (SECOND, false), (2 * SECOND - 1, false), (2 * SECOND, true)] {
            assert_eq!(throttle.is_ready(Instant(at)), ready, "at {at}");
        }
        throttle.take(Instant(100 * SECOND), 1_001);
        assert!(!throttle.is_ready(Instant(100 * SECOND)), "only a second is saved up");
    }

    #[test]
    fn no_limit_is_never_owed_and_a_new_rate_counts_from_then_on() {
        let mut throttle = Throttle::new(Instant(0), u64::MAX);
        throttle.take(Instant(0), u64::MAX);
        throttle.take(Instant(0), u64::MAX);
        assert!(throttle.is_ready(Instant(0)));
        let mut throttle = Throttle::new(Instant(0), 1_000);
        throttle.take(Instant(0), 11_000);
        throttle.set_rate(Instant(0), 10_000);
        assert!(!throttle.is_ready(Instant(SECOND / 2)));
        assert!(throttle.is_ready(Instant(SECOND)));
    }
}
