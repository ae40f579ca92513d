//! [`SimDisk`]: the engine's disk over a world's storage.
//!
//! Every operation takes a while that the seed chooses, has its effect at the end of it, and may
//! fail or hang as the world's faults say. Fresh buffers are full of noise, as recycled memory is.
//! Before and after each operation that changes the disk the machine may stop.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use engine::base::Instant;
use engine::io::{
    BLOCK, DirEntry, Disk, DiskError, DiskFault, DiskOp, DiskResult, DiskSpace, FileName, IO_BYTES_MAX, Open,
};

use crate::faults::{Buggify, CutAt, Fate, Side};
use crate::inode::{Inode, InodeRef, Write};
use crate::memory::Pool;
pub use crate::memory::{Buf, Chunk};
use crate::storage::NameError;
use crate::world::World;

/// After this long a stalled operation's caller gets a time-out, as in `store`.
const DEADLINE: Duration = Duration::from_secs(30);

/// Memory is refused this often in a million where that is made usual: whoever waits for some waits for
/// the next tick, so more of it would only make a machine idle.
const REFUSED_PPM: u32 = 20_000;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EMFILE: i32 = 24;

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

/// An open file.
#[derive(Clone)]
pub struct File {
    name: Rc<FileName>,
    inode: InodeRef,
    /// Counts it among the segment files, if it is one.
    _descriptor: Option<Rc<Descriptor>>,
}

/// One of the segment files that are open.
struct Descriptor {
    world: World,
}

impl Descriptor {
    /// `None` if there is none left.
    fn take(world: &World) -> Option<Descriptor> {
        let limit = world.inner.faults.borrow().descriptors;
        let mut storage = world.inner.storage.borrow_mut();
        let counters = &mut storage.counters;
        if limit.is_some_and(|limit| counters.segments_open >= limit) {
            return None;
        }
        counters.segments_opened += 1;
        counters.segments_open += 1;
        counters.segments_open_max = counters.segments_open_max.max(counters.segments_open);
        Some(Descriptor { world: world.clone() })
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.world.inner.storage.borrow_mut().counters.segments_open -= 1;
    }
}

/// Segment files that a shard keeps open where a world does not say.
const FILES_MAX: usize = 512;

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.name)
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
        let life = world.inner.life.get();
        SimDisk { inner: Rc::new(Inner { world, life, pool: Pool::new(pool_bytes) }) }
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
        let draws = |ppm: u32| ppm > 0 && self.world().random(|r| r.chance(ppm));
        let fate = if faults.stall_at.contains(&number) || draws(faults.stall_ppm) {
            Fate::Stalls
        } else if faults.eio_at.contains(&number) || (may && draws(faults.eio_ppm)) {
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
        let slow = self.world().inner.faults.borrow().buggify.slows(op);
        let us = self.world().random(|r| {
            let is_long = r.within(0..LONG_DELAY_EVERY) == 0 || slow && r.chance(Buggify::FIRES_PPM);
            let max = if is_long { long } else { usual };
            r.within(1..max)
        });
        self.world().sleep(Duration::from_micros(us)).await;
    }

    /// A step that changes the disk begins: the machine may stop before it.
    async fn persist(&self, op: DiskOp, file: &FileName, at: u64, bytes: usize) -> u64 {
        let step = self.storage(|s| {
            s.counters.persist_steps += 1;
            s.counters.persist_steps
        });
        self.world().note(&[op as u64, at, bytes as u64], || {
            let place = if bytes > 0 { format!(" {bytes} bytes at {at}") } else { String::new() };
            format!("  disk {step}: {op:?} {file}{place}")
        });
        self.stop_at(CutAt { step, side: Side::Before }).await;
        step
    }

    /// It has had its effect: the machine may stop before anybody knows.
    async fn persisted(&self, step: u64) {
        self.stop_at(CutAt { step, side: Side::After }).await;
    }

    async fn stop_at(&self, here: CutAt) {
        if self.world().stops_at(here) {
            std::future::pending::<()>().await;
        }
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

    /// Marks the flush of these files now and makes it true after a while.
    async fn flush_these(&self, files: &[File]) -> DiskResult<()> {
        let marks: Vec<u64> = files.iter().map(|f| f.inode.borrow().mark()).collect();
        self.storage(|s| s.counters.flushes += files.len() as u64);
        let name = files[0].name.clone();
        let step = self.persist(DiskOp::Flush, &name, 0, 0).await;
        let mut result = self.operate(DiskOp::Flush, &name).await;
        if files.len() > 1 && self.world().inner.faults.borrow().eio_flush_of_many {
            self.storage(|s| s.counters.faults += 1);
            result = Err(SimDisk::error(DiskOp::Flush, &name, DiskFault::Io, EIO));
        }
        for (file, mark) in files.iter().zip(marks) {
            match &result {
                Ok(()) if self.world().inner.faults.borrow().breaks_flush_of(&file.name) => {}
                Ok(()) => file.inode.borrow_mut().flushed(mark),
                Err(_) if self.world().inner.faults.borrow().drops_cache => {
                    file.inode.borrow_mut().dropped(mark);
                }
                Err(_) => self.world().random(|r| file.inode.borrow_mut().flush_failed(mark, r)),
            }
        }
        self.persisted(step).await;
        result
    }
}

