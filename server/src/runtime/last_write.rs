//! When any core last made records durable: what may wait looks whether it would disturb somebody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::base::Instant;

/// Nobody writes if nobody has for so long.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// Shared by all cores; written and read with their ticks, not per record.
#[derive(Clone, Debug, Default)]
pub struct LastWrite(Arc<AtomicU64>);

impl LastWrite {
    /// Records became durable on a core since its last tick.
    pub fn note(&self, now: Instant) {
        self.0.fetch_max(now.0, Ordering::Relaxed);
    }

    /// Whether no core has noted a write for a second.
    #[must_use]
    pub fn is_quiet(&self, now: Instant) -> bool {
        now.since(Instant(self.0.load(Ordering::Relaxed))) > QUIET_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_on_any_core_ends_the_quiet_of_all() {
        let here = LastWrite::default();
        let there = here.clone();
        let at = |ms: u64| Instant(ms * 1_000_000);
        assert!(here.is_quiet(at(5_000)));
        there.note(at(5_000));
        there.note(at(4_000));
        assert!(!here.is_quiet(at(5_900)));
        assert!(here.is_quiet(at(6_100)));
    }
}
