//! Replies that wait for a group commit.
//!
//! Tickets of one core never go back, so those who wait stand in one line: a commit takes from its
//! front, and costs nothing for the rest.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use engine::base::{CoreId, Instant};
use engine::broker::{AppendError, Appended, FRAMES_KEPT, FrameTimes, Ticket};

use super::core::Core;
use super::post::Mail;
use crate::runtime::{Outbox, Reason, Reply, Slot, Stage, begin_work, fair};

/// Replies completed between two looks at the executor's budget.
const BURST: usize = 64;

/// A request whose parts are appended on several cores.
pub trait AppendSink {
    /// One part is durable, or refused.
    fn appended(&self, part: u32, result: Result<Appended, AppendError>);
}

/// What happens once a ticket is durable.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are replies, and a box would be an allocation each"
)]
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

/// One in the line.
struct Waiting {
    ticket: Ticket,
    /// When it was appended.
    since: Instant,
    then: Then,
}

/// The frame whose requests are being answered.
#[derive(Clone, Copy)]
struct Released {
    times: FrameTimes,
    /// Requests of it answered so far.
    acks: u64,
}

/// The line of one core.
#[derive(Default)]
pub struct Acks {
    line: RefCell<VecDeque<Waiting>>,
    touched: RefCell<Vec<Rc<Outbox>>>,
    frame: Cell<Option<Released>>,
    /// The last frame that was counted.
    counted: Cell<u64>,
}

impl Core {
    /// Does `then` once `ticket`, appended at `since`, is durable: now, if it is already.
    pub fn when_durable(&self, ticket: Ticket, since: Instant, then: Then) {
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
        line.push_back(Waiting { ticket, since, then });
    }

    /// Requests that wait for a commit.
    #[must_use]
    pub fn waiting_for_commit(&self) -> usize {
        self.acks.line.borrow().len()
    }

    /// The job that answers after each commit. It ends only with its task.
    pub async fn run_acks(self: Rc<Self>) {
        loop {
            let wait = self.shard.durable_signal().wait();
            loop {
                let work = begin_work();
                self.count_frames();
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
                Some(front) if front.ticket <= durable => {}
                Some(_) if self.shard.is_offline() => {
                    let Waiting { then, .. } = line.pop_front().expect("the front was just seen");
                    drop(line);
                    self.fail(then);
                    continue;
                }
                _ => {
                    self.time_frame(None);
                    return false;
                }
            }
            let Waiting { ticket, since, mut then } = line.pop_front().expect("the front was just seen");
            drop(line);
            if let Some(times) = self.released(ticket) {
                self.clocks.took(Stage::ProduceCommit, since, times.sealed);
                if let Then::Reply(_, _, reply) = &mut then {
                    reply.ready_at(times.durable);
                }
            }
            self.done(then);
        }
        true
    }

    /// When the frame of one that is answered went through its steps. It counts as one more of them.
    fn released(&self, ticket: Ticket) -> Option<FrameTimes> {
        let mut frame = self.acks.frame.get().filter(|frame| frame.times.ticket == ticket.0);
        if frame.is_none() {
            let times = self.shard.frame_times(ticket)?;
            frame = Some(Released { times, acks: 0 });
            self.time_frame(frame);
        }
        let Released { times, acks } = frame?;
        self.acks.frame.set(Some(Released { times, acks: acks + 1 }));
        Some(times)
    }

    /// Goes on to the next frame: the steps of the one before took as long for each of its requests.
    fn time_frame(&self, next: Option<Released>) {
        if let Some(Released { times, acks }) = self.acks.frame.replace(next) {
            self.clocks.took_each(Stage::ProduceJournal, times.written.since(times.sealed), acks);
            self.clocks.took_each(Stage::ProduceFlush, times.durable.since(times.written), acks);
            self.clocks.released(acks);
        }
    }

    /// Counts the flushed frames since the last look.
    fn count_frames(&self) {
        let durable = self.shard.durable().0;
        let last = self.acks.counted.replace(durable).max(durable.saturating_sub(FRAMES_KEPT as u64));
        for ticket in last + 1..=durable {
            if let Some(times) = self.shard.frame_times(Ticket(ticket)).filter(|times| times.flushed) {
                self.clocks.flushed(times.bytes);
            }
        }
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
