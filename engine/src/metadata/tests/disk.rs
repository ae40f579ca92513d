//! A disk in memory that forgets what was not flushed: at a crash each unflushed block is kept,
//! lost or garbled by a seed, and names that no `sync_dir` covered vanish.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::io::{
    BLOCK, DirEntry, Disk, DiskError, DiskFault, DiskOp, DiskResult, DiskSpace, FileName, IO_BYTES_MAX, Open,
};

/// Runs a job that never waits.
pub(super) fn run<T>(job: impl Future<Output = T>) -> T {
    match pin!(job).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the disk in memory never waits"),
    }
}

#[derive(Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Where unflushed blocks were written.
    dirty: Vec<usize>,
    named: bool,
}

#[derive(Default)]
struct World {
    files: RefCell<BTreeMap<FileName, Rc<RefCell<Content>>>>,
    ops_left: Cell<Option<u32>>,
    pool_blocks: Cell<usize>,
    flushes_lie: Cell<bool>,
    no_replacing: Cell<bool>,
}

#[derive(Clone)]
pub(super) struct TestDisk(Rc<World>);

#[derive(Clone)]
pub(super) struct TestFile(FileName, Rc<RefCell<Content>>);

impl TestDisk {
    pub(super) fn new() -> TestDisk {
        let world = World::default();
        world.pool_blocks.set(1024);
        TestDisk(Rc::new(world))
    }

    /// Every operation after this many fails.
    pub(super) fn fail_after(&self, ops: u32) {
        self.0.ops_left.set(Some(ops));
    }

    pub(super) fn set_pool_blocks(&self, blocks: usize) {
        self.0.pool_blocks.set(blocks);
    }

    /// Plants the bug that the crash test must catch.
    pub(super) fn let_flushes_lie(&self) {
        self.0.flushes_lie.set(true);
    }

    /// Small files cannot be replaced: no space for the new one beside the old.
    pub(super) fn set_no_replacing(&self, on: bool) {
        self.0.no_replacing.set(on);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.files.borrow().keys().map(|n| n.to_string()).collect()
    }

    pub(super) fn flip(&self, name: &str, at: usize) {
        self.0.files.borrow()[&FileName::new(name)].borrow_mut().now[at] ^= 1;
    }

    /// Power is lost and comes back.
    pub(super) fn crash(&self, seed: &mut u64) {
        self.0.ops_left.set(None);
        let mut files = self.0.files.borrow_mut();
        files.retain(|_, content| content.borrow().named);
        for content in files.values() {
            let content = &mut *content.borrow_mut();
            let mut after = std::mem::take(&mut content.durable);
            for at in content.dirty.drain(..) {
                let block = content.now.get(at..(at + BLOCK).min(content.now.len())).unwrap_or_default();
                let garble = match random(seed) % 4 {
                    0 => continue,
                    1 => random(seed) as usize % BLOCK,
                    _ => BLOCK,
                };
                after.resize(after.len().max(at + block.len()), 0);
                let kept = garble.min(block.len());
                after[at..at + kept].copy_from_slice(&block[..kept]);
            }
            content.now.clone_from(&after);
            content.durable = after;
        }
    }

