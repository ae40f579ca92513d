//! A disk that fills up: producers are refused in time, the rest goes on, and nothing needs a restart.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    AppendError, DeleteRecords, HostedPartition, Purpose, RecoveryError, Shard, ShardSettings, SpaceLevel,
    SpaceLimits, recover,
};
use engine::config::TopicSettings;
use engine::io::{Disk, DiskFault, DiskResult, FileName};
use engine::metadata::{AppendError as MetadataError, ConfigResource, MetadataLog, MetadataRecord};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::{SimDisk, World};

const MIB: u64 = 1 << 20;
const POOL: usize = 8 << 20;
const FLOOR: u64 = 4 * MIB;
const BALLAST: u64 = 2 * MIB;
const PARTITIONS: i32 = 3;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(9)), index }
}

fn hosted(settings: &TopicSettings) -> Vec<HostedPartition> {
    let one = |index| HostedPartition {
        key: key(index),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: settings.clone(),
    };
    (0..PARTITIONS).map(one).collect()
}

fn small_segments() -> TopicSettings {
    TopicSettings { segment_bytes: 1 << 20, retention_ms: None, ..TopicSettings::default() }
}

fn limits() -> SpaceLimits {
    SpaceLimits { floor: Some(FLOOR), ballast: BALLAST, shards: 1 }
}

/// The disk's word about a recovery: nothing else stops one here.
fn of_disk(error: RecoveryError) -> engine::io::DiskError {
    match error {
        RecoveryError::Disk(error) => error,
        refused => panic!("{refused}"),
    }
}

/// A shard with its jobs and its clock.
async fn open(world: &World, settings: &TopicSettings, space: SpaceLimits) -> DiskResult<Shard<SimDisk>> {
    let disk = world.disk(POOL);
    let mut recovered = recover(&disk, &hosted(settings), 1, world.now()).await.map_err(of_disk)?;
    let journals =
        ShardSettings { journal_bytes: MIB, journal_bytes_first: MIB, space, ..ShardSettings::default() };
    let shard = Shard::open(disk, recovered.cores.remove(0), journals, world.now()).await?;
    world.run_shard(&shard);
    world.run_clock(&shard, Duration::from_millis(50));
    Ok(shard)
}

/// As [`open`], with somebody who looks at the space.
async fn open_watched(world: &World, settings: &TopicSettings, space: SpaceLimits) -> Shard<SimDisk> {
    let shard = open(world, settings, space).await.expect("room to start");
    let (watched, clock) = (shard.clone(), world.clone());
    world.spawn(async move {
        loop {
            // What it could not do for lack of space it tries again.
            let _ = watched.look_at_space(clock.now()).await;
            clock.sleep(Duration::from_millis(250)).await;
        }
    });
    world.sleep(Duration::from_millis(100)).await;
    shard
}

fn batch(bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1000, None, Some(&vec![7; bytes]), &[]);
    builder.finish()
}

async fn append_for(
    world: &World,
    shard: &Shard<SimDisk>,
    purpose: Purpose,
    index: i32,
    bytes: usize,
) -> Result<Offset, AppendError> {
    loop {
        match shard.append_for(purpose, world.now(), key(index), &batch(bytes)) {
            Ok(appended) => {
                shard.until_durable(appended.ticket).await.expect("the core is online");
                return Ok(appended.base_offset);
            }
            Err(AppendError::NoRoom) => shard.room().await,
            Err(error) => return Err(error),
        }
    }
}

async fn produce(
    world: &World,
    shard: &Shard<SimDisk>,
    index: i32,
    bytes: usize,
) -> Result<Offset, AppendError> {
    append_for(world, shard, Purpose::Produce, index, bytes).await
}

/// How many records of a partition can be read, from its log start on.
async fn readable(shard: &Shard<SimDisk>, index: i32) -> i64 {
    let mut from = shard.bounds(key(index)).expect("hosted").log_start;
    let first = from;
    loop {
        let fetched = shard.read(key(index), from, 256 * 1024, true).await.expect("readable");
        let bytes: Vec<u8> = fetched.slices.iter().flat_map(|s| s.to_vec()).collect();
        let mut rest = &bytes[..];
        if rest.is_empty() {
            return from.0 - first.0;
        }
        while let Some(header) = BatchHeader::peek(rest) {
            assert_eq!(header.base_offset(), from, "offsets follow each other");
            from = header.next_offset();
            rest = &rest[header.total_bytes().expect("a length")..];
        }
    }
}

async fn delete_all(shard: &Shard<SimDisk>, index: i32) {
    let want = DeleteRecords { key: key(index), before: None };
    shard.delete_records(&[want]).await.pop().expect("one answer").expect("deleted");
}

/// Bytes that all files take.
async fn used(disk: &SimDisk) -> u64 {
    let space = disk.space().await.expect("no fault");
    space.total - space.free
}

