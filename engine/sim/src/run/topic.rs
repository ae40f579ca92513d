//! A partition as its clients see it: producers, idempotent or not, consumers, those who delete.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{Offset, PartitionKey, ProducerEpoch, ProducerId, Signal, WallMs};
use engine::broker::{
    AppendError, DeleteRecords, DeleteRecordsError, FetchError, HostedPartition, Shard, Ticket,
};
use engine::log::{Cause, DamagedRange};
use engine::record::{BatchBuilder, BatchHeader, Codec};

use super::atlas;
use super::ledger::{Ledger, joined};
use super::topic_plan::{BIG_BYTES, TopicPlan, alter};
use crate::disk::SimDisk;
use crate::random::Random;
use crate::world::World;

/// What the disk could not read is tried again after this long, ms.
const UNREADABLE_AGAIN_MS: i64 = 10_000;

/// … and no more than so often in one look at a log.
const WAITS_MAX: u32 = 40;

/// Batches that a producer's answers are remembered for, as Kafka does.
const REMEMBERED: usize = 5;

/// Values are shorter than this, bytes, now and then …
const VALUE_BYTES_MAX: u64 = 2500;

/// … or than this where batches are to become extents …
const VALUE_BYTES_EXTENT: u64 = 30_000;

/// … and usually than this.
const VALUE_BYTES_USUAL: u64 = 300;

/// One in so many records with keys is a tombstone.
const TOMBSTONE_EVERY: u64 = 5;

/// What some batches with keys are compressed with.
const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A batch that a producer sent.
#[derive(Clone)]
struct Sent {
    bytes: Vec<u8>,
    records: i64,
    time: i64,
    /// Where it was put.
    base: Option<Offset>,
}

/// What a producer is asked to do.
enum Order {
    Batches(usize, u64),
    Again(usize),
}

/// A partition and its clients. It outlives the machine's lives.
pub(super) struct Topic {
    pub(super) hosted: RefCell<HostedPartition>,
    pub(super) ledger: RefCell<Ledger>,
    pub(super) duplicates: Cell<u64>,
    /// Damage was told of it: nothing is promised any more.
    pub(super) given_up: Cell<bool>,
    /// Reads that met a fenced range.
    pub(super) fenced: Cell<u64>,
    producer: Option<ProducerId>,
    big: bool,
    /// How many keys its records have, if they have keys: those of a compacted topic.
    keys: Option<u64>,
    value_bytes_max: u64,
    /// One value in so many is larger than usual.
    large_every: u64,
    next_sequence: Cell<i32>,
    orders: RefCell<VecDeque<Order>>,
    ordered: Signal,
    unanswered: RefCell<VecDeque<Sent>>,
    answered: RefCell<VecDeque<Sent>>,
}

/// What a client finds: nothing wrong, or what.
pub(super) type Finding = Result<(), String>;

impl Topic {
    pub(super) fn new(plan: &TopicPlan) -> Topic {
        let settings = &plan.hosted.settings;
        let fifth = u64::from(settings.segment_bytes / 5);
        Topic {
            ledger: RefCell::new(Ledger::new(settings)),
            hosted: RefCell::new(plan.hosted.clone()),
            duplicates: Cell::new(0),
            given_up: Cell::new(false),
            fenced: Cell::new(0),
            producer: plan.producer,
            big: plan.big,
            keys: plan.keys,
            value_bytes_max: if plan.extents {
                fifth.min(VALUE_BYTES_EXTENT)
            } else {
                fifth.min(VALUE_BYTES_MAX)
            },
            large_every: if plan.extents { 2 } else { 8 },
            next_sequence: Cell::new(0),
            orders: RefCell::default(),
            ordered: Signal::new(),
            unanswered: RefCell::default(),
            answered: RefCell::default(),
        }
    }

