//! What the simulator found of starts that cannot read the newer checkpoint of a core (`engine/docs/simulator.md`),
//! told again as short scripts.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    HostedPartition, Recovered, RecoveryError, RecoveryReport, Shard, ShardSettings, recover,
};
use engine::config::{Cleanup, TopicSettings};
use engine::io::BLOCK;
use engine::record::{BatchBuilder, Codec};
use sim::faults::{CutAt, Side};
use sim::{Harm, SimDisk, World};

const MIB: usize = 1 << 20;

/// Journal files of this size are full after a few large batches.
const JOURNAL_BYTES: u64 = 64 * 1024;

/// A value that makes its batch an extent.
const LARGE_BYTES: usize = 30_000;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

/// Two partitions of one core.
fn hosted(cleanup: Cleanup, segment_bytes: u32) -> [HostedPartition; 2] {
    [0, 1].map(|index| HostedPartition {
        key: key(index),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: TopicSettings {
            cleanup,
            segment_bytes,
            min_cleanable_dirty_ppm: 0,
            ..TopicSettings::default()
        },
    })
}

async fn start(world: &World, hosted: &[HostedPartition]) -> Result<Recovered, RecoveryError> {
    recover(&world.disk(8 * MIB), hosted, 1, world.now()).await
}

/// A shard with its jobs over what the disk holds.
async fn open(
    world: &World,
    hosted: &[HostedPartition],
) -> Result<(Shard<SimDisk>, RecoveryReport), RecoveryError> {
    let Recovered { mut cores, report } = start(world, hosted).await?;
    let settings = ShardSettings {
        journal_bytes: JOURNAL_BYTES,
        journal_bytes_first: JOURNAL_BYTES,
        journal_files: 2,
        extent_bytes_min: 2 * BLOCK,
        ..ShardSettings::default()
    };
    let shard = Shard::open(world.disk(8 * MIB), cores.remove(0), settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    Ok((shard, report))
}

/// A record with a key that all have.
fn batch(bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1_000, Some(b"k"), Some(&vec![5; bytes]), &[]);
    builder.finish()
}

async fn append(world: &World, shard: &Shard<SimDisk>, index: i32, bytes: usize) {
    let appended = shard.append(world.now(), key(index), &batch(bytes)).expect("room");
    shard.until_durable(appended.ticket).await.expect("online");
}

/// A frame stood in the journal, and blocks of its extent were not in their segment: it was void, and a start said so
/// in one checkpoint. The next start could not read that one, met the frame again, and took the journal file that had
/// been begun since for the word that it had been flushed: a batch that was void came back, without its bytes.
#[test]
fn an_extent_that_a_start_found_torn_does_not_come_back() {
    let (mut torn, mut went_on) = (0, 0);
    let hosted = hosted(Cleanup::Delete, 4 << 20);
    for (seed, slot) in (0..600).flat_map(|seed| [(seed, 0), (seed, 1)]) {
        let world = World::new(seed);
        let (inner, partitions) = (world.clone(), hosted.clone());
        world.run_until(async move {
            let (shard, _) = open(&inner, &partitions).await.expect("a new machine");
            // Its segment is made ready for extents after the first large batch.
            for _ in 0..3 {
                append(&inner, &shard, 0, LARGE_BYTES).await;
                inner.sleep(Duration::from_millis(30)).await;
                shard.tick(inner.now());
            }
            // The next frames lie anywhere in the two files of the journal.
            for _ in 0..seed % 24 {
                append(&inner, &shard, 1, 5_000).await;
            }
            shard.append(inner.now(), key(0), &batch(LARGE_BYTES)).expect("room");
            inner.sleep(Duration::from_micros(seed * 7 % 400)).await;
        });
        world.crash();
        let (inner, partitions) = (world.clone(), hosted.clone());
        let (end, extents_torn) = world.run_until(async move {
            let (shard, report) = open(&inner, &partitions).await.expect("a power cut");
            append(&inner, &shard, 1, 100).await;
            (shard.bounds(key(0)).expect("hosted").high_watermark, report.extents_torn)
        });
        world.crash();
        if extents_torn == 0 || !world.harm(&format!("cores/0/checkpoint-{slot}"), 0, Harm::Zeros) {
            continue;
        }
        torn += 1;
        let (inner, partitions) = (world.clone(), hosted.clone());
        let next = world.run_until(async move {
            let (shard, _) = open(&inner, &partitions).await?;
            Ok(shard.bounds(key(0)).expect("hosted").high_watermark)
        });
        match next {
            Ok(found) => {
                went_on += 1;
                assert_eq!(found, end, "seed {seed}, without checkpoint {slot}");
            }
            // The journal has come round.
            Err(RecoveryError::JournalGap { .. }) => {}
            Err(error) => panic!("seed {seed}, without checkpoint {slot}: {error}"),
        }
    }
    assert!(
        torn > 20 && went_on > torn / 3,
        "{torn} starts found a torn extent, {went_on} went on behind it"
    );
}

