//! When a checkpoint is taken, what must be on the disk before it counts, and what it lets go of.
//!
//! Everything that it covers is written to segments first; their files and names are flushed; only then is it
//! written, over the older of the two, and flushed; only then are journal files free. Whatever fails on the way
//! leaves the one before it in force.

use std::time::Duration;

use super::checkpoint::{CheckpointHead, add, begin, file_name, seal};
use super::partition::Partition;
use super::shard::{Shard, State};
use super::transfer::yield_now;
use super::trouble::Trouble;
use crate::base::{Bug, Instant, Site, buggify, planted};
use crate::io::{Disk, DiskError, DiskFault, DiskOp, DiskResult, FileName, IO_BYTES_MAX, Open};
use crate::journal::FILE_HEADER_BYTES;
use crate::log::names::SegmentFile;

/// Partitions captured between two pauses: about 50 µs of work.
const CAPTURE_STEP: usize = 64;

/// After a checkpoint failed, the next try waits this long.
const CHECKPOINT_AGAIN: Duration = Duration::from_secs(1);

/// After a journal file could not be prepared, the next try waits this long.
const PREPARE_AGAIN: Duration = Duration::from_secs(10);

/// What is known of the file that a checkpoint is written to.
#[derive(Clone, Copy, Default)]
pub(super) struct Slot {
    /// Its name is durable.
    named: bool,
    /// A write to it had no answer: it may land yet.
    unanswered: bool,
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
                // The try woke the writer, and so itself: the next one comes with the next tick.
                Ok(false) => {
                    let error = self.inner.state.borrow().segment_error.clone();
                    error.iter().for_each(|error| self.stops_short(error));
                    self.inner.ticked.wait().await;
                }
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
                if !self.inner.state.borrow().frame_fits() {
                    self.stops_short(&error);
                }
            }
            wait.await;
        }
    }

    /// Whether another journal file should be prepared, and of how many bytes: half of what is there
    /// is used, or the open frame fits none of them.
    pub(super) fn wants_journal(&self) -> Option<u64> {
        let state = self.inner.state.borrow();
        let ring = &state.ring;
        let bytes =
            self.inner.settings.journal_bytes.max(state.frame_needs().next_multiple_of(IO_BYTES_MAX as u64));
        let half_used = ring.bytes_used() * 2 >= ring.bytes_total() || buggify(Site::JournalAhead);
        let more = half_used && ring.files() < self.inner.settings.journal_files && state.has_room_for(bytes);
        (more || !state.frame_fits()).then_some(bytes)
    }

    pub(super) fn checkpoint_due(&self) -> bool {
        let state = self.inner.state.borrow();
        let ring = &state.ring;
        let full = ring.bytes_used() * 2 >= ring.bytes_total();
        let last = ring.files() >= self.inner.settings.journal_files || !ring.has_free();
        (full && last)
            || (state.starved && state.frame_fits())
            || ring.lets_go_below(self.inner.durable.get())
            || buggify(Site::CheckpointAtOnce)
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
        let head = {
            let state = inner.state.borrow();
            CheckpointHead {
                core: inner.core,
                generation: state.checkpoint_generation + 1,
                included,
                next_sequence: state.sequence.max(included + 1),
                incarnation: state.incarnation,
            }
        };
        self.flush_written().await?;
        {
            let mut state = inner.state.borrow_mut();
            // None was when the checkpoint was captured.
            if let Some(name) = state.doubted() {
                state.names_changed = true;
                return Err(DiskError::found(DiskOp::Flush, name));
            }
        }
        seal(&mut out, &head, partitions);
        self.write_slot_of(head.generation, &out).await?;
        {
            let mut state = inner.state.borrow_mut();
            state.checkpoint_generation = head.generation;
            state.checkpoint_buffer = out;
            state.ring.trim(if planted(Bug::TrimTooSoon) { u64::MAX } else { included });
            state.starved = false;
            state.stats.checkpoints += 1;
        }
        self.remove_failed_journals().await;
        inner.files.notify();
        inner.written.notify();
        Ok(())
    }

    /// Writes a checkpoint to the older of the two slots, durably, its name too. While a write to that slot has
    /// no answer the slot gets another file: what is under way may land at any time, and then it lands in the
    /// file that has no name any more.
    async fn write_slot_of(&self, generation: u64, bytes: &[u8]) -> DiskResult<()> {
        let disk = &self.inner.disk;
        let name = file_name(self.inner.core, generation % 2);
        let at = (generation % 2) as usize;
        if self.inner.state.borrow().slots[at].unanswered {
            disk.remove(&name).await?;
            self.inner.state.borrow_mut().slots[at] = Slot::default();
        }
        let file = disk.open(&name, Open::OrCreate).await?;
        let written = self.write_padded(&file, 0, bytes).await;
        if written.as_ref().is_err_and(|error| error.fault == DiskFault::Timeout) {
            tracing::error!(file = %name, "a write has no answer: the next checkpoint goes to another file");
            self.inner.state.borrow_mut().slots[at].unanswered = true;
        }
        written?;
        disk.flush(&file).await?;
        if !self.inner.state.borrow().slots[at].named {
            disk.sync_dir(&FileName::core_dir(self.inner.core)).await?;
            self.inner.state.borrow_mut().slots[at].named = true;
        }
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
    /// Bytes that a journal file must have for the open frame.
    fn frame_needs(&self) -> u64 {
        FILE_HEADER_BYTES + self.frame.disk_bytes() as u64
    }

    /// Whether a journal file that is there has room for it, once it is free.
    fn frame_fits(&self) -> bool {
        self.frame_needs() <= self.ring.bytes_largest()
    }

    /// The partitions from a slot on with something in a frame up to `included` that is in no segment.
    fn waited_for(&self, slot: usize, included: u64) -> impl Iterator<Item = (usize, &Partition<D>)> {
        let rest = self.partitions.iter().enumerate().skip(slot);
        rest.filter_map(move |(slot, p)| Some((slot, p.as_deref().filter(|p| p.is_behind(included))?)))
    }

    /// True when all are captured.
    fn capture_some(&mut self, slot: &mut usize, count: &mut u32, out: &mut Vec<u8>) -> bool {
        for _ in 0..CAPTURE_STEP {
            match self.partitions.get_mut(*slot) {
                None => return true,
                Some(Some(partition)) => {
                    partition.captured.note(self.checkpoint_generation + 1, partition.written.active().base);
                    if *slot > 0 || !planted(Bug::ForgetSnapshotEntry) {
                        add(out, &partition.to_state());
                        *count += 1;
                    }
                }
                Some(None) => {}
            }
            *slot += 1;
            if buggify(Site::CapturePauses) {
                break;
            }
        }
        false
    }
}
