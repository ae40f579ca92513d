//! The shard: its state, its signals, and the partitions it hosts.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::checkpoint::{CoreState, PartitionState};
use super::clock::ShardClock;
use super::commit::Flight;
use super::frame_times::RecentFrames;
use super::graves::Graves;
use super::handles::{FileKey, Handles};
use super::pages::Pages;
use super::partition::{Partition, SharedSettings};
use super::probe::Probes;
use super::scrub::{ScrubLimits, ScrubState};
use super::space::{Space, SpaceLevel, SpaceLimits};
use super::stats::ShardStats;
use super::tail::Tails;
use super::take_checkpoint::Slot;
use crate::base::{CoreId, LeaderEpoch, Now, PartitionKey, Signal};
use crate::config::{CleanerSettings, TopicSettings};
use crate::io::{Disk, DiskError, DiskResult, FileName, IO_BYTES_MAX};
use crate::journal::{FrameBuilder, FrameEntry, JournalFile, Ring};

/// What bounds one core's journal and memory.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// Bytes of a journal file once the load asks for it.
    pub journal_bytes: u64,
    /// Bytes of the first journal file, prepared before the shard serves.
    pub journal_bytes_first: u64,
    /// Journal files at most.
    pub journal_files: usize,
    /// While a frame is in flight the open one waits until it holds this many bytes (twice as many when
    /// writes are spread over many partitions), or is alone.
    pub frame_bytes_early: usize,
    /// A batch of a durable topic with whole blocks of this many bytes goes straight to its segment.
    pub extent_bytes_min: usize,
    /// How long an idle producer id is remembered, ms (`producer.id.expiration.ms`), until
    /// [`Shard::set_producer_expiration`] says otherwise.
    pub producer_expiration_ms: u64,
    /// Nothing is appended, deleted or retained: what is there is read.
    pub read_only: bool,
    /// Bytes a second that the scrub of segments reads at most, until [`Shard::set_scrub`] says otherwise; 0 is
    /// no scrub.
    pub scrub_bytes_per_second: u64,
    /// Passes of the scrub begin at least this far apart, ms.
    pub scrub_interval_ms: u64,
    /// How full the disk may get, until [`Shard::set_space_limits`] says otherwise.
    pub space: SpaceLimits,
    /// Whether something outside keeps the wall clock right: it is believed after a downtime then.
    pub clock_synchronised: bool,
}

/// Below this a second write and a second flush cost more than writing the bytes twice: batches of
/// 512 KiB gained, of 256 KiB did not (`engine/docs/decisions.md`).
const EXTENT_BYTES_MIN: usize = IO_BYTES_MAX / 2 * 3;

impl Default for ShardSettings {
    fn default() -> Self {
        ShardSettings {
            journal_bytes: 64 * 1024 * 1024,
            journal_bytes_first: 8 * 1024 * 1024,
            journal_files: 4,
            frame_bytes_early: 256 * 1024,
            extent_bytes_min: EXTENT_BYTES_MIN,
            producer_expiration_ms: 86_400_000,
            read_only: false,
            scrub_bytes_per_second: 0,
            scrub_interval_ms: 0,
            space: SpaceLimits::default(),
            clock_synchronised: true,
        }
    }
}

/// A partition as the cluster's metadata has it: on this node, on this core, with these settings.
#[derive(Clone, Debug)]
pub struct HostedPartition {
    /// Which partition.
    pub key: PartitionKey,
    /// The core that owns it.
    pub core: CoreId,
    /// The leader epoch under which this node leads it.
    pub leader_epoch: LeaderEpoch,
    /// The topic's settings.
    pub settings: TopicSettings,
}

/// The number of the journal frame that holds something: comparable with [`Shard::durable`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Ticket(pub u64);

/// The core's journal failed: nothing is acknowledged until it finds a file that it can write, which it
/// tries every second. What waited may still become durable then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the journal of this core cannot be written")]
pub struct Offline;

/// One core's partitions, journal and reads. Cloning gives another handle to the same shard.
///
/// Order: [`Shard::open`], then spawn `run_commits`, `run_writer` and `run_cleaner` once each, call `tick`
/// every 50–100 ms and `housekeep` at the retention interval, and `close` at the end.
pub struct Shard<D: Disk> {
    pub(super) inner: Rc<Inner<D>>,
}