fn check_transfer(at: u64, len: usize) {
    assert!(at.is_multiple_of(BLOCK as u64) && len.is_multiple_of(BLOCK), "transfer of {len} bytes at {at}");
    assert!(len > 0 && len <= IO_BYTES_MAX, "transfer of {len} bytes");
}

/// The blocks that a transfer touches.
fn blocks(at: u64, len: usize) -> std::ops::Range<u64> {
    at / BLOCK as u64..(at + len as u64) / BLOCK as u64
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
        if let Some((inode, write)) = write {
            inode.borrow_mut().write(write);
        }
    }
}

impl Disk for SimDisk {
    type Buf = Buf;
    type Chunk = Chunk;
    type File = File;

    fn take(&self, len: usize) -> Option<Buf> {
        let refuses = self.world().inner.faults.borrow().buggify.refuse_memory
            && self.world().random(|r| r.chance(REFUSED_PPM));
        let noise = self.world().random(|r| r.bits() as u8);
        if refuses { None } else { self.inner.pool.take(len, noise) }
    }

    fn seal(&self, buf: Buf, len: usize) -> Chunk {
        Chunk::seal(buf, len)
    }

    fn pool_free(&self) -> usize {
        self.inner.pool.free()
    }

    fn now(&self) -> Instant {
        self.world().now().mono
    }

    fn pool_size(&self) -> usize {
        self.inner.pool.size
    }

    fn files_max(&self) -> usize {
        self.world().inner.faults.borrow().files_max.unwrap_or(FILES_MAX)
    }

    async fn open(&self, name: &FileName, how: Open) -> DiskResult<File> {
        self.operate(DiskOp::Open, name).await?;
        let refused = || SimDisk::error(DiskOp::Open, name, DiskFault::NoDescriptor, EMFILE);
        let descriptor = match name.as_str().starts_with("topics/") {
            true => Some(Rc::new(Descriptor::take(self.world()).ok_or_else(refused)?)),
            false => None,
        };
        let is_there = self.storage(|s| matches!(s.file(name), Ok(Some(_))));
        let step = match how {
            Open::OrCreate if !is_there => Some(self.persist(DiskOp::Open, name, 0, 0).await),
            _ => None,
        };
        let inode =
            self.storage(|s| s.open(name, how)).map_err(|e| SimDisk::name_error(DiskOp::Open, name, e))?;
        if let Some(step) = step {
            self.persisted(step).await;
        }
        Ok(File { name: Rc::new(name.clone()), inode, _descriptor: descriptor })
    }

    async fn len(&self, file: &File) -> DiskResult<u64> {
        Ok(file.inode.borrow().len() as u64)
    }

    async fn allocate(&self, file: &File, len: u64) -> DiskResult<()> {
        let step = self.persist(DiskOp::Allocate, &file.name, 0, len as usize).await;
        self.operate(DiskOp::Allocate, &file.name).await?;
        let (old, new) = (file.inode.borrow().len(), len as usize);
        if new > old {
            self.grows(DiskOp::Allocate, &file.name, old, new)?;
            file.inode.borrow_mut().set_len(new);
        }
        self.persisted(step).await;
        Ok(())
    }

