//! What every part of the process speaks: clocks, counters, the order of replies, the memory of
//! connections. No sockets, no Kafka.
//!
//! | file | what |
//! |---|---|
//! | `clock` | the only place that reads the clocks |
//! | `counters` | one core's numbers, and why connections end |
//! | `hint` | log lines that strangers can trigger, at a bounded rate |
//! | `last_write` | whether anybody writes |
//! | `leases` | the charge on log memory held by replies |
//! | `memory` | recycled buffers with a budget |
//! | `outbox` | one connection's replies in request order |
//! | `reply` | what is sent: encoded bytes, and record bytes that stay where they are |
//! | `service` | what understands frames |
//! | `stages` | how long each part of a request takes |
//! | `turns` | who waits for room, oldest first |
//!
//! Invariants: replies leave in request order; every queue has a named bound; nothing here blocks.

pub mod clock;
mod counters;
pub(crate) mod hint;
mod last_write;
mod leases;
mod memory;
mod outbox;
mod reply;
mod service;
mod stages;
mod turns;

pub use counters::{Counter, Counters, Reason};
pub use last_write::LastWrite;
pub use leases::{LEASE_BYTES_MAX, LeaseBudget, LeaseGuard, TightCores};
pub use memory::{Buffers, RECEIVE_BYTES_MIN, RECEIVE_BYTES_SMALL};
pub use outbox::{Link, Outbox, Slot};
pub use reply::{Piece, Reply};
pub use service::Service;
pub use stages::{Histograms, Stage, StageClocks, Timed};
pub use turns::Turn;

/// The work of one request ends: if the executor's budget is spent, everybody waits for its rings.
pub async fn fair(work: store::fairness::Work) {
    work.end().await;
}

pub use store::fairness::begin as begin_work;
