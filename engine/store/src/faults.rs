//! Places where a test makes the disk lie. Without the feature `fault-points` no disk takes them and
//! they compile to nothing.

use std::cell::Cell;

/// A way to make something durable, left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Skip {
    /// The flush of one file.
    Flush,
    /// The file-system sync that stands for the flushes of many.
    SyncFs,
    /// The sync of a directory, that of `make_dir` included.
    SyncDir,
}

/// What goes wrong, changed while the disk is in use. Only a test can open a disk with one.
#[derive(Debug, Default)]
pub struct FaultPoints {
    /// This promise is made and not kept.
    pub skip: Cell<Option<Skip>>,
    /// A write is held back before it is issued while this is set, as a hung disk would.
    pub stall_writes: Cell<bool>,
}

impl FaultPoints {
    pub(crate) fn skips(&self, what: Skip) -> bool {
        cfg!(feature = "fault-points") && self.skip.get() == Some(what)
    }

    pub(crate) fn stalls_writes(&self) -> bool {
        cfg!(feature = "fault-points") && self.stall_writes.get()
    }
}
