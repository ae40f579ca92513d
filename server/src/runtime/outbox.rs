//! One connection's replies, in request order.
//!
//! Each request reserves a [`Slot`] as it arrives. Its reply may be completed in any order and at any
//! later time, but leaves only when every earlier slot has left.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io::IoSlice;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;

use engine::base::{Instant, Signal};
use smallvec::SmallVec;

use super::{Buffers, Reason, Reply, Timed};
use crate::limits::{REPLY_BYTES_MAX, SLOTS_MAX};

/// Parts that one send takes at most.
const PARTS_MAX: usize = 64;

/// Bytes that one send takes at most.
const SEND_BYTES_MAX: usize = 1024 * 1024;

/// A reserved place in a connection's order of replies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot(u64);

/// The socket behind an outbox.
pub trait Link {
    /// Sends whatever may leave now.
    fn flush(self: Rc<Self>);
    /// Closes now: what was not sent is lost.
    fn close(&self, reason: Reason);
}

/// Replies that wait for their turn or for the socket.
pub struct Outbox {
    buffers: Rc<Buffers>,
    queue: RefCell<Queue>,
    space: Signal,
    closed: Cell<bool>,
    link: OnceCell<Weak<dyn Link>>,
    arrived: Cell<Instant>,
}

#[derive(Default)]
struct Queue {
    places: VecDeque<Option<Reply>>,
    /// The number of the front slot.
    first: u64,
    /// How far the front reply is sent.
    part: usize,
    offset: usize,
    bytes: usize,
}

impl Outbox {
    /// An empty one, without a socket yet.
    #[must_use]
    pub fn new(buffers: Rc<Buffers>) -> Outbox {
        Outbox {
            buffers,
            queue: RefCell::default(),
            space: Signal::new(),
            closed: Cell::new(false),
            link: OnceCell::new(),
            arrived: Cell::default(),
        }
    }

    /// Joins it to its socket, once.
    ///
    /// # Panics
    /// At a second call.
    pub fn attach(&self, link: Weak<dyn Link>) {
        assert!(self.link.set(link).is_ok(), "an outbox has one socket");
    }

    /// Memory for replies.
    #[must_use]
    pub fn buffers(&self) -> &Rc<Buffers> {
        &self.buffers
    }

    /// Bytes of requests were received.
    pub fn received(&self, at: Instant) {
        self.arrived.set(at);
    }

    /// When the bytes of the request that is worked on were received.
    #[must_use]
    pub fn arrived(&self) -> Instant {
        self.arrived.get()
    }

    /// Takes the next place in the order of replies.
    pub fn reserve(&self) -> Slot {
        let mut queue = self.queue.borrow_mut();
        queue.places.push_back(None);
        Slot(queue.first + queue.places.len() as u64 - 1)
    }

    /// Fills a place. Nothing is sent before [`Outbox::flush`]. Without effect once closed.
    ///
    /// # Panics
    /// If the slot was completed before.
    pub fn complete(&self, slot: Slot, reply: Reply) {
        if self.closed.get() {
            reply.recycle(&self.buffers);
            return;
        }
        let mut queue = self.queue.borrow_mut();
        queue.bytes += reply.bytes();
        self.buffers.answered(reply.own_bytes());
        let index = (slot.0 - queue.first) as usize;
        let before = queue.places[index].replace(reply);
        assert!(before.is_none(), "slot {slot:?} was completed twice");
    }

    /// Reserves and fills a place at once.
    pub fn reply(&self, reply: Reply) {
        let slot = self.reserve();
        self.complete(slot, reply);
    }

    /// Sends whatever may leave now.
    pub fn flush(&self) {
        if let Some(link) = self.link.get().and_then(Weak::upgrade) {
            link.flush();
        }
    }

    /// Closes the connection: what was not sent is lost.
    pub fn close(&self, reason: Reason) {
        if let Some(link) = self.link.get().and_then(Weak::upgrade) {
            link.close(reason);
        }
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Drops everything; called by the socket as it closes.
    pub fn abandon(&self) {
        self.closed.set(true);
        let mut queue = self.queue.borrow_mut();
        let unsent = queue.places.drain(..).flatten().map(|reply| reply.own_bytes()).sum();
        queue.bytes = 0;
        drop(queue);
        self.buffers.sent(unsent);
        self.buffers.closed();
        self.space.notify();
    }

    /// Whether every reserved slot has been answered and sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.borrow().places.is_empty()
    }

    /// Whether another request may be worked on.
    #[must_use]
    pub fn has_space(&self) -> bool {
        let queue = self.queue.borrow();
        queue.places.len() < SLOTS_MAX
            && queue.bytes < REPLY_BYTES_MAX
            && self.buffers.has_room_for_answer(queue.bytes)
    }

