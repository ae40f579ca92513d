//! What bounds compaction, each set while the broker runs: `log.cleaner.io.max.bytes.per.second`,
//! `log.cleaner.dedupe.buffer.size`, `log.cleaner.enable`, by counters and simulated time; and batches that
//! are longer than what it reads at once.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{AppendError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::{CleanerSettings, Cleanup, TopicSettings};
use engine::record::{BatchBuilder, BatchHeader, Codec, Records, payload};
use sim::{SimDisk, World};

const MIB: u64 = 1 << 20;
/// Bytes that compaction reads at once.
const WINDOW_BYTES: u64 = 512 * 1024;
const KEYS: i64 = 3_000;
const RECORDS: i64 = 8_000;
/// Records of some 1,000 bytes each.
const BATCH_RECORDS: i64 = 40;
const LOOK: Duration = Duration::from_millis(100);

fn key() -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(9)), index: 0 }
}

/// Runs a body over a shard that holds some 8 MB of records in segments of 1 MiB and has compacted nothing.
fn on_filled<F: Future<Output = ()> + 'static>(body: impl FnOnce(World, Shard<SimDisk>) -> F + 'static) {
    on_batches_of(BATCH_RECORDS, body);
}

fn on_batches_of<F: Future<Output = ()> + 'static>(
    batch_records: i64,
    body: impl FnOnce(World, Shard<SimDisk>) -> F + 'static,
) {
    let world = World::new(5);
    let inner = world.clone();
    world.run_until(async move {
        let topic = TopicSettings {
            cleanup: Cleanup::Compact,
            segment_bytes: MIB as u32,
            min_cleanable_dirty_ppm: 0,
            ..TopicSettings::default()
        };
        let hosted =
            HostedPartition { key: key(), core: CoreId(0), leader_epoch: LeaderEpoch(0), settings: topic };
        let disk = inner.disk(8 * MIB as usize);
        let mut recovered = recover(&disk, &[hosted], 1, inner.now()).await.expect("recovery");
        let settings = ShardSettings::default();
        let shard = Shard::open(disk, recovered.cores.remove(0), settings, inner.now()).await.expect("open");
        shard.set_cleaner(limits(false));
        inner.run_shard(&shard);
        inner.run_cleaner(&shard);
        inner.run_clock(&shard, Duration::from_millis(5));
        fill(&inner, &shard, batch_records).await;
        body(inner.clone(), shard.clone()).await;
        shard.close(inner.now()).await.expect("closed");
    });
    world.kill();
}

fn limits(enabled: bool) -> CleanerSettings {
    CleanerSettings { enabled, backoff: Duration::from_millis(1), ..CleanerSettings::default() }
}

async fn fill(world: &World, shard: &Shard<SimDisk>, batch_records: i64) {
    let mut next = 0;
    while next < RECORDS {
        let mut builder = BatchBuilder::new(Codec::None);
        let end = RECORDS.min(next + batch_records);
        for record in next..end {
            builder.push(1_000 + record, Some(&(record * 7 % KEYS).to_be_bytes()), Some(&[7; 1_000]), &[]);
        }
        let batch = builder.finish();
        let appended = loop {
            match shard.append(world.now(), key(), &batch) {
                Ok(appended) => break appended,
                Err(AppendError::NoRoom) => shard.room().await,
                Err(refused) => panic!("{refused}"),
            }
        };
        shard.until_durable(appended.ticket).await.expect("online");
        next = end;
    }
}

/// Bytes read and written so far.
fn moved(shard: &Shard<SimDisk>) -> u64 {
    let stats = shard.stats();
    stats.compaction_bytes_read + stats.compaction_bytes_written
}

/// Runs for so long and checks at each look that no more was moved than the rate allows. Gives what was.
async fn moved_within(world: &World, shard: &Shard<SimDisk>, rate: u64, seconds: u64, saved: u64) -> u64 {
    let before = moved(shard);
    for look in 1..=seconds * 10 {
        world.sleep(LOOK).await;
        // What it takes at once it pays back afterwards.
        let most = saved + rate * look / 10 + 2 * WINDOW_BYTES;
        let moved = moved(shard) - before;
        assert!(moved <= most, "{moved} bytes after {look} looks at {rate} bytes a second");
    }
    moved(shard) - before
}

#[test]
fn compaction_reads_and_writes_no_faster_than_its_limit_and_no_slower() {
    on_filled(async |world, shard| {
        let rate = 500_000;
        shard.set_cleaner(CleanerSettings { io_bytes_per_second: rate, ..limits(true) });
        let moved = moved_within(&world, &shard, rate, 10, rate).await;
        assert!(moved >= rate * 10, "{moved}");
        assert_eq!(shard.stats().compactions, 0, "it is at work");
    });
}

