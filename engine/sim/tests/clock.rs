//! A wall clock that jumps: nothing is deleted for its age by it, whatever happens meanwhile.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{HostedPartition, Shard, ShardSettings, recover};
use engine::config::{CleanerSettings, Cleanup, TopicSettings};
use engine::io::{Disk, FileName};
use engine::record::{BatchBuilder, Codec};
use sim::{SimDisk, World};

const MIB: usize = 1 << 20;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn key() -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 0 }
}

fn retained() -> TopicSettings {
    TopicSettings { segment_bytes: 20_000, retention_ms: Some(7 * DAY as u64), ..TopicSettings::default() }
}

/// A shard with its jobs over what the disk holds, on a machine whose clock somebody keeps right or nobody does.
async fn open(world: &World, settings: TopicSettings, clock_synchronised: bool) -> Shard<SimDisk> {
    let disk = world.disk(8 * MIB);
    let hosted = HostedPartition { key: key(), core: CoreId(0), leader_epoch: LeaderEpoch(0), settings };
    let mut recovered = recover(&disk, &[hosted], 1, world.now()).await.expect("recovery");
    let bytes = MIB as u64;
    let settings = ShardSettings {
        journal_bytes: bytes,
        journal_bytes_first: bytes,
        clock_synchronised,
        ..ShardSettings::default()
    };
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    world.run_cleaner(&shard);
    world.run_clock(&shard, Duration::from_millis(50));
    shard
}

async fn produce(world: &World, shard: &Shard<SimDisk>, record: Option<&[u8]>, value: Option<&[u8]>) {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(world.now().wall.0, record, value, &[]);
    let appended = shard.append(world.now(), key(), &builder.finish()).expect("room");
    shard.until_durable(appended.ticket).await.expect("online");
}

/// Ten batches now, in several segments.
async fn fill(world: &World, shard: &Shard<SimDisk>) {
    for _ in 0..10 {
        produce(world, shard, None, Some(&[5; 6_000])).await;
    }
}

/// Rounds of retention, far enough apart for what one asks the next for; the log's start after them.
async fn retain(world: &World, shard: &Shard<SimDisk>) -> Offset {
    for _ in 0..8 {
        shard.remember_time(world.now()).await.expect("a disk that works");
        shard.housekeep(world.now()).await;
        world.sleep(Duration::from_secs(1)).await;
    }
    shard.bounds(key()).expect("hosted").log_start
}

fn is_held(world: &World, shard: &Shard<SimDisk>) -> bool {
    shard.clock_report(world.now()).held
}

#[test]
fn a_jump_deletes_nothing_until_it_is_accepted() {
    let world = World::new(1);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, retained(), true).await;
        fill(&inner, &shard).await;
        inner.jump(30 * DAY);
        assert_eq!(retain(&inner, &shard).await, Offset(0));
        assert!(is_held(&inner, &shard));
        // Records that come meanwhile carry the clock's time, and are no older for it.
        fill(&inner, &shard).await;
        assert_eq!(retain(&inner, &shard).await, Offset(0));
        shard.accept_clock(inner.now());
        assert!(!is_held(&inner, &shard));
        let start = retain(&inner, &shard).await;
        assert!(start > Offset(0) && start <= Offset(10), "{start}: the old ones and none of the new");
    });
}

#[test]
fn time_goes_on_under_a_jump_and_after_a_steady_day_it_is_believed() {
    let world = World::new(2);
    let inner = world.clone();
    world.run_until(async move {
        let settings = TopicSettings { retention_ms: Some(20 * HOUR as u64), ..retained() };
        let shard = open(&inner, settings, true).await;
        fill(&inner, &shard).await;
        inner.jump(30 * DAY);
        assert_eq!(retain(&inner, &shard).await, Offset(0));
        // What grew old in earnest goes, held or not.
        inner.skip(Duration::from_secs(20 * 3_600 + 60));
        assert_eq!(retain(&inner, &shard).await, Offset(10));
        assert!(is_held(&inner, &shard));
        inner.skip(Duration::from_secs(4 * 3_600));
        retain(&inner, &shard).await;
        assert!(!is_held(&inner, &shard));
        let now = inner.now();
        assert_eq!(shard.believed_time(now), now.wall);
    });
}

