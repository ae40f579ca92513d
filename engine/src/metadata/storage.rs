//! The bytes of the metadata log and of its snapshot.
//!
//! **Log file** `meta/log-<first index, 20 digits>`: blocks of 4 KiB, appended and never rewritten.
//!
//! | block bytes | field |
//! |---|---|
//! | 0–3 | `RLM1` in a frame's first block, `RLM+` in its others |
//! | 4–4095 | the frame's bytes, continued from the block before; zeros after its end |
//!
//! | frame bytes | field |
//! |---|---|
//! | 0–3 | CRC-32C of all that follows in the frame |
//! | 4–7 | the frame's length |
//! | 8–11 | number of entries |
//! | … | entries: {u64 index, u64 term, u32 number of records, records: {u32 length, bytes}} |
//!
//! One append is one frame is one flush. A frame begins a block of its own, so a torn append cannot
//! reach an acknowledged one; and no text inside a record can pass for a frame, because it never
//! stands at the start of a block. An entry whose index is not above the last one replaces it and
//! everything after it: a quorum's follower drops what its leader does not have.
//!
//! **Verdicts.** Appends are serial, so a crash can tear the last frame only. A frame that does not
//! verify ends the log if no later one does ([`Verdict::Torn`]); if one does, acknowledged entries
//! are damaged ([`Verdict::Damaged`]) and nothing may be guessed.
//!
//! **Snapshot file** `meta/snapshot`, replaced atomically:
//!
//! | bytes | field |
//! |---|---|
//! | 0–7 | `RLMSNAP1` |
//! | 8–11 | CRC-32C of all that follows |
//! | 12–27 | u64 index, u64 term of the last entry it holds |
//! | 28–31 | number of records |
//! | … | {u32 length, bytes} |

use super::bytes::{Malformed, Reader};
use super::image::{ApplyError, Image, Position};
use super::record::MetadataRecord;
use crate::io::BLOCK;

/// The longest frame, in bytes: what one append may hold.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

const FIRST: [u8; 4] = *b"RLM1";
const CONTINUED: [u8; 4] = *b"RLM+";
const MARKER_BYTES: usize = 4;
const FRAME_HEADER_BYTES: usize = 12;
const ENTRY_BYTES_MIN: usize = 20;
const RECORD_BYTES_MIN: usize = 4;
const SNAPSHOT_MAGIC: [u8; 8] = *b"RLMSNAP1";
const SNAPSHOT_CRC_FROM: usize = 12;

/// Records that become valid together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its place in the log.
    pub position: Position,
    /// The changes.
    pub records: Vec<MetadataRecord>,
}

/// How a log file ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// With its last frame.
    Clean,
    /// With a frame that was never completely written, so never acknowledged.
    Torn {
        /// Where it begins, bytes.
        at: u64,
    },
    /// A frame does not verify although a later one does.
    Damaged {
        /// Where it begins, bytes.
        at: u64,
        /// Where the later one begins, bytes.
        intact_at: u64,
    },
}

/// What a log file holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// Its entries, in order, without those that were replaced.
    pub entries: Vec<Entry>,
    /// Where the next frame goes, bytes.
    pub end: u64,
    /// How it ends.
    pub verdict: Verdict,
}