    /// Another retention, and of a topic whose records have keys another cleanup, from now on.
    pub(super) fn alter(&self, shard: &Shard<SimDisk>, random: &mut Random) {
        let settings = {
            let mut hosted = self.hosted.borrow_mut();
            alter(&mut hosted.settings, self.keys.is_some(), random);
            hosted.settings.clone()
        };
        self.ledger.borrow_mut().alter(&settings);
        shard.update(self.key(), settings);
    }

    pub(super) fn key(&self) -> PartitionKey {
        self.hosted.borrow().key
    }

    fn is_relaxed(&self) -> bool {
        self.hosted.borrow().settings.is_relaxed()
    }

    /// What a crash means to the clients: an idempotent one will send again what was not answered,
    /// the other will never know.
    pub(super) fn crashed(&self, power: bool) {
        self.orders.borrow_mut().clear();
        if self.producer.is_none() {
            self.unanswered.borrow_mut().clear();
        }
        self.ledger.borrow_mut().begin_life();
        if power && self.is_relaxed() {
            self.ledger.borrow_mut().forgive();
            self.hosted.borrow_mut().leader_epoch.0 += 1;
        }
    }

    /// Has the producer send some batches, drawn from `draw`.
    pub(super) fn order(&self, batches: usize, draw: u64) {
        self.orders.borrow_mut().push_back(Order::Batches(batches, draw));
        self.ordered.notify();
    }

    /// Has an idempotent producer send a batch again that was acknowledged.
    pub(super) fn order_again(&self, back: usize) {
        self.orders.borrow_mut().push_back(Order::Again(back));
        self.ordered.notify();
    }

    fn next_batch(&self, world: &World, random: &mut Random) -> Sent {
        let mut builder = BatchBuilder::new(match self.keys {
            Some(_) if random.within(0..4) == 0 => CODECS[random.index(CODECS.len())],
            _ => Codec::None,
        });
        let records = random.within(1..5) as i64;
        if let Some(id) = self.producer {
            let sequence = self.next_sequence.replace(self.next_sequence.get() + records as i32);
            builder.set_producer(id, ProducerEpoch(0), sequence);
        }
        let time = world.now().wall.0;
        for n in 0..records {
            let len = match self.big {
                true if n == 0 && random.within(0..8) == 0 => BIG_BYTES as usize,
                _ if random.within(0..self.large_every) == 0 => {
                    random.within(0..self.value_bytes_max) as usize
                }
                _ => random.within(0..VALUE_BYTES_USUAL) as usize,
            };
            let value = vec![random.bits() as u8; len];
            match self.keys {
                None => builder.push(time, None, Some(&value), &[]),
                Some(keys) => {
                    let key = random.within(0..keys).to_be_bytes();
                    let is_tombstone = random.within(0..TOMBSTONE_EVERY) == 0;
                    builder.push(time, Some(&key), Some(&value[..]).filter(|_| !is_tombstone), &[]);
                }
            }
        }
        Sent { bytes: builder.finish(), records, time, base: None }
    }

    /// Appends bytes that are no producer's batch: what groups store. Gives the ticket to wait for.
    pub(super) async fn store(
        &self,
        world: &World,
        shard: &Shard<SimDisk>,
        bytes: Vec<u8>,
        records: i64,
    ) -> Result<Option<(Ticket, Offset)>, String> {
        let mut sent = Sent { bytes, records, time: world.now().wall.0, base: None };
        let ticket = self.send(world, shard, &mut sent).await?;
        Ok(ticket.zip(sent.base))
    }

