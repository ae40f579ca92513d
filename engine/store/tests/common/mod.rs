//! A disk on a real file system, on an executor of its own.

use std::future::Future;
use std::path::{Path, PathBuf};

use store::data_dir::{DirectIo, probe_direct_io};
use store::runtime::{ExecutorSettings, start};

/// A fresh directory on the file system of the build directory, which is a disk.
///
/// # Panics
/// If that takes no direct I/O: then these tests can say nothing.
#[allow(dead_code, reason = "each test file uses what it needs of this module")]
pub(crate) fn real_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let direct = probe_direct_io(dir.path()).unwrap();
    assert_eq!(
        direct,
        DirectIo::Supported,
        "{} takes no direct I/O: put CARGO_TARGET_DIR on a disk",
        dir.path().display()
    );
    dir
}

/// Runs `main` over `dir` on an executor with a pool of `pool_bytes`.
pub(crate) fn on_executor<F, T>(
    dir: &Path,
    pool_bytes: usize,
    main: impl FnOnce(PathBuf) -> F + Send + 'static,
) -> T
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let dir = dir.to_owned();
    let settings = ExecutorSettings { pool_bytes, ..ExecutorSettings::default() };
    start(settings, move || main(dir)).unwrap().join().unwrap()
}
