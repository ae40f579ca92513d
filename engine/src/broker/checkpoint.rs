//! Checkpoints: what a core's segments hold, so that its journal can be used again.
//!
//! `cores/<core>/checkpoint-0` and `-1` are written in turn, so a torn one leaves the other. All
//! integers are big-endian, as in the log's own encodings.
//!
//! | bytes | field |
//! |---|---|
//! | 0–7 | magic `RLCHKPT1` |
//! | 8–15 | generation of the checkpoint: the higher of the two files counts |
//! | 16–17 | core |
//! | 18–25 | journal sequence included: every frame up to it is in what follows |
//! | 26–33 | next sequence: above every one ever seen |
//! | 34–41 | incarnation: the highest any journal file of the core has had |
//! | 42–49 | length of the partitions' bytes |
//! | 50–53 | number of partitions |
//! | 54–57 | CRC-32C of bytes 0–53, then of the partitions' bytes |
//! | … | partitions |
//!
//! A partition:
//!
//! | field | bytes |
//! |---|---|
//! | topic id, partition, ownership generation | 16, 4, 4 |
//! | log start offset | 8 |
//! | flags: 1 the files on disk end exactly where the segment does · 2 fenced · 4 damaged ranges follow · 8 offsets may be missing between batches · 16 compacted, to the offset that follows in 8 | 1 |
//! | open block: length, bytes | 2, … |
//! | segments, index ends | their own encodings (`log::segments`, `log::index`) |
//! | leader epochs: count, then epoch and start each | 4, 12 each |
//! | producers: their own encoding (`log::producers`) | … |
//! | with flag 4: damaged ranges, their own encoding (`log::damage`) | … |
//!
//! The open block is the last, partial 4 KiB of the active segment. It lives here and not in the
//! segment, so no block that an acknowledged record lies in is ever rewritten without a copy.

use crate::base::{CoreId, LeaderEpoch, Now, Offset, PartitionKey, TopicId};
use crate::io::{BLOCK, FileName};
use crate::log::{Damages, IndexTail, LeaderEpochs, ProducerTable, Segments};

use super::shard::HostedPartition;

/// No checkpoint is longer, in bytes: a bound for reading one back.
pub(super) const CHECKPOINT_BYTES_MAX: u64 = 1 << 30;

pub(super) const MAGIC: [u8; 8] = *b"RLCHKPT1";
/// Bytes of the magic that every version has.
const VERSION_AT: usize = 7;
pub(super) const HEADER_BYTES: usize = 58;
pub(super) const CRC_AT: usize = 54;
const SEALED: u8 = 1;
const FENCED: u8 = 2;
const DAMAGED: u8 = 4;
const GAPS: u8 = 8;
const COMPACTED: u8 = 16;

/// What one core is opened with: plain data that recovery hands to the core's own thread.
#[derive(Clone, Debug)]
pub struct CoreState {
    /// The core.
    pub core: CoreId,
    /// The number of the next journal frame: voids every older one.
    pub next_sequence: u64,
    /// The highest incarnation a journal file of the core has had.
    pub incarnation: u64,
    /// The generation of the newest checkpoint.
    pub checkpoint_generation: u64,
    /// Its partitions.
    pub partitions: Vec<(HostedPartition, PartitionState)>,
}

/// What a partition's segments and its open block hold.
#[derive(Clone, Debug)]
pub struct PartitionState {
    /// Which partition.
    pub key: PartitionKey,
    /// Rises whenever the partition moves to another core: older entries of it are void.
    pub generation: u32,
    /// The log start offset.
    pub log_start: Offset,
    /// The segments.
    pub segments: Segments,
    /// The last, partial block of the active one.
    pub open: Vec<u8>,
    /// Whether the active segment's files were brought to their exact length, open block included.
    pub sealed: bool,
    /// Damage was found: it is read and never appended to, so no offset is given twice.
    pub fenced: bool,
    /// Offsets may be missing between batches: it is compacted, or once was.
    pub gaps: bool,
    /// What does not hold of its segments: fenced, and read around.
    pub damages: Damages,
    /// The ends of the active one's indexes.
    pub index: IndexTail,
    /// Everything below was in a round of compaction; 0 if nothing was.
    pub cleaned: Offset,
    /// Leader epochs.
    pub epochs: LeaderEpochs,
    /// Idempotent producers.
    pub producers: ProducerTable,
}