fn set_capacity(world: &World, bytes: Option<u64>) {
    world.faults(|f| f.capacity = bytes);
}

#[test]
fn producers_are_refused_before_the_disk_fails_and_served_again_when_records_were_deleted() {
    for seed in 0..8 {
        let world = World::new(seed);
        let inner = world.clone();
        set_capacity(&world, Some(20 * MIB));
        world.run_until(async move {
            let shard = open_watched(&inner, &small_segments(), limits()).await;
            let mut acked = [0; PARTITIONS as usize];
            // Between two readings what is let in is counted at its worst: one refusal is not the end.
            let mut refusals = 0;
            while shard.space_level() == SpaceLevel::Plenty {
                let index = inner.random(|r| r.index(PARTITIONS as usize));
                match produce(&inner, &shard, index as i32, 60_000).await {
                    Ok(_) => acked[index] += 1,
                    Err(error) => {
                        assert_eq!(error, AppendError::NoSpace);
                        refusals += 1;
                        inner.sleep(Duration::from_millis(50)).await;
                    }
                }
            }
            assert!(acked.iter().sum::<i64>() > 100 && refusals < 100, "{acked:?} is early");
            assert_eq!(produce(&inner, &shard, 0, 1).await, Err(AppendError::NoSpace));
            // The reserve is for what the broker itself remembers, and everything is still served.
            append_for(&inner, &shard, Purpose::Commit, 2, 60_000).await.expect("in reserve");
            acked[2] += 1;
            for (index, acked) in (0..).zip(acked) {
                assert_eq!(readable(&shard, index).await, acked);
            }
            assert_eq!(shard.stats().no_space_errors, 0, "the disk itself never refused anything");
            delete_all(&shard, 1).await;
            shard.housekeep(inner.now()).await;
            inner.sleep(Duration::from_secs(1)).await;
            assert_eq!(shard.space_level(), SpaceLevel::Plenty);
            produce(&inner, &shard, 1, 60_000).await.expect("served again");
            assert!(shard.stats().appends_no_space > refusals);
        });
    }
}

#[test]
fn a_disk_that_others_fill_takes_nothing_down_and_nothing_is_lost() {
    let mut failures = 0;
    for seed in 0..16 {
        let world = World::new(seed);
        let inner = world.clone();
        let (acked, errors) = world.run_until(async move {
            let shard = open_watched(&inner, &small_segments(), limits()).await;
            let disk = inner.disk(POOL);
            let mut acked = [0; PARTITIONS as usize];
            for turn in 0..150 {
                let index = inner.random(|r| r.index(PARTITIONS as usize));
                if produce(&inner, &shard, index as i32, 40_000).await.is_ok() {
                    acked[index] += 1;
                }
                if turn == 50 {
                    set_capacity(&inner, Some(used(&disk).await));
                }
                inner.sleep(Duration::from_millis(10)).await;
            }
            inner.sleep(Duration::from_secs(60)).await;
            assert!(!shard.is_offline(), "a full disk is no broken one");
            assert_ne!(shard.space_level(), SpaceLevel::Plenty);
            assert_eq!(shard.stats().ballast_bytes, 0, "it was given up");
            for (index, acked) in (0..).zip(acked) {
                assert_eq!(readable(&shard, index).await, acked);
            }
            set_capacity(&inner, None);
            inner.sleep(Duration::from_secs(5)).await;
            for (index, acked) in (0..).zip(&mut acked) {
                produce(&inner, &shard, index, 40_000).await.expect("served again, without a restart");
                *acked += 1;
            }
            (acked, shard.stats().no_space_errors)
        });
        failures += errors;
        if seed % 2 == 0 {
            world.crash();
        } else {
            world.kill();
        }
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, &small_segments(), limits()).await.expect("room");
            for (index, acked) in (0..).zip(acked) {
                assert_eq!(readable(&shard, index).await, acked);
            }
        });
    }
    assert!(failures > 0, "the disk never refused anything: nothing was tested");
}

