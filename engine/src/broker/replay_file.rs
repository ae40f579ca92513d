//! One journal file as recovery reads it: in large chunks, and around blocks that the disk cannot read.

use smallvec::SmallVec;

use super::recovery_error::RecoveryError;
use crate::base::CoreId;
use crate::io::{BLOCK, Disk, DiskError, DiskFault, DiskResult, FileName, IO_BYTES_MAX};
use crate::journal::{FILE_HEADER_BYTES, FileHeader, FrameHeader, FrameView, may_be_of};

/// A journal file that was used.
#[derive(Clone)]
pub(super) struct File<D: Disk> {
    pub(super) name: FileName,
    pub(super) handle: D::File,
    pub(super) header: FileHeader,
    pub(super) bytes: u64,
}

/// A journal file with something in it that the disk cannot read, and why nothing of that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PassedOver {
    pub(super) file: FileName,
    pub(super) why: &'static str,
}

/// What the first blocks of a journal file say.
pub(super) enum Opened {
    /// It holds frames of this use.
    Used(FileHeader),
    /// The disk cannot read its header: its first frame names incarnation and number too.
    FirstFrame(FileHeader),
    /// It holds frames of this use, and its first one is of a later use: the header of that one was lost, or the
    /// frame belongs to another file.
    FrameOfLater { header: FileHeader, frame: FileHeader },
    /// It was prepared and never used.
    Unused,
    /// The same, though the disk cannot read its header: no frame was ever written to it.
    NoFrame,
}

/// Consecutive chunks of one file.
pub(super) struct Window<D: Disk> {
    pub(super) chunks: SmallVec<[D::Chunk; 4]>,
    /// Position of the first chunk in the file.
    pub(super) start: u64,
    bytes: u64,
    /// Something of the file could not be read.
    pub(super) met_unreadable: bool,
}

impl<D: Disk> Window<D> {
    pub(super) fn new() -> Window<D> {
        Window { chunks: SmallVec::new(), start: 0, bytes: 0, met_unreadable: false }
    }

    /// Puts the frame at `position` (its first block, if no frame is there) into `scratch`. Where the disk
    /// cannot read all of it this is its error, and `scratch` has the first block if that could be read.
    ///
    /// # Errors
    /// The disk's, where it is none of reading a block.
    pub(super) async fn load(
        &mut self,
        disk: &D,
        file: &File<D>,
        position: u64,
        scratch: &mut Vec<u8>,
    ) -> DiskResult<Option<DiskError>> {
        scratch.clear();
        if let Some(unreadable) = self.cover(disk, file, position, BLOCK).await? {
            return Ok(Some(unreadable));
        }
        self.copy(position, BLOCK, scratch);
        let Some(header) = FrameHeader::peek(scratch) else { return Ok(None) };
        let bytes = header.disk_bytes();
        if position + bytes as u64 > file.bytes {
            return Ok(None);
        }
        if let Some(unreadable) = self.cover(disk, file, position, bytes).await? {
            return Ok(Some(unreadable));
        }
        scratch.clear();
        self.copy(position, bytes, scratch);
        Ok(None)
    }

    /// Holds `position..position + bytes`, as far as the file goes; or says why not.
    async fn cover(
        &mut self,
        disk: &D,
        file: &File<D>,
        position: u64,
        bytes: usize,
    ) -> DiskResult<Option<DiskError>> {
        let inside = position >= self.start && position <= self.start + self.bytes;
        if !inside || self.chunks.is_empty() {
            *self = Window { start: position, met_unreadable: self.met_unreadable, ..Window::new() };
        }
        while let Some(first) = self.chunks.first()
            && self.start + first.len() as u64 <= position
        {
            self.start += first.len() as u64;
            self.bytes -= first.len() as u64;
            self.chunks.remove(0);
        }
        let end = (position + bytes as u64).min(file.bytes);
        while self.start + self.bytes < end {
            let at = self.start + self.bytes;
            match read_narrowing(disk, &file.handle, at).await? {
                Read::All(chunk) | Read::Part(chunk) if chunk.is_empty() => break,
                Read::All(chunk) => self.push(chunk),
                Read::Part(chunk) => {
                    self.met_unreadable = true;
                    self.push(chunk);
                }
                Read::Nothing(error) => {
                    self.met_unreadable = true;
                    return Ok(Some(error));
                }
            }
        }
        Ok(None)
    }

    fn push(&mut self, chunk: D::Chunk) {
        self.bytes += chunk.len() as u64;
        self.chunks.push(chunk);
    }

    fn copy(&self, position: u64, bytes: usize, scratch: &mut Vec<u8>) {
        let mut skip = (position - self.start) as usize;
        for chunk in &self.chunks {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let n = (chunk.len() - skip).min(bytes - scratch.len());
            scratch.extend_from_slice(&chunk[skip..skip + n]);
            skip = 0;
            if scratch.len() == bytes {
                return;
            }
        }
    }
}

/// What a read from a position on gave.
enum Read<C> {
    /// A large chunk.
    All(C),
    /// A smaller one: in the large one is something that the disk cannot read.
    Part(C),
    /// Not even the first block can be read.
    Nothing(DiskError),
}

