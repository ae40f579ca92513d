//! [`SimDisk`]: the engine's disk over a world's storage.
//!
//! Every operation takes a while that the seed chooses, has its effect at the end of it, and may
//! fail or hang as the world's faults say. Fresh buffers are full of noise, as recycled memory is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use engine::base::{Instant, Signal};
use engine::io::{
    BLOCK, DirEntry, Disk, DiskError, DiskFault, DiskOp, DiskResult, DiskSpace, FileName, IO_BYTES_MAX, Open,
};

use crate::faults::Fate;
use crate::storage::{Inode, InodeRef, NameError};
use crate::world::World;

/// Readers may hold at most the pool over this, as in `store`.
const READERS_SHARE: usize = 2;

/// After this long a stalled operation's caller gets a time-out, as in `store`.
const DEADLINE: Duration = Duration::from_secs(30);

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// A core's view of a world's disk. Cloning shares it.
#[derive(Clone)]
pub struct SimDisk {
    inner: Rc<Inner>,
}

struct Inner {
    world: World,
    life: u64,
    pool: Rc<Pool>,
}

struct Pool {
    size: usize,
    free: Cell<usize>,
    readers: Cell<usize>,
    freed: Signal,
    queue: RefCell<VecDeque<u64>>,
    next_ticket: Cell<u64>,
}

struct Credit {
    pool: Rc<Pool>,
    bytes: usize,
    reader: bool,
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.pool.free.set(self.pool.free.get() + self.bytes);
        if self.reader {
            self.pool.readers.set(self.pool.readers.get() - self.bytes);
        }
        self.pool.freed.notify();
    }
}

/// Memory with one owner.
pub struct Buf {
    bytes: Vec<u8>,
    credit: Credit,
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Sealed memory.
#[derive(Clone)]
pub struct Chunk {
    bytes: Rc<Vec<u8>>,
    _credit: Rc<Credit>,
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An open file.
#[derive(Clone)]
pub struct File {
    name: Rc<FileName>,
    inode: InodeRef,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.name)
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.bytes.len())
    }
}

/// How long operations of a kind take, in microseconds: usually, and once in a while.
fn delay_us(op: DiskOp) -> (u64, u64) {
    match op {
        DiskOp::Read => (200, 10_000),
        DiskOp::Write => (300, 20_000),
        DiskOp::Flush => (800, 50_000),
        _ => (600, 20_000),
    }
}

/// One delay in this many is a long one.
const LONG_DELAY_EVERY: u64 = 50;

impl SimDisk {
    pub(crate) fn new(world: World, pool_bytes: usize) -> SimDisk {
        let pool = Pool {
            size: pool_bytes,
            free: Cell::new(pool_bytes),
            readers: Cell::new(0),
            freed: Signal::new(),
            queue: RefCell::default(),
            next_ticket: Cell::new(0),
        };
        let life = world.inner.life.get();
        SimDisk { inner: Rc::new(Inner { world, life, pool: Rc::new(pool) }) }
    }

    fn world(&self) -> &World {
        &self.inner.world
    }

    fn storage<T>(&self, f: impl FnOnce(&mut crate::storage::Storage) -> T) -> T {
        f(&mut self.world().inner.storage.borrow_mut())
    }

    fn error(op: DiskOp, file: &FileName, fault: DiskFault, errno: i32) -> DiskError {
        DiskError { op, file: file.clone(), fault, errno }
    }

    fn name_error(op: DiskOp, file: &FileName, error: NameError) -> DiskError {
        match error {
            NameError::NotFound => SimDisk::error(op, file, DiskFault::NotFound, 2),
            NameError::IsDir => SimDisk::error(op, file, DiskFault::Io, 21),
        }
    }

    /// Counts an operation and decides what becomes of it.
    fn begin(&self, op: DiskOp) -> Fate {
        assert_eq!(self.inner.life, self.world().inner.life.get(), "a disk of a life that has ended");
        let number = self.storage(|s| {
            s.counters.ops += 1;
            s.counters.ops
        });
        let faults = self.world().inner.faults.borrow();
        let may = faults.eio_ops.is_empty() || faults.eio_ops.contains(&op);
        let fate = if faults.stall_at.contains(&number) {
            Fate::Stalls
        } else if faults.eio_at.contains(&number)
            || (may && faults.eio_ppm > 0 && self.world().random(|r| r.chance(faults.eio_ppm)))
        {
            Fate::Eio
        } else {
            Fate::Works
        };
        if fate != Fate::Works {
            self.storage(|s| s.counters.faults += 1);
        }
        fate
    }

