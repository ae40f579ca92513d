//! The clocks of this process: the only place that reads them for the engine.

use std::sync::OnceLock;
use std::time::{Instant as StdInstant, SystemTime, UNIX_EPOCH};

use engine::base::{Instant, Now, WallMs};

static BEGAN: OnceLock<StdInstant> = OnceLock::new();

/// Both clocks now. The monotonic one counts from the first call in this process, the same for all
/// cores.
#[must_use]
pub fn now() -> Now {
    let mono = BEGAN.get_or_init(StdInstant::now).elapsed();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now {
        mono: Instant(u64::try_from(mono.as_nanos()).unwrap_or(u64::MAX)),
        wall: WallMs(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
    }
}