    /// Sends one batch and notes where it went. `None` when the machine cannot take it any more.
    async fn send(
        &self,
        world: &World,
        shard: &Shard<SimDisk>,
        sent: &mut Sent,
    ) -> Result<Option<Ticket>, String> {
        let key = self.key();
        let appended = loop {
            match shard.append(world.now(), key, &sent.bytes) {
                Ok(appended) => break appended,
                Err(AppendError::NoRoom) => shard.room().await,
                Err(
                    error @ (AppendError::UnknownPartition
                    | AppendError::LargerThanSegment { .. }
                    | AppendError::Producer(_)),
                ) => return Err(format!("{key}: an append failed: {error}")),
                // The machine says that it can keep nothing now.
                Err(_) => return Ok(None),
            }
        };
        let base = appended.base_offset;
        world.note(&[1, base.0 as u64, sent.bytes.len() as u64], || {
            format!("{key} takes {} records, {} bytes, at {base}", sent.records, sent.bytes.len())
        });
        let mut ledger = self.ledger.borrow_mut();
        let repeated = self.producer.is_some() && sent.base.is_some_and(|old| ledger.holds(old.0));
        if repeated {
            // It is in the log already, so the answer must be its old place.
            self.duplicates.set(self.duplicates.get() + 1);
            if sent.base != Some(base) {
                return Err(format!("{key}: a batch at {:?} was sent again and went to {base}", sent.base));
            }
        } else {
            let epoch = self.hosted.borrow().leader_epoch;
            let mut bytes = sent.bytes.clone();
            BatchHeader::peek_mut(&mut bytes).expect("a batch has a header").stamp(base, epoch);
            ledger.told_time(world.believable());
            ledger.give(base, sent.records, bytes, epoch, sent.time).map_err(|e| format!("{key}: {e}"))?;
            sent.base = Some(base);
        }
        Ok(Some(appended.ticket))
    }

    /// The producer: what was sent before the last crash first, in its old order; then its orders.
    pub(super) async fn produce(self: Rc<Self>, world: World, shard: Shard<SimDisk>) -> Finding {
        let mut resend = self.unanswered.borrow().len();
        loop {
            let wait = self.ordered.wait();
            let order = if resend > 0 { None } else { self.orders.borrow_mut().pop_front() };
            match order {
                None if resend == 0 => {
                    wait.await;
                    continue;
                }
                Some(Order::Again(back)) => {
                    if !self.send_again(&world, &shard, back).await? {
                        return Ok(());
                    }
                    continue;
                }
                Some(Order::Batches(batches, draw)) => {
                    let mut random = Random::new(draw);
                    // One that is larger than any buffer goes alone: its frame fits the small journals of
                    // these worlds.
                    for _ in 0..if self.big { 1 } else { batches } {
                        let batch = self.next_batch(&world, &mut random);
                        self.unanswered.borrow_mut().push_back(batch);
                    }
                }
                None => resend = 0,
            }
            if !self.send_all(&world, &shard).await? {
                return Ok(());
            }
        }
    }

    /// Sends what has no answer and waits for all of them. False when the machine takes no more.
    async fn send_all(&self, world: &World, shard: &Shard<SimDisk>) -> Result<bool, String> {
        let mut tickets = Vec::new();
        let count = self.unanswered.borrow().len();
        for i in 0..count {
            let mut sent = self.unanswered.borrow()[i].clone();
            let ticket = self.send(world, shard, &mut sent).await?;
            self.unanswered.borrow_mut()[i] = sent.clone();
            let Some(ticket) = ticket else { return Ok(false) };
            tickets.push(ticket);
            if self.producer.is_some() && sent.bytes.len().is_multiple_of(10) {
                // A client that lost patience sends the same once more.
                self.send(world, shard, &mut sent).await?;
            }
        }
        for ticket in tickets {
            if shard.until_durable(ticket).await.is_err() {
                return Ok(false);
            }
            let sent = self.unanswered.borrow_mut().pop_front().expect("one answer for each batch sent");
            let base = sent.base.expect("an answer has an offset");
            world.note(&[2, base.0 as u64], || format!("{} acknowledges {base}", self.key()));
            self.ledger.borrow_mut().acknowledge(base);
            let mut answered = self.answered.borrow_mut();
            answered.push_back(sent);
            if answered.len() > REMEMBERED {
                answered.pop_front();
            }
        }
        Ok(true)
    }

