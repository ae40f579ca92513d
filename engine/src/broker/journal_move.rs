//! When the journal's file fails: what is not acknowledged goes to another file.
//!
//! A write or flush that failed leaves unknown what the file holds of the frames in flight, and a flush
//! that succeeds afterwards says nothing about them. So nothing more is acknowledged on that file. Every
//! frame in flight is still in memory: once all lanes have given theirs up, they are written again, in
//! order, to a fresh file whose header names the first of them, and are acknowledged on its flush. Frames
//! of the old file at or above that number are void from then on, whatever they hold.
//!
//! | what failed | what becomes of the frames in flight |
//! |---|---|
//! | a write or flush of the journal's file | all are written again to a fresh file |
//! | a write or flush of an extent | the same, with that batch whole in the journal; its partition takes no appends until its segment can be written |
//! | the fresh file too | the core is offline; another try follows every second, and none of them is lost |
//!
//! The file that failed is never written again. What it holds of acknowledged frames stays until a
//! checkpoint, which is asked for at once, covers them; then it is removed.

use std::time::Duration;

use super::commit::Flight;
use super::frame_times::FrameTimes;
use super::shard::Shard;
use super::trouble::Trouble;
use crate::base::Instant;
use crate::io::{Disk, DiskError, DiskFault, DiskResult, FileName, IO_BYTES_MAX};
use crate::journal::{FILE_HEADER_BYTES, file_name, reframe};

/// The time between two tries to find a file that can be written.
const MOVE_AGAIN: Duration = Duration::from_secs(1);

impl<D: Disk> Shard<D> {
    /// Nothing more is acknowledged on the active journal file.
    pub(super) fn break_journal(&self, error: &DiskError) {
        if !self.inner.broken.replace(true) {
            tracing::error!(
                core = self.inner.core.0,
                %error,
                "the journal's file failed: what is not acknowledged is written to another"
            );
            self.inner.state.borrow_mut().stats.journals_failed += 1;
        }
        self.inner.committed.notify();
    }

    /// Gives up a frame that was in flight. Whoever gives up the last moves them all.
    pub(super) async fn park(&self, flight: Flight<D>) {
        self.inner.state.borrow_mut().parked.push(flight);
        self.inner.committed.notify();
        self.move_if_parked().await;
    }

    /// Moves the frames in flight if all of them are given up.
    pub(super) async fn move_if_parked(&self) {
        let all = {
            let state = self.inner.state.borrow();
            state.parked.len() as u64 == state.sequence - 1 - self.inner.durable.get()
        };
        if all {
            self.move_journal().await;
        }
    }

    async fn move_journal(&self) {
        let inner = &self.inner;
        let kept = { inner.state.borrow_mut().ring.set_aside() };
        let mut tries = 0_u64;
        while let Err(error) = self.move_once().await {
            tries += 1;
            self.trouble(Trouble::Journal, &error);
            // A write without an answer is still under way and may land after a later one to the same blocks.
            if error.fault == DiskFault::Timeout {
                inner.state.borrow_mut().ring.abandon();
                self.remove_failed_journals().await;
            } else {
                inner.state.borrow_mut().ring.give_back();
            }
            let again = inner.now.get().mono.after(MOVE_AGAIN);
            loop {
                let ticked = inner.ticked.wait();
                if inner.closing.get() {
                    return;
                }
                if inner.now.get().mono >= again {
                    break;
                }
                ticked.await;
            }
        }
        inner.broken.set(false);
        self.trouble_over(Trouble::Journal);
        let file = inner.state.borrow().ring.active().map(|file| file.number);
        tracing::warn!(core = inner.core.0, left = ?kept, file, tries, "the journal goes on in another file");
        inner.committed.notify();
        inner.work.notify();
        inner.files.notify();
        inner.room.notify();
        // A checkpoint lets go of the file that failed.
        inner.written.notify();
    }