impl PartitionState {
    /// An empty partition.
    #[must_use]
    pub fn new(key: PartitionKey, epoch: LeaderEpoch) -> PartitionState {
        let seed = key.topic.0.as_u64_pair().0 ^ key.index as u64;
        let mut epochs = LeaderEpochs::new();
        epochs.assign(epoch, Offset::ZERO);
        PartitionState {
            key,
            generation: 1,
            log_start: Offset::ZERO,
            segments: Segments::new(Offset::ZERO, Now::default(), seed),
            open: Vec::new(),
            sealed: true,
            fenced: false,
            gaps: false,
            damages: Damages::new(),
            index: IndexTail::new(Offset::ZERO),
            cleaned: Offset::ZERO,
            epochs,
            producers: ProducerTable::new(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.key.topic.0.as_bytes());
        out.extend(self.key.index.to_be_bytes());
        out.extend(self.generation.to_be_bytes());
        out.extend(self.log_start.0.to_be_bytes());
        let flag = |set: bool, flag: u8| u8::from(set) * flag;
        out.push(
            flag(self.sealed, SEALED)
                | flag(self.fenced, FENCED)
                | flag(!self.damages.is_empty(), DAMAGED)
                | flag(self.gaps, GAPS)
                | flag(self.cleaned > Offset::ZERO, COMPACTED),
        );
        if self.cleaned > Offset::ZERO {
            out.extend(self.cleaned.0.to_be_bytes());
        }
        out.extend((self.open.len() as u16).to_be_bytes());
        out.extend(&self.open);
        self.segments.encode(out);
        self.index.encode(out);
        out.extend((self.epochs.as_slice().len() as u32).to_be_bytes());
        for start in self.epochs.as_slice() {
            out.extend(start.epoch.0.to_be_bytes());
            out.extend(start.start.0.to_be_bytes());
        }
        self.producers.encode(out);
        if !self.damages.is_empty() {
            self.damages.encode(out);
        }
    }

    /// Reads one partition from the start of `bytes`; `None` if they are not one.
    fn decode(bytes: &[u8]) -> Option<(PartitionState, usize)> {
        let mut at = 0;
        let mut take = |n: usize| {
            let part = bytes.get(at..at + n)?;
            at += n;
            Some(part)
        };
        let topic = TopicId(uuid::Uuid::from_slice(take(16)?).ok()?);
        let index = i32::from_be_bytes(take(4)?.try_into().ok()?);
        let generation = u32::from_be_bytes(take(4)?.try_into().ok()?);
        let log_start = Offset(i64::from_be_bytes(take(8)?.try_into().ok()?));
        let flags = take(1)?[0];
        let cleaned = if flags & COMPACTED == 0 { 0 } else { i64::from_be_bytes(take(8)?.try_into().ok()?) };
        let open_bytes = u16::from_be_bytes(take(2)?.try_into().ok()?) as usize;
        let open = take(open_bytes)?.to_vec();
        let (segments, used) = Segments::decode(&bytes[at..]).ok()?;
        at += used;
        let (index_tail, used) = IndexTail::decode(&bytes[at..]).ok()?;
        at += used;
        let mut take = |n: usize| {
            let part = bytes.get(at..at + n)?;
            at += n;
            Some(part)
        };
        let count = u32::from_be_bytes(take(4)?.try_into().ok()?);
        let mut epochs = LeaderEpochs::new();
        for _ in 0..count {
            let epoch = LeaderEpoch(i32::from_be_bytes(take(4)?.try_into().ok()?));
            epochs.assign(epoch, Offset(i64::from_be_bytes(take(8)?.try_into().ok()?)));
        }
        let (producers, used) = ProducerTable::decode(&bytes[at..]).ok()?;
        at += used;
        let mut damages = Damages::new();
        if flags & DAMAGED != 0 {
            let (read, used) = Damages::decode(&bytes[at..]).ok()?;
            damages = read;
            at += used;
        }
        let sound = open.len() < BLOCK
            && u64::from(segments.active().bytes) % BLOCK as u64 == open.len() as u64
            && index_tail.base() == segments.active().base
            && cleaned >= 0;
        let key = PartitionKey { topic, index };
        let state = PartitionState {
            key,
            generation,
            log_start,
            segments,
            open,
            sealed: flags & SEALED != 0,
            fenced: flags & FENCED != 0,
            gaps: flags & GAPS != 0,
            damages,
            index: index_tail,
            cleaned: Offset(cleaned),
            epochs,
            producers,
        };
        sound.then_some((state, at))
    }
}

/// A checkpoint as it was read back.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// Of two that verify, the higher counts.
    pub generation: u64,
    /// Every journal frame up to it is in the partitions.
    pub included: u64,
    /// Above every frame ever seen.
    pub next_sequence: u64,
    /// The highest that a journal file of the core has had.
    pub incarnation: u64,
    /// What the core holds.
    pub partitions: Vec<PartitionState>,
}

