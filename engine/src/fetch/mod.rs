//! What a fetch decides beside reading: its incremental sessions (KIP-227).
//!
//! A client that fetches many partitions again and again names all of them once and then only what
//! changed; it is told only of partitions that changed. [`SessionCache`] keeps what it named.
//!
//! Invariants: at most `slots` sessions and `bytes_max` bytes of them in one cache, whatever clients
//! ask for; a session's partitions are served in an order in which those that gave records go last, so
//! that none starves; a partition is left out of an answer only if the client knows all that there is
//! to say of it.

mod cache;
mod session;
#[cfg(test)]
mod tests;

pub use cache::{SESSION_EVICTION, SESSION_VICTIMS_MAX, SessionCache, SessionError, SessionLimits};
pub use session::{Asked, Outcome, Session, TopicRef};
