//! When the last frames of the journal went through their steps, by the disk's clock.
//!
//! Kept for whoever answers the requests of a frame: it knows how long each step was. A fixed number of
//! frames is kept, so that noting one allocates nothing; who asks too late is told nothing.

use super::shard::{Shard, Ticket};
use crate::base::Instant;
use crate::io::Disk;

/// Frames whose times are kept; far more than are in flight.
pub const FRAMES_KEPT: usize = 64;

/// One frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameTimes {
    /// Its number; no frame has number 0.
    pub ticket: u64,
    /// It took no more batches.
    pub sealed: Instant,
    /// All its bytes were written; the blocks of its extents may still be under way.
    pub written: Instant,
    /// It and all before it may be acknowledged.
    pub durable: Instant,
    /// Its bytes on disk.
    pub bytes: u64,
    /// Whether it was flushed; a relaxed frame is acknowledged before.
    pub flushed: bool,
}

/// The last frames.
#[derive(Debug)]
pub(super) struct RecentFrames([FrameTimes; FRAMES_KEPT]);

impl Default for RecentFrames {
    fn default() -> RecentFrames {
        RecentFrames([FrameTimes::default(); FRAMES_KEPT])
    }
}

impl RecentFrames {
    pub(super) fn note(&mut self, times: FrameTimes) {
        self.0[(times.ticket % FRAMES_KEPT as u64) as usize] = times;
    }
}

impl<D: Disk> Shard<D> {
    /// When the frame of a ticket went through its steps; `None` before it is durable, and long after.
    #[must_use]
    pub fn frame_times(&self, ticket: Ticket) -> Option<FrameTimes> {
        let times = self.inner.state.borrow().recent.0[(ticket.0 % FRAMES_KEPT as u64) as usize];
        (times.ticket == ticket.0 && ticket.0 > 0).then_some(times)
    }
}
