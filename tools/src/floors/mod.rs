//! The floors: what plain system calls can do on this disk, loopback and processor. No broker code
//! is in here, so that a figure of the broker can be set beside what bounds it.
//!
//! | file | what |
//! |---|---|
//! | `spec` | which floors there are, and which matter for a given load |
//! | `session` | scratch space, passes over the floors, merged into rows |
//! | `budget` | how long one floor may take and how much it may write |
//! | `sample` | what one pass of one floor measured |
//! | `scratch` | the files, planned before and removed after |
//! | `aligned` | memory that direct I/O accepts |
//! | `cores` | who runs where |
//! | `disk` | direct writes, reads, overwrite + flush |
//! | `network` | round trip and stream over loopback |
//! | `processor` | CRC-32C and copy |
//! | `echo` | durable echo: receive, write, flush, reply; the least that any durable broker must do |
//! | `share` | our figures beside the floors that bound them |
//! | `table` | the terminal's view |
//!
//! Invariants: what stands for the broker runs on the broker's core and what stands for the generator
//! on the generator's; every floor ends by time and by bytes, whichever comes first; what is flushed
//! lies in a file that was written before, so that no flush pays for allocation; histograms of
//! several passes are merged, never averaged.

mod aligned;
mod budget;
mod cores;
mod disk;
mod echo;
mod network;
mod processor;
mod sample;
mod scratch;
mod session;
mod share;
mod spec;
mod table;

pub use budget::Budget;
pub use cores::{Cores, usable_cpus};
pub use session::{Session, disk_bytes};
pub use share::shares;
pub use spec::{Spec, all, for_load};
pub use table::table;
