//! Reads one core's frames back in sequence order.
//!
//! A frame with extents says only with a later flush mark that their blocks are in their segments. So
//! such a frame is handed on when the marks behind it are known: a second reader runs ahead until one
//! of them covers it, which is a frame or two, or to the end of the log.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::recovery_error::RecoveryError;
use crate::base::{Bug, CoreId, planted};
use crate::io::{BLOCK, Disk, DiskResult, FileName, IO_BYTES_MAX, Open};
use crate::journal::{
    EntryKind, FILE_HEADER_BYTES, FileHeader, FrameHeader, FrameView, ScanEnd, Verdict, file_number, judge,
};

/// A journal file with a valid header.
#[derive(Clone)]
struct File<D: Disk> {
    name: FileName,
    handle: D::File,
    header: FileHeader,
    bytes: u64,
}

/// Consecutive chunks of one file.
struct Window<D: Disk> {
    chunks: SmallVec<[D::Chunk; 4]>,
    /// Position of the first chunk in the file.
    start: u64,
    bytes: u64,
}

/// What the reader met.
pub(super) enum ReadFrame<'a, C> {
    /// A frame that verifies. Its bytes lie in `chunks` from `start` on.
    /// `proven` says that a flush mark covers it, blocks of its extents included.
    Frame { sequence: u64, view: FrameView<'a>, chunks: &'a [C], start: usize, proven: bool },
    /// A frame that was durable once and does not verify now.
    Damaged { sequence: u64, file: FileName },
}

/// What `advance` came to.
enum Met {
    /// This frame, verified, in the scratch buffer.
    Frame(u64),
    Damaged {
        sequence: u64,
        file: FileName,
    },
}

/// What is known when there are no more frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReplayEnd {
    pub(super) files: u64,
    /// The highest number seen in any frame or file header, void ones too.
    pub(super) sequence_max: u64,
    pub(super) incarnation_max: u64,
    pub(super) torn: bool,
    /// The highest flush mark found; whatever else proves that a frame was flushed included.
    flush_mark: u64,
}

/// Walks the files of a core by incarnation, and the frames of each in order.
pub(super) struct FrameReader<D: Disk> {
    disk: D,
    files: VecDeque<File<D>>,
    window: Window<D>,
    scratch: Vec<u8>,
    /// Where the next frame is looked for in the first file.
    position: u64,
    /// Its number.
    expected: u64,
    end: ReplayEnd,
}

