//! Ending a run before its time.

use std::sync::atomic::{AtomicU8, Ordering};

/// Asked once, a load ends in order: answers arrive, consumers read to the end. Asked twice, it stops
/// waiting for them.
#[derive(Debug, Default)]
pub struct Stop(AtomicU8);

impl Stop {
    /// Asks once more.
    pub fn ask(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1));
    }

    /// Whether to end.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Whether to end without waiting.
    #[must_use]
    pub fn hurried(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}
