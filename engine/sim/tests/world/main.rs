//! The first world: the log and the journal of a machine that keeps losing its power.
//!
//! One seed decides partitions, settings, load, the order of every task, every delay, every crash
//! and what it takes. After each recovery every acknowledged batch stands at its acknowledged
//! offset, byte for byte and in order; nothing that a consumer saw is gone; no offset was given
//! twice; what an idempotent producer sends again is not stored twice; a log start that a client was
//! told never goes back.
//!
//! A seed that fails is printed: `SIM_SEED=n cargo test -p sim --test world nothing` runs it alone.
//! `SIM_SEEDS=n` runs that many.

mod ledger;
mod load;

use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;

use engine::base::{CoreId, LeaderEpoch, PartitionKey, ProducerId, TopicId};
use engine::broker::{HostedPartition, Recovered, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::io::{BLOCK, IO_BYTES_MAX};
use load::{Topic, Verdict};
use sim::{Faults, Random, SimDisk, World};
use uuid::Uuid;

/// Seeds of an ordinary run; CI asks for more.
const SEEDS: u64 = 1000;

/// Seeds within which a broken flush must show.
const SEEDS_BROKEN: u64 = 60;

/// A record larger than any buffer.
const BIG_BYTES: u32 = IO_BYTES_MAX as u32 + 20_000;

/// Failures printed by seed and cause.
const FAILURES_SHOWN: usize = 20;

/// Room for a batch of values that become an extent.
const VALUES_BYTES_EXTENT: u32 = 128 * 1024;

const POOL_BYTES: usize = 16 * IO_BYTES_MAX;

/// What happened in a run, to show that it was no idle one.
#[derive(Default, Debug, Clone, Copy)]
struct Story {
    crashes: u64,
    recoveries_cut: u64,
    acknowledged: u64,
    read: u64,
    duplicates: u64,
    batches_lost: u64,
    writes_lost: u64,
    writes_torn: u64,
    names_lost: u64,
    retained: u64,
    deleted: u64,
    closes: u64,
    overlapped: u64,
    extents: u64,
    extents_read: u64,
    extents_torn: u64,
}

impl Story {
    fn add(&mut self, other: Story) {
        self.crashes += other.crashes;
        self.recoveries_cut += other.recoveries_cut;
        self.acknowledged += other.acknowledged;
        self.read += other.read;
        self.duplicates += other.duplicates;
        self.batches_lost += other.batches_lost;
        self.writes_lost += other.writes_lost;
        self.writes_torn += other.writes_torn;
        self.names_lost += other.names_lost;
        self.retained += other.retained;
        self.deleted += other.deleted;
        self.closes += other.closes;
        self.overlapped += other.overlapped;
        self.extents += other.extents;
        self.extents_read += other.extents_read;
        self.extents_torn += other.extents_torn;
    }
}

/// A machine, its partitions, and how it is set up.
struct Scene {
    world: World,
    topics: Vec<Rc<Topic>>,
    cores: u16,
    settings: ShardSettings,
    random: Random,
}

impl Scene {
    fn new(seed: u64, faults: &Faults) -> Scene {
        let mut random = Random::new(seed);
        let world = World::new(random.bits());
        world.faults(|f| *f = faults.clone());
        let cores = random.within(1..3) as u16;
        let topics = (0..random.within(1..6)).map(|n| Rc::new(Scene::topic(n, cores, &mut random))).collect();
        let journal_bytes_first = (512 * 1024) << random.within(0..2);
        let settings = ShardSettings {
            journal_bytes: journal_bytes_first << random.within(0..2),
            journal_bytes_first,
            journal_files: random.within(2..5) as usize,
            frame_bytes_early: [0, 1024, 64 * 1024][random.index(3)],
            extent_bytes_min: [BLOCK, 4 * BLOCK, IO_BYTES_MAX][random.index(3)],
            ..ShardSettings::default()
        };
        Scene { world, topics, cores, settings, random }
    }

    fn topic(n: u64, cores: u16, random: &mut Random) -> Topic {
        let segment_bytes = [16 * 1024, 64 * 1024, 1024 * 1024][random.index(3)];
        let relaxed = random.within(0..5) == 0;
        let settings = TopicSettings {
            segment_bytes,
            retention_bytes: random.coin().then_some(2 * u64::from(segment_bytes)),
            flush_messages: if relaxed { random.within(2..100) } else { 1 },
            index_interval_bytes: [512, 4096][random.index(2)],
            ..TopicSettings::default()
        };
        let key =
            PartitionKey { topic: TopicId(Uuid::from_u128(u128::from(n / 2) + 1)), index: (n % 2) as i32 };
        let hosted = HostedPartition {
            key,
            core: CoreId(random.index(usize::from(cores)) as u16),
            leader_epoch: LeaderEpoch(0),
            settings,
        };
        let producer = (!relaxed && random.coin()).then_some(ProducerId(100 + n as i64));
        let big = n == 0 && segment_bytes > BIG_BYTES && random.coin();
        let extents = segment_bytes > 2 * VALUES_BYTES_EXTENT && random.coin();
        let deletes = n % 3 == 1;
        Topic::new(hosted, producer, big.then_some(BIG_BYTES as usize), extents, deletes)
    }

    fn hosted(&self) -> Vec<HostedPartition> {
        self.topics.iter().map(|t| t.hosted.borrow().clone()).collect()
    }

    /// Recovers and opens every shard, as the server's start does.
    fn boot(&self, story: &mut Story) -> Result<Vec<Shard<SimDisk>>, String> {
        let (world, hosted, cores, settings) =
            (self.world.clone(), self.hosted(), self.cores, self.settings.clone());
        let (report, shards) = self.world.run_until(async move {
            let disk = world.disk(POOL_BYTES);
            let Recovered { cores, report } =
                recover(&disk, &hosted, cores, world.now()).await.map_err(|e| format!("recovery: {e}"))?;
            if report.frames_damaged > 0 || !report.partitions_damaged.is_empty() {
                return Err(format!("recovery takes a power cut for damage: {report:?}"));
            }
            let mut shards = Vec::new();
            for core in cores {
                let disk = world.disk(POOL_BYTES);
                let shard = Shard::open(disk, core, settings.clone(), world.now()).await;
                shards.push(shard.map_err(|e| format!("open: {e}"))?);
            }
            Ok((report, shards))
        })?;
        story.extents_read += report.extents_read;
        story.extents_torn += report.extents_torn;
        Ok(shards)
    }

    /// Cuts recoveries short, as often as chance wants.
    fn stumble(&mut self, story: &mut Story) {
        while self.random.within(0..3) == 0 {
            let (disk, hosted, cores, now) =
                (self.world.disk(POOL_BYTES), self.hosted(), self.cores, self.world.now());
            self.world.spawn(async move { drop(recover(&disk, &hosted, cores, now).await) });
            self.world.run_steps(self.random.within(1..60));
            self.world.crash();
            self.topics.iter().for_each(|t| t.crashed(true));
            story.recoveries_cut += 1;
        }
    }

    fn check(&self, shards: &[Shard<SimDisk>]) -> Result<(), String> {
        for topic in &self.topics {
            let shard = shards[usize::from(topic.hosted.borrow().core.0)].clone();
            let topic = topic.clone();
            self.world.run_until(async move { load::verify(shard, topic).await })?;
        }
        Ok(())
    }

    /// One life: boot, check, load, end in one of three ways.
    fn live(&mut self, story: &mut Story) -> Result<(), String> {
        self.stumble(story);
        let shards = self.boot(story)?;
        self.check(&shards)?;
        let verdict: Verdict = Rc::new(RefCell::new(None));
        load::start(&self.world, &shards, &self.topics, &verdict);
        self.world.run_steps(self.random.within(0..1500));
        if let Some(error) = verdict.borrow_mut().take() {
            return Err(error);
        }
        story.overlapped += shards.iter().map(|s| s.stats().commits_overlapped).sum::<u64>();
        story.extents += shards.iter().map(|shard| shard.stats().extents).sum::<u64>();
        let ending = self.random.within(0..10);
        if ending == 0 {
            for shard in shards {
                let now = self.world.now();
                self.world
                    .run_until(async move { shard.close(now).await })
                    .map_err(|e| format!("close: {e}"))?;
            }
            story.closes += 1;
        }
        let power = ending > 2;
        if power || ending == 0 {
            self.world.crash();
        } else {
            self.world.kill();
        }
        story.crashes += 1;
        self.topics.iter().for_each(|t| t.crashed(power));
        Ok(())
    }
}

fn run(seed: u64, faults: &Faults) -> Result<Story, String> {
    let mut scene = Scene::new(seed, faults);
    let mut story = Story::default();
    for _ in 0..scene.random.within(2..5) {
        scene.live(&mut story)?;
    }
    let shards = scene.boot(&mut story)?;
    scene.check(&shards)?;
    scene.world.kill();
    let counters = scene.world.counters();
    story.writes_lost = counters.writes_lost;
    story.writes_torn = counters.writes_torn;
    story.names_lost = counters.names_lost;
    for topic in &scene.topics {
        let ledger = topic.ledger.borrow();
        story.acknowledged += ledger.acknowledged;
        story.read += ledger.read;
        story.batches_lost += ledger.lost;
        story.retained += u64::from(ledger.moved() && !ledger.deleted());
        story.deleted += u64::from(ledger.deleted());
        story.duplicates += topic.duplicates.get();
    }
    Ok(story)
}

/// Runs seeds on all CPUs; the sum of their stories and each failure.
fn run_all(seeds: Range<u64>, faults: &Faults) -> (Story, Vec<(u64, String)>) {
    let next = Mutex::new(seeds);
    let result = Mutex::new((Story::default(), Vec::new()));
    let worker = || {
        loop {
            let Some(seed) = next.lock().ok().and_then(|mut seeds| seeds.next()) else { return };
            let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, faults)));
            let outcome = outcome.unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
            });
            let mut result = result.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match outcome {
                Ok(story) => result.0.add(story),
                Err(error) => result.1.push((seed, error)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn nothing_acknowledged_is_lost_whatever_the_seed() {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(SEEDS),
    };
    let single = seeds.end - seeds.start == 1;
    let (story, failures) = run_all(seeds.clone(), &Faults::default());
    println!("{} seeds: {story:?}", seeds.end - seeds.start);
    if let Some((seed, error)) = failures.first() {
        let seeds: Vec<u64> = failures.iter().map(|(seed, _)| *seed).take(FAILURES_SHOWN).collect();
        for (seed, error) in failures.iter().take(FAILURES_SHOWN) {
            println!("SIM_SEED={seed}: {error}");
        }
        panic!("{} seeds failed, the first {seeds:?}\nSIM_SEED={seed}: {error}", failures.len());
    }
    if !single {
        let proof =
            [story.crashes, story.recoveries_cut, story.duplicates, story.batches_lost, story.writes_lost];
        let more = [
            story.writes_torn,
            story.names_lost,
            story.retained,
            story.deleted,
            story.closes,
            story.overlapped,
            story.acknowledged,
            story.read,
            story.extents,
            story.extents_read,
            story.extents_torn,
        ];
        assert!(proof.iter().chain(&more).all(|n| *n > 0), "a world in which nothing happened: {story:?}");
    }
}

#[test]
fn a_broken_flush_is_caught() {
    let faults = Faults { broken_flush: true, ..Faults::default() };
    let (_, failures) = run_all(0..SEEDS_BROKEN, &faults);
    let gone = failures.iter().filter(|(_, error)| error.contains("is gone")).count();
    assert!(
        gone > 0,
        "{} of {SEEDS_BROKEN} seeds failed, none for a lost batch: {failures:?}",
        failures.len()
    );
}
