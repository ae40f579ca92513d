//! The bytes of a journal file.
//!
//! A file is a header block and then frames, each starting on a block of 4 KiB. All integers are
//! little-endian.
//!
//! File header (the first block; the rest of it is zero):
//!
//! | bytes | field |
//! |---|---|
//! | 0–7 | magic `RLJRNL01` |
//! | 8–15 | incarnation: rises per core, new at every reuse; its low 16 bits are the core, so that a frame of another core's file never passes for one of this |
//! | 16–23 | the sequence number of the file's first frame |
//! | 24–25 | core |
//! | 26–27 | how many frames right before the first one no flush covers: only relaxed topics' can be such; 65,535 stands for that many or more |
//! | 28–31 | CRC-32C of bytes 0–27 |
//!
//! Frame header:
//!
//! | bytes | field |
//! |---|---|
//! | 0–7 | magic `RLFRAME1` |
//! | 8–15 | incarnation of the file |
//! | 16–23 | zero |
//! | 24–31 | sequence number, consecutive per core |
//! | 32–39 | flush mark: the highest sequence known durable when this frame was written |
//! | 40–43 | bytes of entries that follow the header |
//! | 44–47 | number of entries |
//! | 48–51 | CRC-32C of every entry header in order, then of this header with this field zero |
//! | 52–63 | zero |
//!
//! Entry header, followed by its payload without padding:
//!
//! | bytes | field |
//! |---|---|
//! | 0 | kind: 1 batch · 2 log start (no payload) · 4 extent (3 tail, 5 truncate are reserved) |
//! | 1–3 | zero |
//! | 4–7 | bytes of payload |
//! | 8–23 | topic id |
//! | 24–27 | partition |
//! | 28–31 | ownership generation |
//! | 32–35 | leader epoch |
//! | 36–39 | extent: CRC-32C of the payload; else zero |
//! | 40–47 | base offset (log start: the new log start offset) |
//! | 48–55 | last offset |
//! | 56–63 | base offset of the segment |
//! | 64–71 | position in the segment |
//! | 72–79 | wall clock at append, ms |
//!
//! A batch's payload is covered by its own CRC-32C, and the 16 bytes outside that CRC (base offset,
//! length, epoch) by the entry header, which repeats them. The payload of an extent is drawn in
//! `extent.rs`.

use zerocopy::byteorder::little_endian::{I32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::base::{LeaderEpoch, Offset, PartitionKey, TopicId, WallMs};
use crate::io::BLOCK;

/// Length of the block that opens a journal file, in bytes.
pub const FILE_HEADER_BYTES: u64 = BLOCK as u64;

/// Length of a frame's header, in bytes.
pub const FRAME_HEADER_BYTES: usize = 64;

/// Length of an entry's header, in bytes.
pub const ENTRY_BYTES: usize = 80;

/// No frame is longer, in bytes, so that reading one back needs bounded memory. A frame that
/// holds a single large batch is bounded by that batch's own limit, which lies below this.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

const FILE_MAGIC: [u8; 8] = *b"RLJRNL01";
/// Bytes of the magic that every version has.
const FILE_VERSION_AT: usize = 6;
const FRAME_MAGIC: [u8; 8] = *b"RLFRAME1";

/// What opens a journal file.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct FileHeader {
    magic: [u8; 8],
    incarnation: U64,
    first_sequence: U64,
    core: U16,
    unflushed: U16,
    crc: U32,
}

const FILE_CRC_AT: usize = 28;

/// Bits of an incarnation that hold the core.
const CORE_BITS: u32 = 16;

/// The incarnation of a core's next file, above any that was seen: of this core, or of another. All cores begin
/// a life with the same numbers, so without the core in it a frame that went astray would pass.
#[must_use]
pub fn next_incarnation(highest: u64, core: u16) -> u64 {
    ((highest >> CORE_BITS) + 1) << CORE_BITS | u64::from(core)
}

/// Whether a file or frame of this incarnation may be a core's. Those below 65,536 are of journals that were
/// written before the core was part of it: they may be anybody's.
#[must_use]
pub fn may_be_of(incarnation: u64, core: u16) -> bool {
    incarnation >> CORE_BITS == 0 || incarnation as u16 == core
}

