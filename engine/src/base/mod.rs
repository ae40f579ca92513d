//! The words every other module speaks: ids, offsets, epochs and given time.
//!
//! Values that could be confused are different types: an [`Offset`] is not a position in a file,
//! an [`Instant`] is not a wall-clock time.

mod buggify;
mod clock;
mod ids;
mod planted;
mod signal;
mod time;

#[cfg(feature = "buggify")]
pub use buggify::{Decide, decide};
pub use buggify::{HAS_SITES, Site, buggify};
pub use clock::{ClockGuard, ClockNews, ClockReport, JUMP_MS, RememberedTime, STEADY};
pub use ids::{CoreId, LeaderEpoch, NodeId, Offset, PartitionKey, ProducerEpoch, ProducerId, TopicId};
#[cfg(feature = "planted")]
pub use planted::plant;
pub use planted::{Bug, HAS_PLANTED_BUGS, planted};
pub use signal::{Signal, Wait};
pub use time::{Instant, Now, WallMs};
