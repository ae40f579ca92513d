//! How long one floor may take and how much it may write.

use std::time::{Duration, Instant};

/// Bytes that a floor on new space writes: enough for a second at most devices' rate.
const SPACE_BYTES: u64 = 512 << 20;

/// The most that a floor moves, however fast the machine.
const MOVE_BYTES_MAX: u64 = 8 << 30;

/// The bounds of one floor in one pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// The end of a floor that counts bytes.
    pub throughput: Duration,
    /// The end of a floor that counts time; the tail needs the samples.
    pub latency: Duration,
    /// The end of a floor at a given rate: p99.99 needs 100,000 samples.
    pub at_rate: Duration,
    /// Size of each scratch file: what a floor on new space writes at most.
    pub space_bytes: u64,
    /// What any floor moves at most.
    pub move_bytes_max: u64,
}

impl Budget {
    /// `ringlog bench floors`: one pass, under a minute.
    #[must_use]
    pub fn alone() -> Budget {
        Budget {
            throughput: Duration::from_millis(1_000),
            latency: Duration::from_millis(2_500),
            at_rate: Duration::from_millis(6_500),
            space_bytes: SPACE_BYTES,
            move_bytes_max: MOVE_BYTES_MAX,
        }
    }

    /// Around a run: two passes over the floors that matter there.
    #[must_use]
    pub fn around_a_run() -> Budget {
        Budget {
            throughput: Duration::from_millis(500),
            latency: Duration::from_millis(1_500),
            at_rate: Duration::from_millis(4_000),
            ..Budget::alone()
        }
    }

    /// As short as a figure can be: for a look, not for a claim.
    #[must_use]
    pub fn quick() -> Budget {
        Budget {
            throughput: Duration::from_millis(100),
            latency: Duration::from_millis(200),
            at_rate: Duration::from_millis(400),
            space_bytes: 32 << 20,
            move_bytes_max: 1 << 30,
        }
    }
}

/// Ends a loop by time or by bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    begun: Instant,
    time: Duration,
    bytes: u64,
}

impl Until {
    /// From now on.
    pub(super) fn starting_now(time: Duration, bytes: u64) -> Until {
        Until { begun: Instant::now(), time, bytes }
    }

    /// Whether `moved` bytes, or the time, are enough.
    pub(super) fn is_over(&self, moved: u64) -> bool {
        moved >= self.bytes || self.begun.elapsed() >= self.time
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
