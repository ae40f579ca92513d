//! The directory of a core that is no more, for there are fewer cores now: its partitions are in the checkpoints of
//! others.
//!
//! It is covered before anything of it goes. A start that is cut half way, or a power cut that brings names back,
//! may leave any of its files: its own checkpoint would count on those that are gone, or on a journal that is kept
//! aside, and no start would go on.

use super::checkpoint::CoreState;
use super::shard::{Shard, ShardSettings};
use crate::base::{CoreId, Now};
use crate::io::{Disk, DiskResult, FileName};
use crate::journal::file_number;

/// Both checkpoints of a core that is no more, which hold nothing and cover every frame below `next_sequence`.
/// `generation` is that of its newest one.
pub(super) async fn cover<D: Disk>(
    disk: &D,
    core: CoreId,
    generation: u64,
    next_sequence: u64,
    incarnation: u64,
) -> DiskResult<()> {
    let state = CoreState {
        core,
        next_sequence,
        incarnation,
        checkpoint_generation: generation,
        partitions: Vec::new(),
    };
    let shard = Shard::assemble(disk.clone(), state, ShardSettings::default(), Now::default());
    for _ in 0..2 {
        shard.checkpoint_with(&[]).await?;
    }
    Ok(())
}

/// Removes the directory of a core that is covered, its journals first: one that is found without the checkpoints
/// would miss its beginning.
pub(super) async fn remove<D: Disk>(disk: &D, core: CoreId) -> DiskResult<()> {
    let dir = FileName::core_dir(core);
    for entry in disk.list(&dir).await? {
        if file_number(entry.name.base()).is_some() {
            disk.remove(&entry.name).await?;
        }
    }
    disk.sync_dir(&dir).await?;
    disk.remove(&dir).await
}
