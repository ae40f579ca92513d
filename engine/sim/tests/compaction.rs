//! Compaction on a machine that loses its power, or whose process is killed, at any step of it.
//!
//! After every recovery the log holds what it held before or what compaction leaves of it, whole; nothing
//! that compaction wrote on the way is left behind; and another round ends in the fold by key.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, ProducerEpoch, ProducerId, TopicId};
use engine::broker::{DeleteRecords, HostedPartition, Shard, ShardSettings, recover};
use engine::config::{CleanerSettings, Cleanup, TopicSettings};
use engine::io::{Disk, DiskOp, FileName};
use engine::record::{BatchBuilder, BatchHeader, Codec, Records, crc_matches, payload};
use sim::{SimDisk, World};

const MIB: usize = 1 << 20;
const SEGMENT_BYTES: u32 = 24_000;
/// After so many records others have their turn: not every key is in what is written last.
const RECORDS_OF_KEYS: i64 = 75;
const KEYS: i64 = 7;
const DAY: u64 = 86_400_000;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(9)), index }
}

fn settings() -> TopicSettings {
    TopicSettings {
        cleanup: Cleanup::Compact,
        segment_bytes: SEGMENT_BYTES,
        min_cleanable_dirty_ppm: 0,
        delete_retention_ms: DAY,
        index_interval_bytes: 1_000,
        ..TopicSettings::default()
    }
}

fn hosted(settings: &TopicSettings) -> HostedPartition {
    let settings = settings.clone();
    HostedPartition { key: key(0), core: CoreId(0), leader_epoch: LeaderEpoch(0), settings }
}

/// A shard with its jobs, over what the disk holds. It compacts once it is told to.
async fn open(world: &World, topic: &TopicSettings) -> Shard<SimDisk> {
    let disk = world.disk(8 * MIB);
    let mut recovered = recover(&disk, &[hosted(topic)], 1, world.now()).await.expect("recovery");
    assert_eq!(recovered.report.partitions_damaged, []);
    let bytes = MIB as u64;
    let settings =
        ShardSettings { journal_bytes: bytes, journal_bytes_first: bytes, ..ShardSettings::default() };
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    cleaner(&shard, false);
    world.run_shard(&shard);
    world.run_cleaner(&shard);
    world.run_clock(&shard, Duration::from_millis(5));
    shard
}

fn cleaner(shard: &Shard<SimDisk>, enabled: bool) {
    shard.set_cleaner(CleanerSettings {
        enabled,
        backoff: Duration::from_millis(1),
        ..CleanerSettings::default()
    });
}

type Value = Option<Vec<u8>>;

/// What was acknowledged: by offset, the key and the value.
type Told = BTreeMap<i64, (i64, Value)>;

/// Appends batches of three records with few keys at a time, in every codec, one in five of them a tombstone.
async fn produce(world: &World, shard: &Shard<SimDisk>, told: &mut Told, batches: i64) {
    const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    for _ in 0..batches {
        let from = shard.bounds(key(0)).expect("hosted").high_watermark.0;
        let mut builder = BatchBuilder::new(CODECS[(from % 5) as usize]);
        if from % 2 == 0 {
            // A producer of its own for each, so that every sequence is its first.
            builder.set_producer(ProducerId(from), ProducerEpoch(0), 0);
        }
        for offset in from..from + 3 {
            let value = (offset % 5 != 4).then(|| vec![world.random(|r| r.bits() as u8); 1_000]);
            let key = offset / RECORDS_OF_KEYS * KEYS + (offset * 5 + offset / 9) % KEYS;
            builder.push(1_000 + offset, Some(&key.to_be_bytes()), value.as_deref(), &[]);
            told.insert(offset, (key, value));
        }
        let appended = shard.append(world.now(), key(0), &builder.finish()).expect("room");
        assert_eq!(appended.base_offset, Offset(from));
        shard.until_durable(appended.ticket).await.expect("online");
    }
}

/// Reads all of the log and checks what it reads.
async fn read(shard: &Shard<SimDisk>, told: &Told) -> Told {
    let bounds = shard.bounds(key(0)).expect("hosted");
    let (left, next) = read_some(shard, told, bounds.log_start.0, 50_000, u32::MAX).await;
    assert_eq!(next, bounds.high_watermark.0);
    left
}