impl FileHeader {
    /// A header for a file about to be used. Everything up to the frame `flush_mark` was flushed; what lies
    /// between that and the first frame is acknowledged and was only written.
    ///
    /// # Panics
    /// If the flush mark is not below the first frame.
    #[must_use]
    pub fn new(core: u16, incarnation: u64, first_sequence: u64, flush_mark: u64) -> FileHeader {
        assert!(flush_mark < first_sequence, "frame {first_sequence} is not written yet");
        let unflushed = u16::try_from(first_sequence - 1 - flush_mark).unwrap_or(u16::MAX);
        let mut header = FileHeader {
            magic: FILE_MAGIC,
            incarnation: incarnation.into(),
            first_sequence: first_sequence.into(),
            core: core.into(),
            unflushed: unflushed.into(),
            crc: 0.into(),
        };
        header.crc = crc32c::crc32c(&header.as_bytes()[..FILE_CRC_AT]).into();
        header
    }

    /// The header at the start of a block, if one stands there whole.
    #[must_use]
    pub fn read(block: &[u8]) -> Option<FileHeader> {
        let (header, _) = FileHeader::read_from_prefix(block).ok()?;
        let whole = header.magic == FILE_MAGIC && header.crc.get() == crc32c::crc32c(&block[..FILE_CRC_AT]);
        whole.then_some(header)
    }

    /// Whether a block begins as a journal file of another version of the format does.
    #[must_use]
    pub fn is_newer(block: &[u8]) -> bool {
        block.starts_with(&FILE_MAGIC[..FILE_VERSION_AT])
            && !block.starts_with(&FILE_MAGIC)
            && block[FILE_VERSION_AT..].iter().take(2).all(u8::is_ascii_digit)
    }

    /// The file's incarnation.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation.get()
    }

    /// The first frame's sequence number.
    #[must_use]
    pub fn first_sequence(&self) -> u64 {
        self.first_sequence.get()
    }

    /// Whose file it is.
    #[must_use]
    pub fn core(&self) -> u16 {
        self.core.get()
    }

    /// Whether a frame before the first one was acknowledged without a flush: it may be gone, and is no damage
    /// then.
    #[must_use]
    pub fn was_unflushed(&self, sequence: u64) -> bool {
        let (first, unflushed) = (self.first_sequence(), self.unflushed.get());
        sequence < first && (unflushed == u16::MAX || first - sequence <= u64::from(unflushed))
    }
}

/// What opens a frame.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct FrameHeader {
    magic: [u8; 8],
    incarnation: U64,
    zero: U64,
    sequence: U64,
    flush_mark: U64,
    payload_bytes: U32,
    entries: U32,
    crc: U32,
    zero_end: [u8; 12],
}

const _: () = assert!(size_of::<FrameHeader>() == FRAME_HEADER_BYTES);

impl FrameHeader {
    /// A sealed header. `entries_crc` is the CRC-32C of all entry headers in order.
    #[must_use]
    pub fn new(
        incarnation: u64,
        sequence: u64,
        flush_mark: u64,
        payload_bytes: u32,
        entries: u32,
        entries_crc: u32,
    ) -> FrameHeader {
        let mut header = FrameHeader {
            magic: FRAME_MAGIC,
            incarnation: incarnation.into(),
            zero: 0.into(),
            sequence: sequence.into(),
            flush_mark: flush_mark.into(),
            payload_bytes: payload_bytes.into(),
            entries: entries.into(),
            crc: 0.into(),
            zero_end: [0; 12],
        };
        header.crc = crc32c::crc32c_append(entries_crc, header.as_bytes()).into();
        header
    }

    /// The header at the start of `bytes`, if its magic stands there and its length can be true.
    /// The checksum is not known to hold until the entries are walked.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<FrameHeader> {
        let (header, _) = FrameHeader::read_from_prefix(bytes).ok()?;
        let possible = header.magic == FRAME_MAGIC
            && header.payload_bytes.get() as usize <= FRAME_BYTES_MAX - FRAME_HEADER_BYTES;
        possible.then_some(header)
    }

    /// Whether the stored checksum follows from `entries_crc` and this header.
    #[must_use]
    pub fn matches(&self, entries_crc: u32) -> bool {
        let bare = FrameHeader { crc: 0.into(), ..*self };
        crc32c::crc32c_append(entries_crc, bare.as_bytes()) == self.crc.get()
    }

    /// The incarnation of the file it was written to.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation.get()
    }

    /// The frame's number.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    /// The highest sequence known durable when the frame was written.
    #[must_use]
    pub fn flush_mark(&self) -> u64 {
        self.flush_mark.get()
    }

    /// Bytes of entries behind the header.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes.get() as usize
    }

    /// The claimed number of entries.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.entries.get()
    }

    /// The whole frame on disk: header, entries and padding to the next block.
    #[must_use]
    pub fn disk_bytes(&self) -> usize {
        (FRAME_HEADER_BYTES + self.payload_bytes()).next_multiple_of(BLOCK)
    }
}

