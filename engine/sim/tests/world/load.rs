//! What runs on the machine while it lives: producers, idempotent or not, consumers, clocks.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{LeaderEpoch, Offset, PartitionKey, ProducerEpoch, ProducerId};
use engine::broker::{AppendError, DeleteRecords, DeleteRecordsError, HostedPartition, Shard};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::{Random, SimDisk, World};

use crate::ledger::{Ledger, joined};

/// Batches that one producer has in flight at most, as Kafka's.
const IN_FLIGHT: usize = 5;

/// Values are shorter than this, bytes, now and then …
const VALUE_BYTES_MAX: u64 = 2500;

/// … or than this where batches are to become extents …
const VALUE_BYTES_EXTENT: u64 = 30_000;

/// … and usually than this.
const VALUE_BYTES_USUAL: u64 = 300;

/// Records are deleted this often at most, µs.
const DELETE_EVERY_US: u64 = 60_000;

/// A batch that a producer sent and has no answer to.
#[derive(Clone)]
struct Sent {
    bytes: Vec<u8>,
    records: i64,
    /// Where it was put by an append whose acknowledgement never came.
    base: Option<Offset>,
}

/// A partition as its clients see it. It outlives the machine's lives.
pub(crate) struct Topic {
    pub(crate) hosted: RefCell<HostedPartition>,
    pub(crate) ledger: RefCell<Ledger>,
    producer: Option<ProducerId>,
    next_sequence: Cell<i32>,
    unanswered: RefCell<VecDeque<Sent>>,
    /// A batch of this size comes now and then, larger than any buffer; such a topic has only one
    /// batch in flight, so that a frame fits the small journals of these worlds.
    big_bytes: Option<usize>,
    value_bytes_max: u64,
    /// A client deletes records now and then.
    deletes: bool,
    pub(crate) duplicates: Cell<u64>,
}

/// The first thing that was wrong.
pub(crate) type Verdict = Rc<RefCell<Option<String>>>;

impl Topic {
    pub(crate) fn new(
        hosted: HostedPartition,
        producer: Option<ProducerId>,
        big_bytes: Option<usize>,
        extents: bool,
        deletes: bool,
    ) -> Topic {
        let ledger = RefCell::new(Ledger::new(hosted.settings.retention_bytes));
        Topic {
            hosted: RefCell::new(hosted),
            ledger,
            producer,
            next_sequence: Cell::new(0),
            unanswered: RefCell::default(),
            big_bytes,
            value_bytes_max: if extents { VALUE_BYTES_EXTENT } else { VALUE_BYTES_MAX },
            deletes,
            duplicates: Cell::new(0),
        }
    }

    pub(crate) fn key(&self) -> PartitionKey {
        self.hosted.borrow().key
    }

    pub(crate) fn is_relaxed(&self) -> bool {
        self.hosted.borrow().settings.is_relaxed()
    }

    /// What a crash means to the clients: an idempotent one will send again what was not answered,
    /// the other will never know.
    pub(crate) fn crashed(&self, power: bool) {
        if self.producer.is_none() {
            self.unanswered.borrow_mut().clear();
        }
        if power && self.is_relaxed() {
            self.ledger.borrow_mut().forgive();
            self.hosted.borrow_mut().leader_epoch.0 += 1;
        }
    }

    fn next_batch(&self, world: &World, random: &mut Random) -> Sent {
        let mut builder = BatchBuilder::new(Codec::None);
        let records = random.within(1..5) as i64;
        if let Some(id) = self.producer {
            let sequence = self.next_sequence.replace(self.next_sequence.get() + records as i32);
            builder.set_producer(id, ProducerEpoch(0), sequence);
        }
        for n in 0..records {
            let len = match self.big_bytes {
                Some(big) if n == 0 && random.within(0..8) == 0 => big,
                _ if random.within(0..8) == 0 => random.within(0..self.value_bytes_max) as usize,
                _ => random.within(0..VALUE_BYTES_USUAL) as usize,
            };
            let value = vec![random.bits() as u8; len];
            builder.push(world.now().wall.0, None, Some(&value), &[]);
        }
        Sent { bytes: builder.finish(), records, base: None }
    }
}