    /// Lets an operation take its time.
    async fn pass(&self, op: DiskOp) {
        let (usual, long) = delay_us(op);
        let us = self.world().random(|r| {
            let max = if r.within(0..LONG_DELAY_EVERY) == 0 { long } else { usual };
            r.within(1..max)
        });
        self.world().sleep(Duration::from_micros(us)).await;
    }

    /// The start of an operation that either works or fails before it did anything.
    async fn operate(&self, op: DiskOp, file: &FileName) -> DiskResult<()> {
        match self.begin(op) {
            Fate::Works => {
                self.pass(op).await;
                Ok(())
            }
            Fate::Eio => {
                self.pass(op).await;
                Err(SimDisk::error(op, file, DiskFault::Io, EIO))
            }
            Fate::Stalls => {
                self.world().sleep(DEADLINE).await;
                Err(SimDisk::error(op, file, DiskFault::Timeout, 0))
            }
        }
    }

    /// Whether a file may grow from `old` to `new` bytes.
    fn grows(&self, op: DiskOp, file: &FileName, old: usize, new: usize) -> DiskResult<()> {
        let capacity = self.world().inner.faults.borrow().capacity;
        let more = new.saturating_sub(old) as u64;
        match capacity {
            Some(capacity) if more > 0 && self.storage(|s| s.used()) + more > capacity => {
                Err(SimDisk::error(op, file, DiskFault::NoSpace, ENOSPC))
            }
            _ => Ok(()),
        }
    }

    async fn lease(&self, bytes: usize) -> Credit {
        let pool = &self.inner.pool;
        let ticket = pool.next_ticket.replace(pool.next_ticket.get() + 1);
        pool.queue.borrow_mut().push_back(ticket);
        let _place = Place { pool, ticket };
        loop {
            let freed = pool.freed.wait();
            let first = pool.queue.borrow().front() == Some(&ticket);
            let room = pool.readers.get() + bytes <= pool.size / READERS_SHARE && bytes <= pool.free.get();
            if first && room {
                pool.free.set(pool.free.get() - bytes);
                pool.readers.set(pool.readers.get() + bytes);
                return Credit { pool: pool.clone(), bytes, reader: true };
            }
            freed.await;
        }
    }

    /// Marks the flush of these files now and makes it true after a while.
    async fn flush_these(&self, files: &[File]) -> DiskResult<()> {
        let marks: Vec<u64> = files.iter().map(|f| f.inode.borrow().mark()).collect();
        self.storage(|s| s.counters.flushes += files.len() as u64);
        let name = files[0].name.clone();
        let result = self.operate(DiskOp::Flush, &name).await;
        for (file, mark) in files.iter().zip(marks) {
            match &result {
                Ok(()) if self.world().inner.faults.borrow().breaks_flush_of(&file.name) => {}
                Ok(()) => file.inode.borrow_mut().flushed(mark),
                Err(_) => self.world().random(|r| file.inode.borrow_mut().flush_failed(mark, r)),
            }
        }
        result
    }
}

struct Place<'a> {
    pool: &'a Pool,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.queue.borrow_mut().retain(|t| *t != self.ticket);
        self.pool.freed.notify();
    }
}

fn cost(len: usize) -> usize {
    assert!(len > 0 && len <= IO_BYTES_MAX, "a buffer of {len} bytes");
    len.next_power_of_two().max(BLOCK)
}

fn check_transfer(at: u64, len: usize) {
    assert!(at.is_multiple_of(BLOCK as u64) && len.is_multiple_of(BLOCK), "transfer of {len} bytes at {at}");
    assert!(len > 0 && len <= IO_BYTES_MAX, "transfer of {len} bytes");
}

/// A write under way; gone from the list when it returns, fails or is forgotten with its future.
struct UnderWay<'a> {
    world: &'a World,
    number: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // What the kernel was given it carries out, also when nobody waits for it any longer.
        let write = self.world.inner.under_way.borrow_mut().remove(&self.number);
        if let Some((inode, at, bytes)) = write {
            inode.borrow_mut().write(at, bytes);
        }
    }
}

impl Disk for SimDisk {
    type Buf = Buf;
    type Chunk = Chunk;
    type File = File;