impl<D: Disk> FrameReader<D> {
    /// Opens the journals of `core`. Frames up to `included` are in a checkpoint: files that hold
    /// only such are passed over unread.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub(super) async fn open(disk: &D, core: CoreId, included: u64) -> Result<FrameReader<D>, RecoveryError> {
        let mut files = Vec::new();
        let mut end = ReplayEnd { sequence_max: included, flush_mark: included, ..ReplayEnd::default() };
        for entry in disk.list(&FileName::core_dir(core)).await? {
            if file_number(entry.name.base()).is_none() {
                continue;
            }
            let handle = disk.open(&entry.name, Open::Existing).await?;
            let block = disk.read(&handle, 0, BLOCK).await?;
            // Without a header the file was prepared and never used, or its reuse never began.
            if let Some(header) = header_of(disk, core, &entry.name, &handle, &block).await? {
                end.incarnation_max = end.incarnation_max.max(header.incarnation());
                end.sequence_max = end.sequence_max.max(header.first_sequence().saturating_sub(1));
                files.push(File { name: entry.name, handle, header, bytes: entry.len });
            }
        }
        files.sort_by_key(|f| f.header.incarnation());
        let mut files = VecDeque::from(files);
        while files.get(1).is_some_and(|next| next.header.first_sequence() <= included + 1) {
            files.pop_front();
        }
        if let Some(first) = files.front().map(|f| f.header.first_sequence()).filter(|f| *f > included + 1) {
            return Err(RecoveryError::JournalGap { core, included, first });
        }
        end.files = files.len() as u64;
        let expected = files.front().map_or(included + 1, |f| f.header.first_sequence());
        Ok(FrameReader {
            disk: disk.clone(),
            files,
            window: Window { chunks: SmallVec::new(), start: 0, bytes: 0 },
            scratch: Vec::new(),
            position: FILE_HEADER_BYTES,
            expected,
            end,
        })
    }

    /// What is known about the end. Call it after `next` returned `None`.
    pub(super) fn end(&self) -> ReplayEnd {
        self.end
    }

    /// The next frame, or damage; `None` where the log ends.
    pub(super) async fn next(&mut self) -> DiskResult<Option<ReadFrame<'_, D::Chunk>>> {
        let sequence = match self.advance().await? {
            None => return Ok(None),
            Some(Met::Damaged { sequence, file }) => return Ok(Some(ReadFrame::Damaged { sequence, file })),
            Some(Met::Frame(sequence)) => sequence,
        };
        let incarnation = self.files.front().expect("it holds the frame").header.incarnation();
        let view = FrameView::verify(&self.scratch, incarnation, sequence).expect("just verified");
        let (bytes, extents) =
            (view.header.disk_bytes() as u64, view.entries().any(|e| e.kind == EntryKind::Extent));
        if extents && self.end.flush_mark < sequence {
            self.end.flush_mark = self.mark_ahead(sequence).await?;
        }
        let view = FrameView::verify(&self.scratch, incarnation, sequence).expect("just verified");
        Ok(Some(ReadFrame::Frame {
            sequence,
            view,
            chunks: &self.window.chunks,
            start: (self.position - bytes - self.window.start) as usize,
            proven: sequence <= self.end.flush_mark,
        }))
    }

    /// The highest flush mark that is known when one is found at or above `sequence`, or the log ends.
    async fn mark_ahead(&self, sequence: u64) -> DiskResult<u64> {
        let mut ahead = FrameReader {
            disk: self.disk.clone(),
            files: self.files.clone(),
            window: Window { chunks: SmallVec::new(), start: 0, bytes: 0 },
            scratch: Vec::new(),
            position: self.position,
            expected: self.expected,
            end: self.end,
        };
        while ahead.end.flush_mark < sequence && ahead.advance().await?.is_some() {}
        Ok(ahead.end.flush_mark)
    }

    /// Goes to the next frame, or over damage.
    async fn advance(&mut self) -> DiskResult<Option<Met>> {
        loop {
            let Some(file) = self.files.front() else { return Ok(None) };
            let (incarnation, expected) = (file.header.incarnation(), self.expected);
            // A later file begins here: what this one holds from here on was given up when it failed.
            if self.files.iter().skip(1).any(|later| later.header.first_sequence() <= expected) {
                self.next_file();
                continue;
            }
            self.load(self.position).await?;
            if let Ok(view) = FrameView::verify(&self.scratch, incarnation, expected) {
                self.position += view.header.disk_bytes() as u64;
                self.expected += 1;
                self.end.sequence_max = self.end.sequence_max.max(expected);
                self.end.flush_mark = self.end.flush_mark.max(view.header.flush_mark());
                return Ok(Some(Met::Frame(expected)));
            }
            // The frames of this file end here, or are broken here. What comes later tells which.
            let (later, next) = self.look_ahead().await?;
            self.end.flush_mark = self.end.flush_mark.max(later.flush_mark);
            let torn = ScanEnd { missing: expected, flush_mark: later.flush_mark };
            let file = self.files.front().expect("still the same");
            let name = file.name.clone();
            match (judge(torn), next) {
                (Verdict::Torn, Some((position, sequence))) if planted(Bug::ContinueBehindTear) => {
                    self.position = position;
                    self.expected = sequence;
                }
                (Verdict::Damaged, Some((position, sequence))) => {
                    self.position = position;
                    self.expected = sequence;
                    return Ok(Some(Met::Damaged { sequence: expected, file: name }));
                }
                (verdict, _) => {
                    let continues =
                        self.files.get(1).is_some_and(|next| next.header.first_sequence() == expected);
                    if continues || verdict == Verdict::Damaged {
                        let lost = !continues;
                        self.next_file();
                        if lost {
                            return Ok(Some(Met::Damaged { sequence: expected, file: name }));
                        }
                        continue;
                    }
                    self.end.torn |= later.any;
                    self.files.clear();
                    return Ok(None);
                }
            }
        }
    }

    fn next_file(&mut self) {
        self.files.pop_front();
        self.position = FILE_HEADER_BYTES;
        self.window = Window { chunks: SmallVec::new(), start: 0, bytes: 0 };
        if let Some(file) = self.files.front() {
            self.expected = file.header.first_sequence();
        }
    }

    /// Looks at what lies behind the end of this file's valid frames: the flush marks of later
    /// frames, and later files, each of which was begun only after everything before it was flushed.
    async fn look_ahead(&mut self) -> DiskResult<(Later, Option<(u64, u64)>)> {
        let mut later = Later { flush_mark: 0, any: false };
        let mut found = None;
        for file in self.files.iter().skip(1) {
            later.flush_mark = later.flush_mark.max(file.header.first_sequence().saturating_sub(1));
        }
        let file = self.files.front().expect("called with a file");
        let (incarnation, bytes) = (file.header.incarnation(), file.bytes);
        let mut position = self.position + BLOCK as u64;
        while position < bytes {
            self.load(position).await?;
            let header = FrameHeader::peek(&self.scratch)
                .filter(|h| h.incarnation() == incarnation && h.sequence() > self.expected);
            let whole =
                header.filter(|h| FrameView::verify(&self.scratch, incarnation, h.sequence()).is_ok());
            let Some(header) = whole else {
                position += BLOCK as u64;
                continue;
            };
            later.any = true;
            later.flush_mark = later.flush_mark.max(header.flush_mark());
            self.end.sequence_max = self.end.sequence_max.max(header.sequence());
            found.get_or_insert((position, header.sequence()));
            position += header.disk_bytes() as u64;
        }
        Ok((later, found))
    }

    /// Puts the frame at `position` (its first block, if no frame is there) into the scratch buffer.
    async fn load(&mut self, position: u64) -> DiskResult<()> {
        self.scratch.clear();
        self.cover(position, BLOCK).await?;
        self.copy(position, BLOCK);
        let Some(header) = FrameHeader::peek(&self.scratch) else { return Ok(()) };
        let bytes = header.disk_bytes();
        let file = self.files.front().expect("called with a file");
        if position + bytes as u64 > file.bytes {
            return Ok(());
        }
        self.cover(position, bytes).await?;
        self.scratch.clear();
        self.copy(position, bytes);
        Ok(())
    }

    /// Makes the window hold `position..position + bytes`, as far as the file goes.
    async fn cover(&mut self, position: u64, bytes: usize) -> DiskResult<()> {
        let file = self.files.front().expect("called with a file");
        let inside = position >= self.window.start && position <= self.window.start + self.window.bytes;
        if !inside || self.window.chunks.is_empty() {
            self.window = Window { chunks: SmallVec::new(), start: position, bytes: 0 };
        }
        while let Some(first) = self.window.chunks.first()
            && self.window.start + first.len() as u64 <= position
        {
            self.window.start += first.len() as u64;
            self.window.bytes -= first.len() as u64;
            self.window.chunks.remove(0);
        }
        let end = (position + bytes as u64).min(file.bytes);
        while self.window.start + self.window.bytes < end {
            let at = self.window.start + self.window.bytes;
            let chunk = self.disk.read(&file.handle, at, IO_BYTES_MAX).await?;
            if chunk.is_empty() {
                break;
            }
            self.window.bytes += chunk.len() as u64;
            self.window.chunks.push(chunk);
        }
        Ok(())
    }

    fn copy(&mut self, position: u64, bytes: usize) {
        let mut skip = (position - self.window.start) as usize;
        for chunk in &self.window.chunks {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let n = (chunk.len() - skip).min(bytes - self.scratch.len());
            self.scratch.extend_from_slice(&chunk[skip..skip + n]);
            skip = 0;
            if self.scratch.len() == bytes {
                return;
            }
        }
    }
}

