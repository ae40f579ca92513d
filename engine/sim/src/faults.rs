//! What goes wrong when.

use std::collections::BTreeSet;

use engine::io::{DiskOp, FileName};

/// The faults of a machine's disk. Everything is off by default; change it at any time.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Flushes answer and do nothing: the bug that every checker must catch.
    pub broken_flush: bool,
    /// As `broken_flush`, for files whose names end like this.
    pub broken_flush_of: Option<&'static str>,
    /// Operations fail with EIO, this often in a million.
    pub eio_ppm: u32,
    /// Only these operations fail by `eio_ppm` (every kind when empty).
    pub eio_ops: Vec<DiskOp>,
    /// Operations that fail with EIO, by their number since the world began (see
    /// [`crate::Counters::ops`]).
    pub eio_at: BTreeSet<u64>,
    /// Operations that never complete, by their number: the caller gets a time-out, and what it
    /// lent stays lent.
    pub stall_at: BTreeSet<u64>,
    /// Bytes that all files together may have; `None` is no limit.
    pub capacity: Option<u64>,
}

impl Faults {
    pub(crate) fn breaks_flush_of(&self, name: &FileName) -> bool {
        self.broken_flush || self.broken_flush_of.is_some_and(|end| name.as_str().ends_with(end))
    }
}

/// What becomes of one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Works,
    Eio,
    Stalls,
}
