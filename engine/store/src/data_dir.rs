//! A data directory as a whole: who holds it, and whether it takes direct I/O.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use engine::io::DiskSpace;
use rustix::fs::FlockOperation;

use crate::names;

/// Held for as long as this process may write to the directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "the data directory {path} is in use by process {pid}: stop that one, or choose another directory"
    )]
    Held {
        /// The directory.
        path: String,
        /// The process that holds it, or "of unknown number".
        pid: String,
    },
    /// It cannot be created, opened or locked.
    #[error("the data directory {path} cannot be used: {source}")]
    Io {
        /// The directory.
        path: String,
        /// The cause.
        source: io::Error,
    },
}

impl DataDir {
    /// Creates the directory if need be, durably, and takes its lock: a `flock` on the file
    /// `lock`, which holds the process number as text. The lock ends with the process, however
    /// that ends.
    ///
    /// # Errors
    /// [`DataDirError::Held`] names the holder.
    pub fn lock(path: &Path) -> Result<DataDir, DataDirError> {
        let shown = path.display().to_string();
        let failed = |source: io::Error| DataDirError::Io { path: shown.clone(), source };
        create_durably(path).map_err(failed)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let _ = (&lock).take(20).read_to_string(&mut pid);
                let pid =
                    Some(pid.trim()).filter(|p| !p.is_empty()).unwrap_or("of unknown number").to_owned();
                return Err(DataDirError::Held { path: shown, pid });
            }
            Err(e) => return Err(failed(e.into())),
        }
        let mut write_pid = || {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        match write_pid() {
            // Its number is for a person to read; a full disk must not keep the broker from starting.
            Err(e) if e.kind() == io::ErrorKind::StorageFull => {}
            written => written.map_err(failed)?,
        }
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The space of the directory's file system.
///
/// # Errors
/// Those of `statvfs`.
pub fn space(dir: &Path) -> io::Result<DiskSpace> {
    names::space(dir)
}

/// Removes the ballast, a file that is there for this. The bytes that it gave back, 0 if there was none.
///
/// # Errors
/// Those of removing it.
pub fn drop_ballast(dir: &Path) -> io::Result<u64> {
    let path = dir.join("ballast");
    let bytes = match fs::metadata(&path) {
        Ok(ballast) => ballast.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    fs::remove_file(&path)?;
    // The blocks are free only when the file system has noted it.
    File::open(dir)?.sync_all()?;
    Ok(bytes)
}

fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    let path = path.canonicalize()?;
    path.ancestors().skip(1).take(2).try_for_each(|holder| File::open(holder)?.sync_all())
}

/// What a directory's file system does with direct I/O.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirectIo {
    /// Direct transfers of one block work.
    Supported,
    /// It lives in memory (tmpfs): everything works, nothing is ever durable.
    InMemory,
    /// Direct transfers of one block are refused.
    Unsupported,
}

/// One block in memory, aligned as direct I/O demands.
#[repr(align(4096))]
struct Block([u8; 4096]);

/// Tries one direct write in the directory; on a full disk, to open what a broker left there.
///
/// # Errors
/// Whatever else goes wrong: no permission, no space.
pub fn probe_direct_io(dir: &Path) -> io::Result<DirectIo> {
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    if rustix::fs::statfs(dir)?.f_type == TMPFS {
        return Ok(DirectIo::InMemory);
    }
    let path = dir.join(format!("tmp-probe-{}", std::process::id()));
    let write = || {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(libc::O_DIRECT)
            .open(&path)?;
        let block = Block([0x52; 4096]);
        file.write_all_at(&block.0, 0)
    };
    let result = write();
    let _ = fs::remove_file(&path);
    match result {
        Ok(()) => Ok(DirectIo::Supported),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(DirectIo::Unsupported),
        Err(e) if e.kind() == io::ErrorKind::StorageFull && opens_directly(&dir.join("prime")) => {
            Ok(DirectIo::Supported)
        }
        Err(e) => Err(e),
    }
}

fn opens_directly(path: &Path) -> bool {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_directory_names_its_holder_and_is_free_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let held = DataDir::lock(&path).unwrap();
        let error = DataDir::lock(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        DataDir::lock(&path).unwrap();
    }
}
