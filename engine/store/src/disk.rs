//! [`GlommioDisk`]: the engine's disk over glommio's direct files.
//!
//! Each operation runs as a task of its own, so that neither its deadline nor a caller that goes
//! away takes its buffer from under the kernel.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use engine::base::Instant;
use engine::io::{
    BLOCK, DirEntry, Disk, DiskError, DiskFault, DiskOp, DiskResult, DiskSpace, FileName, IO_BYTES_MAX, Open,
};
use glommio::io::{DmaFile, OpenOptions};
use glommio::timer::Timer;

use crate::chunk::{Buf, Chunk, Kind};
use crate::failpoint::{Moment, Step};
use crate::faults::{FaultPoints, Skip};
use crate::names::{self, Small};
use crate::pool::{Credit, Pool, PoolStats};
use crate::watch::within;

/// How long an operation may take before its caller gets [`DiskFault::Timeout`]. The watch looks
/// once a second, so it may be up to two seconds more.
pub const OP_DEADLINE: Duration = Duration::from_secs(30);

/// From this many files up, `flush_all` syncs the file system once instead of each file. Measured
/// on ext4, p50 in ms, one dirty block a file, each file flushed (all in flight together) against
/// one sync: 16 files 1.2 : 0.3, 128 files 8.5 : 0.5, 256 files 17 : 0.9 when blocks were
/// overwritten; 32 files 2.5 : 7.9, 128 files 14 : 7.6 when files grew. The sync also carries the
/// unwritten data of strangers on the same file system, so few files are not worth it.
pub const SYNCFS_ABOVE: usize = 32;

/// How long a read whose buffer would miss the pool's region waits for a better moment, before
/// it goes on with a buffer from the heap, under the same credit.
const MISS_WAIT: Duration = Duration::from_millis(5);

/// How often a stalled write looks whether it may go on (tests only).
const STALL_CHECK: Duration = Duration::from_millis(1);

/// How a disk is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskSettings {
    /// See [`OP_DEADLINE`].
    pub deadline: Duration,
    /// See [`Disk::files_max`].
    pub files_max: usize,
}

/// Segment files that a disk keeps open unless told otherwise.
const FILES_MAX: usize = 512;

impl Default for DiskSettings {
    fn default() -> DiskSettings {
        DiskSettings { deadline: OP_DEADLINE, files_max: FILES_MAX }
    }
}

/// A data directory as seen from one executor. Cloning shares it.
#[derive(Clone, Debug)]
pub struct GlommioDisk {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Arc<Path>,
    /// A file of the data directory that is always there.
    lock: FileName,
    root_fd: Arc<OwnedFd>,
    pool: Rc<Pool>,
    settings: DiskSettings,
    faults: Rc<FaultPoints>,
    next_temporary: Cell<u64>,
}

/// An open file.
#[derive(Clone, Debug)]
pub struct File {
    inner: Rc<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    direct: DmaFile,
    name: FileName,
}

impl OpenFile {
    fn duplicate(&self) -> io::Result<OwnedFd> {
        // SAFETY: the descriptor is open for as long as `self.direct` lives, which the borrow outlasts not.
        unsafe { BorrowedFd::borrow_raw(self.direct.as_raw_fd()) }.try_clone_to_owned()
    }
}

/// Opens the primer, a small file with real contents, and closes it again: glommio decides by the
/// first file that an executor opens on a device whether polled I/O works, and believes an empty
/// or unwritten one. A wrong answer costs a core that spins at 100 %.
///
/// # Errors
/// Those of writing and opening `prime` in `root`.
pub async fn prime(root: &Path) -> io::Result<()> {
    let path = root.join("prime");
    let executor = glommio::executor().id();
    let temporary = root.join(format!("tmp-prime-{}-{executor}", std::process::id()));
    let written = path.clone();
    glommio::executor()
        .spawn_blocking(move || names::write_primer(&written, &temporary, &[0x52; BLOCK]))
        .await?;
    let file = DmaFile::open(&path).await.map_err(plain)?;
    file.close().await.map_err(plain)
}

