//! One connection's socket and its outgoing half.
//!
//! Several ready replies go out with one `sendmsg`. There is no writer task as long as the socket
//! takes what it is given: one is started when it would block, and ends when it has drained.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use engine::base::{Instant, Signal};
use futures_io::AsyncWrite;
use glommio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown};

use super::Net;
use crate::runtime::{Link, Outbox, Reason, begin_work, clock, fair};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// Nothing more is read; it closes when its last reply has left.
    Ending(Reason),
    Closed,
}

enum Sent {
    All,
    Blocked,
}

/// One client connection, on the core that accepted it.
pub(super) struct Conn {
    pub(super) net: Rc<Net>,
    pub(super) stream: RefCell<TcpStream>,
    pub(super) key: Cell<usize>,
    pub(super) peer: SocketAddr,
    pub(super) listener: usize,
    pub(super) out: Rc<Outbox>,
    phase: Cell<Phase>,
    closed: Signal,
    blocked: Cell<bool>,
    pub(super) marks: Marks,
}

/// What the sweep judges.
pub(super) struct Marks {
    /// Something was received, or sent after a stall.
    pub(super) active_at: Cell<Instant>,
    /// A frame began, or the connection did, and it is not here whole.
    pub(super) frame_since: Cell<Option<Instant>>,
    /// How large that frame will be, bytes; 0 while unknown.
    pub(super) frame_bytes: Cell<usize>,
    /// How much of it is here, bytes.
    pub(super) frame_received: Cell<usize>,
    /// Whether a whole frame ever came.
    pub(super) greeted: Cell<bool>,
    /// The frame waits for receive memory, which others hold.
    pub(super) starved: Cell<bool>,
    /// The socket takes no more.
    pub(super) blocked_since: Cell<Option<Instant>>,
    /// A request is being worked on.
    pub(super) busy: Cell<bool>,
}

impl Conn {
    pub(super) fn new(net: &Rc<Net>, stream: TcpStream, peer: SocketAddr, listener: usize) -> Rc<Conn> {
        let now = clock::now().mono;
        let conn = Rc::new(Conn {
            net: net.clone(),
            stream: RefCell::new(stream),
            key: Cell::new(usize::MAX),
            peer,
            listener,
            out: Rc::new(Outbox::new(net.buffers.clone())),
            phase: Cell::new(Phase::Open),
            closed: Signal::new(),
            blocked: Cell::new(false),
            marks: Marks {
                active_at: Cell::new(now),
                frame_since: Cell::new(Some(now)),
                starved: Cell::new(false),
                frame_bytes: Cell::new(0),
                frame_received: Cell::new(0),
                greeted: Cell::new(false),
                blocked_since: Cell::new(None),
                busy: Cell::new(false),
            },
        });
        let weak = Rc::downgrade(&conn);
        conn.out.attach(weak);
        conn
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase.get() == Phase::Closed
    }

    /// Whether nothing is being received, worked on or sent.
    pub(super) fn is_quiet(&self) -> bool {
        !self.marks.busy.get() && self.out.is_empty()
    }

    pub(super) async fn until_closed(&self) {
        while !self.is_closed() {
            self.closed.wait().await;
        }
    }

    /// Closes once every reserved slot has been answered and sent.
    pub(super) fn end(&self, reason: Reason) {
        if self.phase.get() != Phase::Open {
            return;
        }
        if self.out.is_empty() {
            self.close_now(reason);
        } else {
            self.phase.set(Phase::Ending(reason));
        }
    }

    pub(super) fn close_now(&self, reason: Reason) {
        if self.is_closed() {
            return;
        }
        self.phase.set(Phase::Closed);
        self.net.counters.closed[reason as usize].add(1);
        // Both directions: the tasks that wait for this socket see its end.
        let _ = rustix::net::shutdown(self.fd(), Shutdown::Both);
        self.out.abandon();
        self.closed.notify();
    }

    /// Makes the reader see the end of its input.
    pub(super) fn stop_reading(self: &Rc<Self>) {
        let _ = rustix::net::shutdown(self.fd(), Shutdown::Read);
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        let fd = self.stream.borrow().as_raw_fd();
        // SAFETY: `self.stream` owns the descriptor and lives as long as `self`, which the
        // returned borrow cannot outlive; the stream is never replaced.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    fn send_ready(&self) -> Result<Sent, Reason> {
        const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
        loop {
            let sent = self.out.gather(|iov| {
                rustix::net::sendmsg(self.fd(), iov, &mut SendAncillaryBuffer::default(), FLAGS)
            });
            match sent {
                None => break,
                Some(Ok(n)) => self.note_sent(n),
                Some(Err(Errno::AGAIN)) => {
                    self.blocked.set(true);
                    self.marks.blocked_since.set(Some(clock::now().mono));
                    return Ok(Sent::Blocked);
                }
                Some(Err(Errno::INTR)) => {}
                Some(Err(_)) => return Err(Reason::Socket),
            }
        }
        if let Phase::Ending(reason) = self.phase.get()
            && self.out.is_empty()
        {
            self.close_now(reason);
        }
        Ok(Sent::All)
    }

    fn note_sent(&self, n: usize) {
        self.net.counters.bytes_out.add(n as u64);
        let now = clock::monotonic();
        self.out.advance(n, |timed| self.net.clocks.sent(timed, now));
    }

    /// The task of a blocked connection.
    async fn write_when_ready(self: Rc<Self>) {
        loop {
            let written = std::future::poll_fn(|cx| self.poll_write_front(cx)).await;
            if self.is_closed() {
                return;
            }
            let work = begin_work();
            match written {
                Ok(n) => {
                    self.marks.active_at.set(clock::now().mono);
                    self.marks.blocked_since.set(None);
                    self.note_sent(n);
                    self.blocked.set(false);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.close_now(Reason::Socket),
            }
            match self.send_ready() {
                Ok(Sent::All) => return,
                Ok(Sent::Blocked) => fair(work).await,
                Err(reason) => return self.close_now(reason),
            }
        }
    }

    fn poll_write_front(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let write =
            |iov: &[std::io::IoSlice<'_>]| Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, &iov[0]);
        // Nothing left: closed meanwhile.
        self.out.gather(write).unwrap_or(Poll::Ready(Ok(0)))
    }
}

impl Link for Conn {
    fn flush(self: Rc<Self>) {
        if self.is_closed() || self.blocked.get() {
            return;
        }
        match self.send_ready() {
            Ok(Sent::All) => {}
            Ok(Sent::Blocked) => {
                self.net.counters.sends_blocked.add(1);
                glommio::spawn_local(self.write_when_ready()).detach();
            }
            Err(reason) => self.close_now(reason),
        }
    }

    fn close(&self, reason: Reason) {
        self.close_now(reason);
    }
}
