//! The monotonic clock of this process: the same for all executors.

use std::sync::OnceLock;
use std::time::Instant as StdInstant;

use engine::base::Instant;

static BEGAN: OnceLock<StdInstant> = OnceLock::new();

/// Time since the first call in this process. Some 25 ns: one call for an event or a batch of them.
#[must_use]
pub fn monotonic() -> Instant {
    let since = BEGAN.get_or_init(StdInstant::now).elapsed();
    Instant(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