fn stamped(bytes: &[u8], base: Offset, epoch: LeaderEpoch) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    BatchHeader::peek_mut(&mut bytes).expect("a batch has a header").stamp(base, epoch);
    bytes
}

/// Sends one batch and notes where it went. `None` when the machine cannot take it any more.
async fn send(
    world: &World,
    shard: &Shard<SimDisk>,
    topic: &Topic,
    sent: &mut Sent,
) -> Result<Option<u64>, String> {
    let appended = loop {
        match shard.append(world.now(), topic.key(), &sent.bytes) {
            Ok(appended) => break appended,
            Err(AppendError::NoRoom) => shard.room().await,
            Err(AppendError::Offline) => return Ok(None),
            Err(error) => return Err(format!("{}: an append failed: {error}", topic.key())),
        }
    };
    let base = appended.base_offset;
    let mut ledger = topic.ledger.borrow_mut();
    let repeated = topic.producer.is_some() && sent.base.is_some_and(|old| ledger.holds(old.0));
    if repeated {
        // It is in the log already, so the answer must be its old place.
        topic.duplicates.set(topic.duplicates.get() + 1);
        if sent.base != Some(base) {
            return Err(format!("{}: batch at {:?} sent again went to {base}", topic.key(), sent.base));
        }
    } else {
        let epoch = topic.hosted.borrow().leader_epoch;
        ledger
            .give(base, sent.records, stamped(&sent.bytes, base, epoch))
            .map_err(|e| format!("{}: {e}", topic.key()))?;
        sent.base = Some(base);
    }
    Ok(Some(appended.ticket.0))
}

async fn produce(
    world: World,
    shard: Shard<SimDisk>,
    topic: Rc<Topic>,
    mut random: Random,
) -> Result<(), String> {
    loop {
        // What was sent before the last crash goes first, in its old order.
        let mut tickets = Vec::new();
        let resend = topic.unanswered.borrow().len();
        let at_once =
            if topic.big_bytes.is_some() { 1 } else { random.within(1..IN_FLIGHT as u64 + 1) as usize };
        let fresh = at_once.saturating_sub(resend);
        for i in 0..resend + fresh {
            if i >= resend {
                let batch = topic.next_batch(&world, &mut random);
                topic.unanswered.borrow_mut().push_back(batch);
            }
            let mut sent = topic.unanswered.borrow()[i].clone();
            let ticket = send(&world, &shard, &topic, &mut sent).await?;
            topic.unanswered.borrow_mut()[i] = sent.clone();
            let Some(ticket) = ticket else { return Ok(()) };
            tickets.push(ticket);
            if topic.producer.is_some() && random.within(0..10) == 0 {
                // A client that lost patience sends the same once more.
                send(&world, &shard, &topic, &mut sent).await?;
            }
        }
        for ticket in tickets {
            if shard.until_durable(engine::broker::Ticket(ticket)).await.is_err() {
                return Ok(());
            }
            let sent = topic.unanswered.borrow_mut().pop_front().expect("one answer for each batch sent");
            topic.ledger.borrow_mut().acknowledge(sent.base.expect("an answer has an offset"));
        }
        world.sleep(Duration::from_micros(random.within(0..4000))).await;
    }
}

async fn consume(
    world: World,
    shard: Shard<SimDisk>,
    topic: Rc<Topic>,
    mut random: Random,
) -> Result<(), String> {
    loop {
        world.sleep(Duration::from_micros(random.within(1..8000))).await;
        let key = topic.key();
        let Ok(bounds) = shard.bounds(key) else { return Ok(()) };
        let (start, end) = (bounds.log_start.0, bounds.high_watermark.0);
        if start == end {
            continue;
        }
        let from = random.within(start as u64..end as u64) as i64;
        let max_bytes = random.within(1..60_000) as usize;
        match shard.read(key, Offset(from), max_bytes, true).await {
            Ok(fetched) => {
                let high_watermark = fetched.bounds.high_watermark.0;
                let mut ledger = topic.ledger.borrow_mut();
                ledger
                    .show(from, high_watermark, &joined::<SimDisk>(&fetched))
                    .map_err(|e| format!("{key}: {e}"))?;
            }
            // Retention was faster.
            Err(engine::broker::FetchError::OutOfRange(now)) if now.log_start.0 > from => {}
            Err(error) => return Err(format!("{key}: a read at {from} of {start}..{end} failed: {error}")),
        }
    }
}

