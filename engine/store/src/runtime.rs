//! Starts executors that do not hang, do not starve and do not fail in silence.
//!
//! glommio 0.9.0 is used unpatched. What each guard answers:
//!
//! | guard | finding |
//! |---|---|
//! | preempt timer of an hour, and never a latency-sensitive task queue | an executor that finds `need_preempt` true as it enters its queues parks with runnable tasks, for ever; 9 of 62 loaded runs hung at 0.1-1 ms |
//! | rings of at least [`RING_DEPTH_MIN`] | as many completions at once raise the same flag |
//! | [`crate::pulse`] | wakes from other threads raise the flag as well, whatever the timer and the rings |
//! | [`crate::fairness`] | without preemption `yield_if_needed` never yields |
//! | [`crate::prime`] before the first file | the probe for polled I/O believes an empty file, and the core then spins |
//! | several blocking threads | glommio's default is one, so a long directory fsync would delay a rename |
//! | [`start`] builds the executor on its thread and reports | glommio's own `spawn` answers Ok and fails in the thread |
//! | limits and the system call are tried first | the crate panics, or ends the process, without io_uring |

use std::future::Future;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::{
    BuilderErrorKind, GlommioError, LocalExecutorBuilder, Placement, PoolPlacement, ReactorErrorKind,
};

use crate::pool::{POOL_BYTES_MIN, Pool, region_bytes};
use crate::pulse::with_pulse;
use crate::watch::with_watch;

/// Fewer entries a ring and a burst of completions would raise glommio's preempt flag.
pub const RING_DEPTH_MIN: usize = 1024;

/// "Off": no executor runs that long without a visit to its rings.
const PREEMPT_NEVER: Duration = Duration::from_secs(3600);

/// Threads per executor for what blocks: names, small files, file-system syncs.
const BLOCKING_THREADS: usize = 4;

/// glommio refuses to start below this much lockable memory, in bytes.
const MEMLOCK_MIN: u64 = 512 * 1024;

/// Waits, on an executor that [`start`] has started.
pub async fn sleep(time: Duration) {
    glommio::timer::sleep(time).await;
}

/// Where an executor runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cpu {
    /// On one CPU of this number, only there.
    Pinned(usize),
    /// Wherever the kernel puts it.
    Unbound,
}

/// What an executor is started with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecutorSettings {
    /// The thread's name.
    pub name: String,
    /// Its CPU.
    pub cpu: Cpu,
    /// I/O memory in bytes, rounded up to whole buffers; resident for as long as it runs.
    pub pool_bytes: usize,
    /// Entries per ring, at least [`RING_DEPTH_MIN`].
    pub ring_depth: usize,
    /// How long an idle executor polls before it sleeps. Zero on a machine whose cores are
    /// shared; 20-50 us shorten a hop between cores from 57 to 7 us and cost idle CPU.
    pub spin_before_park: Duration,
}

impl Default for ExecutorSettings {
    fn default() -> ExecutorSettings {
        ExecutorSettings {
            name: "shard".to_owned(),
            cpu: Cpu::Unbound,
            pool_bytes: 32 * 1024 * 1024,
            ring_depth: RING_DEPTH_MIN,
            spin_before_park: Duration::ZERO,
        }
    }
}

/// Why an executor did not start, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// The memlock limit is below what the runtime needs.
    #[error(
        "the limit on locked memory is {limit} bytes and must be at least {needed}: raise it with `ulimit -l {}` \
         (LimitMEMLOCK in a systemd unit, --ulimit memlock in docker)", needed / 1024
    )]
    MemlockTooLow {
        /// The limit found, bytes.
        limit: u64,
        /// The limit needed, bytes.
        needed: u64,
    },
    /// The kernel knows io_uring but does not let us use it.
    #[error(
        "io_uring is forbidden here (errno {errno}): set /proc/sys/kernel/io_uring_disabled to 0, or run the \
         container with a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"
    )]
    IoUringForbidden {
        /// EPERM or EACCES.
        errno: i32,
    },
    /// The kernel has no io_uring.
    #[error("this kernel has no io_uring (errno {errno}): Linux 5.8 or later is needed")]
    IoUringMissing {
        /// ENOSYS or what else it said.
        errno: i32,
    },
    /// There is no such CPU.
    #[error("CPU {cpu} does not exist or is not ours: choose from the CPUs that `nproc` and `lscpu` show")]
    NoSuchCpu {
        /// The number asked for.
        cpu: usize,
    },
    /// Anything else, in the runtime's words.
    #[error("the executor did not start: {0}")]
    Other(String),
}

/// What is known of an executor once it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Started {
    /// Its pool in bytes.
    pub pool_bytes: usize,
    /// Whether the pool is registered with the rings. It needs three times its size of lockable
    /// memory; without it transfers map their pages each time (a 4 KiB read 116 instead of 82 us).
    pub registered: bool,
}

