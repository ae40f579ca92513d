//! Append: from a checked batch to its place in the open frame.

use super::shard::{Shard, ShardSettings, State, Ticket};
use super::space::Purpose;
use crate::base::{Now, Offset, PartitionKey, Site, buggify};
use crate::io::{BLOCK, Disk, IO_BYTES_MAX};
use crate::journal::BatchPlace;
use crate::log::producers::{ProducerError, Verdict};
use crate::record::BatchHeader;

/// The open frame is closed to further batches above this many bytes: a longer write would delay
/// the acknowledgement of everything in it. A single larger batch still gets a frame of its own.
pub(super) const FRAME_BYTES_TARGET: usize = 2 * 1024 * 1024;

/// Appends leave this part of the pool to the writer and to reads: one in eight bytes.
const RESERVE_SHARE: usize = 8;

/// What a frame needs at most for the header and both ends of an extent, in a buffer of its own.
const ENDS_BYTES: usize = 4 * BLOCK;

/// An accepted batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The first record's offset; a duplicate's is the original's.
    pub base_offset: Offset,
    /// The partition's log start offset.
    pub log_start: Offset,
    /// The acknowledgement may leave when this is durable.
    pub ticket: Ticket,
}

/// Why a batch was not accepted. Nothing of it was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    /// No memory now: wait for [`Shard::room`] and try again.
    #[error("no memory for the journal now")]
    NoRoom,
    /// The shard does not host it.
    #[error("the partition is not on this core")]
    UnknownPartition,
    /// The core's journal or the partition's disk failed, or the shard is read only (KAFKA_STORAGE_ERROR).
    #[error("the partition is offline")]
    Offline,
    /// There is too little space on the disk (KAFKA_STORAGE_ERROR).
    #[error("the disk is nearly full")]
    NoSpace,
    /// The batch is larger than a segment (RECORD_LIST_TOO_LARGE).
    #[error("a batch of {bytes} bytes does not fit a segment of {segment_bytes}")]
    LargerThanSegment {
        /// The batch.
        bytes: usize,
        /// `segment.bytes`.
        segment_bytes: u32,
    },
    /// An idempotent producer's batch that cannot be next.
    #[error(transparent)]
    Producer(ProducerError),
}

impl<D: Disk> Shard<D> {
    /// Appends exactly one record batch of a producer that `record::validate` has passed. Its bytes are copied
    /// once, into the journal frame and the blocks of its extent; nothing is visible before [`Appended::ticket`] is durable.
    ///
    /// # Errors
    /// See [`AppendError`]. After [`AppendError::NoRoom`] nothing has changed.
    pub fn append(&self, now: Now, key: PartitionKey, batch: &[u8]) -> Result<Appended, AppendError> {
        self.append_for(Purpose::Produce, now, key, batch)
    }

    /// As [`Shard::append`], for someone who is not necessarily a producer.
    ///
    /// # Errors
    /// As there.
    pub fn append_for(
        &self,
        purpose: Purpose,
        now: Now,
        key: PartitionKey,
        batch: &[u8],
    ) -> Result<Appended, AppendError> {
        let inner = &self.inner;
        inner.now.set(now);
        if inner.failed.get() || inner.draining.get() || inner.settings.read_only {
            return Err(AppendError::Offline);
        }
        let mut guard = inner.state.borrow_mut();
        let state = &mut *guard;
        let slot = state.slot(key).ok_or(AppendError::UnknownPartition)?;
        let appended = state.append(purpose, now, slot, batch, &inner.settings, &inner.disk);
        match appended {
            Ok((appended, due)) => {
                drop(guard);
                if due {
                    inner.work.notify();
                }
                Ok(appended)
            }
            Err(error) => {
                if error == AppendError::NoRoom {
                    state.stats.appends_waited += 1;
                    drop(guard);
                    inner.written.notify();
                }
                Err(error)
            }
        }
    }

    /// Waits until an append that found no room may find some: after the next seal, write, or tick.
    /// Call it right after the append, without an await between.
    pub async fn room(&self) {
        let wait = self.inner.room.wait();
        if !self.inner.failed.get() {
            wait.await;
        }
    }
}