    async fn move_once(&self) -> DiskResult<()> {
        let inner = &self.inner;
        // A segment that takes its extents after all saves their way through the journal.
        self.extents_again().await;
        let first = inner.durable.get() + 1;
        let bytes = {
            let mut state = inner.state.borrow_mut();
            state.parked.sort_by_key(|flight| flight.sequence);
            state.parked.iter().map(|flight| flight.reframed(1, 0).len()).sum()
        };
        let file = self.fresh_journal(first, bytes).await?;
        let (frames, mut at) = {
            let state = inner.state.borrow();
            let mark = state.flush_mark.min(first - 1);
            let frames: Vec<(u64, Vec<u8>)> = state
                .parked
                .iter()
                .map(|flight| (flight.sequence, flight.reframed(state.incarnation, mark)))
                .collect();
            (frames, FILE_HEADER_BYTES)
        };
        for (sequence, frame) in &frames {
            let placed = inner.state.borrow_mut().ring.place(*sequence, frame.len());
            assert!(placed.is_some_and(|(_, position)| position == at), "the file was chosen for them");
            self.write_padded(&file, at, frame).await?;
            at += frame.len() as u64;
        }
        inner.disk.flush(&file).await?;
        let durable = inner.disk.now();
        let parked = std::mem::take(&mut inner.state.borrow_mut().parked);
        for flight in parked {
            self.acknowledge(&flight.times(durable, durable, true), flight);
        }
        Ok(())
    }

    /// Writes extents of given-up frames once more, where no attempt failed yet. One that fails rides whole in
    /// its frame.
    async fn extents_again(&self) {
        // Nobody else looks at them while they are moved.
        let parked = std::mem::take(&mut self.inner.state.borrow_mut().parked);
        for flight in &parked {
            if let Err(error) = self.write_extents(&flight.blocks).await {
                tracing::error!(%error, "a segment did not take a batch: it goes through the journal");
            }
        }
        self.inner.state.borrow_mut().parked = parked;
    }

    /// A journal file that holds nothing yet and has room for these bytes of frames.
    async fn fresh_journal(&self, first: u64, bytes: usize) -> DiskResult<D::File> {
        loop {
            let file = self.inner.state.borrow_mut().ring.advance(first, bytes);
            match file {
                Some(file) => return self.begin_journal(file, first).await,
                None => {
                    let needed = (FILE_HEADER_BYTES + bytes as u64).next_multiple_of(IO_BYTES_MAX as u64);
                    self.prepare_journal(needed.max(self.inner.settings.journal_bytes_first)).await?;
                }
            }
        }
    }

    /// Removes journal files that failed, once nothing of theirs is needed.
    pub(super) async fn remove_failed_journals(&self) {
        let gone = self.inner.state.borrow_mut().ring.take_gone();
        for file in gone {
            self.inner.state.borrow_mut().journal_files.remove(&file.number);
            let name = FileName::core_dir(self.inner.core).join(file_name(file.number));
            if let Err(error) = self.inner.disk.remove(&name).await {
                tracing::warn!(%error, "a journal file that failed stays");
            }
        }
    }
}

impl<D: Disk> Flight<D> {
    /// The frame for another file. Extents whose segment failed are whole in it.
    fn reframed(&self, incarnation: u64, flush_mark: u64) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.bytes as usize);
        self.chunks.iter().for_each(|chunk| frame.extend_from_slice(chunk));
        reframe(&frame, incarnation, flush_mark.min(self.sequence - 1), |i| {
            self.blocks[i].failed.get().then(|| self.blocks[i].bytes())
        })
    }

    /// Its times, of which `written` and `durable` are known only now.
    pub(super) fn times(&self, written: Instant, durable: Instant, flushed: bool) -> FrameTimes {
        FrameTimes {
            ticket: self.sequence,
            sealed: self.sealed,
            written,
            durable,
            bytes: self.bytes,
            flushed,
        }
    }
}
