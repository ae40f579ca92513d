//! The job that keeps the metadata log: appends, snapshots, recovers.

use std::ops::DerefMut;

use super::image::{ApplyError, Image, Position};
use super::record::MetadataRecord;
use super::storage::{self, Entry, FRAME_BYTES_MAX, StorageError, Verdict};
use crate::base::TopicId;
use crate::io::{BLOCK, Disk, DiskError, DiskFault, FileName, IO_BYTES_MAX, Open};

/// A log file of at least this many bytes is followed by a snapshot and a new file.
pub const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where the snapshot cannot be written (a full disk), the log goes on to here, so that topics can
/// still be deleted; then appends are refused.
const LOG_BYTES_HARD_MAX: u64 = 4 * LOG_BYTES_MAX;

/// The largest snapshot that is read back, bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The term of a quorum of one.
const FIRST_TERM: u64 = 1;

/// Why the metadata cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are in the messages")]
pub enum OpenError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{file}: {error}")]
    Storage { file: FileName, error: StorageError },
    #[error("{file} is damaged at byte {at}: acknowledged changes follow at {intact_at}")]
    Damaged { file: FileName, at: u64, intact_at: u64 },
    #[error("{file} goes on with entry {got}, expected {expected}")]
    Gap { file: FileName, expected: u64, got: u64 },
    #[error("entry {index}: {error}")]
    Unfit { index: u64, error: ApplyError },
    #[error("{file} is {len} bytes, more than any version writes")]
    TooLarge { file: FileName, len: u64 },
}

/// Why a change was not made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    /// The records do not fit the image; nothing was written.
    #[error(transparent)]
    Unfit(#[from] ApplyError),
    /// The records are more than one append may hold; nothing was written.
    #[error("{bytes} bytes of changes at once; at most {FRAME_BYTES_MAX}")]
    TooLarge {
        /// What they need.
        bytes: usize,
    },
    /// No memory to write from just now; nothing was written. Try again.
    #[error("no memory for the write")]
    NoRoom,
    /// Writing failed: whether the change survives is known only after the next open. Nothing can
    /// be appended until then; except for a lack of space, by which nothing has changed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An earlier write failed.
    #[error("the metadata log is offline after a failed write")]
    Offline,
}

/// The metadata log, open for appending by one writer.
pub struct MetadataLog<D: Disk> {
    disk: D,
    file: D::File,
    name: FileName,
    end: u64,
    image: Image,
    deleted: Vec<TopicId>,
    failed: bool,
    snapshot_error: Option<DiskError>,
}

impl<D: Disk> MetadataLog<D> {
    /// Reads snapshot and log, cuts off a torn end, and gives the image. What it gives is durable.
    ///
    /// # Errors
    /// The disk's, and damage: nothing is guessed.
    pub async fn open(disk: D) -> Result<(MetadataLog<D>, Image), OpenError> {
        disk.make_dir(&dir()).await?;
        let mut image = match disk.read_small(&snapshot_name(), SNAPSHOT_BYTES_MAX).await? {
            None => Image::default(),
            Some(bytes) => storage::decode_snapshot(&bytes)
                .map_err(|error| OpenError::Storage { file: snapshot_name(), error })?,
        };
        let snapshot_index = image.position().index;

        let names: Vec<(FileName, u64)> = disk
            .list(&dir())
            .await?
            .into_iter()
            .filter(|e| !e.is_dir && e.name.base().starts_with(LOG_PREFIX))
            .map(|e| (e.name, e.len))
            .collect();
        let mut last: Option<(FileName, D::File, u64)> = None;
        let mut deleted = Vec::new();
        for (name, len) in names {
            // A file before the last holds nothing above the snapshot, unless the step to a new file
            // was cut short.
            let covered = image.position().index == snapshot_index;
            if let Some((older, _, _)) = last.take().filter(|_| covered) {
                disk.remove(&older).await?;
            }
            let file = disk.open(&name, Open::Existing).await?;
            let end = replay(&disk, &name, &file, len, &mut image, &mut deleted).await?;
            last = Some((name, file, end));
        }
        let (name, file, end) = match last {
            Some(found) => found,
            None => create_file(&disk, image.position().index + 1).await?,
        };
        deleted.retain(|&id| image.topic_by_id(id).is_none());
        let log = MetadataLog { disk, file, name, end, image, deleted, failed: false, snapshot_error: None };
        let image = log.image.clone();
        Ok((log, image))
    }

    /// Topics whose deletion is among the log's entries that were read when it was opened. The broker that wrote them
    /// may have died before it had removed their files. A topic that is only unknown is not among them: its
    /// creation may be what the disk has lost.
    pub fn take_deleted(&mut self) -> Vec<TopicId> {
        std::mem::take(&mut self.deleted)
    }

    /// The image after the last append.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Why the last snapshot could not be written, if it could not.
    #[must_use]
    pub fn snapshot_error(&self) -> Option<&DiskError> {
        self.snapshot_error.as_ref()
    }