/// Whole, checksummed bytes that make no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are in the messages")]
pub enum StorageError {
    #[error("frame at byte {at}: {malformed}")]
    Frame { at: u64, malformed: Malformed },
    #[error("entry {index} of term {term} follows entry {last_index} of term {last_term}")]
    Order { index: u64, term: u64, last_index: u64, last_term: u64 },
    #[error("the snapshot is damaged")]
    SnapshotDamaged,
    #[error("the snapshot: {0}")]
    SnapshotMalformed(#[from] Malformed),
    #[error("the snapshot: {0}")]
    SnapshotUnfit(#[from] ApplyError),
}

/// The blocks of one frame.
///
/// # Panics
/// If there is no entry.
#[must_use]
pub fn encode_frame(entries: &[Entry]) -> Vec<u8> {
    assert!(!entries.is_empty(), "a frame without entries");
    let mut frame = vec![0; FRAME_HEADER_BYTES];
    for entry in entries {
        frame.extend_from_slice(&entry.position.index.to_be_bytes());
        frame.extend_from_slice(&entry.position.term.to_be_bytes());
        put_records(&mut frame, &entry.records);
    }
    let len = frame.len() as u32;
    frame[4..8].copy_from_slice(&len.to_be_bytes());
    frame[8..12].copy_from_slice(&(entries.len() as u32).to_be_bytes());
    let crc = crc32c::crc32c(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_be_bytes());

    let room = BLOCK - MARKER_BYTES;
    let mut out = Vec::with_capacity(frame.len().div_ceil(room) * BLOCK);
    for (i, part) in frame.chunks(room).enumerate() {
        out.extend_from_slice(if i == 0 { &FIRST } else { &CONTINUED });
        out.extend_from_slice(part);
        out.resize((i + 1) * BLOCK, 0);
    }
    out
}

/// Reads a log file.
///
/// # Errors
/// A frame that was written whole and makes no sense: by a newer version, or not by us.
pub fn scan(bytes: &[u8]) -> Result<Scan, StorageError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = 0;
    while let Some(frame) = read_frame(&bytes[at..]) {
        let fail = |malformed| StorageError::Frame { at: at as u64, malformed };
        for entry in take_entries(&frame).map_err(fail)? {
            accept(&mut entries, entry)?;
        }
        at += frame_blocks(frame.len()) * BLOCK;
    }
    let rest = &bytes[at..];
    let later = (at + BLOCK..bytes.len()).step_by(BLOCK).find(|&b| read_frame(&bytes[b..]).is_some());
    let verdict = match later {
        Some(intact_at) => Verdict::Damaged { at: at as u64, intact_at: intact_at as u64 },
        None if rest.iter().all(|b| *b == 0) => Verdict::Clean,
        None => Verdict::Torn { at: at as u64 },
    };
    Ok(Scan { entries, end: at as u64, verdict })
}

/// Appends an entry to those before it, dropping the ones that it replaces.
fn accept(entries: &mut Vec<Entry>, entry: Entry) -> Result<(), StorageError> {
    let Some(last) = entries.last().map(|e| e.position) else {
        entries.push(entry);
        return Ok(());
    };
    let (index, first) = (entry.position.index, entries[0].position.index);
    let fits = index <= last.index.saturating_add(1) && index >= first && entry.position.term >= last.term;
    if !fits {
        return Err(StorageError::Order {
            index,
            term: entry.position.term,
            last_index: last.index,
            last_term: last.term,
        });
    }
    entries.truncate((index - first) as usize);
    entries.push(entry);
    Ok(())
}

fn frame_blocks(len: usize) -> usize {
    len.div_ceil(BLOCK - MARKER_BYTES)
}

/// The frame that begins here, if all of it is here and verifies.
fn read_frame(bytes: &[u8]) -> Option<Vec<u8>> {
    let first = bytes.get(..BLOCK)?.strip_prefix(&FIRST)?;
    let len = u32::from_be_bytes(first[4..8].try_into().ok()?) as usize;
    if !(FRAME_HEADER_BYTES..=FRAME_BYTES_MAX).contains(&len) {
        return None;
    }
    let blocks = bytes.get(..frame_blocks(len) * BLOCK)?;
    let mut frame = Vec::with_capacity(blocks.len());
    for (i, block) in blocks.chunks_exact(BLOCK).enumerate() {
        frame.extend_from_slice(block.strip_prefix(if i == 0 { &FIRST } else { &CONTINUED })?);
    }
    frame.truncate(len);
    let crc = u32::from_be_bytes(frame[..4].try_into().ok()?);
    (crc == crc32c::crc32c(&frame[4..])).then_some(frame)
}

fn take_entries(frame: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let mut r = Reader(&frame[8..]);
    let entries = r.list(ENTRY_BYTES_MIN, |r| {
        let position = Position { index: r.u64()?, term: r.u64()? };
        if position.index == 0 {
            return Err(Malformed::Range);
        }
        Ok(Entry { position, records: take_records(r)? })
    })?;
    r.end()?;
    Ok(entries)
}

fn put_records(out: &mut Vec<u8>, records: &[MetadataRecord]) {
    super::bytes::put_list(out, records, |out, record| {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        record.encode(out);
        let len = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    });
}

fn take_records(r: &mut Reader<'_>) -> Result<Vec<MetadataRecord>, Malformed> {
    r.list(RECORD_BYTES_MIN, |r| {
        let len = r.u32()? as usize;
        MetadataRecord::decode(r.bytes(len)?)
    })
}

/// The snapshot file of an image.
#[must_use]
pub fn encode_snapshot(image: &Image) -> Vec<u8> {
    let mut out = SNAPSHOT_MAGIC.to_vec();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&image.position().index.to_be_bytes());
    out.extend_from_slice(&image.position().term.to_be_bytes());
    put_records(&mut out, &image.to_records());
    let crc = crc32c::crc32c(&out[SNAPSHOT_CRC_FROM..]);
    out[SNAPSHOT_MAGIC.len()..SNAPSHOT_CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Reads a snapshot file.
///
/// # Errors
/// Bytes that [`encode_snapshot`] of this or an older version did not write.
pub fn decode_snapshot(bytes: &[u8]) -> Result<Image, StorageError> {
    let mut r = Reader(bytes);
    let whole = r.bytes(SNAPSHOT_MAGIC.len()).is_ok_and(|magic| magic == SNAPSHOT_MAGIC);
    let crc = r.u32().ok().filter(|_| whole).ok_or(StorageError::SnapshotDamaged)?;
    if crc != crc32c::crc32c(r.0) {
        return Err(StorageError::SnapshotDamaged);
    }
    let position = Position { index: r.u64()?, term: r.u64()? };
    let records = take_records(&mut r)?;
    r.end()?;
    let mut image = Image::default();
    for record in &records {
        image.apply(record)?;
    }
    image.advance(position);
    Ok(image)
}
