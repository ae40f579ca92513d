//! How many bytes of log a second does one core compact on a real disk, through the store: read twice, the
//! survivors written, every file swapped? Records of 1 KiB that come to 1 GiB before they are compressed, over
//! 100,000 keys, in each codec that is fast; then with as many keys as records, of which nothing goes. MB are
//! those of the records before they are compressed.

use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use benches::{Chance, real_dir};
use engine::base::{CoreId, LeaderEpoch, Now, PartitionKey, TopicId, WallMs};
use engine::broker::{AppendError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::{CleanerSettings, Cleanup, TopicSettings};
use engine::record::{BatchBuilder, Codec};
use futures_util::future::{join4, select};
use store::runtime::{ExecutorSettings, sleep, start};
use store::{DiskSettings, GlommioDisk};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LOG_BYTES: u64 = 1 << 30;
const BATCH_RECORDS: u64 = 60;
const VALUE_BYTES: usize = 1_000;
const TICK: Duration = Duration::from_millis(50);

fn now() -> Now {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Now { wall: WallMs(wall.as_millis() as i64), mono: server::runtime::clock::monotonic() }
}

async fn run(dir: PathBuf, codec: Codec, keys: u64) {
    let disk = GlommioDisk::open(dir, DiskSettings::default()).await.expect("the directory");
    let key = PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 0 };
    let settings = TopicSettings {
        cleanup: Cleanup::Compact,
        segment_bytes: 64 << 20,
        min_cleanable_dirty_ppm: 0,
        ..TopicSettings::default()
    };
    let hosted = HostedPartition { key, core: CoreId(0), leader_epoch: LeaderEpoch(0), settings };
    let mut recovered = recover(&disk, &[hosted], 1, now()).await.expect("recovered");
    let shard =
        Shard::open(disk, recovered.cores.remove(0), ShardSettings::default(), now()).await.expect("open");
    let cleaner = |enabled| {
        let backoff = Duration::from_secs(1);
        shard.set_cleaner(CleanerSettings { enabled, backoff, ..CleanerSettings::default() });
    };
    cleaner(false);
    let (commits, writer, clean, clock) = (shard.clone(), shard.clone(), shard.clone(), shard.clone());
    let ticks = async {
        loop {
            sleep(TICK).await;
            clock.tick(now());
        }
    };
    let jobs = join4(commits.run_commits(), writer.run_writer(), clean.run_cleaner(), ticks);
    select(pin!(jobs), pin!(measure(&shard, key, codec, keys, &cleaner))).await;
}

async fn measure(
    shard: &Shard<GlommioDisk>,
    key: PartitionKey,
    codec: Codec,
    keys: u64,
    cleaner: &impl Fn(bool),
) {
    let (mut chance, mut value) = (Chance::new(1), vec![0; VALUE_BYTES]);
    let (mut ticket, mut plain) = (None, 0);
    while plain < LOG_BYTES {
        let mut builder = BatchBuilder::new(codec);
        for _ in 0..BATCH_RECORDS {
            chance.fill(&mut value);
            builder.push(now().wall.0, Some(&chance.below(keys).to_be_bytes()), Some(&value), &[]);
        }
        plain += builder.bytes() as u64;
        let batch = builder.finish();
        loop {
            match shard.append(now(), key, &batch) {
                Ok(appended) => break ticket = Some(appended.ticket),
                Err(AppendError::NoRoom) => shard.room().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
    shard.until_durable(ticket.expect("something was written")).await.expect("durable");
    let before = shard.log_bytes(key).expect("hosted");
    cleaner(true);
    let (began, busy) = (Instant::now(), cpu());
    while shard.stats().compactions == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let (took, busy) = (began.elapsed().as_secs_f64(), cpu() - busy);
    let stats = shard.stats();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    // It has read all but the active segment twice.
    let share = stats.compaction_bytes_read as f64 / 2.0 / before as f64;
    let compacted = mb(plain) * share;
    println!(
        "{:<6}{keys:>14} keys: {compacted:.0} MB in {took:.2} s, {:.0} MB/s, {:.0} MB per CPU second; {:.0} MB on disk, \
         read {:.0} MB, wrote {:.0} MB, {} records dropped, {:.0} MB left",
        format!("{codec:?}"),
        compacted / took,
        compacted / busy,
        mb(before),
        mb(stats.compaction_bytes_read),
        mb(stats.compaction_bytes_written),
        stats.compaction_records_dropped,
        mb(shard.log_bytes(key).expect("hosted")),
    );
    shard.close(now()).await.expect("closed");
}

/// CPU time of this thread, seconds.
fn cpu() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

fn main() {
    let runs = [
        (Codec::None, 100_000),
        (Codec::Lz4, 100_000),
        (Codec::Zstd, 100_000),
        (Codec::None, 1 << 40),
        (Codec::Lz4, 1 << 40),
        (Codec::Zstd, 1 << 40),
    ];
    for (codec, keys) in runs {
        let dir = real_dir();
        let path = dir.path().to_owned();
        start(ExecutorSettings::default(), move || run(path, codec, keys))
            .expect("io_uring")
            .join()
            .expect("it ends");
    }
}