impl<D: Disk> Clone for Shard<D> {
    fn clone(&self) -> Self {
        Shard { inner: Rc::clone(&self.inner) }
    }
}

pub(super) struct Inner<D: Disk> {
    pub(super) disk: D,
    pub(super) core: CoreId,
    pub(super) settings: ShardSettings,
    pub(super) state: RefCell<State<D>>,
    /// Highest frame whose entries are acknowledged.
    pub(super) durable: Cell<u64>,
    /// The active journal file failed: its frames in flight go to another.
    pub(super) broken: Cell<bool>,
    /// The shard is offline: nothing is acknowledged until every [`Trouble`] is over.
    pub(super) failed: Cell<bool>,
    pub(super) troubles: Cell<u8>,
    /// No appends are taken any more.
    pub(super) draining: Cell<bool>,
    /// The jobs end.
    pub(super) closing: Cell<bool>,
    /// A lane of the commit seals the open frame or changes the journal file.
    pub(super) placing: Cell<bool>,
    /// A checkpoint is being taken.
    pub(super) checkpointing: Cell<bool>,
    /// What was written to segments is being flushed.
    pub(super) flushing: Cell<bool>,
    /// Readers that have segment files open.
    pub(super) readers: Cell<usize>,
    /// A reader ended.
    pub(super) read: Signal,
    pub(super) now: Cell<Now>,
    pub(super) clock: ShardClock,
    pub(super) producer_expiration_ms: Cell<u64>,
    /// A group commit ended, or the shard failed.
    pub(super) committed: Signal,
    /// The open frame got its first entry or is large enough, no frame is in flight any more, or the
    /// shard closes.
    pub(super) work: Signal,
    /// No lane seals any more.
    pub(super) placed: Signal,
    /// The writer may have something to do.
    pub(super) written: Signal,
    /// Memory came back, or the open frame was sealed.
    pub(super) room: Signal,
    /// The ring of journal files changed, or a lane let a partition go.
    pub(super) files: Signal,
    /// A reader wants pages read ahead.
    pub(super) ahead: Signal,
    /// A page came from the disk.
    pub(super) loaded: Signal,
    /// The clock moved on, or the shard closes.
    pub(super) ticked: Signal,
    /// A file was deleted, or the shard closes.
    pub(super) buried: Signal,
    pub(super) scrub: ScrubState,
    pub(super) cleaner: Cell<CleanerSettings>,
    /// Compaction is at work on a partition.
    pub(super) cleaning: Cell<bool>,
}

pub(super) struct State<D: Disk> {
    /// Slots are never used twice, so a frame in flight cannot name another partition.
    pub(super) partitions: Vec<Option<Box<Partition<D>>>>,
    pub(super) by_key: FxHashMap<PartitionKey, u32>,
    pub(super) frame: FrameBuilder<D::Buf>,
    /// The number that the open frame will get.
    pub(super) sequence: u64,
    /// The highest frame known flushed.
    pub(super) flush_mark: u64,
    /// Relaxed batches written since the last flush, and since when.
    pub(super) unflushed: Unflushed,
    pub(super) incarnation: u64,
    pub(super) ring: Ring,
    pub(super) journal_files: FxHashMap<u32, D::File>,
    pub(super) next_journal: u32,
    /// The open frame waits for a journal file.
    pub(super) starved: bool,
    pub(super) spare_entries: Vec<Vec<FrameEntry>>,
    /// Frames that were in flight when the journal's file failed.
    pub(super) parked: Vec<Flight<D>>,
    pub(super) tails: Tails,
    pub(super) dirty: VecDeque<u32>,
    pub(super) ripe: VecDeque<u32>,
    /// Partitions that a checkpoint waits for, which holds every frame up to `force_below`.
    pub(super) forced: VecDeque<u32>,
    pub(super) force_below: u64,
    /// Segment and index files that are open.
    pub(super) handles: Handles<D::File>,
    /// Those that are being flushed.
    pub(super) flushing_files: FxHashSet<FileKey>,
    /// Files were created or renamed since names were last made durable.
    pub(super) names_changed: bool,
    pub(super) checkpoint_generation: u64,
    pub(super) checkpoint_buffer: Vec<u8>,
    /// The two files that checkpoints are written to in turn.
    pub(super) slots: [Slot; 2],
    pub(super) pages: Pages<D>,
    /// Reads because of others that failed.
    pub(super) probes: Probes,
    /// Segment files whose blocks were written before, for reuse.
    pub(super) free_segments: Vec<FileName>,
    pub(super) next_free: u64,
    /// Segment files of which an operation has no answer.
    pub(super) unanswered: FxHashSet<FileName>,
    /// Deleted files whose space is not given back yet.
    pub(super) graves: Graves,
    /// Whether there is room on the disk.
    pub(super) space: Space,
    /// What was said of it last.
    pub(super) space_told: SpaceLevel,
    /// Bytes of the ballast, once they are known.
    pub(super) ballast: Option<u64>,
    /// The last failure of a segment.
    pub(super) segment_error: Option<DiskError>,
    /// Why the shard went offline last.
    pub(super) offline_error: Option<DiskError>,
    /// Slots of deleted partitions that a lane, retention or compaction still holds, once for each.
    pub(super) abandoned: Vec<u32>,
    pub(super) stats: ShardStats,
    pub(super) shared: SharedSettings,
    pub(super) recent: RecentFrames,
}

