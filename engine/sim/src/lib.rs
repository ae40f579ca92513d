//! A disk that tears, loses and fails from one seed, and the worlds run over it.
//!
//! | module | what |
//! |---|---|
//! | [`world`] | [`World`]: one machine: a task executor with virtual time over one disk; it crashes and starts again |
//! | [`disk`] | [`SimDisk`]: `engine::io::Disk` over the machine's storage |
//! | `jobs` | what a shard needs of its machine: commits, writer, cleaner, clock |
//! | [`null`] | [`NullDisk`]: a disk that keeps nothing, to measure the engine alone |
//! | [`storage`] · `inode` | names and contents: what the platter holds and what only the caches do |
//! | `memory` · `trace` | the pool of I/O memory · what happened, as a hash and as lines |
//! | [`run`] | whole runs: clients, crashes, and what must hold after them |
//! | [`faults`] | what goes wrong when |
//! | [`contract`] | every rule of `engine::io::Disk`, run against this disk and against the real one |
//! | `belief` | what a machine may believe of its clock |
//! | [`sites`] | rare ways of the engine made usual |
//! | [`random`] | the one source of chance |
//!
//! Invariants: no thread, no clock, no chance but the seed's. The same seed gives the same run,
//! crash and losses included.

mod belief;
pub mod contract;
pub mod disk;
pub mod faults;
mod inode;
mod jobs;
mod memory;
pub mod null;
pub mod random;
pub mod run;
pub mod sites;
pub mod storage;
mod trace;
pub mod world;

pub use disk::SimDisk;
pub use faults::Faults;
pub use inode::Harm;
pub use null::NullDisk;
pub use random::Random;
pub use storage::Counters;
pub use world::World;
