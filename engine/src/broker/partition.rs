//! One partition on its core.

use std::rc::{Rc, Weak};

use super::checkpoint::PartitionState;
use super::probe::Probes;
use super::read::Cursors;
use super::segment::SegmentWriter;
use super::shard::HostedPartition;
use super::tail::{Tail, TailBatch};
use crate::base::{Bug, Instant, LeaderEpoch, Now, Offset, PartitionKey, Signal, planted};
use crate::config::{Cleanup, TopicSettings};
use crate::io::Disk;
use crate::journal::BatchPlace;
use crate::log::segments::{AppendPlan, Place, PlaceError, RollLimits};
use crate::log::{Damages, LeaderEpochs, ProducerTable, Segments};
use crate::record::BatchHeader;

/// A partition's log and everything that decides about it.
///
/// Three ends, each at or behind the next: `written` (in the segment or the open block), the high
/// watermark (durable, visible) and `head` (appended to the open frame).
pub(super) struct Partition<D: Disk> {
    pub(super) key: PartitionKey,
    pub(super) generation: u32,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) settings: Rc<TopicSettings>,
    pub(super) log_start: Offset,
    pub(super) high_watermark: Offset,
    /// Segments up to the log's end: where the next batch goes.
    pub(super) head: Segments,
    /// Segments up to the written end: what reads, retention and checkpoints go by.
    pub(super) written: Segments,
    pub(super) segment: SegmentWriter<D>,
    pub(super) tail: Tail<D::Chunk>,
    pub(super) epochs: LeaderEpochs,
    pub(super) producers: ProducerTable,
    pub(super) cursors: Cursors,
    /// Records of a relaxed topic since the last append that asked for a flush.
    pub(super) relaxed_records: u64,
    pub(super) signal: Rc<Signal>,
    /// Its last write to a segment failed: appends are refused until a later try succeeds.
    pub(super) offline: bool,
    /// A flush of its segment failed: what was written since the last good one is written again.
    pub(super) suspect: bool,
    /// How often that happened.
    pub(super) doubts: u64,
    /// The disk gave back something else than what was written before such a flush: only the journal has
    /// it still, and a restart brings it back from there.
    pub(super) dropped: bool,
    /// Damage was found in its journal: it is read and never appended to.
    pub(super) fenced: bool,
    /// A lane writes it now.
    pub(super) writing: bool,
    /// A batch came that is large enough for an extent: segments are made ready for them.
    pub(super) extents: bool,
    pub(super) dirty: bool,
    pub(super) ripe: bool,
    /// Files that a crash left below its first segment are gone.
    pub(super) swept: bool,
    /// What does not hold of its segments.
    pub(super) damages: Damages,
    /// Reads because of others that failed.
    pub(super) probes: Probes,
    /// Offsets may be missing from its segments: it is compacted, or once was.
    pub(super) gaps: bool,
    /// Everything below was in a round of compaction.
    pub(super) cleaned: Offset,
    /// Retention or compaction is at work on its closed segments: one at a time.
    pub(super) tended: bool,
    /// Changes when compaction begins and ends to put files in the place of others: what was read of a
    /// closed segment across a change does not count.
    pub(super) revision: u64,
    pub(super) swap: SwapState,
    /// Compaction failed, and tries again then.
    pub(super) unclean_until: Option<Instant>,
    pub(super) captured: Captured,
}

/// Which checkpoints of this life hold which of a partition's segments as closed: the two that were captured last,
/// newest first. Each is a generation, once that stands, and the base of the segment that was open.
#[derive(Clone, Copy)]
pub(super) struct Captured([(u64, Offset); 2]);

impl Captured {
    /// None of this life: of the two that a start finds one may say less than the other.
    const NONE: Captured = Captured([(0, Offset::ZERO); 2]);

    /// A checkpoint of this generation is being captured; after one that failed, again.
    pub(super) fn note(&mut self, generation: u64, active: Offset) {
        if self.0[0].0 != generation {
            self.0[1] = self.0[0];
        }
        self.0[0] = (generation, active);
    }

    /// Whether both checkpoints hold everything below `end` as closed, where `standing` is the newer one.
    pub(super) fn is_closed_in_both(&self, end: Offset, standing: u64) -> bool {
        let (generation, active) = self.0[1];
        generation < standing && active >= end
    }
}

/// The settings that came last: partitions of one topic come one after the other and share them.
#[derive(Default)]
pub(super) struct SharedSettings(Option<Rc<TopicSettings>>);

impl SharedSettings {
    pub(super) fn of(&mut self, settings: TopicSettings) -> Rc<TopicSettings> {
        match &self.0 {
            Some(last) if **last == settings => Rc::clone(last),
            _ => Rc::clone(self.0.insert(Rc::new(settings))),
        }
    }
}

/// Whether files of closed segments change their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum SwapState {
    /// Every file is the one that its segment says.
    #[default]
    Settled,
    /// They do, for a moment: readers wait.
    UnderWay,
    /// A name could not be changed: until it is, readers are told that the disk fails.
    Stuck,
}

