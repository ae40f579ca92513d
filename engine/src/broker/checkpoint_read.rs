//! Which checkpoint of a core counts at a start.

use super::checkpoint::{CHECKPOINT_BYTES_MAX, Checkpoint, file_name, is_newer};
use super::recovery_error::RecoveryError;
use crate::base::CoreId;
use crate::io::{Disk, DiskFault, DiskResult, FileName, IO_BYTES_MAX, Open};

/// The checkpoint that counts.
#[derive(Default)]
pub(super) struct Newest {
    /// The newest whole one, if there is any.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The other one does not verify or cannot be read: it may have been newer.
    pub(super) may_be_older: bool,
    /// … and the disk could not read it.
    pub(super) passed_over: bool,
}

/// The newest whole checkpoint of a core.
///
/// # Errors
/// The disk's; a later format; two checkpoints that both do not verify. One is passed over in favour of the
/// other, which counts if the journal reaches back to it, and the only one there ever was is torn: then
/// everything is in the journal still.
pub(super) async fn newest<D: Disk>(disk: &D, core: CoreId) -> Result<Newest, RecoveryError> {
    let mut newest: Option<(Checkpoint, D::File)> = None;
    let mut broken = 0;
    let mut unreadable = None;
    let names = disk.list(&FileName::core_dir(core)).await?;
    for slot in 0..2 {
        let name = file_name(core, slot);
        let Some(entry) = names.iter().find(|e| e.name == name) else { continue };
        if entry.len > CHECKPOINT_BYTES_MAX {
            tracing::error!(file = %name, bytes = entry.len, "checkpoint is larger than any we write");
            broken += 1;
            continue;
        }
        let file = disk.open(&name, Open::Existing).await?;
        let bytes = match whole(disk, &file, entry.len).await {
            Ok(bytes) => bytes,
            Err(error) if error.fault == DiskFault::Io => {
                tracing::error!(file = %name, %error, "the disk cannot read a checkpoint: the other one counts");
                unreadable = Some(error);
                broken += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match Checkpoint::decode(&bytes) {
            Some(checkpoint) if newest.as_ref().is_none_or(|(n, _)| n.generation < checkpoint.generation) => {
                newest = Some((checkpoint, file));
            }
            Some(_) => {}
            None if is_newer(&bytes) => {
                return Err(RecoveryError::Newer(name));
            }
            None => {
                tracing::warn!(file = %name, "checkpoint does not verify: the other one counts");
                broken += 1;
            }
        }
    }
    let Some((newest, file)) = newest else {
        return match unreadable {
            Some(error) => Err(error.into()),
            None if broken == 2 => Err(RecoveryError::NoCheckpoint(core)),
            None => Ok(Newest::default()),
        };
    };
    // A broker that was killed may not have flushed what is read here, and the next checkpoint is written
    // over the other one: if the power went then, neither would be left.
    disk.flush(&file).await?;
    disk.sync_dir(&FileName::core_dir(core)).await?;
    Ok(Newest { checkpoint: Some(newest), may_be_older: broken > 0, passed_over: unreadable.is_some() })
}

async fn whole<D: Disk>(disk: &D, file: &D::File, len: u64) -> DiskResult<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len as usize);
    while (bytes.len() as u64) < len {
        let chunk = disk.read(file, bytes.len() as u64, IO_BYTES_MAX).await?;
        if chunk.is_empty() {
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
