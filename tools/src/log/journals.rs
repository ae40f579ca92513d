//! A core's journal and checkpoints, read as recovery reads them but without writing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::io::BLOCK;
use engine::journal::{
    FILE_HEADER_BYTES, FileHeader, FrameHeader, FrameView, ScanEnd, Verdict, file_number, judge,
};

/// No journal file is larger, in bytes: a bound for reading one whole.
const JOURNAL_BYTES_MAX: u64 = 4 << 30;

/// What stands in a journal file.
pub(super) enum Found {
    /// A header, or a first frame that tells as much.
    Journal(Journal),
    /// It was prepared and never used.
    Unused,
    /// Neither its header nor its first frame verifies.
    Broken,
    /// It is of a later format.
    Newer,
}

/// One journal file that tells where its frames begin.
pub(super) struct Journal {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its header, or what its first frame says in its place.
    pub(super) header: FileHeader,
    /// Whether its header verifies.
    pub(super) whole: bool,
    /// All of it.
    pub(super) bytes: Vec<u8>,
}

impl Journal {
    /// Reads a journal file as a start does: where its header does not verify, its first frame stands in.
    pub(super) fn read(path: &Path) -> anyhow::Result<Found> {
        let length = fs::metadata(path)?.len();
        anyhow::ensure!(length <= JOURNAL_BYTES_MAX, "{} has {length} bytes", path.display());
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let block = &bytes[..bytes.len().min(FILE_HEADER_BYTES as usize)];
        if let Some(header) = FileHeader::read(block) {
            return Ok(Found::Journal(Journal { path: path.to_owned(), header, whole: true, bytes }));
        }
        if FileHeader::is_newer(block) {
            return Ok(Found::Newer);
        }
        if block.iter().all(|b| *b == 0) {
            return Ok(Found::Unused);
        }
        let rest = bytes.get(FILE_HEADER_BYTES as usize..).unwrap_or_default();
        let claimed = FrameHeader::peek(rest);
        let frame = claimed.and_then(|h| FrameView::verify(rest, h.incarnation(), h.sequence()).ok());
        let Some(frame) = frame else { return Ok(Found::Broken) };
        // Nothing here asks for the core.
        let sequence = frame.header.sequence().max(1);
        let mark = frame.header.flush_mark().min(sequence - 1);
        let header = FileHeader::new(0, frame.header.incarnation(), sequence, mark);
        Ok(Found::Journal(Journal { path: path.to_owned(), header, whole: false, bytes }))
    }

    /// The frame at a position, if one of this incarnation verifies there under the number it claims.
    pub(super) fn frame(&self, position: u64) -> Option<FrameView<'_>> {
        let rest = self.bytes.get(usize::try_from(position).ok()?..)?;
        let claimed = FrameHeader::peek(rest)?.sequence();
        FrameView::verify(rest, self.header.incarnation(), claimed).ok()
    }

    /// Whether a frame header of this incarnation stands at a position, valid or not.
    pub(super) fn claims_frame(&self, position: u64) -> bool {
        usize::try_from(position)
            .ok()
            .and_then(|at| self.bytes.get(at..))
            .and_then(FrameHeader::peek)
            .is_some_and(|header| header.incarnation() == self.header.incarnation())
    }

    /// The first valid frame at or after a position whose number is above `sequence`.
    fn next_frame(&self, position: u64, sequence: u64) -> Option<(u64, FrameView<'_>)> {
        (position..self.bytes.len() as u64)
            .step_by(BLOCK)
            .filter_map(|at| Some((at, self.frame(at)?)))
            .find(|(_, view)| view.header.sequence() > sequence)
    }

    /// The highest flush mark of any valid frame from a position on.
    fn flush_mark(&self, position: u64) -> u64 {
        let marks = (position..self.bytes.len() as u64).step_by(BLOCK).filter_map(|at| self.frame(at));
        marks.map(|view| view.header.flush_mark()).max().unwrap_or(0)
    }
}

/// The journal files in a core's directory, in their order of use. `flawed` hears of those with a flaw: the
/// file, what it is, and whether what it holds is lost.
pub(super) fn journals(
    core_dir: &Path,
    mut flawed: impl FnMut(&Path, &str, bool) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Journal>> {
    let mut found = Vec::new();
    for path in super::dump::files(core_dir)? {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if file_number(&name).is_none() {
            continue;
        }
        match Journal::read(&path)? {
            Found::Unused => {}
            Found::Journal(journal) => {
                if !journal.whole {
                    flawed(&path, "the header does not verify: the first frame stands in for it", false)?;
                }
                found.push(journal);
            }
            Found::Broken => flawed(&path, "neither the header nor the first frame verifies", true)?,
            Found::Newer => flawed(&path, "a journal of a later format", true)?,
        }
    }
    found.sort_by_key(|journal| journal.header.incarnation());
    Ok(found)
}

/// What reading a core's frames in order meets.
pub(super) enum Met<'a> {
    /// A frame that verifies, and whether a flush mark covers it: then its extents are in their
    /// segments.
    Frame(FrameView<'a>, bool),
    /// A frame that was durable once and does not verify: in which file, where.
    Damaged(&'a Path, u64),
}

/// Hands every frame above `included` to `each`, in sequence order, and damage among them. Returns
/// whether the log ends in frames that were never flushed.
pub(super) fn replay<'a>(
    journals: &'a [Journal],
    included: u64,
    mut each: impl FnMut(Met<'a>) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let skip = journals.iter().rposition(|j| j.header.first_sequence() <= included + 1).unwrap_or(0);
    let journals = &journals[skip..];
    let begun = journals.iter().map(|j| j.header.first_sequence().saturating_sub(1)).max().unwrap_or(0);
    let marks = journals.iter().map(|j| j.flush_mark(FILE_HEADER_BYTES));
    let mark = marks.max().unwrap_or(0).max(begun).max(included);
    for (i, journal) in journals.iter().enumerate() {
        let later = &journals[i + 1..];
        let (mut position, mut expected) = (FILE_HEADER_BYTES, journal.header.first_sequence());
        loop {
            // A later file begins here: what this one holds from here on was given up when it failed.
            if later.iter().any(|later| later.header.first_sequence() <= expected) {
                break;
            }
            if let Some(view) = journal.frame(position).filter(|v| v.header.sequence() == expected) {
                position += view.header.disk_bytes() as u64;
                if expected > included {
                    each(Met::Frame(view, expected <= mark))?;
                }
                expected += 1;
                continue;
            }
            // A later file is begun only after everything before it was flushed.
            let begun = later.iter().map(|j| j.header.first_sequence().saturating_sub(1)).max().unwrap_or(0);
            let flush_mark = begun.max(journal.flush_mark(position));
            let continues = later.first().is_some_and(|next| next.header.first_sequence() == expected);
            if continues {
                break;
            }
            let next = journal.next_frame(position + BLOCK as u64, expected);
            // Relaxed topics' frames that no flush had promised when the journal moved: gone, and no damage.
            if later.iter().any(|later| later.header.was_unflushed(expected)) {
                let Some((at, view)) = next else { break };
                (position, expected) = (at, view.header.sequence());
                continue;
            }
            match judge(ScanEnd { missing: expected, flush_mark }) {
                Verdict::Torn => return Ok(next.is_some() || journal.claims_frame(position)),
                Verdict::Damaged => each(Met::Damaged(&journal.path, position))?,
            }
            let Some((at, view)) = next else { break };
            (position, expected) = (at, view.header.sequence());
        }
    }
    Ok(false)
}
