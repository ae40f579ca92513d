//! Replies that wait for a group commit.
//!
//! Tickets of one core never go back, so those who wait stand in one line: a commit takes from its
//! front, and costs nothing for the rest.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use engine::base::CoreId;
use engine::broker::{AppendError, Appended, Ticket};

use super::core::Core;
use super::post::Mail;
use crate::runtime::{Outbox, Reason, Reply, Slot, begin_work, fair};

/// Replies completed between two looks at the executor's budget.
const BURST: usize = 64;

/// A request whose parts are appended on several cores.
pub trait AppendSink {
    /// One part is durable, or refused.
    fn appended(&self, part: u32, result: Result<Appended, AppendError>);
}

/// What happens once a ticket is durable.
pub enum Then {
    /// A reply leaves.
    Reply(Rc<Outbox>, Slot, Reply),
    /// A part of a request is done.
    Part(Rc<dyn AppendSink>, u32, Appended),
    /// Another core is told.
    Mail {
        /// Which.
        to: CoreId,
        /// Its request.
        op: usize,
        /// The part of it.
        part: u32,
        /// Where it went.
        appended: Appended,
    },
}

/// The line of one core.
#[derive(Default)]
pub struct Acks {
    line: RefCell<VecDeque<(Ticket, Then)>>,
    touched: RefCell<Vec<Rc<Outbox>>>,
}

impl Core {
    /// Does `then` once `ticket` is durable: now, if it is already.
    pub fn when_durable(&self, ticket: Ticket, then: Then) {
        let mut line = self.acks.line.borrow_mut();
        if line.is_empty() && self.shard.durable() >= ticket {
            drop(line);
            match then {
                // Whoever asks sends it with the rest of what it has.
                Then::Reply(outbox, slot, reply) => outbox.complete(slot, reply),
                other => self.done(other),
            }
            return;
        }
        line.push_back((ticket, then));
    }

    /// The job that answers after each commit. It ends only with its task.
    pub async fn run_acks(self: Rc<Self>) {
        loop {
            let wait = self.shard.durable_signal().wait();
            loop {
                let work = begin_work();
                let more = self.settle();
                self.flush_touched();
                fair(work).await;
                if !more {
                    break;
                }
            }
            wait.await;
        }
    }

    /// Takes a burst from the front of the line; whether more of it is ready.
    fn settle(&self) -> bool {
        let durable = self.shard.durable();
        for _ in 0..BURST {
            let mut line = self.acks.line.borrow_mut();
            match line.front() {
                Some((ticket, _)) if *ticket <= durable => {}
                Some(_) if self.shard.is_offline() => {
                    let (_, then) = line.pop_front().expect("the front was just seen");
                    drop(line);
                    self.fail(then);
                    continue;
                }
                _ => return false,
            }
            let (_, then) = line.pop_front().expect("the front was just seen");
            drop(line);
            self.done(then);
        }
        true
    }

    fn done(&self, then: Then) {
        match then {
            Then::Reply(outbox, slot, reply) => {
                outbox.complete(slot, reply);
                self.touch(outbox);
            }
            Then::Part(sink, part, appended) => sink.appended(part, Ok(appended)),
            Then::Mail { to, op, part, appended } => {
                self.post.send(to, Mail::Appended { op, part, result: Ok(appended) });
            }
        }
    }

    fn fail(&self, then: Then) {
        match then {
            // The client tries again and learns that the partition is offline.
            Then::Reply(outbox, ..) => outbox.close(Reason::Offline),
            Then::Part(sink, part, _) => sink.appended(part, Err(AppendError::Offline)),
            Then::Mail { to, op, part, .. } => {
                self.post.send(to, Mail::Appended { op, part, result: Err(AppendError::Offline) });
            }
        }
    }

    /// Remembers to flush a connection once the burst is over.
    fn touch(&self, outbox: Rc<Outbox>) {
        let mut touched = self.acks.touched.borrow_mut();
        // Neighbours in the line are mostly of the same connection.
        if !touched.last().is_some_and(|last| Rc::ptr_eq(last, &outbox)) {
            touched.push(outbox);
        }
    }

    fn flush_touched(&self) {
        while let Some(outbox) = {
            let mut touched = self.acks.touched.borrow_mut();
            touched.pop()
        } {
            outbox.flush();
        }
    }
}