    fn take(&self, len: usize) -> Option<Buf> {
        let (pool, bytes) = (&self.inner.pool, cost(len));
        pool.free.set(pool.free.get().checked_sub(bytes)?);
        let noise = self.world().random(|r| r.bits() as u8);
        let credit = Credit { pool: pool.clone(), bytes, reader: false };
        // Zeroed and filled, not `vec![noise; n]`: an unoptimised build does that byte by byte.
        let mut bytes = vec![0; bytes];
        bytes.fill(noise);
        Some(Buf { bytes, credit })
    }

    fn seal(&self, buf: Buf, len: usize) -> Chunk {
        let Buf { mut bytes, credit } = buf;
        assert!(len <= bytes.len(), "{len} bytes of a buffer of {}", bytes.len());
        bytes.truncate(len);
        Chunk { bytes: Rc::new(bytes), _credit: Rc::new(credit) }
    }

    fn pool_free(&self) -> usize {
        self.inner.pool.free.get()
    }

    fn now(&self) -> Instant {
        self.world().now().mono
    }

    fn pool_size(&self) -> usize {
        self.inner.pool.size
    }

    async fn open(&self, name: &FileName, how: Open) -> DiskResult<File> {
        self.operate(DiskOp::Open, name).await?;
        let inode =
            self.storage(|s| s.open(name, how)).map_err(|e| SimDisk::name_error(DiskOp::Open, name, e))?;
        Ok(File { name: Rc::new(name.clone()), inode })
    }

    async fn len(&self, file: &File) -> DiskResult<u64> {
        Ok(file.inode.borrow().seen.len() as u64)
    }

    async fn allocate(&self, file: &File, len: u64) -> DiskResult<()> {
        self.operate(DiskOp::Allocate, &file.name).await?;
        let (old, new) = (file.inode.borrow().seen.len(), len as usize);
        if new > old {
            self.grows(DiskOp::Allocate, &file.name, old, new)?;
            file.inode.borrow_mut().set_len(new);
        }
        Ok(())
    }

    async fn write(&self, file: &File, at: u64, chunk: Chunk) -> DiskResult<()> {
        check_transfer(at, chunk.len());
        self.storage(|s| {
            s.counters.writes += 1;
            s.counters.bytes_written += chunk.len() as u64;
        });
        let at = at as usize;
        let fate = self.begin(DiskOp::Write);
        let old = file.inode.borrow().seen.len();
        self.grows(DiskOp::Write, &file.name, old, at + chunk.len())?;
        let number = self.storage(|s| s.counters.ops);
        let write = (file.inode.clone(), at, chunk.bytes.clone());
        self.world().inner.under_way.borrow_mut().insert(number, write);
        if fate == Fate::Stalls {
            // Never seen again, and neither is its buffer.
            std::mem::forget(chunk);
            self.world().sleep(DEADLINE).await;
            return Err(SimDisk::error(DiskOp::Write, &file.name, DiskFault::Timeout, 0));
        }
        let under_way = UnderWay { world: self.world(), number };
        self.pass(DiskOp::Write).await;
        if fate == Fate::Eio {
            if self.world().random(|r| r.coin()) {
                self.world().inner.under_way.borrow_mut().remove(&number);
            }
            return Err(SimDisk::error(DiskOp::Write, &file.name, DiskFault::Io, EIO));
        }
        drop(under_way);
        Ok(())
    }

    async fn read(&self, file: &File, at: u64, len: usize) -> DiskResult<Chunk> {
        check_transfer(at, len);
        let credit = self.lease(cost(len)).await;
        if self.begin_read(file) == Fate::Eio {
            self.pass(DiskOp::Read).await;
            return Err(SimDisk::error(DiskOp::Read, &file.name, DiskFault::Io, EIO));
        }
        self.pass(DiskOp::Read).await;
        let inode = file.inode.borrow();
        let start = (at as usize).min(inode.seen.len());
        let end = (at as usize + len).min(inode.seen.len());
        let bytes = inode.seen[start..end].to_vec();
        let of_segment = if file.name.as_str().ends_with(".log") { bytes.len() as u64 } else { 0 };
        self.storage(|s| {
            s.counters.bytes_read += bytes.len() as u64;
            s.counters.segment_bytes_read += of_segment;
        });
        Ok(Chunk { bytes: Rc::new(bytes), _credit: Rc::new(credit) })
    }

    async fn flush(&self, file: &File) -> DiskResult<()> {
        self.flush_these(std::slice::from_ref(file)).await
    }

    async fn flush_all(&self, files: &[File]) -> DiskResult<()> {
        if files.is_empty() { Ok(()) } else { self.flush_these(files).await }
    }