/// Reads all that is left, to the end.
async fn read_all(shard: &Shard<SimDisk>) -> Result<Offset, String> {
    let end = shard.bounds(key(0)).map_err(|e| e.to_string())?.high_watermark;
    for from in 0..end.0 {
        let read = shard.read(key(0), Offset(from), MIB, true).await;
        read.map_err(|error| format!("at {from}: {error}"))?;
    }
    Ok(end)
}

/// A start closed a segment, and the older checkpoint had it open still. Compaction put another in its place; the next
/// start could not read the newer checkpoint, went by the older one, and wrote what the journal had of the old segment
/// over the new one.
#[test]
fn a_segment_is_compacted_when_neither_checkpoint_has_it_open() {
    let (mut stopped, mut went_on) = (0, 0);
    let hosted = hosted(Cleanup::Compact, 20_000);
    for (step, slot) in (1..80).flat_map(|step| [(step, 0), (step, 1)]) {
        let world = World::new(63_858);
        let (inner, partitions) = (world.clone(), hosted.clone());
        world.run_until(async move {
            let (shard, _) = open(&inner, &partitions).await.expect("a new machine");
            for _ in 0..2 {
                append(&inner, &shard, 0, 6_000).await;
            }
            shard.close(inner.now()).await.expect("closed");
            let (shard, _) = open(&inner, &partitions).await.expect("a clean stop");
            for _ in 0..8 {
                append(&inner, &shard, 0, 6_000).await;
            }
        });
        world.crash();
        let (inner, partitions) = (world.clone(), hosted.clone());
        let cut = world.run_until_cut(async move {
            let (shard, _) = open(&inner, &partitions).await.expect("a power cut");
            inner.cut_at(Some(CutAt { step: inner.persist_steps() + step, side: Side::Before }));
            inner.run_cleaner(&shard);
            while shard.stats().compactions == 0 {
                inner.sleep(Duration::from_millis(10)).await;
            }
        });
        stopped += u64::from(cut.is_none());
        world.cut_at(None);
        world.crash();
        if !world.harm(&format!("cores/0/checkpoint-{slot}"), 0, Harm::Zeros) {
            continue;
        }
        let (inner, partitions) = (world.clone(), hosted.clone());
        let read = world.run_until(async move {
            let (shard, _) = open(&inner, &partitions).await?;
            Ok(read_all(&shard).await)
        });
        match read {
            Ok(read) => {
                went_on += 1;
                assert_eq!(read, Ok(Offset(10)), "cut before step {step}, without checkpoint {slot}");
            }
            // The power cut tore the other one.
            Err(RecoveryError::NoCheckpoint(_)) => {}
            Err(error) => panic!("cut before step {step}, without checkpoint {slot}: {error}"),
        }
    }
    assert!(stopped > 20 && went_on > stopped / 2, "{stopped} rounds were cut, {went_on} starts went on");
}