/// The header of a journal file; `None` if the file was never used. Where the header does not verify, the
/// first frame tells: it names incarnation and number under its own checksum.
async fn header_of<D: Disk>(
    disk: &D,
    core: CoreId,
    name: &FileName,
    handle: &D::File,
    block: &[u8],
) -> Result<Option<FileHeader>, RecoveryError> {
    if let Some(header) = FileHeader::read(block) {
        return Ok(Some(header));
    }
    if FileHeader::is_newer(block) {
        return Err(RecoveryError::Newer(name.clone()));
    }
    if block.iter().all(|b| *b == 0) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut wanted = BLOCK;
    while bytes.len() < wanted {
        let chunk = disk.read(handle, FILE_HEADER_BYTES + bytes.len() as u64, IO_BYTES_MAX).await?;
        if chunk.is_empty() {
            break;
        }
        bytes.extend_from_slice(&chunk);
        wanted = FrameHeader::peek(&bytes).map_or(0, |header| header.disk_bytes());
    }
    let claimed = FrameHeader::peek(&bytes);
    let frame = claimed.and_then(|h| FrameView::verify(&bytes, h.incarnation(), h.sequence()).ok());
    let Some(frame) = frame else { return Err(RecoveryError::JournalHeader(name.clone())) };
    tracing::error!(file = %name, "the header of a journal file is damaged: its first frame stands in for it");
    Ok(Some(FileHeader::new(core.0, frame.header.incarnation(), frame.header.sequence())))
}

/// What lies behind the end of the valid frames.
struct Later {
    flush_mark: u64,
    any: bool,
}