impl<D: Disk> Partition<D> {
    pub(super) fn from_state(
        hosted: HostedPartition,
        state: PartitionState,
        shared: &mut SharedSettings,
    ) -> Self {
        assert!(hosted.key == state.key);
        let end = state.segments.end();
        let gaps = state.gaps || takes_records_out(&hosted.settings);
        let aligned = u64::from(state.segments.active().bytes) - state.open.len() as u64;
        Partition {
            key: hosted.key,
            generation: state.generation,
            leader_epoch: hosted.leader_epoch,
            settings: shared.of(hosted.settings),
            log_start: state.log_start,
            high_watermark: end,
            head: state.segments.clone(),
            written: state.segments,
            segment: SegmentWriter {
                aligned,
                open: state.open,
                sealed: state.sealed,
                index: state.index,
                file: Weak::new(),
                opened: false,
                allocated: 0,
                reserved: 0,
                named: false,
                flushed: aligned,
                flushing: aligned,
            },
            tail: Tail::new(),
            epochs: state.epochs,
            producers: state.producers,
            cursors: Cursors::default(),
            relaxed_records: 0,
            signal: Rc::new(Signal::new()),
            offline: false,
            suspect: false,
            doubts: 0,
            dropped: false,
            fenced: state.fenced,
            writing: false,
            extents: false,
            dirty: false,
            ripe: false,
            swept: false,
            damages: state.damages,
            probes: Probes::default(),
            gaps,
            cleaned: state.cleaned,
            tended: false,
            revision: 0,
            swap: SwapState::Settled,
            unclean_until: None,
            captured: Captured::NONE,
        }
    }

    /// The state that its segment files and the open block vouch for, to be checkpointed.
    pub(super) fn to_state(&self) -> PartitionState {
        let end = self.written.end();
        let mut epochs = self.epochs.clone();
        epochs.truncate_from_end(end);
        let mut producers = self.producers.snapshot_below(end);
        if planted(Bug::ForgetProducers) {
            producers = ProducerTable::new();
        }
        let mut open = self.segment.open.clone();
        if planted(Bug::ForgetOpenBlock) {
            open.fill(0);
        }
        PartitionState {
            key: self.key,
            generation: self.generation,
            // One that clients raised above the written end is in a frame behind those of the records that
            // it hides, and no checkpoint covers it before them.
            log_start: self.log_start.min(end),
            segments: self.written.clone(),
            open,
            sealed: self.segment.sealed,
            fenced: self.fenced,
            gaps: self.gaps,
            damages: self.damages.clone(),
            index: self.segment.index.clone(),
            cleaned: self.cleaned,
            epochs,
            producers,
        }
    }

    /// Acts on changed settings from now on.
    pub(super) fn follow(&mut self, settings: Rc<TopicSettings>) {
        self.gaps |= takes_records_out(&settings);
        self.settings = settings;
    }

    /// The offset after the last appended record.
    pub(super) fn log_end(&self) -> Offset {
        self.head.end()
    }

    pub(super) fn roll_limits(&self) -> RollLimits {
        RollLimits {
            segment_bytes: self.settings.segment_bytes,
            segment_ms: self.settings.roll_ms(),
            jitter_ms: self.settings.segment_jitter_ms,
            index_bytes: self.settings.segment_index_bytes,
            index_interval_bytes: self.settings.index_interval_bytes,
        }
    }

    /// Where a batch goes.
    pub(super) fn plan(
        &self,
        bytes: usize,
        header: &BatchHeader,
        now: Now,
    ) -> Result<AppendPlan, PlaceError> {
        self.head.plan(header, bytes, now, &self.roll_limits())
    }

    /// Whether a batch of `records` more must be flushed before its acknowledgement.
    pub(super) fn needs_flush(&self, records: u64) -> bool {
        !self.settings.is_relaxed() || self.relaxed_records + records >= self.settings.flush_messages
    }

    /// A batch is in the open frame at `place`; `header` is stamped.
    pub(super) fn appended(&mut self, header: &BatchHeader, place: &BatchPlace, flush: bool, now: Now) {
        let interval = self.settings.index_interval_bytes;
        let at = Place { segment: place.segment, position: place.position as u32 };
        let applied = self.head.apply(header, at, now, interval);
        assert!(applied.is_ok(), "{}: {applied:?}", self.key);
        self.producers.apply(header);
        self.epochs.assign(place.leader_epoch, place.base_offset);
        self.relaxed_records =
            if flush { 0 } else { self.relaxed_records + u64::from(header.record_count().unsigned_abs()) };
    }

    /// A batch is durable: it becomes visible.
    pub(super) fn show(&mut self, batch: TailBatch<D::Chunk>) {
        assert!(batch.base_offset == self.high_watermark, "{}: no gap becomes visible", self.key);
        self.high_watermark = batch.last_offset.plus(1);
        self.tail.push(batch);
        self.check();
    }

    /// The rise of the log start is durable: what lies below it may be removed.
    pub(super) fn log_start_durable(&mut self, offset: Offset) {
        // Two raises may be on their way at once; the log start never goes back.
        self.log_start = self.log_start.max(offset);
    }

    /// A flush of its segment failed.
    pub(super) fn suspect(&mut self) {
        self.suspect = true;
        self.doubts += 1;
    }

    /// Whether a checkpoint that holds every frame up to `included` must wait for it.
    pub(super) fn is_behind(&self, included: u64) -> bool {
        self.suspect || self.tail.oldest_unwritten().is_some_and(|oldest| oldest <= included)
    }

    /// The order that must always hold.
    pub(super) fn check(&self) {
        let (start, written) = (self.log_start, self.written.end());
        let (visible, end) = (self.high_watermark, self.head.end());
        assert!(
            start <= visible && written <= visible && visible <= end,
            "{}: log start {start} <= written {written} <= high watermark {visible} <= end {end}",
            self.key
        );
        assert!(u64::from(self.written.active().bytes) >= self.segment.open.len() as u64);
    }
}

/// Whether cleaning under these settings leaves gaps between offsets.
fn takes_records_out(settings: &TopicSettings) -> bool {
    settings.cleanup != Cleanup::Delete
}