/// What relaxed topics have written but not flushed.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Unflushed {
    pub(super) bytes: u64,
    pub(super) since: Option<Now>,
    pub(super) due: bool,
    /// The last sealed frame that no flush will cover is behind the last that one will.
    pub(super) sealed: bool,
}

impl<D: Disk> Inner<D> {
    /// Whether no frame is in flight.
    pub(super) fn is_settled(&self, state: &State<D>) -> bool {
        self.durable.get() + 1 == state.sequence
    }
}

impl<D: Disk> State<D> {
    pub(super) fn slot(&self, key: PartitionKey) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn partition(&mut self, slot: u32) -> Option<&mut Partition<D>> {
        self.partitions.get_mut(slot as usize)?.as_deref_mut()
    }

    pub(super) fn by_key(&self, key: PartitionKey) -> Option<&Partition<D>> {
        self.partitions.get(self.slot(key)? as usize)?.as_deref()
    }

    pub(super) fn insert(&mut self, partition: Partition<D>) -> u32 {
        let slot = self.partitions.len() as u32;
        let before = self.by_key.insert(partition.key, slot);
        assert!(before.is_none(), "{} is hosted once", partition.key);
        self.partitions.push(Some(Box::new(partition)));
        slot
    }
}

impl<D: Disk> Shard<D> {
    /// A shard over the state that recovery left. The first journal file is prepared before this
    /// returns; more are prepared when half of what is there is used.
    ///
    /// # Errors
    /// The disk's, when the journal cannot be prepared.
    pub async fn open(disk: D, state: CoreState, settings: ShardSettings, now: Now) -> DiskResult<Shard<D>> {
        let shard = Shard::assemble(disk, state, settings, now);
        shard.recall_time(now).await;
        shard.open_journals().await?;
        Ok(shard)
    }

