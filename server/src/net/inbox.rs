//! Bytes received and not yet consumed.
//!
//! The buffer grows with the bytes received, not with the length announced: a client that has shown
//! frames of that size before is trusted with it at once, another one doubles its way up. While
//! nothing comes, a buffer without bytes goes back, and a short beginning of a frame is set aside.

use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use futures_io::AsyncRead;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::Net;
use super::conn::Conn;
use crate::runtime::{RECEIVE_BYTES_MIN, RECEIVE_BYTES_SMALL, Reason, Turn, clock};

/// What an unknown client may make us allocate by announcing it, in bytes.
const UNPROVEN_BYTES_MAX: usize = RECEIVE_BYTES_SMALL;

/// A buffer that was filled to the brim is exchanged for one of twice its size, up to this, so
/// that a busy connection reads many frames with one call.
const BUSY_BYTES_MAX: usize = 128 * 1024;

/// Partial frames up to this size leave the receive buffer while the rest is waited for.
const PARKED_BYTES_MAX: usize = 2 * 1024;

/// What is here of a connection's requests.
pub(super) struct Inbox {
    net: Rc<Net>,
    /// Empty while none is held.
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// The start of a frame, moved out of the buffer while nothing comes.
    parked: Vec<u8>,
    /// Room set aside for a request above [`RECEIVE_BYTES_SMALL`].
    aside: usize,
    /// Its place among those who wait for such room.
    turn: Option<Turn>,
    /// The size of buffer to take next.
    wish: usize,
    /// The largest frame that came whole.
    proven: usize,
    /// The last receive left room in the buffer: the socket was empty then.
    drained: bool,
}

enum Got {
    Bytes(usize),
    NoBuffer,
}

impl Inbox {
    pub(super) fn new(net: &Rc<Net>) -> Inbox {
        Inbox {
            net: net.clone(),
            buf: Vec::new(),
            start: 0,
            end: 0,
            parked: Vec::new(),
            aside: 0,
            turn: None,
            wish: RECEIVE_BYTES_MIN,
            proven: 0,
            drained: false,
        }
    }

    /// What is here.
    pub(super) fn bytes(&self) -> &[u8] {
        if self.buf.is_empty() { &self.parked } else { &self.buf[self.start..self.end] }
    }

    /// The first `n` bytes, a whole frame, are done with.
    pub(super) fn consume(&mut self, n: usize) {
        self.start += n;
        assert!(self.start <= self.end, "consumed more than was received");
        self.proven = self.proven.max(n);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            // A connection that is never idle would keep what others wait for.
            if self.aside > 0 && self.net.buffers.is_tight_for_large() {
                self.give_back();
            }
        }
    }

    /// Makes room for more bytes of a frame of `need` bytes in all. `false` while memory is short.
    fn make_room(&mut self, need: usize) -> bool {
        if self.buf.is_empty() {
            let Some(buf) = self.net.buffers.take(self.wish.max(self.parked.len() + 1)) else { return false };
            self.buf = buf;
            self.buf[..self.parked.len()].copy_from_slice(&self.parked);
            self.start = 0;
            self.end = self.parked.len();
            self.parked = Vec::new();
        }
        if self.start + need <= self.buf.len() && self.end < self.buf.len() {
            return true;
        }
        let have = self.end - self.start;
        let trusted = self.proven.max(UNPROVEN_BYTES_MAX).max(have * 2);
        let target = need.min(trusted);
        if target <= self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
        } else {
            if target > RECEIVE_BYTES_SMALL && self.aside < need {
                let aside = self.net.buffers.set_aside(&mut self.turn, self.aside, need);
                let Some(aside) = aside else { return false };
                self.aside = aside;
            }
            let Some(mut larger) = self.net.buffers.take(target) else { return false };
            larger[..have].copy_from_slice(&self.buf[self.start..self.end]);
            self.net.buffers.give(std::mem::replace(&mut self.buf, larger));
        }
        self.start = 0;
        self.end = have;
        assert!(self.end < self.buf.len(), "a frame that is not whole leaves room for more");
        true
    }

    fn park(&mut self) {
        let have = self.end - self.start;
        if self.buf.is_empty() || have > PARKED_BYTES_MAX {
            return;
        }
        self.parked = self.buf[self.start..self.end].to_vec();
        self.give_back();
        self.start = 0;
        self.end = 0;
    }

    fn give_back(&mut self) {
        self.net.buffers.give(std::mem::take(&mut self.buf));
        self.net.buffers.free(std::mem::take(&mut self.aside));
    }

    fn note_received(&mut self, n: usize) {
        self.end += n;
        self.drained = self.end < self.buf.len();
        if self.end == self.buf.len() {
            self.wish = (self.wish * 2).min(BUSY_BYTES_MAX);
        } else if n < self.buf.len() / 8 {
            self.wish = (self.wish / 2).max(RECEIVE_BYTES_MIN);
        }
    }

    /// Receives at least a byte towards a frame of `need` bytes. `Ok(0)` is the end of input.
    pub(super) async fn fill(&mut self, conn: &Conn, need: usize) -> Result<usize, Reason> {
        // A socket that had more than its buffer could take has its next bytes already: no round through
        // the ring. One that was emptied is asked when the ring says so: glommio has begun to wait then.
        if !self.drained && self.make_room(need) {
            match rustix::net::recv(conn.fd(), &mut self.buf[self.end..], RecvFlags::DONTWAIT) {
                Ok((n, _)) => {
                    self.note_received(n);
                    return Ok(n);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return Err(Reason::Socket),
            }
        }
        let mut waited = false;
        loop {
            let got = std::future::poll_fn(|cx| {
                if !self.make_room(need) {
                    return Poll::Ready(Ok(Got::NoBuffer));
                }
                if std::mem::take(&mut waited) {
                    // Its sender is not to blame for the time before.
                    let now = clock::monotonic();
                    conn.marks.frame_since.set(Some(now));
                    conn.marks.active_at.set(now);
                }
                let end = self.end;
                let mut stream = conn.stream.borrow_mut();
                let polled = Pin::new(&mut *stream).poll_read(cx, &mut self.buf[end..]).map_ok(Got::Bytes);
                if polled.is_pending() {
                    self.park();
                }
                polled
            })
            .await;
            match got {
                Ok(Got::Bytes(n)) => {
                    self.note_received(n);
                    return Ok(n);
                }
                Ok(Got::NoBuffer) => {
                    waited = true;
                    self.net.counters.receive_waits.add(1);
                    conn.marks.starved.set(true);
                    self.net.buffers.room().await;
                    conn.marks.starved.set(false);
                    if conn.is_closed() {
                        return Ok(0);
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Reason::Socket),
            }
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.net.buffers.leave(&mut self.turn);
        if !self.buf.is_empty() {
            self.give_back();
        }
    }
}