impl GlommioDisk {
    /// The directory `root` as this executor's disk; primes the executor (see [`prime`]).
    ///
    /// # Errors
    /// Those of `prime`: the directory must exist and take direct I/O.
    ///
    /// # Panics
    /// On a thread that [`crate::runtime`] did not start.
    pub async fn open(root: impl Into<PathBuf>, settings: DiskSettings) -> io::Result<GlommioDisk> {
        GlommioDisk::build(root.into(), settings, Rc::default()).await
    }

    /// As [`GlommioDisk::open`], with a disk that lies when told to.
    ///
    /// # Errors
    /// As `open`.
    #[cfg(feature = "fault-points")]
    pub async fn open_faulty(
        root: impl Into<PathBuf>,
        settings: DiskSettings,
        faults: Rc<FaultPoints>,
    ) -> io::Result<GlommioDisk> {
        GlommioDisk::build(root.into(), settings, faults).await
    }

    async fn build(
        root: PathBuf,
        settings: DiskSettings,
        faults: Rc<FaultPoints>,
    ) -> io::Result<GlommioDisk> {
        prime(&root).await?;
        let dir = root.clone();
        let root_fd: OwnedFd =
            glommio::executor().spawn_blocking(move || std::fs::File::open(dir)).await?.into();
        let inner = Inner {
            root: root.into(),
            lock: FileName::new("lock"),
            root_fd: Arc::new(root_fd),
            pool: Pool::here(),
            settings,
            faults,
            next_temporary: Cell::new(0),
        };
        Ok(GlommioDisk { inner: Rc::new(inner) })
    }

    /// Counters of this executor's pool.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        self.inner.pool.stats()
    }

    fn path(&self, name: &FileName) -> PathBuf {
        self.inner.root.join(name.as_str())
    }

    /// Runs `work` as a task of its own and waits for it until the deadline. Whatever `work`
    /// holds it keeps until it is through, also when nobody waits any longer.
    async fn run<T: 'static>(
        &self,
        op: DiskOp,
        file: &FileName,
        work: impl Future<Output = io::Result<T>> + 'static,
    ) -> DiskResult<T> {
        self.run_step(Step::of(op, file), op, file, work).await
    }

    async fn run_step<T: 'static>(
        &self,
        step: Step,
        op: DiskOp,
        file: &FileName,
        work: impl Future<Output = io::Result<T>> + 'static,
    ) -> DiskResult<T> {
        let under_way = UnderWay::begin();
        let task = glommio::spawn_local(async move {
            step.reached(Moment::Before);
            let done = work.await;
            step.reached(Moment::After);
            drop(under_way);
            done
        })
        .detach();
        match within(self.inner.settings.deadline, task).await {
            Some(Some(Ok(value))) => Ok(value),
            Some(Some(Err(e))) => Err(disk_error(op, file, &e)),
            // The task was cancelled: the executor is being torn down.
            Some(None) => Err(DiskError { op, file: file.clone(), fault: DiskFault::Io, errno: 0 }),
            None => {
                tracing::error!(?op, %file, deadline = ?self.inner.settings.deadline, "disk operation timed out");
                Err(DiskError { op, file: file.clone(), fault: DiskFault::Timeout, errno: 0 })
            }
        }
    }

    /// As `run`, on a blocking thread.
    async fn run_blocking<T: Send + 'static>(
        &self,
        op: DiskOp,
        file: &FileName,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> DiskResult<T> {
        self.run(op, file, async move { glommio::executor().spawn_blocking(work).await }).await
    }

    /// One sync of the whole file system, and a flush of one file for the device's own cache.
    async fn sync_file_system(&self, files: &[File]) -> DiskResult<()> {
        if self.inner.faults.skips(Skip::SyncFs) {
            return Ok(());
        }
        let root = self.inner.root_fd.clone();
        let Some(first) = files.first() else {
            let data = FileName::new("data");
            let sync = move || names::sync_all(root.as_fd(), root.as_fd());
            return self.run_blocking(DiskOp::SyncDir, &data, sync).await;
        };
        let name = &first.inner.name;
        let witness = first.inner.duplicate().map_err(|e| disk_error(DiskOp::Flush, name, &e))?;
        self.run_blocking(DiskOp::Flush, name, move || names::sync_all(root.as_fd(), witness)).await
    }

    async fn flush_one(&self, file: &File) -> DiskResult<()> {
        if self.inner.faults.skips(Skip::Flush) {
            return Ok(());
        }
        let open = file.inner.clone();
        self.run(DiskOp::Flush, &file.inner.name, async move { open.direct.fdatasync().await.map_err(plain) })
            .await
    }
}

