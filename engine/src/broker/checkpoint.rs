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

use std::time::Duration;

use crate::base::{CoreId, Instant, LeaderEpoch, Now, Offset, PartitionKey, TopicId};
use crate::io::{BLOCK, Disk, DiskError, DiskOp, DiskResult, FileName, IO_BYTES_MAX, Open};
use crate::journal::FILE_HEADER_BYTES;
use crate::log::names::SegmentFile;
use crate::log::{Damages, IndexTail, LeaderEpochs, ProducerTable, Segments};

use super::partition::Partition;
use super::shard::{HostedPartition, Shard, State, Trouble};
use super::transfer::yield_now;

/// No checkpoint is longer, in bytes: a bound for reading one back.
pub(super) const CHECKPOINT_BYTES_MAX: u64 = 1 << 30;

const MAGIC: [u8; 8] = *b"RLCHKPT1";
/// Bytes of the magic that every version has.
const VERSION_AT: usize = 7;
const HEADER_BYTES: usize = 58;
const CRC_AT: usize = 54;
const SEALED: u8 = 1;
const FENCED: u8 = 2;
const DAMAGED: u8 = 4;
const GAPS: u8 = 8;
const COMPACTED: u8 = 16;

/// Partitions captured between two pauses: about 50 µs of work.
const CAPTURE_STEP: usize = 64;

/// After a checkpoint failed, the next try waits this long.
const CHECKPOINT_AGAIN: Duration = Duration::from_secs(1);

/// After a journal file could not be prepared, the next try waits this long.
const PREPARE_AGAIN: Duration = Duration::from_secs(10);

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

