//! Mail between cores.
//!
//! What a core has for another gathers in a list; a task of its own hands the whole list over with
//! one message and one wake. Between two cores order is kept.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use engine::base::{CoreId, PartitionKey, Signal};
use engine::broker::{AppendError, Appended};
use glommio::channels::shared_channel::{self, SharedReceiver, SharedSender};
use slab::Slab;

use super::acks::{AppendSink, Then};
use super::core::Core;
use crate::limits::MAIL_BYTES_MAX;
use crate::runtime::{begin_work, clock, fair};

/// Batches of mail that lie between two cores at most.
const BATCHES_MAX: usize = 64;

/// A batch to be appended on another core.
#[derive(Debug)]
pub struct Append {
    /// The sender's request.
    pub op: usize,
    /// The part of it.
    pub part: u32,
    /// The partition.
    pub key: PartitionKey,
    /// One whole record batch, checked.
    pub batch: Bytes,
}

/// Work on a core, brought by mail.
type Errand = Box<dyn FnOnce(&Rc<Core>) + Send>;

/// What cores send each other.
pub enum Mail {
    /// Append this.
    Append(Append),
    /// It is durable, or refused.
    Appended {
        /// The request that it is part of.
        op: usize,
        /// Which part.
        part: u32,
        /// Where it went.
        result: Result<Appended, AppendError>,
    },
    /// A borrower is done with these slices.
    Release(usize),
    /// Do this.
    Run(Errand),
    /// What came of it.
    Return(usize, Box<dyn Any + Send>),
}

/// One core's outgoing mail, and what it expects back.
pub struct Post {
    id: CoreId,
    peers: Vec<Peer>,
    sinks: RefCell<Slab<(Rc<dyn AppendSink>, u32)>>,
    calls: RefCell<Slab<Rc<Call>>>,
}

#[derive(Default)]
struct Peer {
    list: RefCell<Vec<Mail>>,
    bytes: Cell<usize>,
    filled: Signal,
    emptied: Signal,
}

#[derive(Default)]
struct Call {
    value: RefCell<Option<Box<dyn Any + Send>>>,
    returned: Signal,
}

/// Appends from one core that found no room, in order.
#[derive(Default)]
struct Lane {
    waiting: RefCell<VecDeque<Append>>,
    filled: Signal,
}

/// One core's ends of the channels to and from every other.
pub struct PostOffice {
    senders: Vec<(CoreId, SharedSender<Vec<Mail>>)>,
    receivers: Vec<(CoreId, SharedReceiver<Vec<Mail>>)>,
}

impl PostOffice {
    /// Joins `cores` cores: one office for each.
    #[must_use]
    pub fn join(cores: u16) -> Vec<PostOffice> {
        let mut offices: Vec<PostOffice> =
            (0..cores).map(|_| PostOffice { senders: Vec::new(), receivers: Vec::new() }).collect();
        for from in 0..cores {
            for to in (0..cores).filter(|&to| to != from) {
                let (sender, receiver) = shared_channel::new_bounded(BATCHES_MAX);
                offices[usize::from(from)].senders.push((CoreId(to), sender));
                offices[usize::from(to)].receivers.push((CoreId(from), receiver));
            }
        }
        offices
    }

    /// Starts the jobs that send and receive. They end with the process.
    pub fn open(self, core: &Rc<Core>) {
        for (to, sender) in self.senders {
            glommio::spawn_local(send_to(core.clone(), to, sender)).detach();
        }
        for (from, receiver) in self.receivers {
            let lane = Rc::new(Lane::default());
            glommio::spawn_local(append_waiting(core.clone(), from, lane.clone())).detach();
            glommio::spawn_local(receive_from(core.clone(), from, receiver, lane)).detach();
        }
    }
}

impl Post {
    pub(super) fn new(id: CoreId, cores: u16) -> Post {
        Post {
            id,
            peers: (0..cores).map(|_| Peer::default()).collect(),
            sinks: RefCell::new(Slab::new()),
            calls: RefCell::new(Slab::new()),
        }
    }

    /// Sends mail to another core; it leaves with whatever else gathers until then.
    ///
    /// # Panics
    /// If it is for this core itself.
    pub fn send(&self, to: CoreId, mail: Mail) {
        assert_ne!(to, self.id, "mail to oneself");
        let peer = &self.peers[usize::from(to.0)];
        if let Mail::Append(append) = &mail {
            peer.bytes.set(peer.bytes.get() + append.batch.len());
        }
        peer.list.borrow_mut().push(mail);
        peer.filled.notify();
    }