    fn step(&self, op: DiskOp, file: &FileName) -> DiskResult<()> {
        match self.0.ops_left.get() {
            Some(0) => Err(fault(op, file, DiskFault::Io)),
            Some(n) => {
                self.0.ops_left.set(Some(n - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

pub(super) fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

fn fault(op: DiskOp, file: &FileName, fault: DiskFault) -> DiskError {
    DiskError { op, file: file.clone(), fault, errno: 0 }
}

impl Disk for TestDisk {
    type Buf = Box<[u8]>;
    type Chunk = Rc<[u8]>;
    type File = TestFile;

    fn take(&self, len: usize) -> Option<Box<[u8]>> {
        assert!((1..=IO_BYTES_MAX).contains(&len));
        let blocks = len.next_power_of_two().max(BLOCK) / BLOCK;
        (blocks <= self.0.pool_blocks.get()).then(|| vec![0xee; blocks * BLOCK].into())
    }

    fn seal(&self, buf: Box<[u8]>, len: usize) -> Rc<[u8]> {
        buf[..len].into()
    }

    fn now(&self) -> crate::base::Instant {
        crate::base::Instant::default()
    }

    fn pool_free(&self) -> usize {
        self.0.pool_blocks.get() * BLOCK
    }

    fn pool_size(&self) -> usize {
        self.pool_free()
    }

    fn files_max(&self) -> usize {
        usize::MAX
    }

    async fn open(&self, name: &FileName, how: Open) -> DiskResult<TestFile> {
        self.step(DiskOp::Open, name)?;
        let mut files = self.0.files.borrow_mut();
        if how == Open::Existing && !files.contains_key(name) {
            return Err(fault(DiskOp::Open, name, DiskFault::NotFound));
        }
        Ok(TestFile(name.clone(), files.entry(name.clone()).or_default().clone()))
    }

    async fn len(&self, file: &TestFile) -> DiskResult<u64> {
        Ok(file.1.borrow().now.len() as u64)
    }

    async fn allocate(&self, file: &TestFile, len: u64) -> DiskResult<()> {
        self.step(DiskOp::Allocate, &file.0)?;
        let now = &mut file.1.borrow_mut().now;
        let len = now.len().max(len as usize);
        now.resize(len, 0);
        Ok(())
    }

    async fn write(&self, file: &TestFile, at: u64, chunk: Rc<[u8]>) -> DiskResult<()> {
        assert!(at.is_multiple_of(BLOCK as u64) && chunk.len().is_multiple_of(BLOCK));
        self.step(DiskOp::Write, &file.0)?;
        let content = &mut *file.1.borrow_mut();
        let (at, end) = (at as usize, at as usize + chunk.len());
        let len = content.now.len().max(end);
        content.now.resize(len, 0);
        content.now[at..end].copy_from_slice(&chunk);
        content.dirty.extend((at..end).step_by(BLOCK));
        Ok(())
    }

    async fn read(&self, file: &TestFile, at: u64, len: usize) -> DiskResult<Rc<[u8]>> {
        self.step(DiskOp::Read, &file.0)?;
        let now = &file.1.borrow().now;
        let start = (at as usize).min(now.len());
        Ok(now[start..(start + len).min(now.len())].into())
    }

    async fn flush(&self, file: &TestFile) -> DiskResult<()> {
        self.step(DiskOp::Flush, &file.0)?;
        let content = &mut *file.1.borrow_mut();
        if !self.0.flushes_lie.get() {
            content.durable.resize(content.now.len(), 0);
            for at in content.dirty.drain(..).filter(|at| *at < content.now.len()) {
                let end = (at + BLOCK).min(content.now.len());
                content.durable[at..end].copy_from_slice(&content.now[at..end]);
            }
        }
        Ok(())
    }

    async fn flush_all(&self, files: &[TestFile]) -> DiskResult<()> {
        for file in files {
            self.flush(file).await?;
        }
        Ok(())
    }

    async fn truncate(&self, file: &TestFile, len: u64) -> DiskResult<()> {
        self.step(DiskOp::Truncate, &file.0)?;
        file.1.borrow_mut().now.truncate(len as usize);
        Ok(())
    }

    async fn pause(&self) {}

    async fn rename(&self, from: &FileName, to: &FileName) -> DiskResult<()> {
        self.step(DiskOp::Rename, from)?;
        let mut files = self.0.files.borrow_mut();
        let content = files.remove(from).ok_or_else(|| fault(DiskOp::Rename, from, DiskFault::NotFound))?;
        files.insert(to.clone(), content);
        Ok(())
    }

    async fn remove(&self, name: &FileName) -> DiskResult<()> {
        self.step(DiskOp::Remove, name)?;
        self.0.files.borrow_mut().remove(name);
        Ok(())
    }

    async fn make_dir(&self, dir: &FileName) -> DiskResult<()> {
        self.step(DiskOp::MakeDir, dir)
    }

    async fn add_dir(&self, dir: &FileName) -> DiskResult<()> {
        self.step(DiskOp::MakeDir, dir)
    }

    async fn sync_all(&self, files: &[Self::File]) -> DiskResult<()> {
        for file in files {
            self.flush(file).await?;
        }
        self.0.files.borrow().values().for_each(|c| c.borrow_mut().named = true);
        Ok(())
    }

    async fn sync_dir(&self, dir: &FileName) -> DiskResult<()> {
        self.step(DiskOp::SyncDir, dir)?;
        let files = self.0.files.borrow();
        files.iter().filter(|(n, _)| n.parent().as_ref() == Some(dir)).for_each(|(_, c)| {
            c.borrow_mut().named = true;
        });
        Ok(())
    }

    async fn list(&self, dir: &FileName) -> DiskResult<Vec<DirEntry>> {
        self.step(DiskOp::List, dir)?;
        let files = self.0.files.borrow();
        let inside = files.iter().filter(|(n, _)| n.parent().as_ref() == Some(dir));
        let entry = |(name, content): (&FileName, &Rc<RefCell<Content>>)| DirEntry {
            name: name.clone(),
            is_dir: false,
            len: content.borrow().now.len() as u64,
        };
        Ok(inside.map(entry).collect())
    }

    async fn replace(&self, name: &FileName, bytes: Vec<u8>) -> DiskResult<()> {
        self.step(DiskOp::Replace, name)?;
        if self.0.no_replacing.get() {
            return Err(fault(DiskOp::Replace, name, DiskFault::NoSpace));
        }
        let content = Content { now: bytes.clone(), durable: bytes, dirty: Vec::new(), named: true };
        self.0.files.borrow_mut().insert(name.clone(), Rc::new(RefCell::new(content)));
        Ok(())
    }

    async fn read_small(&self, name: &FileName, max: usize) -> DiskResult<Option<Vec<u8>>> {
        self.step(DiskOp::Read, name)?;
        let files = self.0.files.borrow();
        let bytes = files.get(name).map(|c| c.borrow().now.clone());
        match bytes {
            Some(bytes) if bytes.len() > max => Err(fault(DiskOp::Read, name, DiskFault::TooLarge)),
            bytes => Ok(bytes),
        }
    }

    async fn space(&self) -> DiskResult<DiskSpace> {
        Ok(DiskSpace { free: u64::MAX, total: u64::MAX })
    }
}
