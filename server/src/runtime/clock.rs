//! The clocks of this process: the only place that reads them for the engine.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::base::{Now, WallMs};

pub use store::clock::monotonic;

/// Both clocks now. The monotonic one counts from the first call in this process, the same for all
/// cores.
#[must_use]
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: monotonic(), wall: WallMs(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)) }
}
