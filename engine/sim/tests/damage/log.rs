//! A log of several segments on the simulated disk, and what a reader makes of it.

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{AppendError, FetchError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::io::{BLOCK, Disk, FileName, IO_BYTES_MAX, Open};
use engine::log::Cause;
use engine::record::{BatchBuilder, BatchHeader, Codec, crc_matches};
use sim::{SimDisk, World};

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const POOL: usize = 8 * MIB;

/// Records of a test's log, one to a batch.
pub(crate) const RECORDS: i64 = 120;

pub(crate) fn key() -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 0 }
}

pub(crate) async fn open(world: &World) -> Shard<SimDisk> {
    open_with(world, 0).await
}

/// With a scrub that reads so many bytes a second, pass after pass.
pub(crate) async fn open_with(world: &World, scrub_bytes_per_second: u64) -> Shard<SimDisk> {
    open_sized(world, 128 * 1024, scrub_bytes_per_second).await
}

/// With a pool of so many bytes.
pub(crate) async fn open_pooled(world: &World, pool: usize, segment_bytes: u32) -> Shard<SimDisk> {
    open_on(world.disk(pool), world, segment_bytes, 0).await
}

/// With segments of so many bytes too.
pub(crate) async fn open_sized(
    world: &World,
    segment_bytes: u32,
    scrub_bytes_per_second: u64,
) -> Shard<SimDisk> {
    open_on(world.disk(POOL), world, segment_bytes, scrub_bytes_per_second).await
}

async fn open_on(
    disk: SimDisk,
    world: &World,
    segment_bytes: u32,
    scrub_bytes_per_second: u64,
) -> Shard<SimDisk> {
    let settings = TopicSettings { segment_bytes, index_interval_bytes: 4096, ..TopicSettings::default() };
    let hosted = HostedPartition { key: key(), core: CoreId(0), leader_epoch: LeaderEpoch(0), settings };
    let mut recovered = recover(&disk, &[hosted], 1, world.now()).await.expect("recovery");
    let settings = ShardSettings {
        journal_bytes: MIB as u64,
        journal_bytes_first: MIB as u64,
        scrub_bytes_per_second,
        scrub_interval_ms: 60_000,
        ..ShardSettings::default()
    };
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    shard
}

pub(crate) fn value(offset: i64) -> Vec<u8> {
    vec![offset as u8; 600 + (offset as usize * 731) % 5_000]
}

pub(crate) async fn produce(world: &World, shard: &Shard<SimDisk>, offset: i64) {
    produce_value(world, shard, offset, &value(offset)).await;
}

pub(crate) async fn produce_value(world: &World, shard: &Shard<SimDisk>, offset: i64, value: &[u8]) {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1_000 + offset, None, Some(value), &[]);
    let batch = builder.finish();
    let ticket = loop {
        match shard.append(world.now(), key(), &batch) {
            Ok(appended) => break appended.ticket,
            Err(AppendError::NoRoom) => shard.room().await,
            Err(error) => panic!("{error}"),
        }
    };
    shard.until_durable(ticket).await.expect("online");
}

/// A log of several segments, closed.
pub(crate) fn closed(seed: u64) -> World {
    closed_sized(seed, 128 * 1024, RECORDS)
}

/// A log of so many records in segments of so many bytes, closed.
pub(crate) fn closed_sized(seed: u64, segment_bytes: u32, records: i64) -> World {
    let world = World::new(seed);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open_sized(&inner, segment_bytes, 0).await;
        for offset in 0..records {
            produce(&inner, &shard, offset).await;
        }
        shard.close(inner.now()).await.expect("closed");
    });
    world.kill();
    world
}

/// What one pass from the beginning found, going over damage as its list says.
#[derive(Default, Clone, Debug, PartialEq)]
pub(crate) struct Pass {
    pub(crate) read: Vec<i64>,
    pub(crate) fenced: Vec<(i64, i64, Cause)>,
}