/// The numbers of a checkpoint about to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckpointHead {
    pub(super) core: CoreId,
    pub(super) generation: u64,
    pub(super) included: u64,
    pub(super) next_sequence: u64,
    pub(super) incarnation: u64,
}

/// `cores/<core>/checkpoint-<slot>`.
pub(super) fn file_name(core: CoreId, slot: u64) -> FileName {
    FileName::core_dir(core).join(format_args!("checkpoint-{slot}"))
}

/// Starts a checkpoint in `out`: room for the header, then [`PartitionState`]s.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.clear();
    out.resize(HEADER_BYTES, 0);
}

/// Adds a partition.
pub(super) fn add(out: &mut Vec<u8>, partition: &PartitionState) {
    partition.encode(out);
}

pub(super) fn seal(out: &mut [u8], head: &CheckpointHead, partitions: u32) {
    let body_bytes = (out.len() - HEADER_BYTES) as u64;
    let (header, body) = out.split_at_mut(HEADER_BYTES);
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&head.generation.to_be_bytes());
    header[16..18].copy_from_slice(&head.core.0.to_be_bytes());
    header[18..26].copy_from_slice(&head.included.to_be_bytes());
    header[26..34].copy_from_slice(&head.next_sequence.to_be_bytes());
    header[34..42].copy_from_slice(&head.incarnation.to_be_bytes());
    header[42..50].copy_from_slice(&body_bytes.to_be_bytes());
    header[50..54].copy_from_slice(&partitions.to_be_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..CRC_AT]), body);
    header[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
}

/// Whether a file begins as a checkpoint of another version of the format does.
pub(super) fn is_newer(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC[..VERSION_AT]) && !bytes.starts_with(&MAGIC)
}

impl Checkpoint {
    /// Reads a checkpoint file, which may be longer; `None` if it does not verify.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        let u64_at = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let header = bytes.get(..HEADER_BYTES)?;
        let body = bytes[HEADER_BYTES..].get(..usize::try_from(u64_at(42)?).ok()?)?;
        let crc = u32::from_be_bytes(header[CRC_AT..].try_into().ok()?);
        let whole =
            header[..8] == MAGIC && crc == crc32c::crc32c_append(crc32c::crc32c(&header[..CRC_AT]), body);
        if !whole {
            return None;
        }
        let mut checkpoint = Checkpoint {
            generation: u64_at(8)?,
            included: u64_at(18)?,
            next_sequence: u64_at(26)?,
            incarnation: u64_at(34)?,
            partitions: Vec::new(),
        };
        let count = u32::from_be_bytes(header[50..54].try_into().ok()?);
        let mut at = 0;
        for _ in 0..count {
            let (partition, used) = PartitionState::decode(&body[at..])?;
            at += used;
            checkpoint.partitions.push(partition);
        }
        (at == body.len()).then_some(checkpoint)
    }
}