/// A running executor.
#[derive(Debug)]
pub struct Executor<T> {
    /// `None` only when the executor did not start, and then nobody has this handle.
    thread: JoinHandle<Option<T>>,
    started: Started,
}

impl<T> Executor<T> {
    /// What was found at its start.
    #[must_use]
    pub fn started(&self) -> Started {
        self.started
    }

    /// Waits for its main future's value.
    ///
    /// # Errors
    /// The panic that ended the thread.
    pub fn join(self) -> std::thread::Result<T> {
        self.thread.join().map(|value| value.expect("an executor that started has a value"))
    }
}

/// Starts an executor on a thread of its own and runs `main` there, once it is really up.
///
/// # Errors
/// [`StartError`], each with its fix; then `main` was not called.
pub fn start<G, F, T>(settings: ExecutorSettings, main: G) -> Result<Executor<T>, StartError>
where
    G: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    check_limits()?;
    let pool_bytes = settings.pool_bytes.max(POOL_BYTES_MIN).next_multiple_of(engine::io::IO_BYTES_MAX);
    let placement = match settings.cpu {
        Cpu::Pinned(cpu) => Placement::Fixed(cpu),
        Cpu::Unbound => Placement::Unbound,
    };
    let builder = LocalExecutorBuilder::new(placement)
        .name(&settings.name)
        .io_memory(region_bytes(pool_bytes))
        .ring_depth(settings.ring_depth.max(RING_DEPTH_MIN))
        .preempt_timer(PREEMPT_NEVER)
        .spin_before_park(settings.spin_before_park)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(BLOCKING_THREADS));
    let (report, reported) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(settings.name)
        .spawn(move || {
            let pinned_before = pinned_bytes();
            let executor = match builder.make() {
                Ok(executor) => executor,
                Err(error) => {
                    let _ = report.send(Err(typed(&error)));
                    return None;
                }
            };
            let registered = pinned_bytes() >= pinned_before + pool_bytes as u64;
            let value = executor.run(async move {
                Pool::adopt(pool_bytes);
                let _ = report.send(Ok(Started { pool_bytes, registered }));
                with_pulse(with_watch(main())).await
            });
            Pool::abandon();
            Some(value)
        })
        .map_err(|e| StartError::Other(e.to_string()))?;
    match reported.recv() {
        Ok(Ok(started)) => Ok(Executor { thread, started }),
        Ok(Err(error)) => Err(error),
        Err(mpsc::RecvError) => Err(StartError::Other("its thread panicked".to_owned())),
    }
}

/// What must hold before glommio may be touched, because it panics where these do not.
fn check_limits() -> Result<(), StartError> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current.unwrap_or(u64::MAX);
    if limit < MEMLOCK_MIN {
        return Err(StartError::MemlockTooLow { limit, needed: MEMLOCK_MIN });
    }
    match try_io_uring() {
        0 => Ok(()),
        errno @ (libc::EPERM | libc::EACCES) => Err(StartError::IoUringForbidden { errno }),
        errno => Err(StartError::IoUringMissing { errno }),
    }
}

/// Sets up the smallest ring and closes it; 0 or the errno.
fn try_io_uring() -> i32 {
    // `struct io_uring_params`: 30 words, all zero for a plain ring.
    let mut params = [0_u32; 30];
    // SAFETY: the kernel reads and writes one `io_uring_params` (120 bytes), which `params` is.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, params.as_mut_ptr()) };
    if ring < 0 {
        return std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::ENOSYS);
    }
    // SAFETY: the descriptor was just returned to us and has no other owner.
    drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(ring as i32) });
    0
}

/// Memory of this process that rings and devices hold pinned, in bytes.
fn pinned_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmPin:"));
    let kib = line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn typed(error: &GlommioError<()>) -> StartError {
    match error {
        GlommioError::ReactorError(ReactorErrorKind::MemLockLimit(limit, needed)) => {
            StartError::MemlockTooLow { limit: *limit, needed: *needed }
        }
        GlommioError::BuilderError(BuilderErrorKind::NonExistentCpus { cpu }) => {
            StartError::NoSuchCpu { cpu: *cpu }
        }
        GlommioError::IoError(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
            StartError::IoUringForbidden { errno: e.raw_os_error().unwrap_or(libc::EPERM) }
        }
        other => StartError::Other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_does_not_exist_is_a_typed_error() {
        let settings = ExecutorSettings { cpu: Cpu::Pinned(9999), ..ExecutorSettings::default() };
        let error = start(settings, || async {}).err();
        assert_eq!(error, Some(StartError::NoSuchCpu { cpu: 9999 }));
    }

    #[test]
    fn an_executor_reports_its_pool_and_its_value() {
        let settings = ExecutorSettings { pool_bytes: 3_000_001, ..ExecutorSettings::default() };
        let executor = start(settings, || async { 7 }).unwrap();
        assert_eq!(executor.started().pool_bytes, 12 * 256 * 1024);
        assert_eq!(executor.join().unwrap(), 7);
    }
}