thread_local! {
    static OPS_IN_FLIGHT: Cell<usize> = const { Cell::new(0) };
}

/// Operations that this executor has begun and not ended.
#[must_use]
pub fn ops_in_flight() -> usize {
    OPS_IN_FLIGHT.get()
}

/// Counts one operation for as long as it lives.
struct UnderWay;

impl UnderWay {
    fn begin() -> UnderWay {
        OPS_IN_FLIGHT.set(OPS_IN_FLIGHT.get() + 1);
        UnderWay
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        OPS_IN_FLIGHT.set(OPS_IN_FLIGHT.get() - 1);
    }
}

/// Waits for a change, for a little while.
async fn briefly(limit: Duration, change: impl Future<Output = ()>) {
    let (mut change, mut timer) = (pin!(change), pin!(Timer::new(limit)));
    std::future::poll_fn(|cx| match change.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => timer.as_mut().poll(cx).map(drop),
    })
    .await;
}

fn plain(error: glommio::GlommioError<()>) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(error.to_string()),
    }
}

fn disk_error(op: DiskOp, file: &FileName, error: &io::Error) -> DiskError {
    let errno = error.raw_os_error().unwrap_or(0);
    let fault = match errno {
        libc::ENOENT => DiskFault::NotFound,
        libc::ENOSPC | libc::EDQUOT => DiskFault::NoSpace,
        libc::EMFILE | libc::ENFILE => DiskFault::NoDescriptor,
        _ => DiskFault::Io,
    };
    DiskError { op, file: file.clone(), fault, errno }
}

fn check_transfer(at: u64, len: usize) {
    assert!(at.is_multiple_of(BLOCK as u64) && len.is_multiple_of(BLOCK), "transfer of {len} bytes at {at}");
    assert!(len > 0 && len <= IO_BYTES_MAX, "transfer of {len} bytes");
}

/// The chunk's memory as glommio writes it; what was read comes in glommio's own wrapper, from
/// which nothing can be written, so it is copied.
async fn writable(pool: &Rc<Pool>, chunk: Chunk) -> Chunk {
    match chunk.0 {
        Kind::Sealed { .. } => chunk,
        Kind::Read { .. } => {
            let credit = pool.lease(Pool::cost(chunk.len())).await;
            let mut buf = Buf { memory: pool.allocate(&credit), credit };
            buf[..chunk.len()].copy_from_slice(&chunk);
            Chunk::sealed(buf, chunk.len())
        }
    }
}

/// Waits, for a little while, until a buffer of the credit's size lies in the pool's region, and
/// leaves it free. glommio allocates for a read when it submits it, which is at the end of this
/// turn of the executor.
async fn foresee(pool: &Pool, credit: &Credit) {
    if !pool.holds(glommio::allocate_dma_buffer(credit.bytes).as_ptr()) {
        briefly(MISS_WAIT, pool.until_freed()).await;
    }
}

impl Disk for GlommioDisk {
    type Buf = Buf;
    type Chunk = Chunk;
    type File = File;

    fn take(&self, len: usize) -> Option<Buf> {
        let credit = self.inner.pool.try_take(Pool::cost(len))?;
        Some(Buf { memory: self.inner.pool.allocate(&credit), credit })
    }