/// Reads everything. Whatever comes back must be what was stored.
pub(crate) async fn pass(shard: &Shard<SimDisk>, max_bytes: usize) -> Pass {
    pass_to(shard, RECORDS, max_bytes).await
}

/// As [`pass`], up to an offset.
pub(crate) async fn pass_to(shard: &Shard<SimDisk>, end: i64, max_bytes: usize) -> Pass {
    let mut pass = Pass::default();
    let mut from = 0;
    while from < end {
        match shard.read(key(), Offset(from), max_bytes, true).await {
            Ok(fetched) => {
                let bytes: Vec<u8> = fetched.slices.iter().flat_map(|s| s.to_vec()).collect();
                assert!(!bytes.is_empty(), "nothing at {from}, below the high watermark");
                let mut rest = &bytes[..];
                while let Some(header) = BatchHeader::peek(rest) {
                    let (batch, more) = rest.split_at(header.total_bytes().expect("a length"));
                    assert_eq!(header.base_offset(), Offset(from), "in order");
                    assert!(crc_matches(batch), "at {from}");
                    let stored = value(from);
                    assert!(batch.windows(stored.len()).any(|w| w == stored), "another record at {from}");
                    pass.read.push(from);
                    from += 1;
                    rest = more;
                }
            }
            Err(FetchError::Fenced(range)) => {
                assert!(range.first.0 <= from && from < range.end.0, "{range:?} at {from}");
                pass.fenced.push((range.first.0, range.end.0, range.cause));
                from = range.end.0;
            }
            Err(error) => panic!("at {from}: {error}"),
        }
    }
    pass
}

pub(crate) fn file(base: i64, end: &str) -> FileName {
    FileName::partition_dir(key()).join(format_args!("{base:020}{end}"))
}

/// The segments' base offsets.
pub(crate) async fn bases(disk: &SimDisk) -> Vec<i64> {
    let entries = disk.list(&FileName::partition_dir(key())).await.expect("listed");
    let base = |e: engine::io::DirEntry| e.name.base().strip_suffix(".log").and_then(|b| b.parse().ok());
    entries.into_iter().filter_map(base).collect()
}

pub(crate) async fn bytes_of(disk: &SimDisk, name: &FileName) -> Vec<u8> {
    let file = disk.open(name, Open::Existing).await.expect("there");
    let len = disk.len(&file).await.expect("a length") as usize;
    let mut bytes = Vec::new();
    while bytes.len() < len {
        bytes.extend_from_slice(&disk.read(&file, bytes.len() as u64, IO_BYTES_MAX).await.expect("readable"));
    }
    bytes.truncate(len);
    bytes
}

pub(crate) async fn put(disk: &SimDisk, name: &FileName, bytes: &[u8]) {
    let file = disk.open(name, Open::OrCreate).await.expect("opened");
    for (i, part) in bytes.chunks(IO_BYTES_MAX).enumerate() {
        let padded = part.len().next_multiple_of(BLOCK);
        let mut buffer = disk.take(padded).expect("memory");
        buffer[..padded].fill(0);
        buffer[..part.len()].copy_from_slice(part);
        let chunk = disk.seal(buffer, padded);
        disk.write(&file, (i * IO_BYTES_MAX) as u64, chunk).await.expect("written");
    }
    disk.truncate(&file, bytes.len() as u64).await.expect("cut");
    disk.flush(&file).await.expect("flushed");
}

/// Where each batch of a segment begins, and the offset there.
pub(crate) fn batches(bytes: &[u8]) -> Vec<(usize, i64)> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(header) = BatchHeader::peek(&bytes[at..]) {
        found.push((at, header.base_offset().0));
        at += header.total_bytes().expect("a length");
    }
    found
}

/// Lets the shard's clock run, in steps of 50 ms.
pub(crate) async fn run_for(world: &World, shard: &Shard<SimDisk>, seconds: u64) {
    for _ in 0..seconds * 20 {
        world.sleep(std::time::Duration::from_millis(50)).await;
        shard.tick(world.now());
    }
}
