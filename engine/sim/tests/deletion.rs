//! Deleted files: their names go at once, their bytes slowly, whatever happens meanwhile.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{HostedPartition, Shard, ShardSettings, SpaceLimits, recover};
use engine::config::TopicSettings;
use engine::io::{Disk, FileName, Open};
use engine::record::{BatchBuilder, Codec};
use sim::{SimDisk, World};

const MIB: u64 = 1 << 20;

/// What a step gives back.
const STEP: u64 = 2 * MIB;

/// Segments, and how many there are in the end: more than are kept for reuse.
const SEGMENT: u64 = 24 * MIB;
const SEGMENTS: usize = 8;
const KEPT: usize = 4;

const TICK: Duration = Duration::from_millis(50);

fn key() -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 0 }
}

fn settings() -> TopicSettings {
    TopicSettings { segment_bytes: SEGMENT as u32, retention_ms: None, ..TopicSettings::default() }
}

async fn open(world: &World, floor: u64) -> Shard<SimDisk> {
    let disk = world.disk(8 << 20);
    let hosted =
        HostedPartition { key: key(), core: CoreId(0), leader_epoch: LeaderEpoch(0), settings: settings() };
    let mut recovered = recover(&disk, &[hosted], 1, world.now()).await.expect("recovery");
    let space = SpaceLimits { floor: Some(floor), ballast: 0, shards: 1 };
    let settings = ShardSettings {
        journal_bytes: 4 * MIB,
        journal_bytes_first: 4 * MIB,
        space,
        ..ShardSettings::default()
    };
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    shard
}

async fn fill(world: &World, shard: &Shard<SimDisk>) {
    let value = vec![7; 1 << 20];
    for n in 0..SEGMENTS as u64 * (SEGMENT / MIB) {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1_000, None, Some(&value), &[]);
        let batch = builder.finish();
        let appended = loop {
            match shard.append(world.now(), key(), &batch) {
                Ok(appended) => break appended,
                Err(_) => world.sleep(Duration::from_millis(1)).await,
            }
        };
        shard.until_durable(appended.ticket).await.expect("online");
        if n % 8 == 0 {
            shard.tick(world.now());
        }
    }
}

/// Everything is written to segments and goes for its size.
async fn delete_all(world: &World, shard: &Shard<SimDisk>) {
    shard.update(key(), TopicSettings { retention_bytes: Some(0), ..settings() });
    for _ in 0..10 {
        shard.housekeep(world.now()).await;
        world.sleep(Duration::from_millis(200)).await;
    }
}

async fn logs(world: &World) -> usize {
    let entries = world.disk(1 << 20).list(&FileName::partition_dir(key())).await.expect("listed");
    entries.iter().filter(|e| e.name.base().ends_with(".log") && e.len > 0).count()
}

async fn of_core(world: &World, prefix: &str) -> (usize, u64) {
    let entries = world.disk(1 << 20).list(&FileName::core_dir(CoreId(0))).await.expect("listed");
    let found: Vec<u64> =
        entries.iter().filter(|e| e.name.base().starts_with(prefix)).map(|e| e.len).collect();
    (found.len(), found.iter().sum())
}

#[test]
fn names_go_at_once_and_bytes_a_step_with_each_tick() {
    let world = World::new(1);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 0).await;
        fill(&inner, &shard).await;
        assert!(logs(&inner).await > KEPT + 2);
        delete_all(&inner, &shard).await;
        assert_eq!(logs(&inner).await, 0);
        assert_eq!(of_core(&inner, "free-").await.0, KEPT);
        // Without a tick only the first step was taken.
        let (_, before) = of_core(&inner, "dead-").await;
        assert_eq!(before, shard.stats().deleted_bytes);
        assert!(before > 2 * STEP, "{before} bytes wait");
        let mut left = before;
        while left > 0 {
            shard.tick(inner.now());
            inner.sleep(TICK).await;
            let (_, now) = of_core(&inner, "dead-").await;
            assert!(now < left && left - now <= STEP, "{left} then {now}");
            left = now;
        }
        assert_eq!((of_core(&inner, "dead-").await.0, shard.stats().deleted_bytes), (0, 0));
    });
}