    fn seal(&self, buf: Buf, len: usize) -> Chunk {
        Chunk::sealed(buf, len)
    }

    fn pool_free(&self) -> usize {
        self.inner.pool.stats().free
    }

    fn pool_size(&self) -> usize {
        self.inner.pool.stats().size
    }

    fn files_max(&self) -> usize {
        self.inner.settings.files_max
    }

    fn now(&self) -> Instant {
        crate::clock::monotonic()
    }

    async fn open(&self, name: &FileName, how: Open) -> DiskResult<File> {
        let path = self.path(name);
        let open = async move {
            let fd = glommio::executor().spawn_blocking(move || names::open(&path, how)).await?;
            // By descriptor: glommio looks at the path once more and takes a file that has been
            // removed meanwhile for a bug.
            let by_fd = format!("/proc/self/fd/{}", fd.as_raw_fd());
            OpenOptions::new().read(true).write(true).dma_open(by_fd).await.map_err(plain)
        };
        let direct = self.run(DiskOp::Open, name, open).await?;
        Ok(File { inner: Rc::new(OpenFile { direct, name: name.clone() }) })
    }

    async fn len(&self, file: &File) -> DiskResult<u64> {
        // SAFETY: the descriptor is open for as long as `file` lives, which is longer than this call.
        let fd = unsafe { BorrowedFd::borrow_raw(file.inner.direct.as_raw_fd()) };
        let stat =
            rustix::fs::fstat(fd).map_err(|e| disk_error(DiskOp::Open, &file.inner.name, &e.into()))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    async fn allocate(&self, file: &File, len: u64) -> DiskResult<()> {
        let open = file.inner.clone();
        let allocate = async move { open.direct.pre_allocate(len, false).await.map_err(plain) };
        self.run(DiskOp::Allocate, &file.inner.name, allocate).await
    }

    async fn write(&self, file: &File, at: u64, chunk: Chunk) -> DiskResult<()> {
        check_transfer(at, chunk.len());
        let (open, pool, faults) = (file.inner.clone(), self.inner.pool.clone(), self.inner.faults.clone());
        let write = async move {
            while faults.stalls_writes() {
                Timer::new(STALL_CHECK).await;
            }
            let chunk = writable(&pool, chunk).await;
            let Kind::Sealed { memory, .. } = &chunk.0 else { unreachable!("writable chunks are sealed") };
            // The first short write may be the last that fits; the second then says why.
            for _ in 0..2 {
                if open.direct.write_rc_at(memory.share(), at).await.map_err(plain)? == memory.len() {
                    return Ok(());
                }
            }
            Err(io::Error::from(io::ErrorKind::WriteZero))
        };
        self.run(DiskOp::Write, &file.inner.name, write).await
    }

    async fn read(&self, file: &File, at: u64, len: usize) -> DiskResult<Chunk> {
        check_transfer(at, len);
        let (open, pool) = (file.inner.clone(), self.inner.pool.clone());
        // Outside the deadline: memory that others hold says nothing about the disk.
        let credit = pool.lease(Pool::cost(len)).await;
        let read = async move {
            foresee(&pool, &credit).await;
            let bytes = open.direct.read_at_aligned(at, len).await.map_err(plain)?;
            if !bytes.is_empty() && !pool.holds(bytes.as_ptr()) {
                pool.count_miss();
            }
            Ok(Chunk::read(bytes, credit))
        };
        self.run(DiskOp::Read, &file.inner.name, read).await
    }

    async fn flush(&self, file: &File) -> DiskResult<()> {
        self.flush_one(file).await
    }

    async fn flush_all(&self, files: &[File]) -> DiskResult<()> {
        if files.is_empty() {
            return Ok(());
        }
        if files.len() >= SYNCFS_ABOVE {
            return self.sync_file_system(files).await;
        }
        let started: Vec<_> = files
            .iter()
            .cloned()
            .map(|file| {
                let disk = self.clone();
                glommio::spawn_local(async move { disk.flush_one(&file).await })
            })
            .collect();
        let mut result = Ok(());
        for flush in started {
            result = result.and(flush.await);
        }
        result
    }

    async fn truncate(&self, file: &File, len: u64) -> DiskResult<()> {
        let open = file.inner.clone();
        let truncate = async move {
            let fd = open.duplicate()?;
            glommio::executor().spawn_blocking(move || Ok(rustix::fs::ftruncate(fd, len)?)).await
        };
        self.run(DiskOp::Truncate, &file.inner.name, truncate).await
    }

    async fn rename(&self, from: &FileName, to: &FileName) -> DiskResult<()> {
        let (old, new) = (self.path(from), self.path(to));
        let rename =
            async move { glommio::executor().spawn_blocking(move || names::rename(&old, &new)).await };
        self.run_step(Step::renames(from, to), DiskOp::Rename, from, rename).await
    }

    async fn remove(&self, name: &FileName) -> DiskResult<()> {
        let path = self.path(name);
        self.run_blocking(DiskOp::Remove, name, move || names::remove(&path)).await
    }

    async fn make_dir(&self, dir: &FileName) -> DiskResult<()> {
        let (root, name) = (self.inner.root.clone(), dir.clone());
        let sync = !self.inner.faults.skips(Skip::SyncDir);
        self.run_blocking(DiskOp::MakeDir, dir, move || {
            let made = names::make_dir(&root, &name)?;
            if sync { made.sync() } else { Ok(()) }
        })
        .await
    }

    async fn add_dir(&self, dir: &FileName) -> DiskResult<()> {
        let (root, name) = (self.inner.root.clone(), dir.clone());
        self.run_blocking(DiskOp::MakeDir, dir, move || names::make_dir(&root, &name).map(drop)).await
    }

    async fn sync_all(&self, files: &[File]) -> DiskResult<()> {
        self.sync_file_system(files).await
    }

    async fn sync_dir(&self, dir: &FileName) -> DiskResult<()> {
        let path = self.path(dir);
        if self.inner.faults.skips(Skip::SyncDir) {
            return Ok(());
        }
        self.run_blocking(DiskOp::SyncDir, dir, move || names::sync_dir(&path)).await
    }

    async fn list(&self, dir: &FileName) -> DiskResult<Vec<DirEntry>> {
        let (root, name) = (self.inner.root.clone(), dir.clone());
        self.run_blocking(DiskOp::List, dir, move || names::list(&root, &name)).await
    }

    async fn replace(&self, name: &FileName, bytes: Vec<u8>) -> DiskResult<()> {
        let number = self.inner.next_temporary.replace(self.inner.next_temporary.get() + 1);
        let path = self.path(name);
        let temporary = path.with_file_name(format!("tmp-{}-{number}", name.base()));
        let step = Step::of(DiskOp::Replace, name);
        self.run_blocking(DiskOp::Replace, name, move || {
            names::replace(&path, &temporary, &bytes, || step.reached(Moment::Inside))
        })
        .await
    }

    async fn read_small(&self, name: &FileName, max: usize) -> DiskResult<Option<Vec<u8>>> {
        let path = self.path(name);
        match self.run_blocking(DiskOp::Read, name, move || names::read_small(&path, max)).await? {
            Small::Missing => Ok(None),
            Small::Bytes(bytes) => Ok(Some(bytes)),
            Small::TooLarge => {
                Err(DiskError { op: DiskOp::Read, file: name.clone(), fault: DiskFault::TooLarge, errno: 0 })
            }
        }
    }

    async fn pause(&self) {
        crate::fairness::rest().await;
    }

    async fn space(&self) -> DiskResult<DiskSpace> {
        // Asked several times a second for ever: nothing of ours is allocated for it.
        let root = self.inner.root.clone();
        self.run_blocking(DiskOp::List, &self.inner.lock, move || names::space(&root)).await
    }
}