    /// Mail that waits to be handed over, to all cores.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.peers.iter().map(|peer| peer.list.borrow().len()).sum()
    }

    /// Ends when batches for a core may be sent again.
    pub async fn until_space(&self, to: CoreId) {
        let peer = &self.peers[usize::from(to.0)];
        while peer.bytes.get() >= MAIL_BYTES_MAX {
            peer.emptied.wait().await;
        }
    }

    /// Expects `parts` answers for a request; the number goes into its mails.
    pub fn expect(&self, sink: Rc<dyn AppendSink>, parts: u32) -> usize {
        self.sinks.borrow_mut().insert((sink, parts))
    }

    fn appended(&self, op: usize, part: u32, result: Result<Appended, AppendError>) {
        let mut sinks = self.sinks.borrow_mut();
        let (sink, left) = sinks.get_mut(op).expect("an answer to a request that waits");
        let sink = sink.clone();
        *left -= 1;
        if *left == 0 {
            sinks.remove(op);
        }
        drop(sinks);
        sink.appended(part, result);
    }
}

impl Core {
    /// Runs `work` on another core (or here) and brings back its value.
    pub async fn call<R, F, W>(self: &Rc<Self>, to: CoreId, work: W) -> R
    where
        R: Send + 'static,
        F: Future<Output = R> + 'static,
        W: FnOnce(Rc<Core>) -> F + Send + 'static,
    {
        if to == self.id {
            return work(self.clone()).await;
        }
        let call = Rc::new(Call::default());
        let id = self.post.calls.borrow_mut().insert(call.clone());
        let from = self.id;
        let errand: Errand = Box::new(move |core: &Rc<Core>| {
            let core = core.clone();
            glommio::spawn_local(async move {
                let value = work(core.clone()).await;
                core.post.send(from, Mail::Return(id, Box::new(value)));
            })
            .detach();
        });
        self.post.send(to, Mail::Run(errand));
        loop {
            let wait = call.returned.wait();
            if let Some(value) = call.value.borrow_mut().take() {
                self.post.calls.borrow_mut().remove(id);
                return *value.downcast().expect("a call returns what its work returns");
            }
            wait.await;
        }
    }

    fn append_mail(&self, from: CoreId, append: &Append) -> Result<(), AppendError> {
        let now = clock::now();
        match self.shard.append(now, append.key, &append.batch) {
            Ok(appended) => {
                let then = Then::Mail { to: from, op: append.op, part: append.part, appended };
                self.when_durable(appended.ticket, now.mono, then);
                Ok(())
            }
            Err(AppendError::NoRoom) => Err(AppendError::NoRoom),
            Err(error) => {
                let mail = Mail::Appended { op: append.op, part: append.part, result: Err(error) };
                self.post.send(from, mail);
                Ok(())
            }
        }
    }
}

async fn send_to(core: Rc<Core>, to: CoreId, sender: SharedSender<Vec<Mail>>) {
    let sender = sender.connect().await;
    let peer = &core.post.peers[usize::from(to.0)];
    loop {
        let wait = peer.filled.wait();
        let list = std::mem::take(&mut *peer.list.borrow_mut());
        if list.is_empty() {
            wait.await;
            continue;
        }
        peer.bytes.set(0);
        peer.emptied.notify();
        core.counters.mails_sent.add(1);
        if sender.send(list).await.is_err() {
            return;
        }
    }
}

async fn receive_from(core: Rc<Core>, from: CoreId, receiver: SharedReceiver<Vec<Mail>>, lane: Rc<Lane>) {
    let receiver = receiver.connect().await;
    while let Some(list) = receiver.recv().await {
        for mail in list {
            let work = begin_work();
            match mail {
                Mail::Append(append) => {
                    // Behind one that waits for room, others of this sender wait too: their order stays.
                    let waits = !lane.waiting.borrow().is_empty();
                    if waits || core.append_mail(from, &append).is_err() {
                        lane.waiting.borrow_mut().push_back(append);
                        lane.filled.notify();
                    }
                }
                Mail::Appended { op, part, result } => core.post.appended(op, part, result),
                Mail::Release(loan) => core.loans.release(loan),
                Mail::Run(errand) => errand(&core),
                Mail::Return(id, value) => {
                    let call = core.post.calls.borrow().get(id).cloned().expect("a call that waits");
                    call.value.replace(Some(value));
                    call.returned.notify();
                }
            }
            fair(work).await;
        }
    }
}

/// Appends what found no room, in order, as room comes.
async fn append_waiting(core: Rc<Core>, from: CoreId, lane: Rc<Lane>) {
    loop {
        let wait = lane.filled.wait();
        let Some(append) = lane.waiting.borrow_mut().pop_front() else {
            wait.await;
            continue;
        };
        // It stays at the front while it waits, so that nothing overtakes it.
        if core.append_mail(from, &append).is_err() {
            lane.waiting.borrow_mut().push_front(append);
            core.counters.produce_waits.add(1);
            core.shard.room().await;
        }
    }
}
