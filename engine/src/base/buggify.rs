//! Rare and legal ways through the engine, made usual: each at one named site.
//!
//! What hardly ever happens is hardly ever tested: a checkpoint right behind another, a journal file left
//! half empty, a page that is not in the cache. At each [`Site`] the engine may go the rare way at any time
//! and everything that it promises still holds. With the feature `buggify` the simulator says when, from its
//! seed ([`decide`]): no chance is drawn here. Without it [`buggify`] is the constant `false`, and a site
//! compiles to nothing. The idea, and the word, are FoundationDB's.

/// Whether this build has such sites. Nobody decides at them but the simulator.
pub const HAS_SITES: bool = cfg!(feature = "buggify");

macro_rules! sites {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Where the engine goes the rare way.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Site {
            $($(#[$doc])* $name,)*
        }

        impl Site {
            /// All of them, each at the index of its number.
            pub const ALL: &'static [Site] = &[$(Site::$name,)*];
        }
    };
}

sites! {
    /// The open frame takes no second batch.
    FrameAlone,
    /// A batch that may go straight to its segment goes through the journal.
    NoExtent,
    /// A segment is left before it is full.
    SegmentFull,
    /// A journal file is left before it is full.
    JournalFull,
    /// Another journal file is prepared before half of what is there is used.
    JournalAhead,
    /// What relaxed topics wrote is flushed with the next tick.
    FlushRelaxed,
    /// What is acknowledged leaves memory as soon as its segment has it.
    EvictTails,
    /// A partition is written for one batch.
    WriteAtOnce,
    /// Nothing is allocated ahead in a segment.
    NothingAhead,
    /// What was written to segments is flushed before another file is opened.
    FlushWritten,
    /// Idle files are closed before another is opened.
    CloseIdle,
    /// A checkpoint is due at once.
    CheckpointAtOnce,
    /// A checkpoint pauses behind each partition that it captures.
    CapturePauses,
    /// A segment's new file is none of those kept for reuse.
    FreePoolEmpty,
    /// A small file is kept for reuse too.
    KeepSmallFiles,
    /// A small file that is deleted goes slowly too.
    BurySmallFiles,
    /// Somebody is at work on the closed segments of a partition: who comes now comes again.
    Tended,
    /// Compaction pauses behind each batch.
    CleanerPauses,
    /// No page is in the cache.
    DropPages,
    /// A read begins with the smallest piece.
    ReadLittle,
    /// A read asks neither the place where another stopped nor the index.
    NoHint,
    /// A deadline of a group is looked at late.
    TimerLate,
}

/// Says whether the engine goes the rare way at a site, each time that it comes there.
#[cfg(feature = "buggify")]
pub type Decide = Box<dyn FnMut(Site) -> bool>;

#[cfg(feature = "buggify")]
thread_local! {
    static DECIDE: std::cell::RefCell<Option<Decide>> = const { std::cell::RefCell::new(None) };
}

/// Has somebody decide for this thread's engine, or nobody: then it never goes the rare way. Gives who did
/// before.
#[cfg(feature = "buggify")]
pub fn decide(by: Option<Decide>) -> Option<Decide> {
    DECIDE.replace(by)
}

/// Whether to go the rare way here and now.
#[cfg(feature = "buggify")]
#[must_use]
pub fn buggify(site: Site) -> bool {
    DECIDE.with_borrow_mut(|decide| decide.as_mut().is_some_and(|decide| decide(site)))
}

/// Whether to go the rare way here and now: never.
#[cfg(not(feature = "buggify"))]
#[must_use]
#[inline(always)]
pub const fn buggify(_: Site) -> bool {
    false
}
