//! What goes wrong when.

use std::collections::{BTreeMap, BTreeSet};

use engine::io::{DiskOp, FileName};

/// The faults of a machine's disk. Everything is off by default; change it at any time.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Flushes answer and do nothing: the bug that every checker must catch.
    pub broken_flush: bool,
    /// As `broken_flush`, for files whose names end like this.
    pub broken_flush_of: Option<&'static str>,
    /// A flush that fails drops all that it should have written, and reads see that: so does a device that
    /// lost its own cache.
    pub drops_cache: bool,
    /// Operations fail with EIO, this often in a million.
    pub eio_ppm: u32,
    /// Only these operations fail by `eio_ppm` (every kind when empty).
    pub eio_ops: Vec<DiskOp>,
    /// Operations that fail with EIO, by their number since the world began (see
    /// [`crate::Counters::ops`]).
    pub eio_at: BTreeSet<u64>,
    /// Blocks that cannot be read, by file: each read that touches one fails with EIO. What is written to one
    /// can be read again, as a disk puts another sector in the place of a bad one.
    pub bad_blocks: BTreeMap<FileName, BTreeSet<u64>>,
    /// Flushes of several files at once fail with EIO: those of a checkpoint.
    pub eio_flush_of_many: bool,
    /// Operations that never complete, by their number: the caller gets a time-out, and what it
    /// lent stays lent.
    pub stall_at: BTreeSet<u64>,
    /// Writes to files whose names end like this never complete.
    pub stall_writes_of: Option<&'static str>,
    /// As `stall_at`, this often in a million.
    pub stall_ppm: u32,
    /// Writes of segments and their indexes put the right bytes in the wrong place of their file, or nowhere,
    /// this often in a million.
    pub stray_ppm: u32,
    /// Files whose names contain this are spared of that.
    pub stray_spares: Option<String>,
    /// Bytes that all files together may have; `None` is no limit.
    pub capacity: Option<u64>,
    /// Segment files that a shard keeps open at most; `None` is more than any needs.
    pub files_max: Option<usize>,
    /// Segment files that the process can have open: another is refused with EMFILE; `None` is no limit.
    pub descriptors: Option<usize>,
    /// Sites at which chance makes rare things usual.
    pub buggify: Buggify,
}

/// What is legal and rare, made usual. Each site is on in a quarter of all runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Buggify {
    /// The pool has no memory although it has: whoever asks must wait or do without.
    pub refuse_memory: bool,
    /// Flushes are slow, so that frames, checkpoints and rolls overlap.
    pub slow_flushes: bool,
    /// Names are slow to change, so that deletions, rolls and checkpoints overlap.
    pub slow_names: bool,
    /// Writes come back in any order, long after each other.
    pub slow_writes: bool,
    /// Reads are slow, so that what they read changes its file meanwhile.
    pub slow_reads: bool,
    /// The clock of a shard ticks late: what it drives waits, and then has more to do at once.
    pub late_ticks: bool,
    /// Hardly any segment file may stay open: nearly each use opens it anew.
    pub few_files: bool,
}

impl Buggify {
    /// How often a site that is on fires, in a million.
    pub(crate) const FIRES_PPM: u32 = 250_000;

    /// Each site is on with a quarter's chance; whether files are few the caller says.
    #[must_use]
    pub fn draw(random: &mut crate::Random) -> Buggify {
        let mut on = || random.chance(250_000);
        Buggify {
            refuse_memory: on(),
            slow_flushes: on(),
            slow_names: on(),
            slow_writes: on(),
            slow_reads: on(),
            late_ticks: on(),
            few_files: false,
        }
    }

    /// Whether operations of a kind are slow ones.
    pub(crate) fn slows(self, op: DiskOp) -> bool {
        match op {
            DiskOp::Flush => self.slow_flushes,
            DiskOp::Write => self.slow_writes,
            DiskOp::Read | DiskOp::List => self.slow_reads,
            _ => self.slow_names,
        }
    }
}

impl Faults {
    /// Whether a read of these blocks of a file fails.
    pub(crate) fn breaks_read_of(&self, name: &FileName, blocks: std::ops::Range<u64>) -> bool {
        self.bad_blocks.get(name).is_some_and(|bad| bad.range(blocks).next().is_some())
    }

    /// These blocks of a file were written.
    pub(crate) fn heal(&mut self, name: &FileName, blocks: std::ops::Range<u64>) {
        if let Some(bad) = self.bad_blocks.get_mut(name) {
            bad.retain(|block| !blocks.contains(block));
        }
    }

    pub(crate) fn stalls_write_of(&self, name: &FileName) -> bool {
        self.stall_writes_of.is_some_and(|end| name.as_str().ends_with(end))
    }

    pub(crate) fn breaks_flush_of(&self, name: &FileName) -> bool {
        self.broken_flush || self.broken_flush_of.is_some_and(|end| name.as_str().ends_with(end))
    }

    /// Whether a write of this file may go astray. What was written to a journal last can no longer be told
    /// from what a power cut tore, so its damage comes while the machine is down.
    pub(crate) fn may_stray(&self, name: &FileName) -> bool {
        let name = name.as_str();
        let spared = self.stray_spares.as_ref().is_some_and(|part| name.contains(part.as_str()));
        !spared && [".log", ".index", ".timeindex"].iter().any(|end| name.ends_with(end))
    }
}

/// What becomes of one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Works,
    Eio,
    Stalls,
}

/// One of the two sides of a step that changes the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It has not begun.
    Before,
    /// It has had its effect, and nobody knows.
    After,
}

/// Where a machine stops by itself: at the n-th step that changes its disk, counted as
/// [`crate::Counters::persist_steps`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CutAt {
    /// The step.
    pub step: u64,
    /// Which side of it.
    pub side: Side,
}
