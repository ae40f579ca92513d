//! What blocks: names, directories, small files. Plain functions over `std::fs` and `rustix`, run
//! on an executor's blocking threads, never on its own.

use std::fs::{self, File as StdFile, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use engine::io::{DirEntry, DiskSpace, FileName, Open};

/// Opens a file for reading and writing. Still through the page cache: direct I/O is switched on
/// by the caller's second open.
pub(crate) fn open(path: &Path, how: Open) -> io::Result<OwnedFd> {
    let file = OpenOptions::new().read(true).write(true).create(how == Open::OrCreate).open(path)?;
    Ok(file.into())
}

/// Renames within one file system.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Removes a file or a whole directory; what is not there is removed already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    StdFile::open(path)?.sync_all()
}

/// A chain of directories whose names are not durable yet.
#[must_use]
pub(crate) struct Made {
    /// From the innermost holder to the data directory.
    holders: Vec<PathBuf>,
}

/// Creates `root/dir` with its parents.
pub(crate) fn make_dir(root: &Path, dir: &FileName) -> io::Result<Made> {
    let path = root.join(dir.as_str());
    fs::create_dir_all(&path)?;
    let holders = path.ancestors().skip(1).take_while(|holder| holder.starts_with(root));
    Ok(Made { holders: holders.map(Path::to_path_buf).collect() })
}

impl Made {
    /// Makes the whole chain durable, also directories that were there before: the process that
    /// created one may have died before its sync.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.holders.iter().try_for_each(|holder| sync_dir(holder))
    }
}

/// The entries of a directory by name, without those that no engine wrote (`lost+found`).
pub(crate) fn list(root: &Path, dir: &FileName) -> io::Result<Vec<DirEntry>> {
    let entries = match fs::read_dir(root.join(dir.as_str())) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|n| is_ours(n)) else { continue };
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            // Removed since the directory was read.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let len = if meta.is_dir() { 0 } else { meta.len() };
        found.push(DirEntry { name: dir.join(name), is_dir: meta.is_dir(), len });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Whether a directory entry may be a component of a [`FileName`].
fn is_ours(name: &str) -> bool {
    !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Writes `bytes` beside the file, flushes them, says so, and puts them in its place.
pub(crate) fn replace(path: &Path, temporary: &Path, bytes: &[u8], beside: impl FnOnce()) -> io::Result<()> {
    let write = || {
        let mut file = StdFile::create(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        beside();
        fs::rename(temporary, path)
    };
    if let Err(e) = write() {
        let _ = fs::remove_file(temporary);
        return Err(e);
    }
    sync_dir(path.parent().unwrap_or(Path::new("/")))
}

/// What `read_small` found.
pub(crate) enum Small {
    Missing,
    TooLarge,
    Bytes(Vec<u8>),
}

/// A file's bytes, if there are at most `max`.
pub(crate) fn read_small(path: &Path, max: usize) -> io::Result<Small> {
    let file = match StdFile::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Small::Missing),
        Err(e) => return Err(e),
    };
    if file.metadata()?.len() > max as u64 {
        return Ok(Small::TooLarge);
    }
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() > max { Small::TooLarge } else { Small::Bytes(bytes) })
}

/// The space of a file system: free is what an ordinary user may still write.
pub(crate) fn space(path: &Path) -> io::Result<DiskSpace> {
    let fs = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
    Ok(DiskSpace { free: bytes(fs.f_bavail), total: bytes(fs.f_blocks) })
}

/// Makes everything on the file system durable. Some file systems (xfs) leave the device's cache
/// alone when only overwritten blocks are dirty, so one file is flushed by itself as well.
pub(crate) fn sync_all(root: impl AsFd, witness: impl AsFd) -> io::Result<()> {
    rustix::fs::syncfs(root)?;
    rustix::fs::fdatasync(witness)?;
    Ok(())
}

/// Writes a small file with real, synced contents, if it is not there.
pub(crate) fn write_primer(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() == bytes.len() as u64 => Ok(()),
        _ => replace(path, temporary, bytes, || {}),
    }
}