    /// The shard without its journal: what recovery replays into.
    pub(super) fn assemble(disk: D, core: CoreState, settings: ShardSettings, now: Now) -> Shard<D> {
        let mut state = State {
            partitions: Vec::new(),
            by_key: FxHashMap::default(),
            frame: FrameBuilder::new(),
            sequence: core.next_sequence,
            flush_mark: core.next_sequence - 1,
            unflushed: Unflushed::default(),
            incarnation: core.incarnation,
            ring: Ring::new(),
            journal_files: FxHashMap::default(),
            next_journal: 0,
            starved: false,
            abandoned: Vec::new(),
            spare_entries: Vec::new(),
            parked: Vec::new(),
            tails: Tails::default(),
            dirty: VecDeque::new(),
            ripe: VecDeque::new(),
            forced: VecDeque::new(),
            force_below: 0,
            handles: Handles::new(disk.files_max()),
            flushing_files: FxHashSet::default(),
            names_changed: false,
            checkpoint_generation: core.checkpoint_generation,
            checkpoint_buffer: Vec::new(),
            slots: [Slot::default(); 2],
            pages: Pages::default(),
            probes: Probes::default(),
            free_segments: Vec::new(),
            next_free: 0,
            unanswered: FxHashSet::default(),
            graves: Graves::default(),
            space: Space::new(settings.space),
            space_told: SpaceLevel::Plenty,
            ballast: None,
            segment_error: None,
            offline_error: None,
            stats: ShardStats::default(),
            shared: SharedSettings::default(),
            recent: RecentFrames::default(),
        };
        for (hosted, partition) in core.partitions {
            let partition = Partition::from_state(hosted, partition, &mut state.shared);
            state.insert(partition);
        }
        let scrub = ScrubLimits {
            bytes_per_second: settings.scrub_bytes_per_second,
            interval_ms: settings.scrub_interval_ms,
        };
        Shard {
            inner: Rc::new(Inner {
                disk,
                core: core.core,
                producer_expiration_ms: Cell::new(settings.producer_expiration_ms),
                settings,
                durable: Cell::new(core.next_sequence - 1),
                state: RefCell::new(state),
                broken: Cell::new(false),
                failed: Cell::new(false),
                troubles: Cell::new(0),
                draining: Cell::new(false),
                closing: Cell::new(false),
                placing: Cell::new(false),
                checkpointing: Cell::new(false),
                flushing: Cell::new(false),
                readers: Cell::new(0),
                read: Signal::new(),
                now: Cell::new(now),
                clock: ShardClock::new(now),
                committed: Signal::new(),
                work: Signal::new(),
                placed: Signal::new(),
                written: Signal::new(),
                room: Signal::new(),
                files: Signal::new(),
                ahead: Signal::new(),
                loaded: Signal::new(),
                ticked: Signal::new(),
                buried: Signal::new(),
                scrub: ScrubState::new(scrub),
                cleaner: Cell::new(CleanerSettings::default()),
                cleaning: Cell::new(false),
            }),
        }
    }

    async fn open_journals(&self) -> DiskResult<()> {
        let inner = &self.inner;
        let dir = FileName::core_dir(inner.core);
        inner.disk.make_dir(&dir).await?;
        // A process that was killed may have left names that only a sync makes durable.
        inner.disk.sync_dir(&dir).await?;
        for entry in inner.disk.list(&dir).await? {
            let mut state = inner.state.borrow_mut();
            if let Some(number) = entry.name.base().strip_prefix("free-").and_then(|n| n.parse().ok()) {
                state.next_free = state.next_free.max(number);
                state.free_segments.push(entry.name);
                continue;
            }
            if state.graves.find(&entry.name, entry.len) {
                continue;
            }
            // A number of a file that is kept aside is not given again: the next one would take its name.
            let base = entry.name.base();
            let name = base.strip_prefix("damaged-").unwrap_or(base);
            let Some(number) = crate::journal::file_number(name) else { continue };
            state.next_journal = state.next_journal.max(number + 1);
            if name != base {
                continue;
            }
            if state.ring.files() < inner.settings.journal_files
                && entry.len >= inner.settings.journal_bytes_first
            {
                state.ring.add(JournalFile { number, bytes: entry.len });
            }
        }
        if !inner.state.borrow().ring.has_free() {
            self.prepare_journal(inner.settings.journal_bytes_first).await?;
        }
        Ok(())
    }

    /// Hosts a new, empty partition. It costs no file until its first records reach a segment.
    pub fn create(&self, hosted: HostedPartition) {
        let state = PartitionState::new(hosted.key, hosted.leader_epoch);
        let mut shard = self.inner.state.borrow_mut();
        let partition = Partition::from_state(hosted, state, &mut shard.shared);
        shard.insert(partition);
    }

    /// Applies changed settings from the next append on.
    pub fn update(&self, key: PartitionKey, settings: TopicSettings) {
        let mut state = self.inner.state.borrow_mut();
        let settings = state.shared.of(settings);
        if let Some(slot) = state.slot(key)
            && let Some(partition) = state.partition(slot)
        {
            partition.follow(settings);
        }
    }

    /// `producer.id.expiration.ms` from now on.
    pub fn set_producer_expiration(&self, ms: u64) {
        self.inner.producer_expiration_ms.set(ms);
    }