#[test]
fn a_clock_that_is_set_back_deletes_nothing_and_forward_again_nothing_early() {
    let world = World::new(3);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, retained(), true).await;
        fill(&inner, &shard).await;
        inner.jump(-30 * DAY);
        fill(&inner, &shard).await;
        assert_eq!(retain(&inner, &shard).await, Offset(0));
        assert!(!is_held(&inner, &shard));
        inner.jump(30 * DAY);
        // Those of the wrong month are a month old by their own account, and lie behind younger ones.
        assert_eq!(retain(&inner, &shard).await, Offset(0));
        assert!(!is_held(&inner, &shard), "it is where it was");
    });
}

/// What a start makes of `down` ms in which the machine was off, after a life that ended in a power cut.
fn held_after(down: i64, synchronised: bool, jumped_before: bool) -> bool {
    let world = World::new(4);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, retained(), synchronised).await;
        fill(&inner, &shard).await;
        inner.jump(if jumped_before { 30 * DAY } else { 0 });
        retain(&inner, &shard).await;
    });
    world.crash();
    // The monotonic clock begins anew with a process; here it stands still.
    world.jump(down);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, retained(), synchronised).await;
        let start = retain(&inner, &shard).await;
        let held = is_held(&inner, &shard);
        assert_eq!(start == Offset(0), held || down < 7 * DAY, "{down} ms down");
        held
    })
}

#[test]
fn a_start_after_a_downtime_is_no_jump_where_somebody_keeps_the_clock_right() {
    assert!(!held_after(30 * DAY, true, false));
    assert!(held_after(30 * DAY, false, false));
    assert!(!held_after(HOUR / 2, false, false));
}

#[test]
fn a_restart_accepts_no_jump() {
    assert!(held_after(HOUR / 2, true, true));
    assert!(held_after(HOUR / 2, false, true));
}

#[test]
fn a_time_that_cannot_be_read_back_is_none() {
    let world = World::new(5);
    let inner = world.clone();
    world.run_until(async move {
        inner.disk(MIB).replace(&FileName::new("clock"), b"version: 9\n".to_vec()).await.expect("written");
        let shard = open(&inner, retained(), false).await;
        fill(&inner, &shard).await;
        assert_eq!(retain(&inner, &shard).await, Offset(0));
        assert!(!is_held(&inner, &shard));
        let text = inner.disk(MIB).read_small(&FileName::new("clock"), 100).await.expect("read");
        assert!(text.expect("it is there").starts_with(b"version: 0\nbelieved: "), "it is written anew");
    });
}

#[test]
fn a_jump_takes_no_tombstone_and_compacts_nothing_early() {
    let world = World::new(6);
    let inner = world.clone();
    world.run_until(async move {
        let settings = TopicSettings {
            segment_bytes: 400_000,
            cleanup: Cleanup::Compact,
            min_cleanable_dirty_ppm: 0,
            delete_retention_ms: DAY as u64,
            ..TopicSettings::default()
        };
        let shard = open(&inner, settings, true).await;
        shard.set_cleaner(CleanerSettings {
            backoff: Duration::from_millis(100),
            ..CleanerSettings::default()
        });
        produce(&inner, &shard, Some(b"gone"), None).await;
        let rounds = async |n: usize| {
            for i in 0..n {
                produce(&inner, &shard, Some(format!("k{}", i % 2).as_bytes()), Some(&[1; 300_000])).await;
                inner.sleep(Duration::from_secs(2)).await;
            }
        };
        let first = async || shard.read(key(), Offset(0), MIB, true).await.expect("readable").slices;
        rounds(6).await;
        assert!(shard.stats().compactions > 0);
        let has_tombstone = |slices: &[_]| -> bool {
            let bytes: Vec<u8> = slices.iter().flat_map(|s: &engine::io::Slice<_>| s.to_vec()).collect();
            bytes.windows(4).any(|w| w == b"gone")
        };
        assert!(has_tombstone(&first().await), "it stays for a day");
        inner.jump(30 * DAY);
        let before = shard.stats().compactions;
        rounds(6).await;
        assert!(shard.stats().compactions > before);
        assert!(has_tombstone(&first().await), "a day that never was is none");
        shard.accept_clock(inner.now());
        rounds(6).await;
        assert!(!has_tombstone(&first().await));
    });
}
