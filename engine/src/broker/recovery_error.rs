//! Why a directory cannot be recovered: one sentence each, with what to do.

use crate::base::CoreId;
use crate::io::{DiskError, FileName};

/// Why nothing was recovered. Nothing was changed, so whatever is put back is found by the next try.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Both checkpoints of a core are damaged: without one nothing says what its segments hold.
    #[error(
        "neither checkpoint of core {} verifies: put back cores/{}/checkpoint-0 or -1 from a copy (`ringlog log verify` \
         shows what the segments hold)",
        .0.0, .0.0
    )]
    NoCheckpoint(CoreId),
    /// The journal does not reach back to what the newest whole checkpoint covers: acknowledged records
    /// would be lost in silence.
    #[error(
        "the journal of core {} goes on with frame {first}, and its newest whole checkpoint ends with {included}: put the \
         missing journal file or the newer checkpoint back into cores/{}",
        .core.0, .core.0
    )]
    JournalGap {
        /// Whose.
        core: CoreId,
        /// The last frame that the checkpoint covers.
        included: u64,
        /// The first that is there behind those that are missing.
        first: u64,
    },
    /// A journal file whose header, and whose first frame, do not verify.
    #[error(
        "neither the header nor the first frame of {0} verifies: put the file back from a copy, or move it away to \
             start without what only it holds"
    )]
    JournalHeader(FileName),
    /// A file of a format that is not known yet.
    #[error("{0} is of a later format: use the version of this program that wrote it")]
    Newer(FileName),
}