    async fn send_again(&self, world: &World, shard: &Shard<SimDisk>, back: usize) -> Result<bool, String> {
        if self.producer.is_none() {
            return Ok(true);
        }
        let Some(mut sent) = self.answered.borrow().iter().rev().nth(back).cloned() else { return Ok(true) };
        let Some(ticket) = self.send(world, shard, &mut sent).await? else { return Ok(false) };
        Ok(shard.until_durable(ticket).await.is_ok())
    }

    /// One read of a consumer, somewhere in the log.
    pub(super) async fn consume(
        self: Rc<Self>,
        world: World,
        shard: Shard<SimDisk>,
        at_ppm: u64,
        max_bytes: usize,
    ) -> Finding {
        let key = self.key();
        let told = |e: String| format!("{key}: {e}");
        let Ok(bounds) = shard.bounds(key) else { return Ok(()) };
        self.ledger.borrow_mut().bounded(bounds.log_start, bounds.high_watermark).map_err(told)?;
        let (start, end) = (bounds.log_start.0, bounds.high_watermark.0);
        if start == end {
            return Ok(());
        }
        let from = start + ((end - start) as u64 * at_ppm / 1_000_000) as i64;
        let began = self.ledger.borrow_mut().begin_read();
        match shard.read(key, Offset(from), max_bytes, true).await {
            Ok(fetched) => {
                let high_watermark = fetched.bounds.high_watermark.0;
                world.note(&[3, from as u64, fetched.bytes as u64], || {
                    format!("{key} shows {} bytes from {from}, below {high_watermark}", fetched.bytes)
                });
                let bytes = joined::<SimDisk>(&fetched);
                let mut ledger = self.ledger.borrow_mut();
                ledger.told_time(world.believable());
                ledger.show(began, from, high_watermark, &bytes).map_err(told)?;
            }
            // Retention was faster.
            Err(FetchError::OutOfRange(now)) if now.log_start.0 > from => {}
            Err(FetchError::Disk(_)) if world.has_errors() => {}
            Err(FetchError::Fenced(range)) => self.meet(&world, &range).map_err(told)?,
            Err(FetchError::Damaged(_)) if self.is_damaged(&world) => {}
            Err(error) => return Err(format!("{key}: a read at {from} of {start}..{end} failed: {error}")),
        }
        Ok(())
    }

    /// A client raises the log start, to somewhere in the log or to all that is visible.
    pub(super) async fn delete(self: Rc<Self>, world: World, shard: Shard<SimDisk>, at_ppm: u64) -> Finding {
        let key = self.key();
        let Ok(bounds) = shard.bounds(key) else { return Ok(()) };
        let (start, end) = (bounds.log_start.0, bounds.high_watermark.0);
        let asked = Offset(start + ((end - start) as u64 * at_ppm / 1_000_000) as i64);
        let before = (asked < bounds.high_watermark).then_some(asked);
        self.ledger.borrow_mut().ask_start(asked, before.is_none());
        let answer = shard.delete_records(&[DeleteRecords { key, before }]).await.pop();
        match answer.expect("an answer for the one that was asked") {
            Ok(start) => {
                world.note(&[4, start.0 as u64], || format!("{key} starts at {start}"));
                self.ledger.borrow_mut().promise_start(asked, start).map_err(|e| format!("{key}: {e}"))
            }
            Err(DeleteRecordsError::Offline) => Ok(()),
            Err(error) => Err(format!("{key}: deleting below {asked} of {start}..{end} failed: {error}")),
        }
    }