    /// Ends when another request may be worked on, or the connection is closed.
    pub async fn until_space(&self) {
        while !self.is_closed() && !self.has_space() {
            // What others leave unsent counts too.
            let (mut own, mut all) = (pin!(self.space.wait()), pin!(self.buffers.unsent_fell()));
            std::future::poll_fn(|cx| match own.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => all.as_mut().poll(cx),
            })
            .await;
        }
    }

    /// Hands the bytes that may leave now to `send`, at most 64 parts; `None` if there
    /// are none.
    pub fn gather<T>(&self, send: impl FnOnce(&[IoSlice<'_>]) -> T) -> Option<T> {
        let queue = self.queue.borrow();
        let mut iov: SmallVec<[IoSlice<'_>; PARTS_MAX]> = SmallVec::new();
        let mut bytes = 0;
        let (mut part, mut offset) = (queue.part, queue.offset);
        'full: for place in &queue.places {
            let Some(reply) = place else { break };
            for index in part..reply.parts() {
                let rest = &reply.part(index)[offset..];
                offset = 0;
                iov.push(IoSlice::new(rest));
                bytes += rest.len();
                if iov.len() == PARTS_MAX || bytes >= SEND_BYTES_MAX {
                    break 'full;
                }
            }
            part = 0;
        }
        (!iov.is_empty()).then(|| send(&iov))
    }

    /// Takes note that `sent` bytes of what was gathered have left.
    ///
    /// # Panics
    /// If that is more than was there.
    pub fn advance(&self, mut sent: usize, mut left_whole: impl FnMut(&Timed)) {
        let mut queue = self.queue.borrow_mut();
        let mut unsent = 0;
        while sent > 0 {
            let reply =
                queue.places.front().and_then(Option::as_ref).expect("only complete replies are sent");
            let left = reply.part(queue.part).len() - queue.offset;
            let parts = reply.parts();
            if sent < left {
                queue.offset += sent;
                break;
            }
            sent -= left;
            queue.offset = 0;
            queue.part += 1;
            if queue.part == parts {
                let reply = queue.places.pop_front().flatten().expect("the front was just looked at");
                queue.first += 1;
                queue.part = 0;
                queue.bytes -= reply.bytes();
                unsent += reply.own_bytes();
                reply.stages().iter().for_each(&mut left_whole);
                reply.recycle(&self.buffers);
            }
        }
        drop(queue);
        self.buffers.sent(unsent);
        self.space.notify();
    }
}

#[cfg(test)]
mod tests {
    use wire::Writer;

    use super::*;

    fn reply(bytes: &[u8]) -> Reply {
        let mut writer = Writer::new();
        writer.raw(bytes);
        Reply::new(writer)
    }

    fn sendable(outbox: &Outbox) -> Vec<u8> {
        outbox.gather(|iov| iov.iter().flat_map(|s| s.to_vec()).collect()).unwrap_or_default()
    }

    #[test]
    fn replies_leave_in_request_order_whenever_they_are_completed() {
        let outbox = Outbox::new(Rc::new(Buffers::new(1 << 20)));
        let slots = [outbox.reserve(), outbox.reserve(), outbox.reserve()];
        outbox.complete(slots[1], reply(b"two"));
        assert_eq!(sendable(&outbox), b"");
        outbox.complete(slots[0], reply(b"one"));
        assert_eq!(sendable(&outbox), b"onetwo");
        outbox.advance(4, |_| {});
        assert_eq!(sendable(&outbox), b"wo");
        outbox.complete(slots[2], reply(b"three"));
        assert_eq!(sendable(&outbox), b"wothree");
        outbox.advance(7, |_| {});
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_all_connections_leave_unsent_holds_up_those_who_do_not_read() {
        let buffers = Rc::new(Buffers::new(1000));
        let [slow, other, quick] = std::array::from_fn(|_| Outbox::new(buffers.clone()));
        slow.reply(reply(&[0; 600]));
        other.reply(reply(&[0; 600]));
        assert!(!slow.has_space() && !other.has_space(), "1200 bytes wait, 1000 may");
        assert!(quick.has_space(), "it reads what it asks for");
        other.reply(reply(&[0; 2800]));
        assert!(!quick.has_space(), "four times as much holds up everybody");
        other.abandon();
        assert!(quick.has_space() && slow.has_space());
        slow.advance(600, |_| {});
        assert!(!buffers.is_full_of_answers());
    }

    #[test]
    fn too_many_unanswered_requests_or_unsent_bytes_leave_no_space() {
        let outbox = Outbox::new(Rc::new(Buffers::new(1 << 20)));
        for _ in 0..SLOTS_MAX {
            assert!(outbox.has_space());
            outbox.reserve();
        }
        assert!(!outbox.has_space());
        let outbox = Outbox::new(Rc::new(Buffers::new(1 << 20)));
        outbox.reply(reply(&vec![0; REPLY_BYTES_MAX]));
        assert!(!outbox.has_space());
        outbox.advance(1, |_| {});
        assert!(!outbox.has_space(), "bytes count until the whole reply has left");
        outbox.advance(REPLY_BYTES_MAX - 1, |_| {});
        assert!(outbox.has_space());
    }
}
