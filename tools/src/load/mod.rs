//! The load generator: a Kafka client on one thread, which knows nothing of our broker.
//!
//! | file | what |
//! |---|---|
//! | `plan` | what is to be sent: rate, sizes, clients, time |
//! | `schedule` | when each record is due: fixed or Poisson arrivals, steps and bursts, from a seed |
//! | `keys` | how often each key comes |
//! | `stamp` | the 24 bytes in each value by which a record is recognised |
//! | `image` | a record batch that is laid out once and patched for each use |
//! | `recorder` | histograms per clock and second, merged, never averaged |
//! | `check` | lost, duplicate, reordered, corrupt |
//! | `client` | blocking calls before and after the load: metadata, topics, offsets |
//! | `socket` | one non-blocking connection: frames in, frames out |
//! | `touch` | the first record of each partition, before anything else |
//! | `producer`, `consumer` | the two sides of the load, driven by the loop |
//! | `drive` | the loop: one thread, busy, all sockets |
//! | `prepare` | what precedes the load: first records, preload, the maximum of which a share is asked |
//! | `outcome` | what a run is doing, and what came of it |
//! | `null` | a broker that keeps nothing: the generator's own ceiling |
//! | `warm` | when a broker is warm: two successive windows agree |
//!
//! Invariants:
//! - **Planned time is arithmetic.** A record is due when the schedule says so, whatever the broker does; a stalled
//!   broker makes records late, never fewer. Response time counts from the planned time, service time from the actual send.
//! - **Late is ours, slow is theirs.** A send counts as late only if the connection was free to take it.
//! - **Memory is bounded** by connections × depth × batch: what is due but cannot be sent yet exists only in the schedule.
//! - All clocks are CLOCK_MONOTONIC nanoseconds of this machine, so that two processes on it agree.

pub mod check;
pub mod client;
pub mod clock;
mod consumer;
mod drive;
mod image;
mod keys;
pub mod null;
mod outcome;
pub mod plan;
mod poll;
mod prepare;
mod producer;
pub(crate) mod random;
pub mod recorder;
mod run;
pub mod schedule;
pub mod setup;
mod socket;
pub mod stamp;
mod touch;
pub mod warm;

pub use drive::run;
pub use outcome::{Outcome, Phase, Progress};
pub use prepare::{CALIBRATION, Setup};
pub use producer::LATE_NS;
pub use socket::SocketError;

use client::ClientError;
use wire::{ApiKey, DecodeError, ErrorCode};

/// What ends a run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan makes no sense.
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    /// A call before or after the load failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A connection under load ended.
    #[error("a connection under load ended: {0}")]
    Socket(#[from] SocketError),
    /// The system refused something else.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// An answer that cannot be read.
    #[error("an answer cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// A fetch was refused.
    #[error("a fetch was refused: {}", code.name())]
    Fetch {
        /// Why.
        code: ErrorCode,
    },
    /// No common version.
    #[error("the broker speaks no version of {api:?} that this build speaks")]
    NoVersion {
        /// The API.
        api: ApiKey,
    },
    /// An answer that fits no question.
    #[error("the broker sent {what}")]
    Unexpected {
        /// What came.
        what: &'static str,
    },
}