    /// Reads the whole partition and compares it with what was promised, as after every recovery.
    pub(super) async fn verify(self: Rc<Self>, world: World, shard: Shard<SimDisk>) -> Finding {
        let key = self.key();
        let told = |e: String| format!("{key} after recovery: {e}");
        let bounds = shard.bounds(key).map_err(|e| told(e.to_string()))?;
        {
            let mut ledger = self.ledger.borrow_mut();
            ledger.ends_at(bounds.log_start, bounds.high_watermark).map_err(told)?;
            ledger.starts_at(bounds.log_start).map_err(told)?;
        }
        let (mut next, mut waits) = (bounds.log_start.0, 0);
        while next < bounds.high_watermark.0 {
            let epoch = shard.epoch_at(key, Offset(next));
            let written = self.ledger.borrow().epoch_of(next);
            if epoch != written {
                return Err(told(format!("offset {next} is of epoch {epoch:?}, written under {written:?}")));
            }
            let began = self.ledger.borrow_mut().begin_read();
            let fetched = match shard.read(key, Offset(next), 100_000, true).await {
                Ok(fetched) => fetched,
                Err(FetchError::Fenced(range)) if waits < WAITS_MAX && self.is_passing(&world, &range) => {
                    // The disk works again, and that is tried after a while.
                    waits += 1;
                    let until = range.found_at.0 + UNREADABLE_AGAIN_MS - world.now().wall.0;
                    world.skip(Duration::from_millis(u64::try_from(until).unwrap_or(1)));
                    shard.tick(world.now());
                    continue;
                }
                Err(FetchError::Fenced(range)) => {
                    self.meet(&world, &range).map_err(told)?;
                    next = range.end.0;
                    continue;
                }
                Err(error) => return Err(told(error.to_string())),
            };
            let bytes = joined::<SimDisk>(&fetched);
            let shown = self.ledger.borrow_mut().show(began, next, bounds.high_watermark.0, &bytes);
            next = shown.map_err(told)?;
        }
        // Who asks for a time is not told of what is fenced.
        if self.is_damaged(&world) {
            return Ok(());
        }
        self.ledger.borrow().read_whole().map_err(told)?;
        self.verify_times(&world, &shard).await.map_err(told)
    }

    /// Whether any of its files was damaged.
    pub(super) fn is_damaged(&self, world: &World) -> bool {
        let dir = atlas::dir_of(&self.key());
        world.is_damaged(|name| name.starts_with(&dir))
    }

    /// Whether a range is fenced only because the disk gave an error once.
    fn is_passing(&self, world: &World, range: &DamagedRange) -> bool {
        range.cause == Cause::Unreadable && world.has_errors() && !self.is_damaged(world)
    }

    /// A reader is told that a range is fenced: it must hold damage, and little else.
    fn meet(&self, world: &World, range: &DamagedRange) -> Finding {
        self.fenced.set(self.fenced.get() + 1);
        world.note(&[12, range.first.0 as u64, range.end.0 as u64], || {
            format!("{} fences {} to {}: {}", self.key(), range.first, range.end, range.cause.name())
        });
        if self.is_passing(world, range) {
            return Ok(());
        }
        let most = {
            let interval = u64::from(self.hosted.borrow().settings.index_interval_bytes);
            interval + 2 * self.ledger.borrow().largest()
        };
        atlas::judge(world, &self.key(), range, most)
    }

    /// Asks for an offset by time and compares it with what was written.
    async fn verify_times(&self, world: &World, shard: &Shard<SimDisk>) -> Finding {
        let times = self.ledger.borrow().times();
        if times.is_empty() {
            return Ok(());
        }
        let time =
            times[world.random(|r| r.index(times.len()))] + world.random(|r| r.within(0..3)) as i64 - 1;
        let found = shard.offset_for_time(self.key(), WallMs(time).0).await.map_err(|e| e.to_string())?;
        let (found, expected) = (found.map(|f| f.offset.0), self.ledger.borrow().offset_since(time));
        if found == expected {
            return Ok(());
        }
        Err(format!("the first offset of time {time} is told as {found:?}, it is {expected:?}"))
    }
}
