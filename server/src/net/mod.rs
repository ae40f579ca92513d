//! Sockets and frames. Nothing here knows Kafka: a frame is four bytes of length and what follows,
//! and what understands it is a [`Service`](crate::runtime::Service).
//!
//! | file | what |
//! |---|---|
//! | `listener` | accepts, within limits; sheds load when descriptors run out |
//! | `reader` | a connection's incoming half: receive, cut frames, hand them over in order |
//! | `inbox` | its bytes received and not yet consumed |
//! | `conn` | its outgoing half: vectored sends from its outbox |
//! | `sweep` | the deadlines: first frame, slow frame, idle, stalled send |
//!
//! Invariants: a connection holds a receive buffer only while it has bytes of an unfinished request;
//! every queue is bounded, and a full one stops reading, which TCP tells the client.

mod conn;
mod inbox;
mod listener;
mod reader;
mod sweep;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::base::{Instant, Signal};
use slab::Slab;

pub use listener::{Admission, Door, bind};

use crate::runtime::{Buffers, Counters, LeaseBudget, Reason, StageClocks, clock};
use conn::Conn;

/// Limits of the network half of one core.
#[derive(Clone, Debug)]
pub struct NetSettings {
    /// A frame above this many bytes closes the connection (`socket.request.max.bytes`).
    pub request_bytes_max: usize,
    /// A connection without traffic for this long is closed (`connections.max.idle.ms`).
    pub idle: Option<Duration>,
    /// A new connection has this long to send its first whole frame.
    pub first_frame: Duration,
    /// A frame, once begun, has this long plus a second per MiB.
    pub frame: Duration,
    /// A send without progress for this long closes the connection.
    pub send_stall: Duration,
}

/// The network half of one core.
pub struct Net {
    settings: NetSettings,
    buffers: Rc<Buffers>,
    leases: Rc<LeaseBudget>,
    counters: Rc<Counters>,
    clocks: Rc<StageClocks>,
    conns: RefCell<Slab<Rc<Conn>>>,
    gone: Signal,
    draining: Cell<bool>,
    admission: Arc<Admission>,
}

impl Net {
    /// A core's network half, without connections yet.
    #[must_use]
    pub fn new(
        settings: NetSettings,
        buffers: Rc<Buffers>,
        leases: Rc<LeaseBudget>,
        counters: Rc<Counters>,
        clocks: Rc<StageClocks>,
        admission: Arc<Admission>,
    ) -> Rc<Net> {
        Rc::new(Net {
            settings,
            buffers,
            leases,
            counters,
            clocks,
            conns: RefCell::new(Slab::new()),
            gone: Signal::new(),
            draining: Cell::new(false),
            admission,
        })
    }

    /// Open connections of this core.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.borrow().len()
    }

    /// No new connections and no new requests; what is in flight is still answered.
    pub fn drain(&self) {
        self.draining.set(true);
        self.each(Conn::stop_reading);
    }

    /// Ends when the last connection is gone; at `deadline` the rest is cut.
    pub async fn drained(&self, deadline: Instant) {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        while self.connections() > 0 && clock::now().mono < deadline {
            glommio::timer::sleep(LOOK_EVERY).await;
        }
        self.each(|conn| conn.close_now(Reason::Stopping));
        while self.connections() > 0 {
            self.gone.wait().await;
        }
    }

    fn each(&self, mut act: impl FnMut(&Rc<Conn>)) {
        let conns: Vec<Rc<Conn>> = self.conns.borrow().iter().map(|(_, c)| c.clone()).collect();
        conns.iter().for_each(&mut act);
    }

    fn is_draining(&self) -> bool {
        self.draining.get()
    }
}
