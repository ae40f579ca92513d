//! Eight connections, five requests deep, one group commit: the load under which glommio with a
//! short preempt timer parks for ever with runnable tasks. Whenever the one write or flush of a
//! group returns, everything that can go on is a ready task, so a lost turn is a hang.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{on_executor, real_dir};
use engine::base::Signal;
use engine::io::{BLOCK, Disk, FileName, IO_BYTES_MAX, Open};
use store::{DiskSettings, GlommioDisk, fairness};

const REQUESTS_AT_ONCE: usize = 8 * 5;
const REQUEST_BYTES: usize = BLOCK;
const RUNS: usize = 6;
const GROUPS_PER_RUN: u64 = 1500;
const FILE_BYTES: u64 = 8 << 20;

const _: () = assert!(REQUESTS_AT_ONCE * REQUEST_BYTES <= IO_BYTES_MAX, "a group is one buffer");

/// With no group in this long the executor hangs: a thousand times what one takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Commits {
    open: RefCell<Vec<u8>>,
    arrived: Signal,
    sealed: Cell<u64>,
    durable: Cell<u64>,
    committed: Signal,
}

/// One request after the other: into the open group, then wait for its flush.
async fn client(commits: Rc<Commits>, fill: u8) {
    while commits.durable.get() < GROUPS_PER_RUN {
        let work = fairness::begin();
        let mine = commits.sealed.get() + 1;
        commits.open.borrow_mut().extend_from_slice(&[fill; REQUEST_BYTES]);
        commits.arrived.notify();
        work.end().await;
        while commits.durable.get() < mine {
            let committed = commits.committed.wait();
            if commits.durable.get() < mine {
                committed.await;
            }
        }
    }
}

async fn commit(disk: GlommioDisk, commits: Rc<Commits>, progress: Arc<AtomicU64>) {
    let file = disk.open(&FileName::new("journal"), Open::OrCreate).await.unwrap();
    disk.allocate(&file, FILE_BYTES).await.unwrap();
    let mut at = 0;
    while commits.durable.get() < GROUPS_PER_RUN {
        if commits.open.borrow().is_empty() {
            commits.arrived.wait().await;
            continue;
        }
        let chunk = {
            let open = &mut *commits.open.borrow_mut();
            let mut buf = disk.take(open.len()).expect("one group in flight fits the pool");
            buf[..open.len()].copy_from_slice(open);
            let len = open.len();
            open.clear();
            disk.seal(buf, len)
        };
        commits.sealed.set(commits.sealed.get() + 1);
        at = if at + chunk.len() as u64 > FILE_BYTES { 0 } else { at };
        let len = chunk.len() as u64;
        disk.write(&file, at, chunk).await.unwrap();
        disk.flush(&file).await.unwrap();
        at += len;
        commits.durable.set(commits.sealed.get());
        commits.committed.notify();
        progress.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn forty_requests_over_one_group_commit_never_hang() {
    let progress = Arc::new(AtomicU64::new(0));
    let (counter, dir) = (progress.clone(), real_dir());
    let load = std::thread::spawn(move || {
        for _ in 0..RUNS {
            let counter = counter.clone();
            on_executor(dir.path(), 8 * IO_BYTES_MAX, move |dir| async move {
                let disk = GlommioDisk::open(dir, DiskSettings::default()).await.unwrap();
                let commits = Rc::new(Commits::default());
                let clients: Vec<_> = (0..REQUESTS_AT_ONCE)
                    .map(|n| glommio::spawn_local(client(commits.clone(), n as u8)))
                    .collect();
                commit(disk.clone(), commits, counter).await;
                for client in clients {
                    client.await;
                }
                assert_eq!(disk.pool_stats().free, disk.pool_size());
            });
        }
    });
    let mut seen = 0;
    while !load.is_finished() {
        std::thread::park_timeout(Duration::from_millis(50));
        let deadline = std::time::Instant::now() + PATIENCE;
        while progress.load(Ordering::Relaxed) == seen && !load.is_finished() {
            assert!(std::time::Instant::now() < deadline, "no group for {PATIENCE:?} after {seen}: a hang");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        seen = progress.load(Ordering::Relaxed);
    }
    load.join().unwrap();
    assert_eq!(progress.load(Ordering::Relaxed), RUNS as u64 * GROUPS_PER_RUN);
}