/// Reads on from `next` so often, each time at most so many bytes but one batch at least, and checks what it
/// reads. Gives that, and where the next read begins.
async fn read_some(
    shard: &Shard<SimDisk>,
    told: &Told,
    mut next: i64,
    bytes: usize,
    mut reads: u32,
) -> (Told, i64) {
    let bounds = shard.bounds(key(0)).expect("hosted");
    let mut left = Told::new();
    while next < bounds.high_watermark.0 && reads > 0 {
        reads -= 1;
        let fetched = shard.read(key(0), Offset(next), bytes, true).await.expect("readable");
        let bytes: Vec<u8> = fetched.slices.iter().flat_map(|s| s.iter().copied()).collect();
        assert!(!bytes.is_empty(), "something stands at {next} or above");
        let mut rest = &bytes[..];
        while let Some(header) = BatchHeader::peek(rest) {
            let (batch, after) = rest.split_at(header.total_bytes().expect("whole"));
            assert!(crc_matches(batch));
            assert!(header.last_offset().0 >= next, "only what was asked for");
            let records = payload(batch, MIB).expect("it inflates");
            for record in Records::of(header, &records).map(|r| r.expect("walked")) {
                let id = i64::from_be_bytes(record.key.expect("keyed").try_into().expect("ours"));
                let is = (id, record.value.map(<[u8]>::to_vec));
                assert_eq!(told.get(&record.offset.0), Some(&is), "as it was acknowledged");
                assert_eq!(record.timestamp, 1_000 + record.offset.0);
                left.insert(record.offset.0, is);
            }
            next = header.next_offset().0;
            rest = after;
        }
    }
    (left, next)
}

fn fold(told: &Told) -> BTreeMap<i64, i64> {
    told.iter().map(|(offset, (key, _))| (*key, *offset)).collect()
}

/// The latest record of each key is there.
fn check_latest(left: &Told, told: &Told) {
    for (key, offset) in fold(told) {
        assert!(left.contains_key(&offset), "the latest of key {key} is at {offset}");
    }
}

/// The log below the active segment is the fold of what was acknowledged.
async fn check_compacted(disk: &SimDisk, left: &Told, told: &Told) {
    let dir = FileName::partition_dir(key(0));
    let logs = disk.list(&dir).await.expect("listed");
    let logs = logs.iter().filter(|e| e.name.base().ends_with(".log"));
    let active: i64 = logs.map(|e| e.name.base()[..20].parse().expect("an offset")).max().expect("a segment");
    let closed: Told = told.range(..active).map(|(o, v)| (*o, v.clone())).collect();
    let latest = fold(&closed);
    for (offset, (key, _)) in left.range(..active) {
        assert_eq!(latest[key], *offset, "an older record of key {key} is left");
    }
}

async fn temporary(disk: &SimDisk) -> Vec<String> {
    let mut found = Vec::new();
    for dir in [FileName::partition_dir(key(0)), FileName::core_dir(CoreId(0))] {
        let entries = disk.list(&dir).await.expect("listed");
        let names = entries.iter().map(|e| e.name.base().to_owned());
        found.extend(names.filter(|n| n.ends_with(".cleaned") || n.ends_with(".deleted") || n == "swap"));
    }
    found
}

/// Waits until a round has ended and the next look finds nothing dirty.
async fn until_compacted(world: &World, shard: &Shard<SimDisk>) {
    for _ in 0..2_000 {
        let stats = shard.stats();
        if stats.compactions > 0 && stats.compaction_dirty_percent_max == 0 {
            return;
        }
        world.sleep(Duration::from_millis(5)).await;
    }
    panic!("no round ended: {:?}", shard.stats());
}

/// A log of some segments, all of it in its files, before it was ever compacted.
fn filled(seed: u64, topic: &TopicSettings) -> (World, Told) {
    let world = World::new(seed);
    let (inner, topic) = (world.clone(), topic.clone());
    let told = world.run_until(async move {
        let shard = open(&inner, &topic).await;
        let mut told = Told::new();
        produce(&inner, &shard, &mut told, 50).await;
        shard.close(inner.now()).await.expect("closed");
        told
    });
    world.kill();
    (world, told)
}

