//! Direct I/O by blocking system calls: what the device and the file system give to one core that
//! asks for nothing else.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::aligned::Aligned;
use super::budget::Until;
use super::cores::pin;
use super::sample::Sample;

/// What is done with each block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transfer {
    Write,
    Read,
}

/// How blocks follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// Bytes of one.
    pub(super) bytes: usize,
    /// How many are under way at once.
    pub(super) depth: usize,
    /// Bytes of the file.
    pub(super) file_bytes: u64,
    /// Whether to begin again at its end.
    pub(super) again: bool,
}

/// How an overwrite is made durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flush {
    /// By `fdatasync` after it.
    Fdatasync,
    /// By the write itself, in a file opened with `O_DSYNC`.
    Dsync,
}

/// Blocks one after the other, `depth` threads at once, on whatever CPU the kernel chooses: the
/// device is asked, not a core.
pub(super) fn sequential(
    file: &File,
    transfer: Transfer,
    blocks: Blocks,
    time: Duration,
    bytes_max: u64,
) -> io::Result<Sample> {
    let in_file = blocks.file_bytes / blocks.bytes as u64;
    assert!(in_file >= blocks.depth as u64, "no two workers are ever at one block");
    let limit = if blocks.again { bytes_max } else { blocks.file_bytes.min(bytes_max) };
    let next = AtomicU64::new(0);
    let until = Until::starting_now(time, u64::MAX);
    let work = || -> io::Result<Sample> {
        let (mut buffer, mut sample) = (Aligned::new(blocks.bytes), Sample::new());
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if (block + 1) * blocks.bytes as u64 > limit || until.is_over(0) {
                return Ok(sample);
            }
            let at = block % in_file * blocks.bytes as u64;
            let begun = Instant::now();
            match transfer {
                Transfer::Write => file.write_all_at(&buffer, at)?,
                Transfer::Read => file.read_exact_at(&mut buffer, at)?,
            }
            sample.take(blocks.bytes as u64, begun.elapsed());
        }
    };
    let mut whole = Sample::new();
    std::thread::scope(|scope| -> io::Result<()> {
        let workers: Vec<_> = (0..blocks.depth).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            whole.join(&worker.join().expect("a worker returns its errors")?);
        }
        Ok(())
    })?;
    whole.wall = until.elapsed();
    Ok(whole)
}

/// One block at a time, overwritten and made durable, on `core`.
pub(super) fn overwrite(
    file: &File,
    flush: Flush,
    block_bytes: usize,
    file_bytes: u64,
    core: Option<usize>,
    time: Duration,
) -> io::Result<Sample> {
    on_thread(core, || {
        let (buffer, mut sample) = (Aligned::new(block_bytes), Sample::new());
        let in_file = file_bytes / buffer.len() as u64;
        let until = Until::starting_now(time, u64::MAX);
        while !until.is_over(0) {
            let at = sample.operations % in_file * buffer.len() as u64;
            let begun = Instant::now();
            file.write_all_at(&buffer, at)?;
            if flush == Flush::Fdatasync {
                file.sync_data()?;
            }
            sample.take(buffer.len() as u64, begun.elapsed());
        }
        sample.wall = until.elapsed();
        Ok(sample)
    })
}

/// Does it on a thread of its own, pinned to `core`, so that the caller's affinity stays as it is.
pub(super) fn on_thread<T: Send>(
    core: Option<usize>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            pin(core);
            work()
        });
        worker.join().expect("a worker returns its errors")
    })
}