    async fn write(&self, file: &File, at: u64, chunk: Chunk) -> DiskResult<()> {
        check_transfer(at, chunk.len());
        self.storage(|s| {
            s.counters.writes += 1;
            s.counters.bytes_written += chunk.len() as u64;
        });
        let step = self.persist(DiskOp::Write, &file.name, at, chunk.len()).await;
        let blocks = blocks(at, chunk.len());
        let at = at as usize;
        let mut fate = self.begin(DiskOp::Write);
        if self.world().inner.faults.borrow().stalls_write_of(&file.name) {
            self.storage(|s| s.counters.faults += 1);
            fate = Fate::Stalls;
        }
        let old = file.inode.borrow().len();
        self.grows(DiskOp::Write, &file.name, old, at + chunk.len())?;
        let number = self.storage(|s| s.counters.ops);
        let bytes = chunk.memory();
        let place = self.place(file, at, bytes.len());
        if place != Some(at) {
            file.inode.borrow_mut().missed(at, bytes.len());
        }
        if let Some(place) = place {
            let write = Write { at: place, bytes, astray: place != at };
            self.world().inner.under_way.borrow_mut().insert(number, (file.inode.clone(), write));
        }
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
        self.world().inner.faults.borrow_mut().heal(&file.name, blocks);
        self.persisted(step).await;
        Ok(())
    }

    async fn read(&self, file: &File, at: u64, len: usize) -> DiskResult<Chunk> {
        check_transfer(at, len);
        let lease = self.inner.pool.lease(len).await;
        let fate = self.begin_read(file, blocks(at, len));
        if fate == Fate::Stalls {
            std::mem::forget(lease);
            self.world().sleep(DEADLINE).await;
            return Err(SimDisk::error(DiskOp::Read, &file.name, DiskFault::Timeout, 0));
        }
        self.pass(DiskOp::Read).await;
        let range = at as usize..at as usize + len;
        if fate == Fate::Eio || !file.inode.borrow().is_readable(range.clone()) {
            return Err(SimDisk::error(DiskOp::Read, &file.name, DiskFault::Io, EIO));
        }
        let chunk = lease.hold(file.inode.borrow().read(range));
        let of_segment = if file.name.as_str().ends_with(".log") { chunk.len() as u64 } else { 0 };
        self.storage(|s| {
            s.counters.bytes_read += chunk.len() as u64;
            s.counters.segment_bytes_read += of_segment;
        });
        Ok(chunk)
    }

    async fn flush(&self, file: &File) -> DiskResult<()> {
        self.flush_these(std::slice::from_ref(file)).await
    }

    async fn flush_all(&self, files: &[File]) -> DiskResult<()> {
        if files.is_empty() { Ok(()) } else { self.flush_these(files).await }
    }

    async fn truncate(&self, file: &File, len: u64) -> DiskResult<()> {
        let step = self.persist(DiskOp::Truncate, &file.name, len, 0).await;
        self.operate(DiskOp::Truncate, &file.name).await?;
        file.inode.borrow_mut().set_len(len as usize);
        self.persisted(step).await;
        Ok(())
    }

    async fn rename(&self, from: &FileName, to: &FileName) -> DiskResult<()> {
        let step = self.persist(DiskOp::Rename, from, 0, 0).await;
        self.operate(DiskOp::Rename, from).await?;
        self.storage(|s| s.rename(from, to)).map_err(|e| SimDisk::name_error(DiskOp::Rename, from, e))?;
        self.persisted(step).await;
        Ok(())
    }

    async fn remove(&self, name: &FileName) -> DiskResult<()> {
        let step = self.persist(DiskOp::Remove, name, 0, 0).await;
        self.operate(DiskOp::Remove, name).await?;
        self.storage(|s| s.remove(name));
        self.persisted(step).await;
        Ok(())
    }

    async fn make_dir(&self, dir: &FileName) -> DiskResult<()> {
        let step = self.persist(DiskOp::MakeDir, dir, 0, 0).await;
        self.operate(DiskOp::MakeDir, dir).await?;
        let names =
            self.storage(|s| s.make_dir(dir)).map_err(|e| SimDisk::name_error(DiskOp::MakeDir, dir, e))?;
        self.pass(DiskOp::MakeDir).await;
        self.storage(|s| s.synced(&names));
        self.persisted(step).await;
        Ok(())
    }

    async fn add_dir(&self, dir: &FileName) -> DiskResult<()> {
        let step = self.persist(DiskOp::MakeDir, dir, 0, 0).await;
        self.operate(DiskOp::MakeDir, dir).await?;
        self.storage(|s| s.make_dir(dir)).map_err(|e| SimDisk::name_error(DiskOp::MakeDir, dir, e))?;
        self.persisted(step).await;
        Ok(())
    }

