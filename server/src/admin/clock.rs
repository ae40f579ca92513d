//! How each core judges the wall clock, and an operator's word that it is right.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::base::ClockReport;
use serde_json::json;

use super::board::CoreReport;

/// How long whoever accepts the clock waits for the cores to heed it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it looks whether they did.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The number of the newest word, and of the last that each core has heeded.
#[derive(Debug)]
pub(super) struct ClockDesk {
    said: AtomicU64,
    heeded: Vec<AtomicU64>,
}

impl ClockDesk {
    /// A desk for that many cores.
    pub(super) fn new(cores: usize) -> ClockDesk {
        ClockDesk { said: AtomicU64::new(0), heeded: (0..cores).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The word that `core` has not heeded yet, if there is one.
    pub(super) fn word(&self, core: usize) -> Option<u64> {
        let said = self.said.load(Ordering::Acquire);
        (self.heeded[core].load(Ordering::Relaxed) < said).then_some(said)
    }

    /// A core goes by it.
    pub(super) fn heed(&self, core: usize, word: u64) {
        self.heeded[core].store(word, Ordering::Release);
    }

    /// Tells every core, and waits for them; whether all have heeded it.
    pub(super) fn say(&self) -> bool {
        let word = self.said.fetch_add(1, Ordering::AcqRel) + 1;
        let deadline = Instant::now() + PATIENCE;
        while self.heeded.iter().any(|heeded| heeded.load(Ordering::Acquire) < word) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }
}

/// How each core judges the clock, one JSON object a line.
pub(super) fn lines(cores: &[CoreReport]) -> String {
    let line = |(core, report): (usize, &CoreReport)| {
        let ClockReport { held, ahead_ms, wall, believed, steady_in_ms } = report.clock;
        let object = json!({
            "kind": "clock",
            "core": core,
            "held": held,
            "aheadMs": ahead_ms,
            "wallMs": wall.0,
            "believedMs": believed.0,
            "steadyInMs": steady_in_ms,
        });
        object.to_string() + "\n"
    };
    cores.iter().enumerate().map(line).collect()
}