    async fn truncate(&self, file: &File, len: u64) -> DiskResult<()> {
        self.operate(DiskOp::Truncate, &file.name).await?;
        file.inode.borrow_mut().set_len(len as usize);
        Ok(())
    }

    async fn rename(&self, from: &FileName, to: &FileName) -> DiskResult<()> {
        self.operate(DiskOp::Rename, from).await?;
        self.storage(|s| s.rename(from, to)).map_err(|e| SimDisk::name_error(DiskOp::Rename, from, e))
    }

    async fn remove(&self, name: &FileName) -> DiskResult<()> {
        self.operate(DiskOp::Remove, name).await?;
        self.storage(|s| s.remove(name));
        Ok(())
    }

    async fn make_dir(&self, dir: &FileName) -> DiskResult<()> {
        self.operate(DiskOp::MakeDir, dir).await?;
        let names =
            self.storage(|s| s.make_dir(dir)).map_err(|e| SimDisk::name_error(DiskOp::MakeDir, dir, e))?;
        self.pass(DiskOp::MakeDir).await;
        self.storage(|s| s.synced(&names));
        Ok(())
    }

    async fn add_dir(&self, dir: &FileName) -> DiskResult<()> {
        self.operate(DiskOp::MakeDir, dir).await?;
        self.storage(|s| s.make_dir(dir)).map_err(|e| SimDisk::name_error(DiskOp::MakeDir, dir, e))?;
        Ok(())
    }

    async fn sync_all(&self, files: &[File]) -> DiskResult<()> {
        let names = self.storage(|s| s.all_names());
        if files.is_empty() {
            self.operate(DiskOp::SyncDir, &FileName::new("data")).await?;
        } else {
            self.flush_these(files).await?;
        }
        self.storage(|s| s.synced(&names));
        Ok(())
    }

    async fn sync_dir(&self, dir: &FileName) -> DiskResult<()> {
        let names =
            self.storage(|s| s.names_of(dir)).map_err(|e| SimDisk::name_error(DiskOp::SyncDir, dir, e))?;
        self.operate(DiskOp::SyncDir, dir).await?;
        self.storage(|s| s.synced(&names));
        Ok(())
    }

    async fn list(&self, dir: &FileName) -> DiskResult<Vec<DirEntry>> {
        self.operate(DiskOp::List, dir).await?;
        Ok(self.storage(|s| s.list(dir)))
    }

    async fn replace(&self, name: &FileName, bytes: Vec<u8>) -> DiskResult<()> {
        self.operate(DiskOp::Replace, name).await?;
        let old = self.storage(|s| s.file(name)).ok().flatten().map_or(0, |i| i.borrow().seen.len());
        self.grows(DiskOp::Replace, name, old, bytes.len())?;
        let inode = Rc::new(RefCell::new(Inode::sure(bytes)));
        let number = self
            .storage(|s| s.put(name, inode))
            .map_err(|e| SimDisk::name_error(DiskOp::Replace, name, e))?;
        self.pass(DiskOp::Replace).await;
        self.storage(|s| s.synced(&[number]));
        Ok(())
    }

    async fn read_small(&self, name: &FileName, max: usize) -> DiskResult<Option<Vec<u8>>> {
        self.operate(DiskOp::Read, name).await?;
        let file = self.storage(|s| s.file(name)).map_err(|e| SimDisk::name_error(DiskOp::Read, name, e))?;
        let Some(inode) = file else { return Ok(None) };
        let bytes = inode.borrow().seen.clone();
        if bytes.len() > max {
            return Err(SimDisk::error(DiskOp::Read, name, DiskFault::TooLarge, 0));
        }
        self.storage(|s| {
            s.counters.reads += 1;
            s.counters.bytes_read += bytes.len() as u64;
            s.counters.files_read.insert(name.clone());
        });
        Ok(Some(bytes))
    }

    async fn space(&self) -> DiskResult<DiskSpace> {
        /// What a disk without a limit says.
        const PLENTY: u64 = 1 << 40;
        let total = self.world().inner.faults.borrow().capacity.unwrap_or(PLENTY);
        Ok(DiskSpace { free: total.saturating_sub(self.storage(|s| s.used())), total })
    }
}

impl SimDisk {
    fn begin_read(&self, file: &File) -> Fate {
        self.storage(|s| {
            s.counters.reads += 1;
            s.counters.files_read.insert((*file.name).clone());
        });
        self.begin(DiskOp::Read)
    }
}
