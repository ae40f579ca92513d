//! The files that floors write: below one directory that goes away with its value.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::aligned::Aligned;

/// Preparing writes this much at once.
const PREPARE_BYTES: usize = 1 << 20;

/// Between two removals: discarding gigabytes at once would stall whatever is measured next.
const REMOVE_PAUSE: Duration = Duration::from_millis(50);

/// What a file was before the floor began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Space {
    /// Empty: each write extends it.
    Extending,
    /// Allocated, never written: each write converts an extent.
    Allocated,
    /// Written before: a write changes bytes and nothing else.
    Recycled,
}

impl Space {
    pub(super) fn word(self) -> &'static str {
        match self {
            Space::Extending => "extending",
            Space::Allocated => "allocated",
            Space::Recycled => "recycled",
        }
    }
}

/// A directory of files for direct I/O.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: PathBuf,
    file_bytes: u64,
    made: u32,
    recycled: Option<PathBuf>,
}

impl Scratch {
    /// An empty directory below `parent`, which is made as well. Each file has `file_bytes`.
    pub(super) fn new(parent: &Path, file_bytes: u64) -> io::Result<Scratch> {
        let dir = parent.join(format!("floors-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(Scratch { dir, file_bytes, made: 0, recycled: None })
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// A file in that state, opened for direct I/O. The recycled file is one and the same each time.
    pub(super) fn open(&mut self, space: Space, dsync: bool) -> io::Result<File> {
        let flags = OFlags::DIRECT | if dsync { OFlags::DSYNC } else { OFlags::empty() };
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.custom_flags(i32::try_from(flags.bits()).expect("open flags are an int")).open(path)
        };
        if space == Space::Recycled {
            return open(&self.recycled()?);
        }
        self.made += 1;
        let file = open(&self.dir.join(format!("{}-{}", space.word(), self.made)))?;
        if space == Space::Allocated {
            fallocate(&file, FallocateFlags::empty(), 0, self.file_bytes)?;
        }
        // Its name and its extents are settled before anything is measured.
        file.sync_all()?;
        Ok(file)
    }

    /// The file that was written before; it is written now if it was not yet.
    fn recycled(&mut self) -> io::Result<PathBuf> {
        if let Some(path) = &self.recycled {
            return Ok(path.clone());
        }
        let path = self.dir.join(Space::Recycled.word());
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        fallocate(&file, FallocateFlags::empty(), 0, self.file_bytes)?;
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(i32::try_from(OFlags::DIRECT.bits()).expect("open flags are an int"))
            .open(&path)?;
        let buffer = Aligned::new(PREPARE_BYTES);
        let mut at = 0;
        while at < self.file_bytes {
            let len = usize::try_from(self.file_bytes - at).unwrap_or(usize::MAX).min(buffer.len());
            direct.write_all_at(&buffer[..len], at)?;
            at += len as u64;
        }
        file.sync_all()?;
        self.recycled = Some(path.clone());
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            // What cannot be removed is not worth failing a finished measurement for.
            let _ = fs::remove_file(entry.path());
            std::thread::sleep(REMOVE_PAUSE);
        }
        let _ = fs::remove_dir(&self.dir);
    }
}

/// A directory beside the test binary: a build lies on a disk, a temporary directory may not.
#[cfg(test)]
pub(super) fn on_a_disk() -> tempfile::TempDir {
    let binary = std::env::current_exe().expect("a test binary");
    tempfile::tempdir_in(binary.parent().expect("in a directory")).expect("a directory on a disk")
}