/// Reads as much from a position on as the disk can, in powers of two of blocks: one bad block must not take
/// its sound neighbours with it.
async fn read_narrowing<D: Disk>(disk: &D, file: &D::File, at: u64) -> DiskResult<Read<D::Chunk>> {
    let mut want = IO_BYTES_MAX;
    loop {
        match disk.read(file, at, want).await {
            Ok(chunk) if want == IO_BYTES_MAX => return Ok(Read::All(chunk)),
            Ok(chunk) => return Ok(Read::Part(chunk)),
            Err(error) if error.fault != DiskFault::Io => return Err(error),
            Err(error) if want == BLOCK => return Ok(Read::Nothing(error)),
            Err(_) => want /= 2,
        }
    }
}

/// What opens a journal file. The first frame names incarnation and number under its own checksum: it stands in
/// for a header that does not verify, cannot be read, was lost, or is that of an earlier use (if no other file is
/// of that use), for a frame is written only behind its durable header.
///
/// That holds for a file whose latest use left no frame, too: nothing was acknowledged in it then, and what
/// stands in front is a frame of the use before, which a checkpoint covers, or zeros.
///
/// # Errors
/// See [`RecoveryError`].
pub(super) async fn open_journal<D: Disk>(
    disk: &D,
    core: CoreId,
    name: &FileName,
    handle: &D::File,
) -> Result<Opened, RecoveryError> {
    let (header, zeros, unreadable) = match disk.read(handle, 0, BLOCK).await {
        Ok(block) if FileHeader::is_newer(&block) => return Err(RecoveryError::Newer(name.clone())),
        Ok(block) => {
            // Another core's went astray.
            let header = FileHeader::read(&block).filter(|header| header.core() == core.0);
            (header, block.iter().all(|b| *b == 0), None)
        }
        Err(error) if error.fault == DiskFault::Io => (None, false, Some(error)),
        Err(error) => return Err(error.into()),
    };
    if let Some(header) = header
        && !is_of_later_use(disk, core, handle, header).await?
    {
        return Ok(Opened::Used(header));
    }
    let bytes = match first_frame(disk, handle).await? {
        FirstFrame::Bytes(bytes) => bytes,
        FirstFrame::Unreadable(error) => return header.map(Opened::Used).ok_or(error.into()),
    };
    let claimed = FrameHeader::peek(&bytes).filter(|h| may_be_of(h.incarnation(), core.0));
    let frame = claimed.and_then(|h| FrameView::verify(&bytes, h.incarnation(), h.sequence()).ok());
    let no_frame = bytes.len() >= BLOCK && bytes[..BLOCK].iter().all(|b| *b == 0);
    match (header, frame, unreadable) {
        (Some(header), None, _) => Ok(Opened::Used(header)),
        (Some(header), Some(frame), _) if frame.header.incarnation() <= header.incarnation() => {
            Ok(Opened::Used(header))
        }
        (header, Some(frame), unreadable) => {
            let frame = frame.header;
            let mark = frame.flush_mark().min(frame.sequence().saturating_sub(1));
            let frame = FileHeader::new(core.0, frame.incarnation(), frame.sequence().max(1), mark);
            if let Some(header) = header {
                return Ok(Opened::FrameOfLater { header, frame });
            }
            if unreadable.is_some() {
                return Ok(Opened::FirstFrame(frame));
            }
            tracing::error!(file = %name, "the header of a journal file is damaged: its first frame stands in for it");
            Ok(Opened::Used(frame))
        }
        (None, None, None) if zeros => Ok(Opened::Unused),
        (None, None, None) => Err(RecoveryError::JournalHeader(name.clone())),
        (None, None, Some(_)) if no_frame => Ok(Opened::NoFrame),
        (None, None, Some(error)) => Err(error.into()),
    }
}

/// Whether the first block behind `header` claims to begin a frame of a later use. It alone is read: what a start
/// reads of files that are passed over must not grow with their frames.
async fn is_of_later_use<D: Disk>(
    disk: &D,
    core: CoreId,
    handle: &D::File,
    header: FileHeader,
) -> DiskResult<bool> {
    let is_later =
        |f: FrameHeader| f.incarnation() > header.incarnation() && may_be_of(f.incarnation(), core.0);
    match disk.read(handle, FILE_HEADER_BYTES, BLOCK).await {
        Ok(block) => Ok(FrameHeader::peek(&block).is_some_and(is_later)),
        Err(error) if error.fault == DiskFault::Io => Ok(false),
        Err(error) => Err(error),
    }
}

/// What stands behind the header.
enum FirstFrame {
    /// A frame, or what else is there: its first block.
    Bytes(Vec<u8>),
    Unreadable(DiskError),
}

async fn first_frame<D: Disk>(disk: &D, handle: &D::File) -> DiskResult<FirstFrame> {
    let (mut bytes, mut wanted) = (Vec::new(), BLOCK);
    while bytes.len() < wanted {
        let at = FILE_HEADER_BYTES + bytes.len() as u64;
        let chunk = match read_narrowing(disk, handle, at).await? {
            Read::All(chunk) | Read::Part(chunk) => chunk,
            Read::Nothing(error) => return Ok(FirstFrame::Unreadable(error)),
        };
        if chunk.is_empty() {
            break;
        }
        bytes.extend_from_slice(&chunk);
        wanted = FrameHeader::peek(&bytes).map_or(0, |header| header.disk_bytes());
    }
    Ok(FirstFrame::Bytes(bytes))
}
