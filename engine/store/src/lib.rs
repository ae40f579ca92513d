//! Direct I/O on glommio: the hands of the engine. It executes; it decides nothing.
//!
//! | module | what |
//! |---|---|
//! | [`runtime`] | the only way to start an executor: glommio's defaults hang and starve, ours do not |
//! | [`rings`] | rings that do not interrupt their executor |
//! | [`fairness`] | gives the rings their turn, because preemption is off |
//! | [`lend`] | record bytes lent to another core |
//! | `pool` | one registered region per executor, handed out by credit |
//! | `chunk` | a buffer being filled, and its sealed, shared form |
//! | `disk` | [`GlommioDisk`]: `engine::io::Disk` over the above |
//! | [`clock`] | the monotonic clock of the process |
//! | `failpoint` | ends a test's process at one step of its I/O; nothing in a release |
//! | `watch` | finds operations that do not end |
//! | `names` | what blocks (rename, list, fsync of a directory …), for the blocking threads |
//! | [`data_dir`] | the lock on a data directory and the probe for direct I/O |
//!
//! Invariants:
//! - Every buffer holds a credit for its rounded size before it exists, and keeps it until the
//!   kernel is done with it, whatever became of the future that asked.
//! - No operation waits for ever: each has a deadline, after which it goes on unattended.
//! - Nothing that may block runs on an executor's own thread.

pub mod clock;
pub mod data_dir;
pub mod fairness;
pub mod lend;
pub mod rings;
pub mod runtime;

mod boxes;
mod chunk;
mod disk;
mod failpoint;
mod faults;
mod names;
mod pool;
pub mod pulse;
mod watch;

pub use chunk::{Buf, Chunk};
pub use disk::{DiskSettings, File, GlommioDisk, OP_DEADLINE, SYNCFS_ABOVE, ops_in_flight, prime};
pub use faults::{FaultPoints, Skip};
pub use pool::PoolStats;
