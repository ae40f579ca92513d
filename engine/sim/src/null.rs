//! [`NullDisk`]: a disk that keeps nothing and is never busy, so that what is measured over it is
//! the engine alone. Its operations end at once and, once warm, take no memory from the heap.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use engine::base::Instant;
use engine::io::{
    BLOCK, DirEntry, Disk, DiskError, DiskFault, DiskOp, DiskResult, DiskSpace, FileName, IO_BYTES_MAX, Open,
};

/// Classes of buffers, by their power of two from [`BLOCK`] to [`IO_BYTES_MAX`].
const CLASSES: usize = (IO_BYTES_MAX / BLOCK).ilog2() as usize + 1;

/// A disk of names and lengths without contents. Cloning shares it. Reads give zeros.
#[derive(Clone)]
pub struct NullDisk {
    pool: Rc<Pool>,
    files: Rc<RefCell<BTreeMap<FileName, NullFile>>>,
}

struct Pool {
    size: usize,
    free: Cell<usize>,
    idle: RefCell<[Vec<Memory>; CLASSES]>,
}

type Memory = Rc<Vec<u8>>;

fn class_of(bytes: usize) -> usize {
    (bytes / BLOCK).ilog2() as usize
}

impl Pool {
    fn take(&self, len: usize) -> Option<Memory> {
        assert!(len > 0 && len <= IO_BYTES_MAX, "a buffer of {len} bytes");
        let bytes = len.next_power_of_two().max(BLOCK);
        self.free.set(self.free.get().checked_sub(bytes)?);
        let idle = self.idle.borrow_mut()[class_of(bytes)].pop();
        Some(idle.unwrap_or_else(|| Rc::new(vec![0; bytes])))
    }

    fn give(&self, memory: &Memory) {
        if Rc::strong_count(memory) == 1 {
            self.free.set(self.free.get() + memory.len());
            self.idle.borrow_mut()[class_of(memory.len())].push(memory.clone());
        }
    }
}

/// Memory with one owner.
pub struct NullBuf {
    /// `None` once it is sealed.
    memory: Option<Memory>,
    pool: Rc<Pool>,
}

impl NullBuf {
    fn held(&self) -> &Memory {
        self.memory.as_ref().expect("a buffer holds memory until it is sealed")
    }
}

impl Deref for NullBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.held()
    }
}

impl DerefMut for NullBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        let memory = self.memory.as_mut().expect("a buffer holds memory until it is sealed");
        Rc::get_mut(memory).expect("a buffer has one owner")
    }
}

impl Drop for NullBuf {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            self.pool.give(memory);
        }
    }
}

/// Sealed memory.
#[derive(Clone)]
pub struct NullChunk {
    memory: Memory,
    len: usize,
    pool: Rc<Pool>,
}

impl Deref for NullChunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl Drop for NullChunk {
    fn drop(&mut self) {
        self.pool.give(&self.memory);
    }
}

/// An open file: its length.
#[derive(Clone, Default)]
pub struct NullFile {
    len: Rc<Cell<u64>>,
}

impl NullDisk {
    /// An empty disk with a pool of `pool_bytes`.
    #[must_use]
    pub fn new(pool_bytes: usize) -> NullDisk {
        let idle = RefCell::new(std::array::from_fn(|_| Vec::new()));
        let pool = Pool { size: pool_bytes, free: Cell::new(pool_bytes), idle };
        NullDisk { pool: Rc::new(pool), files: Rc::default() }
    }

    fn buffer(&self, len: usize) -> Option<NullBuf> {
        Some(NullBuf { memory: Some(self.pool.take(len)?), pool: self.pool.clone() })
    }
}

impl Disk for NullDisk {
    type Buf = NullBuf;
    type Chunk = NullChunk;
    type File = NullFile;

    fn take(&self, len: usize) -> Option<NullBuf> {
        self.buffer(len)
    }

