//! One core's broker: where log, journal and reads meet.
//!
//! A [`Shard`] owns the partitions of one core. An append goes into the open journal frame; the
//! commit loop writes and flushes the frame and only then makes its batches visible; the writer
//! copies them into their segments behind the acknowledgement and takes checkpoints, so that
//! journal files can be used again.
//!
//! Invariants:
//! - nothing is visible or acknowledged before the frame that holds it is durable (on a relaxed
//!   topic: written);
//! - `log start <= high watermark`, `written end <= high watermark <= log end` for every partition;
//! - a frame is durable when it and the blocks that its extents put into segments are; an extent
//!   lies in blocks that the file has, under names that are durable;
//! - a segment holds full blocks only; the open block of each partition stands in memory and in the
//!   checkpoint, so a block that was acknowledged is never rewritten on the strength of itself;
//! - a journal file is used again only when a checkpoint covers every frame in it.
//!
//! Jobs are `async` over [`crate::io::Disk`]; no borrow of the state is held across an await.

mod checkpoint;
mod checkpoint_flaw;
mod checkpoint_read;
mod clean;
mod cleaned;
mod cleaner;
mod clock;
mod close;
mod commit;
mod cores_gone;
mod damage;
mod damage_end;
mod delete_records;
mod extent;
mod frame_times;
mod graves;
mod handles;
mod header_walk;
mod history;
mod journal_move;
mod journals;
mod load;
mod open_files;
mod pages;
mod partition;
mod probe;
mod produce;
mod read;
mod recovery;
mod recovery_error;
mod repair;
mod replay;
mod replay_file;
mod retention;
mod schedule;
mod scrub;
mod segment;
mod shard;
mod space;
mod space_watch;
mod stats;
mod stretch;
mod suspect;
mod swap;
mod tail;
mod take_checkpoint;
mod times;
mod transfer;
mod trouble;
mod writer;

pub use checkpoint::{Checkpoint, CoreState, PartitionState};
pub use checkpoint_flaw::CheckpointFlaw;
pub use damage::DamagedPart;
pub use delete_records::{DeleteRecords, DeleteRecordsError};
pub use frame_times::{FRAMES_KEPT, FrameTimes};
pub use history::ProducerView;
pub use load::Load;
pub use produce::{AppendError, Appended};
pub use read::{Bounds, FetchError, Fetched, Hot};
pub use recovery::{Recovered, RecoveryReport, recover};
pub use recovery_error::RecoveryError;
pub use repair::RepairError;
pub use scrub::{ScrubLimits, ScrubReport};
pub use shard::{HostedPartition, Offline, Shard, ShardSettings, Ticket};
pub use space::{HOLD, LAST_BYTES, Purpose, SpaceLevel, SpaceLimits};
pub use stats::ShardStats;
pub use times::TimedOffset;
