//! Places where a test makes the disk lie. Without the feature `fault-points` they do not exist.

use std::cell::Cell;

/// What goes wrong, changed while the disk is in use. Only tests can build one.
#[derive(Debug, Default)]
pub struct FaultPoints {
    /// `flush` and `flush_all` answer at once and flush nothing.
    pub skip_flush: Cell<bool>,
    /// A write is held back before it is issued while this is set, as a hung disk would.
    pub stall_writes: Cell<bool>,
}

impl FaultPoints {
    pub(crate) fn skips_flush(&self) -> bool {
        cfg!(feature = "fault-points") && self.skip_flush.get()
    }

    pub(crate) fn stalls_writes(&self) -> bool {
        cfg!(feature = "fault-points") && self.stall_writes.get()
    }
}