    /// Makes changes, all or none: applied, written and flushed when this returns. Gives the new
    /// image.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&mut self, records: &[MetadataRecord]) -> Result<Image, AppendError> {
        if self.failed {
            return Err(AppendError::Offline);
        }
        if records.is_empty() {
            return Ok(self.image.clone());
        }
        if self.end >= LOG_BYTES_MAX {
            let snapshot = self.snapshot().await;
            self.snapshot_error = snapshot.err();
            if let Some(error) = self.snapshot_error.clone().filter(|_| self.end >= LOG_BYTES_HARD_MAX) {
                return Err(error.into());
            }
        }
        let mut next = self.image.clone();
        for record in records {
            next.apply(record)?;
        }
        let before = next.position();
        let position = Position { index: before.index + 1, term: before.term.max(FIRST_TERM) };
        next.advance(position);
        let frame = storage::encode_frame(&[Entry { position, records: records.to_vec() }]);
        if frame.len() > FRAME_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes: frame.len() });
        }
        // All memory before the first write: running out must leave nothing behind.
        let chunks = chunks(&self.disk, &frame).ok_or(AppendError::NoRoom)?;
        self.failed = true;
        let mut at = self.end;
        for chunk in chunks {
            let len = chunk.len() as u64;
            if let Err(error) = self.disk.write(&self.file, at, chunk).await {
                // What has no space is not there: the frame is not whole, and the next one is written over it.
                self.failed = error.fault != DiskFault::NoSpace;
                return Err(error.into());
            }
            at += len;
        }
        self.disk.flush(&self.file).await?;
        self.failed = false;
        self.end = at;
        self.image = next;
        Ok(self.image.clone())
    }

    /// Writes the image as the snapshot and begins a new log file. On an error the old file goes on.
    ///
    /// # Errors
    /// The disk's.
    pub async fn snapshot(&mut self) -> Result<(), DiskError> {
        self.disk.replace(&snapshot_name(), storage::encode_snapshot(&self.image)).await?;
        if self.end == 0 {
            return Ok(());
        }
        let (name, file, end) = create_file(&self.disk, self.image.position().index + 1).await?;
        let old = std::mem::replace(&mut self.name, name);
        self.file = file;
        self.end = end;
        // Left behind, it costs space only: every entry in it is in the snapshot.
        self.disk.remove(&old).await
    }
}

const LOG_PREFIX: &str = "log-";

fn dir() -> FileName {
    FileName::new("meta")
}

fn snapshot_name() -> FileName {
    dir().join("snapshot")
}

async fn create_file<D: Disk>(disk: &D, first: u64) -> Result<(FileName, D::File, u64), DiskError> {
    let name = dir().join(format_args!("{LOG_PREFIX}{first:020}"));
    let file = disk.open(&name, Open::OrCreate).await?;
    disk.sync_dir(&dir()).await?;
    Ok((name, file, 0))
}

/// Applies a log file's entries that are above the image, and notes which topics any of them deleted. Leaves the file ending with its last
/// whole frame, durably; gives that end.
async fn replay<D: Disk>(
    disk: &D,
    name: &FileName,
    file: &D::File,
    len: u64,
    image: &mut Image,
    deleted: &mut Vec<TopicId>,
) -> Result<u64, OpenError> {
    if len > LOG_BYTES_HARD_MAX + FRAME_BYTES_MAX as u64 {
        return Err(OpenError::TooLarge { file: name.clone(), len });
    }
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len {
        let chunk = disk.read(file, bytes.len() as u64, IO_BYTES_MAX).await?;
        if chunk.is_empty() {
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    let scan = storage::scan(&bytes).map_err(|error| OpenError::Storage { file: name.clone(), error })?;
    if let Verdict::Damaged { at, intact_at } = scan.verdict {
        return Err(OpenError::Damaged { file: name.clone(), at, intact_at });
    }
    for entry in &scan.entries {
        deleted.extend(entry.records.iter().filter_map(|record| match record {
            MetadataRecord::TopicDeleted { id } => Some(*id),
            _ => None,
        }));
        let (expected, got) = (image.position().index + 1, entry.position.index);
        if got < expected {
            continue;
        }
        if got > expected {
            return Err(OpenError::Gap { file: name.clone(), expected, got });
        }
        for record in &entry.records {
            image.apply(record).map_err(|error| OpenError::Unfit { index: got, error })?;
        }
        image.advance(entry.position);
    }
    if len > scan.end {
        disk.truncate(file, scan.end).await?;
    }
    // The last frame may have been written without its flush.
    disk.flush(file).await?;
    Ok(scan.end)
}

/// The frame in sealed pieces; `None` if the pool does not have that much.
fn chunks<D: Disk>(disk: &D, frame: &[u8]) -> Option<Vec<D::Chunk>> {
    let mut out = Vec::new();
    let mut rest = frame;
    while !rest.is_empty() {
        let mut len = rest.len().min(IO_BYTES_MAX);
        let mut buf = loop {
            match disk.take(len) {
                Some(buf) => break buf,
                None if len > BLOCK => len = (len / 2).next_multiple_of(BLOCK),
                None => return None,
            }
        };
        let (piece, after) = rest.split_at(len);
        buf.deref_mut()[..len].copy_from_slice(piece);
        out.push(disk.seal(buf, len));
        rest = after;
    }
    Some(out)
}
