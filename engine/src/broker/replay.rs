//! Reads one core's frames back in sequence order.
//!
//! A frame with extents says only with a later flush mark that their blocks are in their segments. So
//! such a frame is handed on when the marks behind it are known: a second reader runs ahead until one
//! of them covers it, which is a frame or two, or to the end of the log.
//!
//! A block that the disk cannot read stops the start only if a frame that counts may lie in it:
//!
//! | where it lies | |
//! |---|---|
//! | in a frame that a checkpoint covers, with one above found behind it | passed over |
//! | at or above the first frame of a later file | never looked at |
//! | behind the end of the frames, and no frame begins there | passed over |
//! | in frames that only were written before the journal moved | passed over: they were not promised |
//! | in the header of a file | its first frame tells; zeros say that there never was one |
//! | anywhere else | the disk's error: what it held may have been acknowledged |

use std::collections::VecDeque;

use super::recovery_error::RecoveryError;
use super::replay_file::{File, Opened, PassedOver, Window, open_journal};
use crate::base::{Bug, CoreId, planted};
use crate::io::{BLOCK, Disk, DiskError, DiskResult, FileName, Open};
use crate::journal::{
    EntryKind, FILE_HEADER_BYTES, FrameHeader, FrameView, ScanEnd, Verdict, file_number, judge,
};

/// How the name begins of a journal file that is kept for the damage in it, or for a block that cannot be read.
const KEPT_ASIDE: &str = "damaged-";

/// The name of a journal file that is kept aside. An empty file has it from before the checkpoints that cover the
/// damage: a start that is cut short between those and the renaming would forget.
pub(super) fn kept_aside(file: &FileName) -> FileName {
    file.parent().expect("a journal file has a directory").join(format_args!("{KEPT_ASIDE}{}", file.base()))
}

/// What a core's checkpoint covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Included {
    /// Frames up to here.
    pub(super) up_to: u64,
    /// It may be the older one, and journal files that are in use again were let go of by the newer.
    pub(super) older: bool,
}

/// More blocks of one file that cannot be read are no bad spot: the disk is broken.
const UNREADABLE_BLOCKS_MAX: usize = 64;

/// What the reader met.
pub(super) enum ReadFrame<'a, C> {
    /// A frame that verifies. Its bytes lie in `chunks` from `start` on.
    /// `proven` says that a flush mark covers it, blocks of its extents included.
    Frame { sequence: u64, view: FrameView<'a>, chunks: &'a [C], start: usize, proven: bool },
    /// A frame that was durable once and does not verify now.
    Damaged { sequence: u64, file: FileName },
    /// A frame that was acknowledged, as relaxed topics have it, and no flush promised: it is gone.
    Unflushed { sequence: u64 },
}

/// What `advance` came to.
enum Met {
    /// This frame, verified, in the scratch buffer.
    Frame(u64),
    Damaged {
        sequence: u64,
        file: FileName,
    },
    Unflushed(u64),
}

/// What is known when there are no more frames.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplayEnd {
    pub(super) files: u64,
    /// Files that earlier starts kept aside.
    pub(super) kept_aside: u64,
    /// Those that an earlier start was about to keep aside.
    pub(super) to_keep: Vec<FileName>,
    /// The highest number seen in any frame or file header, void ones too.
    pub(super) sequence_max: u64,
    /// Frames that fit a file at most.
    pub(super) frames_max: u64,
    pub(super) incarnation_max: u64,
    pub(super) torn: bool,
    /// Files with something that could not be read and does not count.
    pub(super) passed_over: Vec<PassedOver>,
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
    /// Whose frames.
    core: CoreId,
    /// Frames up to there are in a checkpoint.
    included: Included,
    end: ReplayEnd,
}