fn seal(out: &mut [u8], head: &CheckpointHead, partitions: u32) {
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

impl<D: Disk> Shard<D> {
    /// Takes checkpoints whenever half of the journal is used, and lets go of a journal file that failed. A
    /// checkpoint that fails is tried again; a core that needs it to go on is offline until then.
    pub(super) async fn run_checkpoints(&self) {
        let mut not_before = Instant(0);
        loop {
            let wait = self.inner.written.wait();
            if self.inner.closing.get() {
                return;
            }
            let now = self.inner.now.get().mono;
            if now < not_before || !self.checkpoint_due() {
                wait.await;
                continue;
            }
            match self.take_checkpoint().await {
                Ok(true) => self.trouble_over(Trouble::Checkpoint),
                Ok(false) => wait.await,
                Err(error) => {
                    self.is_out_of_space(&error);
                    not_before = now.after(CHECKPOINT_AGAIN);
                    tracing::error!(core = self.inner.core.0, %error, "a checkpoint failed: it is tried again");
                    let starved = {
                        let mut state = self.inner.state.borrow_mut();
                        state.stats.checkpoints_failed += 1;
                        state.starved
                    };
                    if starved {
                        self.trouble(Trouble::Checkpoint, &error);
                    }
                }
            }
        }
    }

    /// Prepares further journal files when half of those that are there is used.
    pub(super) async fn run_preparer(&self) {
        let mut not_before = Instant(0);
        loop {
            let wait = self.inner.written.wait();
            if self.inner.closing.get() {
                return;
            }
            let now = self.inner.now.get().mono;
            if now >= not_before
                && let Some(bytes) = self.wants_journal()
                && let Err(error) = self.prepare_journal(bytes).await
            {
                tracing::warn!(core = self.inner.core.0, %error, "no further journal file: checkpoints come sooner");
                not_before = now.after(PREPARE_AGAIN);
            }
            wait.await;
        }
    }

    /// Whether another journal file should be prepared, and of how many bytes: half of what is there
    /// is used, or the open frame fits none of them.
    pub(super) fn wants_journal(&self) -> Option<u64> {
        let state = self.inner.state.borrow();
        let ring = &state.ring;
        let needed = FILE_HEADER_BYTES + state.frame.disk_bytes() as u64;
        let bytes = self.inner.settings.journal_bytes.max(needed.next_multiple_of(IO_BYTES_MAX as u64));
        let half_used = ring.bytes_used() * 2 >= ring.bytes_total();
        let more = half_used && ring.files() < self.inner.settings.journal_files && state.has_room_for(bytes);
        (more || needed > ring.bytes_largest()).then_some(bytes)
    }

    pub(super) fn checkpoint_due(&self) -> bool {
        let state = self.inner.state.borrow();
        let ring = &state.ring;
        let full = ring.bytes_used() * 2 >= ring.bytes_total();
        let last = ring.files() >= self.inner.settings.journal_files || !ring.has_free();
        let needed = FILE_HEADER_BYTES + state.frame.disk_bytes() as u64;
        (full && last) || (state.starved && needed <= ring.bytes_largest()) || ring.has_aside()
    }

    /// Writes what the journal holds into the segments, makes it durable, and records it. One at a
    /// time. False if it could not: the shard stops while a segment, or the journal, cannot be written.
    pub(super) async fn take_checkpoint(&self) -> DiskResult<bool> {
        loop {
            let wait = self.inner.files.wait();
            if !self.inner.checkpointing.replace(true) {
                break;
            }
            wait.await;
        }
        let taken = self.checkpoint_alone().await;
        self.inner.checkpointing.set(false);
        self.inner.files.notify();
        taken
    }

    async fn checkpoint_alone(&self) -> DiskResult<bool> {
        let included = self.inner.durable.get();
        self.inner.state.borrow_mut().ring.mark();
        if !self.force_writes(included).await? {
            return Ok(false);
        }
        let mut out = std::mem::take(&mut self.inner.state.borrow_mut().checkpoint_buffer);
        begin(&mut out);
        let partitions = self.capture(&mut out).await;
        self.finish_checkpoint(out, partitions, included).await?;
        Ok(true)
    }

    /// Captures every partition, some at a time. A lane may be at work on one: its state moves on
    /// only after a write returned, and a write in flight touches no block that the state counts on.
    async fn capture(&self, out: &mut Vec<u8>) -> u32 {
        let (mut slot, mut count) = (0, 0);
        while !self.inner.state.borrow_mut().capture_some(&mut slot, &mut count, out) {
            yield_now().await;
        }
        count
    }

    /// Flushes what the captured state counts on, writes the checkpoint and frees journal files.
    pub(super) async fn finish_checkpoint(
        &self,
        mut out: Vec<u8>,
        partitions: u32,
        included: u64,
    ) -> DiskResult<()> {
        let inner = &self.inner;
        let (files, names, head) = {
            let mut state = inner.state.borrow_mut();
            state.listing += 1;
            let files: Vec<(FileName, D::File)> = state.dirty_files.drain().collect();
            for partition in state.partitions.iter_mut().flatten() {
                partition.segment.flushing = partition.segment.aligned;
            }
            let head = CheckpointHead {
                core: inner.core,
                generation: state.checkpoint_generation + 1,
                included,
                next_sequence: state.sequence.max(included + 1),
                incarnation: state.incarnation,
            };
            (files, std::mem::take(&mut state.names_changed), head)
        };
        let handles: Vec<D::File> = files.iter().map(|(_, file)| file.clone()).collect();
        let flushed =
            if names { inner.disk.sync_all(&handles).await } else { inner.disk.flush_all(&handles).await };
        if let Err(error) = flushed {
            let mut state = inner.state.borrow_mut();
            state.names_changed |= names;
            state.doubt(files);
            return Err(error);
        }
        // Of two flushes of a file that are under way, one is told what failed and the other is not.
        {
            let mut state = inner.state.borrow_mut();
            if let Some(name) = state.doubted() {
                state.names_changed |= names;
                state.dirty_files.extend(files);
                return Err(DiskError::found(DiskOp::Flush, name));
            }
        }
        seal(&mut out, &head, partitions);
        let name = file_name(inner.core, head.generation % 2);
        let file = inner.disk.open(&name, Open::OrCreate).await?;
        self.write_padded(&file, 0, &out).await?;
        inner.disk.flush(&file).await?;
        if head.generation <= 2 {
            inner.disk.sync_dir(&FileName::core_dir(inner.core)).await?;
        }
        {
            let mut state = inner.state.borrow_mut();
            state.checkpoint_generation = head.generation;
            state.checkpoint_buffer = out;
            state.ring.trim(included);
            state.starved = false;
            state.stats.checkpoints += 1;
            for partition in state.partitions.iter_mut().flatten() {
                let segment = &mut partition.segment;
                segment.flushed = segment.flushed.max(segment.flushing);
            }
        }
        self.remove_failed_journals().await;
        inner.files.notify();
        inner.written.notify();
        Ok(())
    }

    /// Has every partition written up to the frame `included`. False if it could not: the shard
    /// stops while a segment, or the journal, cannot be written.
    ///
    /// # Errors
    /// A failed flush dropped what only the journal has still: no checkpoint may pass it.
    pub(super) async fn force_writes(&self, included: u64) -> DiskResult<bool> {
        {
            let mut guard = self.inner.state.borrow_mut();
            let state = &mut *guard;
            // Never lowered: whoever waits for a later frame would wait for ever.
            state.force_below = state.force_below.max(included);
            let behind: Vec<u32> = state.waited_for(0, included).map(|(slot, _)| slot as u32).collect();
            state.forced.extend(behind);
        }
        self.inner.written.notify();
        // A partition once written up to a frame stays so: none is looked at again.
        let mut next = 0;
        loop {
            let wait = self.inner.files.wait();
            {
                let state = self.inner.state.borrow();
                let mut waited_for = state.waited_for(next, included);
                let Some((slot, _)) = waited_for.next() else { return Ok(true) };
                next = slot;
                if let Some(dropped) = state.partitions.iter().flatten().find(|p| p.dropped) {
                    return Err(DiskError::found(DiskOp::Flush, dropped.segment_file(SegmentFile::Log)));
                }
                // When the shard stops, what is offline stays unwritten.
                let stops =
                    || self.inner.draining.get() && state.waited_for(next, included).all(|(_, p)| p.offline);
                if (self.inner.closing.get() && self.inner.failed.get()) || stops() {
                    return Ok(false);
                }
            }
            wait.await;
        }
    }
}

impl<D: Disk> State<D> {
    /// The partitions from a slot on with something in a frame up to `included` that is in no segment.
    fn waited_for(&self, slot: usize, included: u64) -> impl Iterator<Item = (usize, &Partition<D>)> {
        let rest = self.partitions.iter().enumerate().skip(slot);
        rest.filter_map(move |(slot, p)| Some((slot, p.as_deref().filter(|p| p.is_behind(included))?)))
    }

    /// A segment whose flush failed since the checkpoint waited for all of them.
    fn doubted(&self) -> Option<FileName> {
        let mut suspects = self.partitions.iter().flatten().filter(|p| p.suspect);
        suspects.next().map(|p| p.segment_file(SegmentFile::Log))
    }

    /// The flush of these files failed, of which of them is not told: none counts as flushed, and what was
    /// written to segments since the last good flush is written again.
    fn doubt(&mut self, files: Vec<(FileName, D::File)>) {
        for partition in self.partitions.iter_mut().flatten() {
            let log = partition.segment_file(SegmentFile::Log);
            if files.iter().any(|(name, _)| *name == log) {
                partition.suspect();
            }
        }
        for slot in 0..self.partitions.len() as u32 {
            if self.partition(slot).is_some_and(|p| p.suspect) {
                self.mark_ripe(slot);
            }
        }
        for (name, file) in files {
            self.dirty_files.entry(name).or_insert(file);
        }
    }

    /// True when all are captured.
    fn capture_some(&mut self, slot: &mut usize, count: &mut u32, out: &mut Vec<u8>) -> bool {
        for _ in 0..CAPTURE_STEP {
            match self.partitions.get_mut(*slot) {
                None => return true,
                Some(Some(partition)) => {
                    partition.captured = (self.checkpoint_generation + 1, partition.written.active().base);
                    add(out, &partition.to_state());
                    *count += 1;
                }
                Some(None) => {}
            }
            *slot += 1;
        }
        false
    }
}
