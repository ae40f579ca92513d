//! Reading a journal back.
//!
//! Worked example: frames 7, 8, 9 lie in a file; 9 carries flush mark 7. Frame 8 does not verify.
//! Nothing says that 8 was ever flushed: the log is torn at 8 and frame 9 is void, valid or not,
//! for several writes may have been in flight. Had 9 carried mark 8, then 8 was durable once and is
//! damage: its bytes are kept and what it may have held is fenced.

use super::extent::ExtentView;
use super::layout::{BatchPlace, ENTRY_BYTES, EntryHeader, EntryKind, FRAME_HEADER_BYTES, FrameHeader};
use crate::base::{Bug, planted};
use crate::record::{BatchHeader, HEADER_BYTES, MAGIC, crc_matches};

/// Why bytes are not the frame that was looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// No frame header of this incarnation stands here: the written part of the file ends.
    #[error("no frame of incarnation {incarnation} here")]
    Absent {
        /// The file's incarnation.
        incarnation: u64,
    },
    /// A header stands here, of another number than the next.
    #[error("frame {got}, expected {expected}")]
    Sequence {
        /// The number found.
        got: u64,
        /// The number expected.
        expected: u64,
    },
    /// The header or an entry header does not verify.
    #[error("frame {sequence} fails its checksum")]
    Checksum {
        /// The claimed number.
        sequence: u64,
    },
    /// A batch in it, or the payload of an extent, does not verify.
    #[error("a batch at {at} of frame {sequence} fails its checksum")]
    Batch {
        /// The frame.
        sequence: u64,
        /// Bytes from the frame's start.
        at: usize,
    },
}

/// A frame whose checksums all hold.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// Its header.
    pub header: FrameHeader,
    entries: &'a [u8],
}

/// One entry of a verified frame.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What it says.
    pub kind: EntryKind,
    /// Where and whose.
    pub place: BatchPlace,
    /// The batch; of an extent its header and both ends; empty for an entry without a batch.
    pub payload: &'a [u8],
    /// Where the payload starts, in bytes from the frame's start.
    pub at: usize,
    payload_crc: u32,
}

impl<'a> Entry<'a> {
    /// The header of its batch, if it has one.
    #[must_use]
    pub fn header(&self) -> Option<&'a BatchHeader> {
        BatchHeader::peek(self.payload)
    }

    /// What an extent entry says; `None` for other kinds.
    #[must_use]
    pub fn extent(&self) -> Option<ExtentView<'a>> {
        if self.kind == EntryKind::Extent { ExtentView::read(&self.place, self.payload) } else { None }
    }
}

impl<'a> FrameView<'a> {
    /// Verifies the frame at the start of `bytes`, which hold all of it (see
    /// [`FrameHeader::disk_bytes`]).
    ///
    /// # Errors
    /// Which check failed. Nothing of such a frame may be used.
    pub fn verify(bytes: &'a [u8], incarnation: u64, expected: u64) -> Result<FrameView<'a>, FrameError> {
        let header = FrameHeader::peek(bytes)
            .filter(|h| h.incarnation() == incarnation)
            .ok_or(FrameError::Absent { incarnation })?;
        let sequence = header.sequence();
        if sequence != expected {
            return Err(FrameError::Sequence { got: sequence, expected });
        }
        let bad = FrameError::Checksum { sequence };
        let entries =
            bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.payload_bytes()).ok_or(bad)?;

        // First pass: the checksum over the headers makes lengths and kinds believable.
        let (mut at, mut crc, mut count) = (0, 0, 0u32);
        while at < entries.len() {
            let head = entries.get(at..at + ENTRY_BYTES).ok_or(bad)?;
            crc = crc32c::crc32c_append(crc, head);
            let payload = EntryHeader::peek(head).ok_or(bad)?.payload_bytes();
            at += ENTRY_BYTES + payload;
            count += 1;
        }
        if at != entries.len() || count != header.entries() {
            return Err(bad);
        }
        if planted(Bug::IgnoreFrameChecksum) {
            return Ok(FrameView { header, entries });
        }
        if !header.matches(crc) {
            return Err(bad);
        }
        let view = FrameView { header, entries };
        for entry in view.entries() {
            if !payload_holds(&entry) {
                return Err(FrameError::Batch { sequence, at: entry.at });
            }
        }
        Ok(view)
    }

    /// Its entries, in order. Kinds of later versions are passed over.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        Entries { rest: self.entries, at: FRAME_HEADER_BYTES }
    }
}

/// Walks the entries of a verified frame.
pub struct Entries<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let header = EntryHeader::peek(self.rest)?;
            let (payload, rest) = self.rest[ENTRY_BYTES..].split_at(header.payload_bytes());
            let at = self.at + ENTRY_BYTES;
            self.rest = rest;
            self.at = at + payload.len();
            if let Some(kind) = header.kind() {
                let payload_crc = header.payload_crc();
                return Some(Entry { kind, place: header.place(), payload, at, payload_crc });
            }
        }
    }
}

/// The payload is whole and is of the batch that the entry header names.
fn payload_holds(entry: &Entry<'_>) -> bool {
    match entry.kind {
        EntryKind::Batch => batch_holds(entry),
        EntryKind::Extent => crc32c::crc32c(entry.payload) == entry.payload_crc && entry.extent().is_some(),
        EntryKind::LogStart => true,
    }
}

fn batch_holds(entry: &Entry<'_>) -> bool {
    let Some(header) = entry.header() else { return false };
    entry.payload.len() >= HEADER_BYTES
        && header.total_bytes() == Some(entry.payload.len())
        // Its checksum begins behind the magic.
        && header.magic() == MAGIC
        && header.base_offset() == entry.place.base_offset
        && header.last_offset() == entry.place.last_offset
        && header.leader_epoch() == entry.place.leader_epoch
        && crc_matches(entry.payload)
}

/// Where reading a core's frames in order stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanEnd {
    /// The first sequence that has no valid frame.
    pub missing: u64,
    /// The highest flush mark found in any frame or checkpoint of the core.
    pub flush_mark: u64,
}

/// Torn or damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Never flushed as far as anyone knows: the log ends here, and what follows is void.
    Torn,
    /// It was durable once: keep the bytes, fence what it touched, say so.
    Damaged,
}

/// The rule: at or below the highest flush mark, what does not verify is damage.
#[must_use]
pub fn judge(end: ScanEnd) -> Verdict {
    if planted(Bug::TearIsDamage) {
        return Verdict::Damaged;
    }
    if end.missing <= end.flush_mark && !planted(Bug::TruncateDamage) {
        Verdict::Damaged
    } else {
        Verdict::Torn
    }
}