    /// How it compacts from now on: this core's share.
    pub fn set_cleaner(&self, settings: CleanerSettings) {
        self.inner.cleaner.set(settings);
    }

    /// Bytes of a partition's log, those that are not in its segments yet included. `None` if the shard
    /// does not host it.
    #[must_use]
    pub fn log_bytes(&self, key: PartitionKey) -> Option<u64> {
        self.inner.state.borrow().by_key(key).map(|p| p.head.bytes())
    }

    /// Forgets a partition and gives its space back. Waiters on it wake and find it gone.
    ///
    /// # Errors
    /// The disk's. The partition is gone from memory all the same, and recovery hosts only what
    /// the metadata names.
    pub async fn delete(&self, key: PartitionKey) -> DiskResult<()> {
        let inner = &self.inner;
        let removed = {
            let mut state = inner.state.borrow_mut();
            let Some(slot) = state.by_key.remove(&key) else { return Ok(()) };
            let removed = state.partitions[slot as usize].take();
            state.dirty.retain(|waiting| *waiting != slot);
            state.forget_read(key);
            state.handles.forget(key);
            let dir = FileName::partition_dir(key);
            state.unanswered.retain(|name| name.parent().as_ref() != Some(&dir));
            for holds in removed.iter().flat_map(|p| [p.writing, p.tended]) {
                if holds {
                    state.abandoned.push(slot);
                }
            }
            removed.map(|partition| (slot, partition))
        };
        if let Some((slot, partition)) = removed {
            inner.state.borrow_mut().tails.forget(partition.tail.unwritten_bytes());
            partition.signal.notify();
            drop(partition);
            inner.room.notify();
            // A checkpoint may have waited for it.
            inner.files.notify();
            self.until_let_go(slot).await;
        }
        self.bury_dir(&FileName::partition_dir(key)).await?;
        self.leave_topic(key.topic).await
    }

    /// Waits until nobody holds a deleted partition: its files would be made again.
    async fn until_let_go(&self, slot: u32) {
        loop {
            let wait = self.inner.files.wait();
            if !self.inner.state.borrow().abandoned.contains(&slot) {
                return;
            }
            wait.await;
        }
    }

    /// The clock moves on: ages of unflushed relaxed batches are judged against it.
    pub fn tick(&self, now: Now) {
        self.inner.now.set(now);
        self.watch_clock(now);
        self.flush_relaxed_if_due(now);
        {
            let mut state = self.inner.state.borrow_mut();
            state.retry_offline();
            state.make_read_room(&self.inner.disk);
        }
        self.inner.written.notify();
        self.inner.room.notify();
        self.inner.ticked.notify();
    }

    /// Every ticket at or below this one may be acknowledged.
    #[must_use]
    pub fn durable(&self) -> Ticket {
        Ticket(self.inner.durable.get())
    }

    /// Notified after every group commit, and when the shard goes offline.
    #[must_use]
    pub fn durable_signal(&self) -> &Signal {
        &self.inner.committed
    }

    /// Whether the core's journal cannot be written now.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.inner.failed.get()
    }

    /// Waits until `ticket` may be acknowledged.
    ///
    /// # Errors
    /// [`Offline`] when its frame cannot become durable now. It may later.
    pub async fn until_durable(&self, ticket: Ticket) -> Result<(), Offline> {
        loop {
            let wait = self.inner.committed.wait();
            if self.durable() >= ticket {
                return Ok(());
            }
            if self.inner.failed.get() {
                return Err(Offline);
            }
            wait.await;
        }
    }

    /// Waits until `ticket` may be acknowledged, however long the core is offline meanwhile: what was taken is
    /// tried until it is durable, or ends with the process.
    pub async fn until_certain(&self, ticket: Ticket) {
        loop {
            let wait = self.inner.committed.wait();
            if self.durable() >= ticket {
                return;
            }
            wait.await;
        }
    }

    /// Notified when the partition's high watermark advances, or it goes away.
    #[must_use]
    pub fn watch(&self, key: PartitionKey) -> Option<Rc<Signal>> {
        let state = self.inner.state.borrow();
        state.by_key(key).map(|p| Rc::clone(&p.signal))
    }
}