    async fn sync_all(&self, files: &[File]) -> DiskResult<()> {
        let names = self.storage(|s| s.all_names());
        if files.is_empty() {
            let root = FileName::new("data");
            let step = self.persist(DiskOp::SyncDir, &root, 0, 0).await;
            self.operate(DiskOp::SyncDir, &root).await?;
            self.storage(|s| s.synced(&names));
            self.persisted(step).await;
        } else {
            self.flush_these(files).await?;
            self.storage(|s| s.synced(&names));
        }
        Ok(())
    }

    async fn sync_dir(&self, dir: &FileName) -> DiskResult<()> {
        let names =
            self.storage(|s| s.names_of(dir)).map_err(|e| SimDisk::name_error(DiskOp::SyncDir, dir, e))?;
        let step = self.persist(DiskOp::SyncDir, dir, 0, 0).await;
        self.operate(DiskOp::SyncDir, dir).await?;
        self.storage(|s| s.synced(&names));
        self.persisted(step).await;
        Ok(())
    }

    async fn list(&self, dir: &FileName) -> DiskResult<Vec<DirEntry>> {
        self.operate(DiskOp::List, dir).await?;
        Ok(self.storage(|s| s.list(dir)))
    }

    async fn replace(&self, name: &FileName, bytes: Vec<u8>) -> DiskResult<()> {
        let step = self.persist(DiskOp::Replace, name, 0, bytes.len()).await;
        self.operate(DiskOp::Replace, name).await?;
        let old = self.storage(|s| s.file(name)).ok().flatten().map_or(0, |i| i.borrow().len());
        self.grows(DiskOp::Replace, name, old, bytes.len())?;
        let inode = Rc::new(RefCell::new(Inode::sure(bytes)));
        let number = self
            .storage(|s| s.put(name, inode))
            .map_err(|e| SimDisk::name_error(DiskOp::Replace, name, e))?;
        self.pass(DiskOp::Replace).await;
        self.storage(|s| s.synced(&[number]));
        self.persisted(step).await;
        Ok(())
    }

    async fn read_small(&self, name: &FileName, max: usize) -> DiskResult<Option<Vec<u8>>> {
        self.operate(DiskOp::Read, name).await?;
        let file = self.storage(|s| s.file(name)).map_err(|e| SimDisk::name_error(DiskOp::Read, name, e))?;
        let Some(inode) = file else { return Ok(None) };
        let len = inode.borrow().len();
        if len > max {
            return Err(SimDisk::error(DiskOp::Read, name, DiskFault::TooLarge, 0));
        }
        let (memory, range) = inode.borrow().read(0..len);
        self.storage(|s| {
            s.counters.reads += 1;
            s.counters.bytes_read += len as u64;
            s.counters.note_file_read(name);
        });
        Ok(Some(memory[range].to_vec()))
    }

    async fn pause(&self) {
        self.world().sleep(Duration::from_micros(1)).await;
    }

    async fn space(&self) -> DiskResult<DiskSpace> {
        /// What a disk without a limit says.
        const PLENTY: u64 = 1 << 40;
        let total = self.world().inner.faults.borrow().capacity.unwrap_or(PLENTY);
        Ok(DiskSpace { free: total.saturating_sub(self.storage(|s| s.used())), total })
    }
}

impl SimDisk {
    /// Where a write to `at` goes: there, astray to another block that the file has, or nowhere although it
    /// is acknowledged.
    fn place(&self, file: &File, at: usize, bytes: usize) -> Option<usize> {
        let (ppm, may) = {
            let faults = self.world().inner.faults.borrow();
            (faults.stray_ppm, faults.may_stray(&file.name))
        };
        if ppm == 0 || !may || !self.world().random(|r| r.chance(ppm)) {
            return Some(at);
        }
        self.storage(|s| s.counters.strays += 1);
        let room = (file.inode.borrow().len() / BLOCK + 1).saturating_sub(bytes / BLOCK);
        let place = self.world().random(|r| (r.coin() && room > 0).then(|| r.index(room) * BLOCK));
        self.world().note(&[11, place.map_or(0, |p| p as u64 + 1)], || match place {
            Some(place) => format!("  disk: that write goes astray to {place}"),
            None => "  disk: that write is lost".to_owned(),
        });
        place
    }

    fn begin_read(&self, file: &File, blocks: std::ops::Range<u64>) -> Fate {
        self.storage(|s| {
            s.counters.reads += 1;
            s.counters.note_file_read(&file.name);
        });
        let fate = self.begin(DiskOp::Read);
        if fate == Fate::Works && self.world().inner.faults.borrow().breaks_read_of(&file.name, blocks) {
            self.storage(|s| s.counters.faults += 1);
            return Fate::Eio;
        }
        fate
    }
}