#[test]
fn a_compacted_log_is_the_fold_of_what_was_written_and_reads_from_every_offset() {
    let (world, told) = filled(1, &settings());
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &settings()).await;
        let before = read(&shard, &told).await;
        assert_eq!(before, told, "nothing is compacted yet");
        let bytes = shard.log_bytes(key(0)).expect("hosted");
        cleaner(&shard, true);
        until_compacted(&inner, &shard).await;
        let left = read(&shard, &told).await;
        check_latest(&left, &told);
        check_compacted(&inner.disk(MIB), &left, &told).await;
        assert!(shard.log_bytes(key(0)).expect("hosted") * 2 < bytes);
        let end = shard.bounds(key(0)).expect("hosted").high_watermark.0;
        for from in 0..end {
            let fetched = shard.read(key(0), Offset(from), 1, true).await.expect("readable");
            let bytes: Vec<u8> = fetched.slices.iter().flat_map(|s| s.iter().copied()).collect();
            let header = BatchHeader::peek(&bytes).expect("a batch");
            assert!(header.last_offset().0 >= from, "from {from}");
            // Every time is found, or the first after it that is left.
            let found = shard.offset_for_time(key(0), 1_000 + from).await.expect("asked");
            let expected = left.range(from..).next().map(|(offset, _)| *offset);
            assert_eq!(found.map(|f| f.offset.0), expected, "the time of {from}");
        }
        let stats = shard.stats();
        assert_eq!(stats.compaction_records_dropped, (told.len() - left.len()) as u64);
        assert!(stats.compaction_bytes_read > stats.compaction_bytes_written);
        assert_eq!(temporary(&inner.disk(MIB)).await, Vec::<String>::new());
        shard.close(inner.now()).await.expect("closed");
    });
}

/// What the ends of runs left on the disk, to show that they came in the middle of things.
#[derive(Default, Debug)]
struct Met {
    runs: u32,
    cleaned: u32,
    deleted: u32,
    swap: u32,
}

/// Runs compaction for so many steps of the world, lets `end` end it, and looks at what is left. False if
/// compaction was over by then.
fn interrupted(seed: u64, steps: u64, met: &mut Met, end: impl Fn(&World)) -> bool {
    let (world, told) = filled(seed, &settings());
    let told = Rc::new(told);
    let (inner, known) = (world.clone(), told.clone());
    let shard = world.run_until(async move {
        let shard = open(&inner, &settings()).await;
        assert!(!known.is_empty());
        shard
    });
    cleaner(&shard, true);
    world.run_steps(steps);
    let unfinished = shard.stats().compactions == 0;
    drop(shard);
    end(&world);
    let disk = world.disk(MIB);
    let left = world.run_until(async move { temporary(&disk).await });
    met.runs += 1;
    met.cleaned += u32::from(left.iter().any(|name| name.ends_with(".cleaned")));
    met.deleted += u32::from(left.iter().any(|name| name.ends_with(".deleted")));
    met.swap += u32::from(left.iter().any(|name| name == "swap"));

    compacts_after_all(&world, &told);
    unfinished
}

/// The log is whole after the next start, and a round over it and what is written then ends in the fold.
fn compacts_after_all(world: &World, told: &Told) {
    let (inner, mut told) = (world.clone(), told.clone());
    let told = world.run_until(async move {
        let shard = open(&inner, &settings()).await;
        let disk = inner.disk(MIB);
        assert_eq!(temporary(&disk).await, Vec::<String>::new(), "recovery leaves nothing behind");
        check_latest(&read(&shard, &told).await, &told);
        // More is written, so that there is something to compact in any case.
        produce(&inner, &shard, &mut told, 25).await;
        shard.close(inner.now()).await.expect("closed");
        told
    });
    world.kill();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &settings()).await;
        cleaner(&shard, true);
        until_compacted(&inner, &shard).await;
        let left = read(&shard, &told).await;
        check_latest(&left, &told);
        let disk = inner.disk(MIB);
        check_compacted(&disk, &left, &told).await;
        assert_eq!(temporary(&disk).await, Vec::<String>::new());
    });
}