/// Bytes of pool that appends do not touch, so that the writer can always empty what they fill.
fn reserve<D: Disk>(disk: &D) -> usize {
    disk.pool_size() / RESERVE_SHARE
}

impl<D: Disk> State<D> {
    /// Also says whether the commit must look at the open frame: it got its first batch, or holds
    /// `frame_bytes_early` now.
    fn append(
        &mut self,
        purpose: Purpose,
        now: Now,
        slot: u32,
        batch: &[u8],
        settings: &ShardSettings,
        disk: &D,
    ) -> Result<(Appended, bool), AppendError> {
        let alone = !self.frame.is_empty() && buggify(Site::FrameAlone);
        if alone || !self.frame.fits(batch.len(), FRAME_BYTES_TARGET) {
            return Err(AppendError::NoRoom);
        }
        let reserve = reserve(disk);
        // Enough for whatever buffers the frame will ask for, and the ends of an extent.
        let wanted = (batch.len() + BLOCK).next_multiple_of(IO_BYTES_MAX) + ENDS_BYTES + reserve;
        if disk.pool_free() < wanted {
            self.evict(wanted - disk.pool_free(), disk);
        }
        let sequence = self.sequence;
        let open_is_empty = self.frame.is_empty();
        let bytes_before = self.frame.bytes();
        let partition =
            self.partitions[slot as usize].as_deref_mut().expect("by_key names hosted partitions");
        if partition.offline || partition.fenced {
            return Err(AppendError::Offline);
        }
        let header = BatchHeader::peek(batch).expect("a validated batch has a header");
        let log_start = partition.log_start;
        match partition.producers.check(header).map_err(AppendError::Producer)? {
            Verdict::Append => {}
            Verdict::Duplicate { base_offset, .. } => {
                self.stats.duplicates += 1;
                // The original may still be in flight: its frame is the open one at the latest.
                let ticket = Ticket(if open_is_empty { sequence - 1 } else { sequence });
                return Ok((Appended { base_offset, log_start, ticket }, false));
            }
        }
        let plan = partition.plan(batch.len(), header, now).map_err(|_| {
            let segment_bytes = partition.settings.segment_bytes;
            AppendError::LargerThanSegment { bytes: batch.len(), segment_bytes }
        })?;
        if !self.space.has(purpose, batch.len() as u64) {
            self.space.refused(purpose);
            self.stats.appends_no_space += 1;
            return Err(AppendError::NoSpace);
        }
        let place = BatchPlace {
            key: partition.key,
            generation: partition.generation,
            leader_epoch: partition.leader_epoch,
            base_offset: plan.base_offset,
            last_offset: plan.base_offset.plus(i64::from(header.last_offset_delta())),
            segment: plan.place.segment,
            position: u64::from(plan.place.position),
            appended_at: now.wall,
        };
        let records = header.record_count().unsigned_abs();
        let extent = partition.takes_extent(plan.place, batch.len(), settings.extent_bytes_min)
            && !buggify(Site::NoExtent);
        let flush = partition.needs_flush(u64::from(records));
        let take = |bytes: usize| {
            if disk.pool_free() >= reserve + bytes { disk.take(bytes) } else { None }
        };
        let pushed = if extent {
            self.frame.push_extent(slot, &place, batch, take)
        } else {
            self.frame.push_batch(slot, &place, batch, flush, take)
        };
        if pushed.is_err() {
            return Err(AppendError::NoRoom);
        }
        self.space.spend(batch.len() as u64);
        self.stats.extents += u64::from(extent);
        let partition = self.partitions[slot as usize].as_deref_mut().expect("still hosted");
        let mut stamped = *header;
        stamped.stamp(place.base_offset, place.leader_epoch);
        partition.appended(&stamped, &place, flush, now);
        self.stats.batches += 1;
        self.stats.records += u64::from(records);
        self.stats.bytes_in += batch.len() as u64;
        let ticket = Ticket(sequence);
        let early = self.early_bytes(settings.frame_bytes_early);
        let due = open_is_empty || (bytes_before < early && self.frame.bytes() >= early);
        Ok((Appended { base_offset: place.base_offset, log_start, ticket }, due))
    }
}
