//! How many bytes of log a second does one core compact on a real disk, through the store: read twice, the
//! survivors written, every file swapped? A log of 1 GiB in segments of 128 MiB, records of 1 KiB over 100,000
//! keys; then the same with as many keys as records, of which nothing goes.

use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use benches::real_dir;
use engine::base::{CoreId, LeaderEpoch, Now, PartitionKey, TopicId, WallMs};
use engine::broker::{AppendError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::{CleanerSettings, Cleanup, TopicSettings};
use engine::record::{BatchBuilder, Codec};
use futures_util::future::{join4, select};
use store::runtime::{ExecutorSettings, sleep, start};
use store::{DiskSettings, GlommioDisk};

const LOG_BYTES: u64 = 1 << 30;
const BATCH_RECORDS: u64 = 60;
const VALUE_BYTES: usize = 1_000;
const TICK: Duration = Duration::from_millis(50);

fn now() -> Now {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Now { wall: WallMs(wall.as_millis() as i64), mono: server::runtime::clock::monotonic() }
}

async fn run(dir: PathBuf, keys: u64) {
    let disk = GlommioDisk::open(dir, DiskSettings::default()).await.expect("the directory");
    let key = PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 0 };
    let settings = TopicSettings {
        cleanup: Cleanup::Compact,
        segment_bytes: 128 << 20,
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
    select(pin!(jobs), pin!(measure(&shard, key, keys, &cleaner))).await;
}

async fn measure(shard: &Shard<GlommioDisk>, key: PartitionKey, keys: u64, cleaner: &impl Fn(bool)) {
    let (mut random, mut ticket, mut written) = (1_u64, None, 0);
    while written < LOG_BYTES {
        let mut builder = BatchBuilder::new(Codec::None);
        for _ in 0..BATCH_RECORDS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (random >> 20) % keys;
            builder.push(now().wall.0, Some(&key.to_be_bytes()), Some(&[7; VALUE_BYTES]), &[]);
        }
        let batch = builder.finish();
        written += batch.len() as u64;
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
    println!(
        "{keys:>12} keys: {:.0} MB of log in {took:.2} s, {:.0} MB/s; read {:.0} MB, wrote {:.0} MB, \
         {} records dropped, {:.0} MB left; CPU {busy:.2} s, {:.0} MB per CPU second",
        mb(before),
        mb(before) / took,
        mb(stats.compaction_bytes_read),
        mb(stats.compaction_bytes_written),
        stats.compaction_records_dropped,
        mb(shard.log_bytes(key).expect("hosted")),
        mb(before) / busy,
    );
    shard.close(now()).await.expect("closed");
}

/// CPU time of this thread, seconds.
fn cpu() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

fn main() {
    for keys in [100_000, 1 << 40] {
        let dir = real_dir();
        let path = dir.path().to_owned();
        start(ExecutorSettings::default(), move || run(path, keys))
            .expect("io_uring")
            .join()
            .expect("it ends");
    }
}