#[test]
fn a_power_cut_at_any_step_leads_to_the_old_log_or_to_the_new_one() {
    let mut met = Met::default();
    for seed in 0..2 {
        let over = (1..5_000).find(|steps| !interrupted(seed, *steps, &mut met, World::crash));
        assert!(over.is_some_and(|steps| steps > 50), "compaction was over after {over:?} steps");
    }
    assert!(met.cleaned > 20 && met.deleted > 3 && met.swap > 40, "{met:?}");
}

#[test]
fn a_kill_at_any_step_leads_to_the_old_log_or_to_the_new_one() {
    let mut met = Met::default();
    let over = (1..5_000).find(|steps| !interrupted(7, *steps, &mut met, World::kill));
    assert!(over.is_some_and(|steps| steps > 50), "compaction was over after {over:?} steps");
    assert!(met.cleaned > 15 && met.deleted > 3 && met.swap > 30, "{met:?}");
}

#[test]
fn a_clean_stop_in_the_middle_leaves_nothing_behind() {
    for steps in (1..600).step_by(23) {
        let (world, told) = filled(steps, &settings());
        let inner = world.clone();
        let shard = world.run_until(async move { open(&inner, &settings()).await });
        cleaner(&shard, true);
        world.run_steps(steps);
        let inner = world.clone();
        world.run_until(async move {
            shard.close(inner.now()).await.expect("closed");
            assert_eq!(temporary(&inner.disk(MIB)).await, Vec::<String>::new(), "after {steps}");
        });
        world.kill();
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, &settings()).await;
            check_latest(&read(&shard, &told).await, &told);
        });
    }
}

#[test]
fn readers_go_on_while_files_change_their_names() {
    let (world, told) = filled(3, &settings());
    let told = Rc::new(told);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &settings()).await;
        cleaner(&shard, true);
        let mut readers = Vec::new();
        for n in 0..4 {
            let (shard, told, world) = (shard.clone(), told.clone(), inner.clone());
            readers.push(inner.start(async move {
                for _ in 0..15 {
                    check_latest(&read(&shard, &told).await, &told);
                    for offset in (n..150).step_by(13) {
                        let found = shard.offset_for_time(key(0), 1_000 + offset).await.expect("asked");
                        assert!(found.is_some_and(|f| f.offset.0 >= offset));
                    }
                    world.sleep(Duration::from_micros(300)).await;
                }
            }));
        }
        for reader in readers {
            reader.join().await;
        }
        assert!(shard.stats().compactions > 0);
    });
}

#[test]
fn a_reader_in_the_middle_of_a_segment_goes_on_in_what_took_its_place() {
    // One batch a read: so many of them before the swap.
    for reads in 1..40 {
        let (world, told) = filled(u64::from(reads), &settings());
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, &settings()).await;
            let (mut left, next) = read_some(&shard, &told, 0, 1, reads).await;
            cleaner(&shard, true);
            until_compacted(&inner, &shard).await;
            let (after, end) = read_some(&shard, &told, next, 1, u32::MAX).await;
            assert_eq!(end, shard.bounds(key(0)).expect("hosted").high_watermark.0);
            let survivors = read(&shard, &told).await;
            let expected: Vec<_> = survivors.range(next..).collect();
            assert_eq!(after.range(next..).collect::<Vec<_>>(), expected, "after {reads} reads, from {next}");
            left.extend(after);
            check_latest(&left, &told);
        });
    }
}

#[test]
fn readers_whose_loads_began_before_a_swap_see_every_record_that_stays() {
    for seed in 0..8 {
        let (world, told) = filled(seed, &settings());
        let (inner, told) = (world.clone(), Rc::new(told));
        world.run_until(async move {
            let shard = open(&inner, &settings()).await;
            let mut readers = Vec::new();
            for n in 0..6 {
                let (shard, told, world) = (shard.clone(), told.clone(), inner.clone());
                readers.push(inner.start(async move {
                    world.sleep(Duration::from_micros(150 * n)).await;
                    while shard.stats().compactions == 0 {
                        let (left, _) = read_some(&shard, &told, 0, 1, u32::MAX).await;
                        check_latest(&left, &told);
                    }
                    read_some(&shard, &told, 0, 1, u32::MAX).await.0
                }));
            }
            cleaner(&shard, true);
            let mut seen = Vec::new();
            for reader in readers {
                seen.push(reader.join().await);
            }
            let left = read(&shard, &told).await;
            assert!(left.len() < told.len());
            for seen in seen {
                assert!(left.keys().all(|offset| seen.contains_key(offset)));
            }
        });
    }
}

