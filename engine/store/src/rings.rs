//! Rings that do not interrupt their executor.
//!
//! The kernel has work to do in an executor's own context whenever one of its sockets or transfers has
//! something new. To a ring set up plainly it sends an interrupt each time, from whichever CPU the news
//! came to, and an executor that is busy stops for it. `IORING_SETUP_COOP_TASKRUN` leaves that work until
//! the executor's next system call, and no visit to the rings does without one. 16 KiB batches on one core: +8 % MB/s and 13 %
//! less CPU a byte (`engine/docs/decisions.md`, 46).
//!
//! glommio 0.9.0 has no way to ask for it. Its liburing makes every ring by one function, which the linker
//! puts ours in place of, where the build says so (`--wrap`, `build.rs` of `tools` and of this crate):
//!
//! | called by liburing | without `--wrap` | with it |
//! |---|---|---|
//! | `__sys_io_uring_setup` | its own: plain rings | [`__wrap___sys_io_uring_setup`] |

use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicUsize, Ordering};

/// `IORING_SETUP_COOP_TASKRUN`, Linux 5.19.
const COOP_TASKRUN: u32 = 1 << 8;

/// `struct io_uring_params`, 120 bytes.
type Params = [u32; 30];

/// Where its `flags` are.
const FLAGS: usize = 2;

static COOPERATIVE: AtomicUsize = AtomicUsize::new(0);

/// Rings of this process that do not interrupt their executor. None in a program that was linked without
/// `--wrap`, and before Linux 5.19.
#[must_use]
pub fn cooperative() -> usize {
    COOPERATIVE.load(Ordering::Relaxed)
}

/// The call, as liburing expects it: a descriptor, or -1 and `errno`.
///
/// # Safety
/// `params` points to a whole `struct io_uring_params`.
unsafe fn set_up(entries: c_uint, params: *mut Params) -> c_int {
    // SAFETY: the kernel reads and writes one `io_uring_params`, which the caller vouches for.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, params) };
    c_int::try_from(ring).unwrap_or(-1)
}

/// Sets up a ring that leaves the kernel's work until the next system call, or a plain one where the
/// kernel does not know the flag.
///
/// # Safety
/// As of the system call: `params` points to a whole `struct io_uring_params`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap___sys_io_uring_setup(entries: c_uint, params: *mut Params) -> c_int {
    // SAFETY: the caller's promise.
    let plain = unsafe { *params };
    // SAFETY: likewise.
    unsafe { (*params)[FLAGS] |= COOP_TASKRUN };
    // SAFETY: likewise.
    let ring = unsafe { set_up(entries, params) };
    if ring >= 0 {
        COOPERATIVE.fetch_add(1, Ordering::Relaxed);
        return ring;
    }
    // SAFETY: likewise.
    unsafe { *params = plain };
    // SAFETY: likewise.
    unsafe { set_up(entries, params) }
}

/// Only liburing calls it, which the compiler does not see.
#[used]
static CALLED_BY_LIBURING: unsafe extern "C" fn(c_uint, *mut Params) -> c_int = __wrap___sys_io_uring_setup;
