//! What every part of the process speaks: clocks, counters, the order of replies, the memory of
//! connections. No sockets, no Kafka.
//!
//! | file | what |
//! |---|---|
//! | `clock` | the only place that reads the clocks |
//! | `counters` | one core's numbers, and why connections end |
//! | `hint` | log lines that strangers can trigger, at a bounded rate |
//! | `memory` | recycled buffers with a budget; the charge on log memory held by replies |
//! | `outbox` | one connection's replies in request order |
//! | `reply` | what is sent: encoded bytes, and record bytes that stay where they are |
//! | `service` | what understands frames |
//! | `stages` | how long each part of a request takes |
//!
//! Invariants: replies leave in request order; every queue has a named bound; nothing here blocks.

pub mod clock;
mod counters;
pub(crate) mod hint;
mod memory;
mod outbox;
mod reply;
mod service;
mod stages;

pub use counters::{Counter, Counters, Reason};
pub use memory::{Buffers, LEASE_BYTES_MAX, LeaseBudget, LeaseGuard, RECEIVE_BYTES_MIN, RECEIVE_BYTES_SMALL};
pub use outbox::{Link, Outbox, Slot};
pub use reply::{Piece, Reply};
pub use service::Service;
pub use stages::{Histograms, Stage, StageClocks, Timed};

/// The work of one request ends: if the executor's budget is spent, everybody waits for its rings.
pub async fn fair(work: store::fairness::Work) {
    work.end().await;
}

pub use store::fairness::begin as begin_work;