#[test]
fn a_checkpoint_without_space_is_taken_when_there_is_some() {
    let world = World::new(3);
    let inner = world.clone();
    world.run_until(async move {
        let journal_files = 1;
        let disk = inner.disk(POOL);
        let mut recovered =
            recover(&disk, &hosted(&TopicSettings::default()), 1, inner.now()).await.expect("room");
        let journals = ShardSettings {
            journal_bytes: 2 * MIB,
            journal_bytes_first: 2 * MIB,
            journal_files,
            ..ShardSettings::default()
        };
        let shard =
            Shard::open(disk.clone(), recovered.cores.remove(0), journals, inner.now()).await.expect("room");
        inner.run_shard(&shard);
        // The segment has blocks ahead, the second checkpoint's file has none.
        for _ in 0..3 {
            produce(&inner, &shard, 0, 250_000).await.expect("room");
        }
        let ticks = async |times: u32| {
            for _ in 0..times {
                inner.sleep(Duration::from_millis(50)).await;
                shard.tick(inner.now());
            }
        };
        ticks(20).await;
        set_capacity(&inner, Some(used(&disk).await));
        produce(&inner, &shard, 0, 250_000).await.expect("the journal is there");
        produce(&inner, &shard, 0, 150_000).await.expect("the journal is there");
        ticks(20).await;
        assert!(shard.stats().no_space_errors > 0, "it had space: nothing was tested");
        assert_eq!((shard.stats().checkpoints, shard.is_offline()), (0, false));
        set_capacity(&inner, None);
        ticks(100).await;
        assert!(shard.stats().checkpoints > 0);
        assert_eq!(readable(&shard, 0).await, 5);
    });
}

#[test]
fn a_start_on_a_full_disk_gives_its_ballast_up_and_trims() {
    let mut refused = 0;
    for seed in 0..10 {
        let world = World::new(seed);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open_watched(&inner, &small_segments(), limits()).await;
            for i in 0..120 {
                produce(&inner, &shard, i % 2, 30_000).await.expect("room");
            }
            assert_eq!(shard.stats().ballast_bytes, BALLAST);
            // These are in the journal alone, and have no file.
            for _ in 0..3 {
                produce(&inner, &shard, 2, 30_000).await.expect("room");
            }
        });
        world.kill();
        let inner = world.clone();
        refused += world.run_until(async move {
            let disk = inner.disk(POOL);
            set_capacity(&inner, Some(used(&disk).await));
            let recovered = recover(&disk, &hosted(&small_segments()), 1, inner.now()).await;
            assert!(
                recovered
                    .as_ref()
                    .err()
                    .is_none_or(|e| matches!(e, RecoveryError::Disk(e) if e.fault == DiskFault::NoSpace)),
                "{recovered:?}"
            );
            u32::from(recovered.is_err())
        });
        world.kill();
        let inner = world.clone();
        world.run_until(async move {
            let disk = inner.disk(POOL);
            assert!(limits().starts_light(disk.space().await.expect("no fault")));
            disk.remove(&FileName::new("ballast")).await.expect("removed");
            let shard = open_watched(&inner, &small_segments(), limits()).await;
            assert_eq!(produce(&inner, &shard, 0, 1).await, Err(AppendError::NoSpace));
            for (index, count) in [(0, 60), (1, 60), (2, 3)] {
                assert_eq!(readable(&shard, index).await, count);
                delete_all(&shard, index).await;
            }
            shard.housekeep(inner.now()).await;
            inner.sleep(Duration::from_secs(3)).await;
            let space = disk.space().await.expect("no fault");
            assert!(space.free > BALLAST, "{space:?}");
            // Others leave as well.
            set_capacity(&inner, Some(space.total + 2 * FLOOR));
            inner.sleep(Duration::from_secs(3)).await;
            produce(&inner, &shard, 0, 1).await.expect("served again");
            assert_eq!(shard.stats().ballast_bytes, BALLAST, "and the next full disk may come");
        });
    }
    assert!(refused > 0, "no recovery needed space: nothing was tested");
}

#[test]
fn a_change_of_the_metadata_without_space_is_refused_and_the_next_is_made() {
    for seed in 0..20 {
        let world = World::new(seed);
        let inner = world.clone();
        world.run_until(async move {
            let disk = inner.disk(POOL);
            let (mut log, _) = MetadataLog::open(disk.clone()).await.expect("opened");
            let cluster = |n: u128| MetadataRecord::ClusterCreated { cluster: uuid::Uuid::from_u128(n) };
            let setting = |i: u32| MetadataRecord::ConfigSet {
                resource: ConfigResource::AllBrokers,
                name: format!("a{i}"),
                value: "v".repeat(1000),
            };
            let mut long: Vec<MetadataRecord> = (0..600).map(setting).collect();
            long.push(cluster(1));
            // Two of its three pieces find space.
            set_capacity(&inner, Some(used(&disk).await + 512 * 1024));
            let refused = log.append(&long).await;
            assert!(matches!(refused, Err(MetadataError::Disk(e)) if e.fault == DiskFault::NoSpace));
            log.append(&[cluster(2)])
                .await
                .expect("the log is online, and its next frame begins where that one did");
        });
        world.crash();
        let inner = world.clone();
        world.run_until(async move {
            let (_, image) = MetadataLog::open(inner.disk(POOL)).await.expect("opened");
            assert_eq!(image.cluster(), Some(uuid::Uuid::from_u128(2)));
            let left = image.configs(ConfigResource::AllBrokers).is_some_and(|set| !set.is_empty());
            assert!(!left, "the refused change left something");
        });
    }
}