#[test]
fn another_limit_holds_from_the_moment_it_is_set() {
    on_filled(async |world, shard| {
        let (slow, fast) = (200_000, 1_000_000);
        shard.set_cleaner(CleanerSettings { io_bytes_per_second: slow, ..limits(true) });
        moved_within(&world, &shard, slow, 5, slow).await;
        shard.set_cleaner(CleanerSettings { io_bytes_per_second: fast, ..limits(true) });
        let moved = moved_within(&world, &shard, fast, 5, 0).await;
        assert!(moved > 3 * fast, "{moved}");
        shard.set_cleaner(limits(true));
        until_compacted(&world, &shard).await;
    });
}

#[test]
fn a_round_ends_when_compaction_is_turned_off_and_begins_anew_when_it_is_turned_on() {
    on_filled(async |world, shard| {
        shard.set_cleaner(CleanerSettings { io_bytes_per_second: 100_000, ..limits(true) });
        world.sleep(Duration::from_secs(20)).await;
        assert!(moved(&shard) > 0);
        shard.set_cleaner(limits(false));
        world.sleep(LOOK).await;
        let before = moved(&shard);
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!((moved(&shard), shard.stats().compactions), (before, 0), "nothing goes on");
        shard.set_cleaner(limits(true));
        until_compacted(&world, &shard).await;
        assert_eq!(latest(&shard).await.len() as i64, KEYS);
    });
}

#[test]
fn memory_for_few_keys_takes_more_rounds_and_leaves_the_same_log() {
    const SLOT_BYTES: u64 = 24;
    on_filled(async |world, shard| {
        // Room for a third of the keys, nine tenths of it used.
        let dedupe_bytes = KEYS as u64 / 3 * SLOT_BYTES * 10 / 9;
        shard.set_cleaner(CleanerSettings { dedupe_bytes, ..limits(true) });
        until_compacted(&world, &shard).await;
        // Each round notes a thousand keys; their records come one after the other.
        let closed = shard.stats().compactions as i64;
        assert!(closed >= RECORDS / (KEYS / 3) - 2, "{closed} rounds");
        let left = latest(&shard).await;
        assert_eq!(left.len() as i64, KEYS);
    });
}

#[test]
fn batches_longer_than_what_is_read_at_once_are_compacted_like_others() {
    for batch_records in [150, 300, 700, 1_000] {
        on_batches_of(batch_records, async |world, shard| {
            shard.set_cleaner(limits(true));
            until_compacted(&world, &shard).await;
            assert_eq!(latest(&shard).await.len() as i64, KEYS);
            assert_eq!(shard.stats().compaction_errors, 0);
        });
    }
}

/// Waits until the next look finds nothing dirty.
async fn until_compacted(world: &World, shard: &Shard<SimDisk>) {
    for _ in 0..10_000 {
        let stats = shard.stats();
        if stats.compactions > 0 && stats.compaction_dirty_percent_max == 0 {
            return;
        }
        world.sleep(Duration::from_millis(5)).await;
    }
    panic!("no end: {:?}", shard.stats());
}

/// The latest offset of each key that the log has, none of them twice in what is compacted.
async fn latest(shard: &Shard<SimDisk>) -> BTreeMap<Vec<u8>, i64> {
    let (mut found, mut records, mut next) = (BTreeMap::new(), 0, 0);
    let end = shard.bounds(key()).expect("hosted").high_watermark.0;
    while next < end {
        let fetched = shard.read(key(), Offset(next), 200_000, true).await.expect("readable");
        let bytes: Vec<u8> = fetched.slices.iter().flat_map(|s| s.iter().copied()).collect();
        let mut rest = &bytes[..];
        while let Some(header) = BatchHeader::peek(rest) {
            let (batch, after) = rest.split_at(header.total_bytes().expect("sized"));
            for record in Records::of(header, &payload(batch, 1 << 20).expect("plain")) {
                let record = record.expect("walked");
                found.insert(record.key.expect("keyed").to_vec(), record.offset.0);
                records += 1;
            }
            (next, rest) = (header.next_offset().0, after);
        }
    }
    // The active segment is never compacted: up to 1 MiB of records are there twice.
    assert!(records - found.len() <= 1_100, "{records} records of {} keys", found.len());
    for (key, offset) in &found {
        let key = i64::from_be_bytes(key.as_slice().try_into().expect("eight bytes"));
        let last = (0..RECORDS).rev().find(|record| record * 7 % KEYS == key);
        assert_eq!(Some(*offset), last, "key {key}");
    }
    found
}
