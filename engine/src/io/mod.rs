//! The words for wanting I/O.
//!
//! [`Disk`] is the only door from the engine to a file. `store` opens it onto a real disk with
//! direct I/O; `sim` onto one that loses what was not flushed. One contract suite (`sim::contract`)
//! runs against both, so the simulator judges the code that runs.
//!
//! Sequential jobs (commit loop, segment writing, recovery) are `async` over this trait; state
//! machines are not, and never see it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::base::{CoreId, Instant, PartitionKey, TopicId};

/// Every direct transfer starts and ends on a multiple of this, in bytes.
pub const BLOCK: usize = 4096;

/// No direct transfer and no buffer is larger, in bytes. Larger ones pin pool memory and delay
/// others behind them.
pub const IO_BYTES_MAX: usize = 256 * 1024;

/// Readers may hold at most this part of a pool (one over this number), so that consumers which stop reading
/// never stop producers.
pub const READERS_SHARE: usize = 2;

/// A path inside the data directory: `/`-separated, relative, built by the engine alone.
/// Nothing a client sends ever becomes part of one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(String);

impl FileName {
    /// Wraps a path.
    ///
    /// # Panics
    /// If a component is empty, starts with a dot, or holds anything but `[a-zA-Z0-9._-]`.
    #[must_use]
    pub fn new(path: impl Into<String>) -> FileName {
        let path = path.into();
        let component_ok = |c: &str| {
            !c.is_empty()
                && !c.starts_with('.')
                && c.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        assert!(path.split('/').all(component_ok), "not a data path: {path}");
        FileName(path)
    }

    /// `cores/<core>`.
    #[must_use]
    pub fn core_dir(core: CoreId) -> FileName {
        FileName::new(format!("cores/{}", core.0))
    }

    /// `topics/<topic uuid>`.
    #[must_use]
    pub fn topic_dir(topic: TopicId) -> FileName {
        FileName::new(format!("topics/{topic}"))
    }

    /// `topics/<topic uuid>/<partition>`.
    #[must_use]
    pub fn partition_dir(key: PartitionKey) -> FileName {
        FileName::new(format!("topics/{}/{}", key.topic, key.index))
    }

    /// The entry `name` in this directory.
    #[must_use]
    pub fn join(&self, name: impl fmt::Display) -> FileName {
        FileName::new(format!("{}/{name}", self.0))
    }

    /// The directory that holds this entry; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<FileName> {
        self.0.rsplit_once('/').map(|(dir, _)| FileName(dir.to_owned()))
    }

    /// The last component.
    #[must_use]
    pub fn base(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, base)| base)
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How to open a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// It must exist.
    Existing,
    /// It is created if missing; its name is durable only after [`Disk::sync_dir`].
    OrCreate,
}

/// Which operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each is the operation of the same name")]
pub enum DiskOp {
    Open,
    Allocate,
    Write,
    Read,
    Flush,
    Truncate,
    Rename,
    Remove,
    MakeDir,
    SyncDir,
    List,
    Replace,
}

/// Why it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFault {
    /// No such file or directory.
    NotFound,
    /// ENOSPC or a quota.
    NoSpace,
    /// EMFILE or ENFILE: the process, or the machine, has too many files open. It says nothing of the file.
    NoDescriptor,
    /// EIO and everything else the kernel reports.
    Io,
    /// No completion within the operation's deadline. Its buffer stays out of the pool until
    /// the completion arrives.
    Timeout,
    /// More bytes were there than the caller allowed.
    TooLarge,
}

/// A failed disk operation: what, on which file, why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{op:?} of {file} failed: {fault:?} (errno {errno})")]
pub struct DiskError {
    /// The operation.
    pub op: DiskOp,
    /// The file or directory.
    pub file: FileName,
    /// The cause, as far as decisions need it.
    pub fault: DiskFault,
    /// The kernel's number, 0 if there is none.
    pub errno: i32,
}

impl DiskError {
    /// What no call of the kernel failed at, and is an I/O error all the same.
    #[must_use]
    pub fn found(op: DiskOp, file: FileName) -> DiskError {
        DiskError { op, file, fault: DiskFault::Io, errno: 0 }
    }
}

/// A result of a disk operation.
pub type DiskResult<T> = Result<T, DiskError>;

/// One entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// Its full name.
    pub name: FileName,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// A file's length in bytes, 0 for a directory.
    pub len: u64,
}

/// The space of a file system, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskSpace {
    /// What we may still write.
    pub free: u64,
    /// All that there is.
    pub total: u64,
}

