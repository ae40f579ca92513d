//! Bugs on purpose: each at one named site, none of them in any build but the simulator's own test.
//!
//! A checker that never fails proves nothing. The feature `planted` lets a test break the engine in one way
//! at a time and see that the simulator finds it (`engine/sim/tests/planted.rs`). Without the feature
//! [`planted`] is the constant `false`, and a site compiles to nothing; with it a build without debug
//! assertions is refused, and so is a server ([`HAS_PLANTED_BUGS`]).

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("planted bugs are for tests with debug assertions, never for a release build");

/// Whether this build can be broken on purpose. Whoever serves clients asserts that it cannot.
pub const HAS_PLANTED_BUGS: bool = cfg!(feature = "planted");

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What can be broken.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug {
            $($(#[$doc])* $name,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Bug] = &[$(Bug::$name,)*];
        }
    };
}

bugs! {
    /// A frame is acknowledged without its flush.
    SkipFlush,
    /// A frame behind relaxed ones is acknowledged without the flush that covers them all.
    SkipFlushBehindRelaxed,
    /// The blocks of an extent are written and not flushed.
    SkipExtentFlush,
    /// A frame is acknowledged before an earlier one.
    AcknowledgeOutOfOrder,
    /// A failed write of the journal is taken for one that worked.
    SwallowWriteError,
    /// A partition without records starts again at offset 0 after a restart.
    ReuseOffsets,
    /// A checkpoint is written before what it counts on is flushed.
    CheckpointBeforeData,
    /// A checkpoint remembers no producer.
    ForgetProducers,
    /// Replay does not tell the producers what they wrote.
    ReplayWithoutProducers,
    /// Producers are forgotten as soon as they are idle.
    ExpireProducersTooSoon,
    /// A frame's checksums are not checked.
    IgnoreFrameChecksum,
    /// Replay goes on behind a torn frame.
    ContinueBehindTear,
    /// What is torn is taken for damage.
    TearIsDamage,
    /// A frame says that the one before it is flushed when it is only written.
    FlushMarkTooEarly,
    /// A segment's new name is not synced before a checkpoint counts on it.
    ForgetNames,
    /// A segment is left without the flush of its end.
    RollWithoutFlush,
    /// The open block is not in the checkpoint.
    ForgetOpenBlock,
    /// A log start is raised in memory only.
    LogStartInMemory,
    /// A lower log start replaces a higher one at replay.
    LogStartGoesBack,
    /// Replay assigns no leader epochs.
    ReplayWithoutEpochs,
    /// Age is counted by a wall clock that jumped.
    BelieveClockJump,
    /// An offset is committed before its record is durable.
    CommitTooEarly,
    /// Journal files are free as soon as any checkpoint is written.
    TrimTooSoon,
    /// What was durable once and does not verify is cut off as torn.
    TruncateDamage,
    /// What a reader gets is not held against its checksum.
    ReadUnchecked,
    /// After a crash the end of a segment is taken for the batches that were on their way to it, unread: what the
    /// file held in an earlier use comes back as data.
    ResurrectRecycled,
    /// A checkpoint leaves out a partition.
    ForgetSnapshotEntry,
    /// After a restart the first commit counts, not the last.
    LoseCommits,
    /// After a restart the end of what was committed is forgotten.
    ForgetCommitEnds,
    /// After a restart a classic group begins again with its first generation.
    ForgetGenerations,
    /// After a restart a group of the new protocol does not know what its members have.
    ForgetHoldings,
    /// Compaction drops the latest record of a key too.
    DropLatest,
    /// It drops a tombstone when it first meets it.
    DropTombstonesEarly,
    /// A compacted segment takes the place of the others before it is flushed.
    SwapWithoutFlush,
    /// Its name is not durable by then.
    SwapWithoutNames,
    /// Recovery undoes a swap that counts.
    UndoSwap,
    /// Retention goes by a clock that is two hours fast.
    RetainByFastClock,
    /// Retention by size forgets what must stay.
    RetainTooLittle,
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Breaks this thread's engine in one way, or mends it.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this thread's engine is broken in this way.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether the engine is broken in this way: it is not.
#[cfg(not(feature = "planted"))]
#[must_use]
#[inline(always)]
pub const fn planted(_: Bug) -> bool {
    false
}
