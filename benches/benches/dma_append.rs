//! How much faster or slower are a write and a flush of a journal group through the store on io_uring
//! than a blocking `pwrite` and `fdatasync`? Groups of 16, 64 and 256 KiB, over a file that was written
//! before, on the disk of the build directory.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use benches::{compare, real_dir};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::io::{BLOCK, Disk, FileName, IO_BYTES_MAX, Open};
use rustix::fs::OFlags;
use store::runtime::{Executor, ExecutorSettings, start};
use store::{DiskSettings, GlommioDisk};

const GROUPS: [usize; 3] = [16 * 1024, 64 * 1024, 256 * 1024];
const FILE_BYTES: u64 = 32 << 20;

/// Do this many groups of that many bytes.
type Order = (u64, usize);

/// The store on an executor of its own, which works off orders.
struct Store {
    orders: Option<Sender<Order>>,
    done: Receiver<Duration>,
    executor: Option<Executor<()>>,
}

impl Store {
    fn start(dir: PathBuf) -> Store {
        let (orders, received) = channel();
        let (done, report) = channel();
        let executor =
            start(ExecutorSettings::default(), move || work_off(dir, received, done)).expect("io_uring");
        Store { orders: Some(orders), done: report, executor: Some(executor) }
    }

    fn append(&self, groups: u64, bytes: usize) -> Duration {
        self.orders.as_ref().expect("open").send((groups, bytes)).expect("the executor runs");
        self.done.recv().expect("the executor runs")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.orders = None;
        self.executor.take().expect("joined once").join().expect("the executor ends");
    }
}

async fn work_off(dir: PathBuf, orders: Receiver<Order>, done: Sender<Duration>) {
    let disk = GlommioDisk::open(dir, DiskSettings::default()).await.expect("the directory");
    let file = disk.open(&FileName::new("ring"), Open::OrCreate).await.expect("a file");
    disk.allocate(&file, FILE_BYTES).await.expect("room");
    let chunk = |bytes| {
        let mut buf = disk.take(bytes).expect("a free pool");
        buf.fill(7);
        disk.seal(buf, bytes)
    };
    for at in (0..FILE_BYTES).step_by(IO_BYTES_MAX) {
        disk.write(&file, at, chunk(IO_BYTES_MAX)).await.expect("written");
    }
    disk.flush(&file).await.expect("flushed");
    let mut at = 0;
    // Nothing else runs on this executor: it may block until the next order.
    while let Ok((groups, bytes)) = orders.recv() {
        let began = Instant::now();
        for _ in 0..groups {
            disk.write(&file, at, chunk(bytes)).await.expect("written");
            disk.flush(&file).await.expect("flushed");
            at = (at + bytes as u64) % FILE_BYTES;
        }
        done.send(began.elapsed()).expect("somebody waits");
    }
}

/// The same by system calls that block.
struct Blocking {
    file: File,
    memory: Vec<u8>,
    at: u64,
}

impl Blocking {
    fn open(dir: PathBuf) -> Blocking {
        let flags = OFlags::DIRECT.bits() as i32;
        let path = dir.join("blocking");
        let file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path);
        let mut blocking =
            Blocking { file: file.expect("a file"), memory: vec![7; IO_BYTES_MAX + BLOCK], at: 0 };
        for _ in 0..FILE_BYTES / IO_BYTES_MAX as u64 {
            blocking.write(IO_BYTES_MAX);
        }
        rustix::fs::fdatasync(&blocking.file).expect("flushed");
        blocking
    }

    fn write(&mut self, bytes: usize) {
        let from = self.memory.as_ptr().align_offset(BLOCK);
        let written =
            rustix::io::pwrite(&self.file, &self.memory[from..from + bytes], self.at).expect("written");
        assert_eq!(written, bytes);
        self.at = (self.at + bytes as u64) % FILE_BYTES;
    }

    fn append(&mut self, groups: u64, bytes: usize) -> Duration {
        let began = Instant::now();
        for _ in 0..groups {
            self.write(bytes);
            rustix::fs::fdatasync(&self.file).expect("flushed");
        }
        began.elapsed()
    }
}

fn dma_append(c: &mut Criterion) {
    let dir = real_dir();
    let store = Store::start(dir.path().to_owned());
    let mut blocking = Blocking::open(dir.path().to_owned());
    let mut results = c.benchmark_group("dma_append");
    results.sample_size(10).measurement_time(Duration::from_secs(2));
    for bytes in GROUPS {
        results.throughput(Throughput::Bytes(bytes as u64));
        let name = format!("{} KiB", bytes / 1024);
        results.bench_function(BenchmarkId::new("pwrite and fdatasync", &name), |b| {
            b.iter_custom(|groups| blocking.append(groups, bytes));
        });
        results.bench_function(BenchmarkId::new("store", &name), |b| {
            b.iter_custom(|groups| store.append(groups, bytes));
        });
    }
    results.finish();
    for bytes in GROUPS {
        compare(
            &format!("store / blocking, {} KiB", bytes / 1024),
            1,
            || {
                store.append(200, bytes);
            },
            || {
                blocking.append(200, bytes);
            },
        );
    }
}

criterion_group!(benches, dma_append);
criterion_main!(benches);