/// Raises the log start now and then, to anywhere in the log or to all that is visible.
async fn delete(
    world: World,
    shard: Shard<SimDisk>,
    topic: Rc<Topic>,
    mut random: Random,
) -> Result<(), String> {
    loop {
        world.sleep(Duration::from_micros(random.within(1..DELETE_EVERY_US))).await;
        let key = topic.key();
        let Ok(bounds) = shard.bounds(key) else { return Ok(()) };
        let (start, end) = (bounds.log_start.0 as u64, bounds.high_watermark.0 as u64);
        let asked = Offset(random.within(start..end + 1) as i64);
        let before = (asked < bounds.high_watermark).then_some(asked);
        topic.ledger.borrow_mut().ask_start(asked);
        let answer = shard.delete_records(&[DeleteRecords { key, before }]).await.pop();
        match answer.expect("an answer for the one that was asked") {
            Ok(start) => {
                let mut ledger = topic.ledger.borrow_mut();
                ledger.promise_start(asked, start).map_err(|e| format!("{key}: {e}"))?;
            }
            Err(DeleteRecordsError::Offline) => return Ok(()),
            Err(error) => {
                return Err(format!("{key}: deleting below {asked} of {start}..{end} failed: {error}"));
            }
        }
    }
}

/// Starts a life: the jobs of every shard, and the clients of every topic.
pub(crate) fn start(world: &World, shards: &[Shard<SimDisk>], topics: &[Rc<Topic>], verdict: &Verdict) {
    for shard in shards {
        let (commits, writer, clock, time) = (shard.clone(), shard.clone(), shard.clone(), world.clone());
        world.spawn(async move { commits.run_commits().await });
        world.spawn(async move { writer.run_writer().await });
        world.spawn(async move {
            for beat in 1_u64.. {
                time.sleep(Duration::from_millis(20)).await;
                clock.tick(time.now());
                if beat % 5 == 0 {
                    clock.housekeep(time.now()).await;
                }
            }
        });
    }
    for topic in topics {
        let shard = &shards[usize::from(topic.hosted.borrow().core.0)];
        let chance = || world.random(Random::split);
        guard(world, verdict, produce(world.clone(), shard.clone(), topic.clone(), chance()));
        guard(world, verdict, consume(world.clone(), shard.clone(), topic.clone(), chance()));
        if topic.deletes {
            guard(world, verdict, delete(world.clone(), shard.clone(), topic.clone(), chance()));
        }
    }
}

fn guard(world: &World, verdict: &Verdict, client: impl Future<Output = Result<(), String>> + 'static) {
    let verdict = verdict.clone();
    world.spawn(async move {
        if let Err(error) = client.await {
            verdict.borrow_mut().get_or_insert(error);
        }
    });
}

/// Reads a whole partition and compares it with the ledger, as after every recovery.
pub(crate) async fn verify(shard: Shard<SimDisk>, topic: Rc<Topic>) -> Result<(), String> {
    let key = topic.key();
    let bounds = shard.bounds(key).map_err(|e| format!("{key}: {e}"))?;
    let told = |e: String| format!("{key} after recovery: {e}");
    topic.ledger.borrow_mut().ends_at(bounds.high_watermark).map_err(told)?;
    topic.ledger.borrow_mut().starts_at(bounds.log_start).map_err(told)?;
    let mut next = bounds.log_start.0;
    while next < bounds.high_watermark.0 {
        let fetched =
            shard.read(key, Offset(next), 100_000, true).await.map_err(|e| format!("{key}: {e}"))?;
        next = topic
            .ledger
            .borrow_mut()
            .show(next, bounds.high_watermark.0, &joined::<SimDisk>(&fetched))
            .map_err(told)?;
    }
    Ok(())
}