/// What an entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A record batch with its bytes.
    Batch,
    /// The log start offset rose; nothing below it may come back.
    LogStart,
    /// A record batch whose whole blocks are in its segment; the rest of its bytes is here.
    Extent,
}

impl EntryKind {
    fn code(self) -> u8 {
        match self {
            EntryKind::Batch => 1,
            EntryKind::LogStart => 2,
            EntryKind::Extent => 4,
        }
    }
}

/// One entry's header.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct EntryHeader {
    kind: u8,
    zero: [u8; 3],
    payload_bytes: U32,
    topic: [u8; 16],
    partition: I32,
    generation: U32,
    leader_epoch: I32,
    payload_crc: U32,
    base_offset: I64,
    last_offset: I64,
    segment: I64,
    position: U64,
    appended_at: I64,
}

const _: () = assert!(size_of::<EntryHeader>() == ENTRY_BYTES);

/// Where and whose a batch is: what its entry header is made of.
#[derive(Clone, Copy, Debug)]
pub struct BatchPlace {
    /// The partition.
    pub key: PartitionKey,
    /// Its ownership generation.
    pub generation: u32,
    /// The leader epoch stamped into the batch.
    pub leader_epoch: LeaderEpoch,
    /// First offset.
    pub base_offset: Offset,
    /// Last offset.
    pub last_offset: Offset,
    /// Base offset of the segment it belongs to.
    pub segment: Offset,
    /// Its position there, in bytes.
    pub position: u64,
    /// When it was appended.
    pub appended_at: WallMs,
}

impl EntryHeader {
    /// The header of a batch entry.
    #[must_use]
    pub fn batch(place: &BatchPlace, payload_bytes: u32) -> EntryHeader {
        EntryHeader {
            kind: EntryKind::Batch.code(),
            zero: [0; 3],
            payload_bytes: payload_bytes.into(),
            topic: place.key.topic.0.into_bytes(),
            partition: place.key.index.into(),
            generation: place.generation.into(),
            leader_epoch: place.leader_epoch.0.into(),
            payload_crc: 0.into(),
            base_offset: place.base_offset.0.into(),
            last_offset: place.last_offset.0.into(),
            segment: place.segment.0.into(),
            position: place.position.into(),
            appended_at: place.appended_at.0.into(),
        }
    }

    /// The header of a log-start entry.
    #[must_use]
    pub fn log_start(place: &BatchPlace) -> EntryHeader {
        EntryHeader { kind: EntryKind::LogStart.code(), ..EntryHeader::batch(place, 0) }
    }

    /// The header of an extent entry over its whole payload's length and CRC-32C.
    #[must_use]
    pub fn extent(place: &BatchPlace, payload_bytes: u32, payload_crc: u32) -> EntryHeader {
        EntryHeader {
            kind: EntryKind::Extent.code(),
            payload_crc: payload_crc.into(),
            ..EntryHeader::batch(place, payload_bytes)
        }
    }

    /// The header at the start of `bytes`; `None` if fewer than [`ENTRY_BYTES`] are there.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<EntryHeader> {
        EntryHeader::read_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// The kind, or `None` for one this version does not know.
    #[must_use]
    pub fn kind(&self) -> Option<EntryKind> {
        match self.kind {
            1 => Some(EntryKind::Batch),
            2 => Some(EntryKind::LogStart),
            4 => Some(EntryKind::Extent),
            _ => None,
        }
    }

    /// Bytes of payload behind the header.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes.get() as usize
    }

    /// CRC-32C of an extent's payload; 0 for other kinds.
    #[must_use]
    pub fn payload_crc(&self) -> u32 {
        self.payload_crc.get()
    }

    /// Where and whose.
    #[must_use]
    pub fn place(&self) -> BatchPlace {
        BatchPlace {
            key: PartitionKey {
                topic: TopicId(uuid::Uuid::from_bytes(self.topic)),
                index: self.partition.get(),
            },
            generation: self.generation.get(),
            leader_epoch: LeaderEpoch(self.leader_epoch.get()),
            base_offset: Offset(self.base_offset.get()),
            last_offset: Offset(self.last_offset.get()),
            segment: Offset(self.segment.get()),
            position: self.position.get(),
            appended_at: WallMs(self.appended_at.get()),
        }
    }
}

/// `journal-00000007`.
#[must_use]
pub fn file_name(number: u32) -> String {
    format!("journal-{number:08}")
}

/// The number in a journal file's name, if it is one.
#[must_use]
pub fn file_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("journal-")?;
    (digits.len() == 8).then(|| digits.parse().ok()).flatten()
}