impl<D: Disk> FrameReader<D> {
    /// Opens the journals of `core`. Files that hold only frames that are `included` in a checkpoint are passed
    /// over unread.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub(super) async fn open(
        disk: &D,
        core: CoreId,
        included: Included,
    ) -> Result<FrameReader<D>, RecoveryError> {
        let (mut files, mut frames) = (Vec::new(), Vec::new());
        let up_to = included.up_to;
        let mut end = ReplayEnd { sequence_max: up_to, flush_mark: up_to, ..ReplayEnd::default() };
        let entries = disk.list(&FileName::core_dir(core)).await?;
        for entry in &entries {
            let aside = entry.name.base().strip_prefix(KEPT_ASIDE).filter(|base| file_number(base).is_some());
            end.kept_aside += u64::from(aside.is_some());
            end.to_keep.extend(entries.iter().map(|e| &e.name).find(|n| aside == Some(n.base())).cloned());
            if file_number(entry.name.base()).is_none() {
                continue;
            }
            end.frames_max = end.frames_max.max(entry.len / BLOCK as u64);
            let handle = disk.open(&entry.name, Open::Existing).await?;
            let mut pass = |why| end.passed_over.push(PassedOver { file: entry.name.clone(), why });
            let header = match open_journal(disk, core, &entry.name, &handle).await? {
                Opened::Used(header) => header,
                Opened::FrameOfLater { header, frame } => {
                    frames.push((files.len(), frame));
                    header
                }
                Opened::FirstFrame(header) => {
                    pass("its first frame says what its header did");
                    header
                }
                Opened::NoFrame => {
                    pass("no frame was ever written to it");
                    continue;
                }
                // It was prepared and never used, or its reuse never began.
                Opened::Unused => continue,
            };
            end.incarnation_max = end.incarnation_max.max(header.incarnation());
            end.sequence_max = end.sequence_max.max(header.first_sequence().saturating_sub(1));
            files.push(File { name: entry.name.clone(), handle, header, bytes: entry.len });
        }
        for (index, frame) in frames {
            // Each use has an incarnation of its own: a frame of another file's went astray.
            if files.iter().all(|f: &File<D>| f.header.incarnation() != frame.incarnation()) {
                let file = &mut files[index];
                tracing::error!(file = %file.name, "the header of a journal file is lost: its first frame stands in for it");
                file.header = frame;
                end.incarnation_max = end.incarnation_max.max(frame.incarnation());
                end.sequence_max = end.sequence_max.max(frame.first_sequence().saturating_sub(1));
            }
        }
        files.sort_by_key(|f| f.header.incarnation());
        // A killed broker may not have flushed what is read here. A header says which frames of earlier files are
        // void: were it gone at the next start, they would come back. And what readers are shown from now on would
        // stand in the new checkpoint alone.
        if !files.is_empty() {
            let handles: Vec<D::File> = files.iter().map(|f: &File<D>| f.handle.clone()).collect();
            disk.flush_all(&handles).await?;
        }
        let mut files = VecDeque::from(files);
        while files.get(1).is_some_and(|next| next.header.first_sequence() <= up_to + 1) {
            files.pop_front();
        }
        if let Some(first) = files.front().map(|f| f.header.first_sequence()).filter(|f| *f > up_to + 1) {
            return Err(RecoveryError::JournalGap { core, included: up_to, first });
        }
        end.files = files.len() as u64;
        let expected = files.front().map_or(up_to + 1, |f| f.header.first_sequence());
        Ok(FrameReader {
            disk: disk.clone(),
            files,
            window: Window::new(),
            scratch: Vec::new(),
            position: FILE_HEADER_BYTES,
            expected,
            core,
            included,
            end,
        })
    }

    /// What is known about the end. Call it after `next` returned `None`.
    pub(super) fn end(self) -> ReplayEnd {
        self.end
    }

    /// The next frame, or damage; `None` where the log ends.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub(super) async fn next(&mut self) -> Result<Option<ReadFrame<'_, D::Chunk>>, RecoveryError> {
        let sequence = match self.advance().await? {
            None => return Ok(None),
            Some(Met::Damaged { sequence, file }) => return Ok(Some(ReadFrame::Damaged { sequence, file })),
            Some(Met::Unflushed(sequence)) => return Ok(Some(ReadFrame::Unflushed { sequence })),
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
    async fn mark_ahead(&self, sequence: u64) -> Result<u64, RecoveryError> {
        let mut ahead = FrameReader {
            disk: self.disk.clone(),
            files: self.files.clone(),
            window: Window::new(),
            scratch: Vec::new(),
            position: self.position,
            expected: self.expected,
            core: self.core,
            included: self.included,
            end: self.end.clone(),
        };
        while ahead.end.flush_mark < sequence && ahead.advance().await?.is_some() {}
        Ok(ahead.end.flush_mark)
    }

    /// Goes to the next frame, or over damage.
    async fn advance(&mut self) -> Result<Option<Met>, RecoveryError> {
        loop {
            let Some(file) = self.files.front() else { return Ok(None) };
            let (incarnation, expected) = (file.header.incarnation(), self.expected);
            // A later file begins here: what this one holds from here on was given up when it failed.
            if self.files.iter().skip(1).any(|later| later.header.first_sequence() <= expected) {
                self.next_file("a later file begins before it");
                continue;
            }
            let unreadable = self.load(self.position).await?;
            if unreadable.is_none()
                && let Ok(view) = FrameView::verify(&self.scratch, incarnation, expected)
            {
                self.position += view.header.disk_bytes() as u64;
                self.expected += 1;
                self.end.sequence_max = self.end.sequence_max.max(expected);
                self.end.flush_mark = self.end.flush_mark.max(view.header.flush_mark());
                return Ok(Some(Met::Frame(expected)));
            }
            let claimed = FrameHeader::peek(&self.scratch)
                .is_some_and(|h| h.incarnation() == incarnation && h.sequence() == expected);
            // The frames of this file end here, or are broken here. What comes later tells which.
            let later = self.look_ahead().await?;
            self.end.flush_mark = self.end.flush_mark.max(later.flush_mark);
            // The first of those that are missing that no checkpoint has.
            let missing = expected.max(self.included.up_to + 1);
            if let Some((position, sequence)) = later.next.filter(|(_, sequence)| *sequence <= missing) {
                (self.position, self.expected) = (position, sequence);
                continue;
            }
            let promised = !self.files.iter().skip(1).any(|later| later.header.was_unflushed(missing));
            let verdict = judge(ScanEnd { missing, flush_mark: later.flush_mark });
            let is_before = |at: u64| later.next.is_none_or(|(next, _)| at < next);
            let counts = match verdict {
                _ if !promised => None,
                Verdict::Damaged => {
                    unreadable.or(later.unreadable.filter(|(at, _)| is_before(*at)).map(|u| u.1))
                }
                // It may have been durable, and a mark that says so may be what cannot be read.
                Verdict::Torn if claimed => unreadable.or(later.unreadable.map(|(_, error)| error)),
                Verdict::Torn => unreadable,
            };
            if let Some(error) = counts {
                return Err(error.into());
            }
            let file = self.files.front().expect("still the same");
            let name = file.name.clone();
            match (verdict, later.next) {
                (_, next) if !promised => {
                    match next {
                        Some((position, sequence)) => (self.position, self.expected) = (position, sequence),
                        None => self.next_file("what was written there was not promised"),
                    }
                    return Ok(Some(Met::Unflushed(missing)));
                }
                (Verdict::Torn, Some((position, sequence))) if planted(Bug::ContinueBehindTear) => {
                    self.position = position;
                    self.expected = sequence;
                }
                (Verdict::Damaged, Some((position, sequence))) => {
                    self.position = position;
                    self.expected = sequence;
                    // One between was not durable: the log ends before it.
                    if sequence > self.end.flush_mark + 1 {
                        self.end.torn = true;
                        self.files.clear();
                    }
                    return Ok(Some(Met::Damaged { sequence: missing, file: name }));
                }
                // The newer checkpoint let go of the file that had it.
                (Verdict::Damaged, None) if self.included.older && self.files.len() > 1 => {
                    let (core, included) = (self.core, self.included.up_to);
                    let first = self.files[1].header.first_sequence();
                    return Err(RecoveryError::JournalGap { core, included, first });
                }
                (Verdict::Damaged, None) => {
                    self.next_file("a later file begins before it");
                    return Ok(Some(Met::Damaged { sequence: missing, file: name }));
                }
                (Verdict::Torn, _) => {
                    self.end.torn |= later.any;
                    self.pass_over("the log ends before it");
                    self.files.clear();
                    return Ok(None);
                }
            }
        }
    }

    fn next_file(&mut self, why: &'static str) {
        self.pass_over(why);
        self.files.pop_front();
        self.position = FILE_HEADER_BYTES;
        self.window = Window::new();
        if let Some(file) = self.files.front() {
            self.expected = file.header.first_sequence();
        }
    }

    /// What could not be read of the file that is left does not count.
    fn pass_over(&mut self, why: &'static str) {
        if let Some(file) = self.files.front().filter(|_| self.window.met_unreadable) {
            self.end.passed_over.push(PassedOver { file: file.name.clone(), why });
        }
    }

    /// Looks at what lies behind the end of this file's valid frames: the flush marks of later
    /// frames, and later files, each of which was begun only after everything before it was flushed.
    async fn look_ahead(&mut self) -> DiskResult<Later> {
        let mut later = Later::default();
        for file in self.files.iter().skip(1) {
            later.flush_mark = later.flush_mark.max(file.header.first_sequence().saturating_sub(1));
        }
        let file = self.files.front().expect("called with a file");
        let (incarnation, bytes) = (file.header.incarnation(), file.bytes);
        let (mut position, mut unreadable) = (self.position + BLOCK as u64, 0);
        while position < bytes {
            if let Some(error) = self.load(position).await? {
                unreadable += 1;
                if unreadable > UNREADABLE_BLOCKS_MAX {
                    return Err(error);
                }
                later.unreadable.get_or_insert((position, error));
                position += BLOCK as u64;
                continue;
            }
            let header = FrameHeader::peek(&self.scratch)
                .filter(|h| h.incarnation() == incarnation && h.sequence() >= self.expected);
            let whole =
                header.filter(|h| FrameView::verify(&self.scratch, incarnation, h.sequence()).is_ok());
            let Some(header) = whole else {
                position += BLOCK as u64;
                continue;
            };
            later.any = true;
            later.flush_mark = later.flush_mark.max(header.flush_mark());
            self.end.sequence_max = self.end.sequence_max.max(header.sequence());
            // A write that went astray may have put a later frame before those that follow here.
            if later.next.is_none_or(|(_, lowest)| header.sequence() < lowest) {
                later.next = Some((position, header.sequence()));
            }
            position += header.disk_bytes() as u64;
        }
        Ok(later)
    }

    /// Puts the frame at `position` of the first file into the scratch buffer, see [`Window::load`].
    async fn load(&mut self, position: u64) -> DiskResult<Option<DiskError>> {
        let file = self.files.front().expect("called with a file");
        self.window.load(&self.disk, file, position, &mut self.scratch).await
    }
}

/// What lies behind the end of the valid frames.
#[derive(Default)]
struct Later {
    flush_mark: u64,
    any: bool,
    /// The next frame of this file that verifies: where, and its number.
    next: Option<(u64, u64)>,
    /// The first block that the disk cannot read: where, and what it said.
    unreadable: Option<(u64, DiskError)>,
}