    fn seal(&self, mut buf: NullBuf, len: usize) -> NullChunk {
        assert!(len <= buf.len(), "{len} bytes of a buffer of {}", buf.len());
        let memory = buf.memory.take().expect("a buffer holds memory until it is sealed");
        NullChunk { memory, len, pool: self.pool.clone() }
    }

    fn now(&self) -> Instant {
        Instant::default()
    }

    fn pool_free(&self) -> usize {
        self.pool.free.get()
    }

    fn pool_size(&self) -> usize {
        self.pool.size
    }

    fn files_max(&self) -> usize {
        usize::MAX
    }

    async fn open(&self, name: &FileName, how: Open) -> DiskResult<NullFile> {
        let mut files = self.files.borrow_mut();
        match (files.get(name), how) {
            (Some(file), _) => Ok(file.clone()),
            (None, Open::OrCreate) => Ok(files.entry(name.clone()).or_default().clone()),
            (None, Open::Existing) => {
                Err(DiskError { op: DiskOp::Open, file: name.clone(), fault: DiskFault::NotFound, errno: 2 })
            }
        }
    }

    async fn len(&self, file: &NullFile) -> DiskResult<u64> {
        Ok(file.len.get())
    }

    async fn allocate(&self, file: &NullFile, len: u64) -> DiskResult<()> {
        file.len.set(file.len.get().max(len));
        Ok(())
    }

    async fn write(&self, file: &NullFile, at: u64, chunk: NullChunk) -> DiskResult<()> {
        assert!(chunk.len().is_multiple_of(BLOCK), "a write of {} bytes", chunk.len());
        file.len.set(file.len.get().max(at + chunk.len() as u64));
        Ok(())
    }

    async fn read(&self, file: &NullFile, at: u64, len: usize) -> DiskResult<NullChunk> {
        let mut buf = self.buffer(len).expect("whoever measures reads leaves room for them");
        buf[..len].fill(0);
        let left = usize::try_from(file.len.get().saturating_sub(at)).unwrap_or(usize::MAX);
        Ok(self.seal(buf, len.min(left)))
    }

    async fn flush(&self, _: &NullFile) -> DiskResult<()> {
        Ok(())
    }

    async fn flush_all(&self, _: &[NullFile]) -> DiskResult<()> {
        Ok(())
    }

    async fn truncate(&self, file: &NullFile, len: u64) -> DiskResult<()> {
        file.len.set(len);
        Ok(())
    }

    async fn rename(&self, from: &FileName, to: &FileName) -> DiskResult<()> {
        let mut files = self.files.borrow_mut();
        if let Some(file) = files.remove(from) {
            files.insert(to.clone(), file);
        }
        Ok(())
    }

    async fn remove(&self, name: &FileName) -> DiskResult<()> {
        self.files.borrow_mut().remove(name);
        Ok(())
    }

    async fn make_dir(&self, _: &FileName) -> DiskResult<()> {
        Ok(())
    }

    async fn add_dir(&self, _dir: &FileName) -> DiskResult<()> {
        Ok(())
    }

    async fn sync_all(&self, _files: &[Self::File]) -> DiskResult<()> {
        Ok(())
    }

    async fn sync_dir(&self, _: &FileName) -> DiskResult<()> {
        Ok(())
    }

    async fn list(&self, dir: &FileName) -> DiskResult<Vec<DirEntry>> {
        let files = self.files.borrow();
        let inside = files.iter().filter(|(name, _)| name.parent().as_ref() == Some(dir));
        Ok(inside.map(|(n, f)| DirEntry { name: n.clone(), is_dir: false, len: f.len.get() }).collect())
    }

    async fn replace(&self, _: &FileName, _: Vec<u8>) -> DiskResult<()> {
        Ok(())
    }

    async fn read_small(&self, _: &FileName, _: usize) -> DiskResult<Option<Vec<u8>>> {
        Ok(None)
    }

    async fn pause(&self) {}

    async fn space(&self) -> DiskResult<DiskSpace> {
        Ok(DiskSpace { free: u64::MAX, total: u64::MAX })
    }
}
