//! A core's journal and checkpoints, read as recovery reads them but without writing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::broker::Checkpoint;
use engine::io::BLOCK;
use engine::journal::{
    FILE_HEADER_BYTES, FileHeader, FrameHeader, FrameView, ScanEnd, Verdict, file_number, judge,
};

/// No journal file is larger, in bytes: a bound for reading one whole.
const JOURNAL_BYTES_MAX: u64 = 4 << 30;

/// One journal file whose header is whole.
pub(super) struct Journal {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its header.
    pub(super) header: FileHeader,
    /// All of it.
    pub(super) bytes: Vec<u8>,
}

impl Journal {
    /// Reads a journal file; `None` if no whole header stands at its start: it was never used.
    pub(super) fn read(path: &Path) -> anyhow::Result<Option<Journal>> {
        let length = fs::metadata(path)?.len();
        anyhow::ensure!(length <= JOURNAL_BYTES_MAX, "{} has {length} bytes", path.display());
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        Ok(FileHeader::read(&bytes).map(|header| Journal { path: path.to_owned(), header, bytes }))
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

/// The journal files in a core's directory, in their order of use.
pub(super) fn journals(core_dir: &Path) -> anyhow::Result<Vec<Journal>> {
    let mut found = Vec::new();
    for path in super::dump::files(core_dir)? {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if file_number(&name).is_some() {
            found.extend(Journal::read(&path)?);
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

/// The newest checkpoint in a core's directory, and the paths of those that do not verify.
pub(super) fn newest_checkpoint(core_dir: &Path) -> anyhow::Result<(Option<Checkpoint>, Vec<PathBuf>)> {
    let (mut newest, mut broken) = (None::<Checkpoint>, Vec::new());
    for slot in 0..2 {
        let path = core_dir.join(format!("checkpoint-{slot}"));
        if !path.exists() {
            continue;
        }
        match Checkpoint::decode(&super::dump::read_small(&path)?) {
            Some(read) if newest.as_ref().is_none_or(|n| n.generation < read.generation) => {
                newest = Some(read)
            }
            Some(_) => {}
            None => broken.push(path),
        }
    }
    Ok((newest, broken))
}