/// A disk with one directory tree and a bounded pool of I/O memory, used by one core.
///
/// Lengths and positions of [`Disk::write`] and [`Disk::read`] are multiples of [`BLOCK`].
/// A write that returned is not durable: only [`Disk::flush`] makes it so. A created, renamed or
/// removed name is durable only after `sync_dir` of its directory.
#[expect(async_fn_in_trait, reason = "every implementation runs on one thread; no future needs Send")]
pub trait Disk: Clone + 'static {
    /// Memory that its owner fills. Its capacity is fixed at `take`; contents start undefined
    /// (recycled), so fill or zero what will be written.
    type Buf: DerefMut<Target = [u8]> + 'static;
    /// Sealed memory: cheap to clone, gives its bytes back to the pool when the last clone drops.
    type Chunk: Clone + Deref<Target = [u8]> + 'static;
    /// An open file. Dropping the last clone closes it.
    type File: Clone + 'static;

    /// Takes a buffer of at least `len` bytes (rounded up to a power of two, at least [`BLOCK`])
    /// from the pool. `None` when the pool has no credit left: back-pressure, not failure.
    ///
    /// # Panics
    /// If `len` is 0 or above [`IO_BYTES_MAX`].
    fn take(&self, len: usize) -> Option<Self::Buf>;

    /// Freezes the first `len` bytes of a buffer. `len` must be a multiple of [`BLOCK`] if the
    /// chunk is to be written.
    fn seal(&self, buf: Self::Buf, len: usize) -> Self::Chunk;

    /// Bytes of pool still free: what `take` may hand out at most.
    fn pool_free(&self) -> usize;

    /// The pool's size in bytes.
    fn pool_size(&self) -> usize;

    /// Segment files that the shard on this disk keeps open at most, those in use aside: its share of the
    /// descriptors that the process may have.
    fn files_max(&self) -> usize;

    /// The time at which the last completion was seen, by the monotonic clock that [`crate::base::Now`] has
    /// too. The engine decides nothing by it; its steps are timed with it.
    fn now(&self) -> Instant;

    /// Lets everything else on this core go on, what waits for completions included, before the caller does,
    /// and rests beside others: how long work that nobody waits for is done in steps.
    async fn pause(&self);

    /// Opens a file for direct reads and writes.
    async fn open(&self, name: &FileName, how: Open) -> DiskResult<Self::File>;
    /// The file's length in bytes.
    async fn len(&self, file: &Self::File) -> DiskResult<u64>;
    /// Gives the file blocks up to `len` bytes and makes it at least that long. The new bytes
    /// read as zero.
    async fn allocate(&self, file: &Self::File, len: u64) -> DiskResult<()>;
    /// Writes a whole chunk at a block position.
    async fn write(&self, file: &Self::File, at: u64, chunk: Self::Chunk) -> DiskResult<()>;
    /// Reads `len` bytes at a block position; shorter at the end of the file. A read that finds
    /// the pool empty waits for memory.
    async fn read(&self, file: &Self::File, at: u64, len: usize) -> DiskResult<Self::Chunk>;
    /// Makes every write that returned before this call durable, and the length with it.
    async fn flush(&self, file: &Self::File) -> DiskResult<()>;
    /// As `flush`, for many files at once (one file-system sync where that is cheaper).
    async fn flush_all(&self, files: &[Self::File]) -> DiskResult<()>;
    /// Cuts the file to `len` bytes. Not durable before `flush`.
    async fn truncate(&self, file: &Self::File, len: u64) -> DiskResult<()>;

    /// Renames a file or directory within the tree, replacing a file of that name.
    async fn rename(&self, from: &FileName, to: &FileName) -> DiskResult<()>;
    /// Removes a file, or a directory with all it holds. Removing what is not there succeeds.
    async fn remove(&self, name: &FileName) -> DiskResult<()>;
    /// Creates a directory and its missing parents and makes all their names durable.
    async fn make_dir(&self, dir: &FileName) -> DiskResult<()>;
    /// Creates a directory and its missing parents. Their names are durable only after `sync_all`
    /// (or `sync_dir` of every holder).
    async fn add_dir(&self, dir: &FileName) -> DiskResult<()>;
    /// As `flush_all`, and every name that was created, changed or removed before this call becomes
    /// durable with them: one file-system sync, whatever their number.
    async fn sync_all(&self, files: &[Self::File]) -> DiskResult<()>;
    /// Makes the names in a directory durable.
    async fn sync_dir(&self, dir: &FileName) -> DiskResult<()>;
    /// The entries of a directory, sorted by name; empty if it does not exist.
    async fn list(&self, dir: &FileName) -> DiskResult<Vec<DirEntry>>;

    /// Replaces a small file atomically and durably: after a crash it holds the old bytes or the
    /// new, never a mixture.
    async fn replace(&self, name: &FileName, bytes: Vec<u8>) -> DiskResult<()>;
    /// Reads a small file whole; `None` if it does not exist, [`DiskFault::TooLarge`] above `max`.
    async fn read_small(&self, name: &FileName, max: usize) -> DiskResult<Option<Vec<u8>>>;
    /// How much space the file system has.
    async fn space(&self) -> DiskResult<DiskSpace>;
}

/// A part of a chunk, shared by reference count: what tails hold and fetches send.
pub struct Slice<C> {
    chunk: C,
    start: u32,
    len: u32,
}

impl<C: Clone> Clone for Slice<C> {
    fn clone(&self) -> Self {
        Slice { chunk: self.chunk.clone(), start: self.start, len: self.len }
    }
}

impl<C: Deref<Target = [u8]>> Slice<C> {
    /// The bytes `start..start + len` of a chunk.
    ///
    /// # Panics
    /// If they do not lie inside it.
    #[must_use]
    pub fn new(chunk: C, start: usize, len: usize) -> Slice<C> {
        assert!(start + len <= chunk.len(), "slice {start}+{len} of a chunk of {}", chunk.len());
        Slice { chunk, start: start as u32, len: len as u32 }
    }

    /// The bytes `start..start + len` of this slice.
    ///
    /// # Panics
    /// If they do not lie inside it.
    #[must_use]
    pub fn slice(&self, start: usize, len: usize) -> Slice<C>
    where
        C: Clone,
    {
        assert!(start + len <= self.len as usize, "slice {start}+{len} of {}", self.len);
        Slice { chunk: self.chunk.clone(), start: self.start + start as u32, len: len as u32 }
    }
}

impl<C: Deref<Target = [u8]>> Deref for Slice<C> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.chunk[self.start as usize..(self.start + self.len) as usize]
    }
}

impl<C: Deref<Target = [u8]>> fmt::Debug for Slice<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({}+{})", self.start, self.len)
    }
}