#[test]
fn a_checkpoint_taken_before_a_swap_counts_does_not_take_its_log_for_compacted() {
    // All of the log is one group, so that its swap is the last of the round.
    let topic = TopicSettings { segment_bytes: MIB as u32, ..settings() };
    let mut waited = 0;
    for steps in (20..300).step_by(10) {
        let (world, told) = filled(steps, &settings());
        let (inner, known) = (world.clone(), topic.clone());
        let shard = world.run_until(async move { open(&inner, &known).await });
        cleaner(&shard, true);
        world.run_steps(steps);
        // The new files get whole, and then it cannot be said that they count.
        world.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Replace]));
        let inner = world.clone();
        waited += world.run_until(async move {
            inner.sleep(Duration::from_millis(100)).await;
            let waits = shard.stats().compactions + shard.stats().compaction_errors == 0;
            shard.close(inner.now()).await.expect("closed, with a checkpoint");
            let left = temporary(&inner.disk(MIB)).await;
            u32::from(waits && left.iter().any(|name| name.ends_with(".timeindex.cleaned")))
        });
        world.faults(|f| f.eio_ppm = 0);
        world.kill();
        compacts_after_all(&world, &told);
    }
    assert!(waited > 3, "{waited} swaps waited");
}

#[test]
fn a_disk_that_fails_or_is_full_costs_a_round_and_no_record() {
    let mut failed = 0;
    for seed in 0..60 {
        let (world, told) = filled(seed, &settings());
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, &settings()).await;
            inner.faults(|f| {
                f.eio_ppm = if seed % 2 == 0 { 80_000 } else { 0 };
                f.eio_ops =
                    vec![DiskOp::Open, DiskOp::Write, DiskOp::Rename, DiskOp::Remove, DiskOp::Replace];
                f.capacity = (seed % 2 == 1).then_some(0);
            });
            cleaner(&shard, true);
            inner.sleep(Duration::from_millis(400)).await;
            inner.faults(|f| (f.eio_ppm, f.capacity) = (0, None));
            inner.sleep(Duration::from_millis(400)).await;
            if !shard.is_offline() {
                check_latest(&read(&shard, &told).await, &told);
            }
        });
        failed += u32::from(world.counters().faults > 0 || seed % 2 == 1);
        world.kill();
    }
    assert!(failed > 40);
}

#[test]
fn deleted_records_and_retention_go_on_beside_it() {
    let topic = TopicSettings {
        cleanup: Cleanup::CompactAndDelete,
        retention_ms: None,
        retention_bytes: None,
        ..settings()
    };
    let (world, told) = filled(5, &topic);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &topic).await;
        cleaner(&shard, true);
        let want = DeleteRecords { key: key(0), before: Some(Offset(40)) };
        assert_eq!(shard.delete_records(&[want]).await, [Ok(Offset(40))]);
        until_compacted(&inner, &shard).await;
        shard.housekeep(inner.now()).await;
        let bounds = shard.bounds(key(0)).expect("hosted");
        assert_eq!(bounds.log_start, Offset(40));
        let kept: Told = told.range(40..).map(|(o, v)| (*o, v.clone())).collect();
        check_latest(&read(&shard, &told).await, &kept);
        let old = TopicSettings { retention_ms: Some(1), ..topic.clone() };
        shard.update(key(0), old);
        inner.sleep(Duration::from_secs(1)).await;
        shard.housekeep(inner.now()).await;
        shard.housekeep(inner.now()).await;
        let bounds = shard.bounds(key(0)).expect("hosted");
        assert_eq!(bounds.log_start, bounds.high_watermark, "all of it was older than a millisecond");
        let compacted = TopicSettings { cleanup: Cleanup::Compact, ..topic };
        shard.update(key(0), compacted);
    });
}