#[test]
fn while_nobody_writes_all_of_it_goes_without_a_pause() {
    let world = World::new(2);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 0).await;
        fill(&inner, &shard).await;
        delete_all(&inner, &shard).await;
        let (_, before) = of_core(&inner, "dead-").await;
        assert!(before > 2 * STEP, "{before} bytes wait");
        shard.set_quiet(true);
        shard.tick(inner.now());
        inner.sleep(Duration::from_secs(1)).await;
        assert_eq!(of_core(&inner, "dead-").await.0, 0, "one tick is enough");
    });
}

#[test]
fn the_next_start_goes_on_after_a_power_cut() {
    for seed in 0..6 {
        let world = World::new(seed);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 0).await;
            fill(&inner, &shard).await;
            delete_all(&inner, &shard).await;
        });
        world.crash();
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 0).await;
            assert_eq!(shard.bounds(key()).expect("hosted").log_start, Offset(192));
            // Names that the cut brought back below the log's start are swept by retention.
            for _ in 0..100 {
                shard.tick(inner.now());
                shard.housekeep(inner.now()).await;
                inner.sleep(TICK).await;
            }
            assert_eq!((logs(&inner).await, of_core(&inner, "dead-").await.0), (0, 0), "seed {seed}");
        });
    }
}

#[test]
fn a_disk_that_is_nearly_full_gets_all_of_it_at_once() {
    let world = World::new(3);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 8 * MIB).await;
        fill(&inner, &shard).await;
        let used = inner.used();
        inner.faults(|f| f.capacity = Some(used + 4 * MIB));
        shard.look_at_space(inner.now()).await.expect("a disk that works");
        delete_all(&inner, &shard).await;
        assert_eq!((logs(&inner).await, of_core(&inner, "dead-").await.0), (0, 0));
        assert!(inner.used() < used - 6 * SEGMENT);
    });
}

/// Writes a file as a broker would have that is not there any more.
async fn leave(world: &World, name: &FileName, bytes: u64) {
    let disk = world.disk(1 << 20);
    disk.make_dir(&name.parent().expect("a directory")).await.expect("made");
    let file = disk.open(name, Open::OrCreate).await.expect("opened");
    disk.allocate(&file, bytes).await.expect("allocated");
    disk.flush(&file).await.expect("flushed");
}

#[test]
fn what_an_earlier_life_left_of_a_deleted_topic_goes_slowly_and_what_is_only_unknown_stays() {
    let world = World::new(5);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 0).await;
        let topic = |n| TopicId(uuid::Uuid::from_u128(n));
        let log = |n: u128, index: i32| {
            FileName::partition_dir(PartitionKey { topic: topic(n), index }).join("00000000000000000000.log")
        };
        let stranger = FileName::topic_dir(topic(3)).join("notes");
        leave(&inner, &log(1, 0), 3 * STEP).await;
        leave(&inner, &log(1, 1), 1000).await;
        leave(&inner, &log(2, 0), 1000).await;
        leave(&inner, &log(3, 0), 1000).await;
        leave(&inner, &stranger, 1000).await;
        // One of them left nothing.
        shard.bury_topics(&[topic(1), topic(3), topic(4)]).await.expect("a disk that works");
        let topics = || async {
            let disk = inner.disk(1 << 20);
            let entries = disk.list(&FileName::new("topics")).await.expect("listed");
            entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        assert_eq!(topics().await, [FileName::topic_dir(topic(2)), FileName::topic_dir(topic(3))]);
        let disk = inner.disk(1 << 20);
        let left = disk.list(&FileName::topic_dir(topic(3))).await.expect("listed");
        assert_eq!(left.into_iter().map(|entry| entry.name).collect::<Vec<_>>(), [stranger]);
        let (_, before) = of_core(&inner, "dead-").await;
        assert!(before >= 2 * STEP, "{before} bytes wait");
        for _ in 0..4 {
            shard.tick(inner.now());
            inner.sleep(TICK).await;
        }
        assert_eq!(of_core(&inner, "dead-").await.0, 0);
    });
}

#[test]
fn the_last_partition_of_a_topic_takes_its_directory_along() {
    let world = World::new(6);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 0).await;
        fill(&inner, &shard).await;
        assert!(logs(&inner).await > 0);
        shard.delete(key()).await.expect("a disk that works");
        let topics = inner.disk(1 << 20).list(&FileName::new("topics")).await.expect("listed");
        assert_eq!(topics, []);
    });
}
