//! The door between frames and what they mean.

use std::net::SocketAddr;
use std::rc::Rc;

use super::{Outbox, Reason};

/// What understands frames.
#[expect(async_fn_in_trait, reason = "one thread serves a connection; no future needs Send")]
pub trait Service: Clone + 'static {
    /// What is remembered of one connection.
    type Session: 'static;

    /// A connection begins. `listener` is the index of the listener that accepted it.
    fn open(&self, peer: SocketAddr, listener: usize) -> Self::Session;

    /// The largest frame that may start with these bytes (after the length).
    fn frame_bytes_max(&self, start: [u8; 4]) -> usize;

    /// Works on one frame: reserves a slot, or none if the request has no reply, and completes it
    /// now or later. Returning starts the next frame, so work that must keep its order is done
    /// before.
    ///
    /// # Errors
    /// The reason to close the connection. Replies reserved before still leave.
    async fn handle(&self, session: &mut Self::Session, frame: &[u8], out: &Rc<Outbox>)
    -> Result<(), Reason>;
}
