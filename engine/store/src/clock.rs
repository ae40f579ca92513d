//! The monotonic clock of this process, the same for all executors, and what the kernel knows of the wall clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant as StdInstant};

use engine::base::Instant;
use rustix::time::{ClockId, clock_gettime};

static BEGAN: OnceLock<StdInstant> = OnceLock::new();

static ASLEEP: OnceLock<Duration> = OnceLock::new();

/// How long the machine has slept since the first call in this process: what [`monotonic`] does not count.
#[must_use]
pub fn asleep() -> Duration {
    let time = |clock| {
        let time = clock_gettime(clock);
        let part = |value: i64| u64::try_from(value).unwrap_or(0);
        Duration::new(part(time.tv_sec), part(time.tv_nsec) as u32)
    };
    // The later one second, so that awake the difference is no less than nothing.
    let monotonic = time(ClockId::Monotonic);
    let total = time(ClockId::Boottime).saturating_sub(monotonic);
    total.saturating_sub(*ASLEEP.get_or_init(|| total))
}

/// Whether something outside keeps the wall clock of this machine right, as far as the kernel was told. No
/// where it does not say.
#[must_use]
pub fn is_synchronised() -> bool {
    // SAFETY: a `timex` is integers alone, so zeroes are one; with `modes` 0 the call only fills it.
    let (state, status) = unsafe {
        let mut time: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut time), time.status)
    };
    state >= 0 && status & libc::STA_UNSYNC == 0
}

/// Time since the first call in this process. Some 25 ns: one call for an event or a batch of them.
#[must_use]
pub fn monotonic() -> Instant {
    let since = BEGAN.get_or_init(StdInstant::now).elapsed();
    Instant(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
