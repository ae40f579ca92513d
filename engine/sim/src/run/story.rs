//! What happened in a run, to show that it was no idle one.

use std::fmt;

use crate::sites::Fired;

macro_rules! story {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of what happened, in one run or in many.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Story {
            $($(#[$doc])* pub $name: u64,)*
            /// How often each rare way of the engine was gone.
            pub fired: Fired,
        }

        impl Story {
            /// Adds what happened in another run.
            pub fn add(&mut self, other: &Story) {
                $(self.$name += other.$name;)*
                self.fired.add(&other.fired);
            }

            fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

story! {
    /// Times that the machine stopped, in a recovery or not.
    crashes,
    /// Recoveries that were cut short.
    recoveries_cut,
    /// Machines that stopped right before or after a step that changes the disk.
    stops_at_steps,
    /// Clean stops.
    closes,
    /// Batches acknowledged.
    acknowledged,
    /// Batches that consumers read.
    read,
    /// Batches that idempotent producers sent again and that were known.
    duplicates,
    /// Batches without an answer that a crash took.
    batches_lost,
    /// Writes that a power cut took.
    writes_lost,
    /// Writes of which it took a part.
    writes_torn,
    /// Names that it took.
    names_lost,
    /// Partitions whose log start retention raised.
    retained,
    /// Partitions whose log start a client raised.
    deleted,
    /// Offsets committed and answered.
    commits,
    /// Offsets whose end was committed and answered.
    commits_ended,
    /// Offsets that had ended because nobody used them for long.
    commits_expired,
    /// Settings of topics that were changed.
    altered,
    /// Shards that a scrub was at work on when they stopped, or before.
    scrubbed,
    /// Starts that went on to hold a clock, or did not believe it.
    holds_recalled,
    /// Members of a classic group that were told their parts.
    synced,
    /// Heartbeats of members of the new protocol that were answered.
    beats,
    /// Groups that a coordinator found when it started.
    groups_loaded,
    /// Frames that were written while another was.
    overlapped,
    /// Batches that went straight to their segments.
    extents,
    /// Of these, the ones that recovery read back.
    extents_read,
    /// Of these, the ones that were not there.
    extents_torn,
    /// Partitions that changed their core.
    moved,
    /// Operations that failed or hung.
    faults,
    /// Starts that failed on a disk with errors, or without room.
    starts_failed,
    /// Pages that were damaged, and writes that went astray or were lost.
    damages,
    /// Starts that told of damage in a journal.
    damages_told,
    /// Reads that met a fenced range.
    fenced,
    /// Jumps of the wall clock.
    jumps,
    /// Rounds of compaction that ended.
    compactions,
    /// Records that compaction took.
    compacted,
    /// Keys of which it took the tombstone at last.
    keys_ended,
    /// Rounds in which the machine stopped.
    rounds_cut,
    /// Of these, the ones that had begun to put files in the place of others.
    swaps_cut,
}

/// What must have happened by so many runs.
const EXPECTED_WITHIN: u64 = 400;

impl Story {
    /// What should have happened in this many runs, in rough weather or fair, and did not. Nobody proves anything by
    /// idle runs.
    #[must_use]
    pub fn missing(&self, runs: u64, rough: bool) -> Vec<String> {
        let mut missing = Vec::new();
        if self.crashes < runs {
            missing.push("crashes".to_owned());
        }
        if self.acknowledged < runs * 4 {
            missing.push("acknowledged".to_owned());
        }
        if runs >= EXPECTED_WITHIN {
            let of_rough = ["faults", "starts_failed", "damages", "damages_told", "fenced"];
            // A power cut between an extent's frame and its blocks: once in thousands of runs.
            let rare = ["extents_torn"];
            let wanted = |(name, n): &(&str, u64)| {
                *n == 0 && (rough || !of_rough.contains(name)) && !rare.contains(name)
            };
            missing.extend(self.counts().into_iter().filter(wanted).map(|(name, _)| name.to_owned()));
            if !rough {
                missing.extend(self.fired.never().into_iter().map(|site| format!("{site:?}")));
            }
        }
        missing
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |(name, n): (&'static str, u64)| format!("{n} {}", name.replace('_', " "));
        f.write_str(&self.counts().into_iter().map(words).collect::<Vec<_>>().join(" · "))
    }
}
