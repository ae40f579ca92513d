//! The part of a Produce that other cores do.
//!
//! The answer is encoded at once, with holes where other cores' results belong: a partition's result has
//! a fixed shape, so each is filled in as its mail comes back, and the answer leaves with the last.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use engine::base::{CoreId, Instant, PartitionKey};
use engine::broker::{AppendError, Appended};
use smallvec::SmallVec;
use wire::{ErrorCode, Writer};

use super::errors;
use super::produce::{LocalTicket, timed};
use crate::runtime::{Outbox, Reason, Reply, Slot, clock};
use crate::shard::{Append, AppendSink, Core, Mail, Then};

/// The number that stands for everything appended on the connection's own core.
const LOCAL_PART: u32 = u32::MAX;

/// A hole in the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemotePart {
    /// Where the partition's result begins in the answer's bytes.
    pub(super) position: usize,
    /// The broker's time if the topic stores it, else −1.
    pub(super) append_time: i64,
}

/// Batches of one request that belong to other cores.
#[derive(Default)]
pub(super) struct Remote {
    batches: SmallVec<[(CoreId, PartitionKey, Bytes); 4]>,
    parts: SmallVec<[RemotePart; 4]>,
}

impl Remote {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Takes a batch, once there is room for mail to its core.
    pub(super) async fn add(
        &mut self,
        core: &Core,
        at: CoreId,
        key: PartitionKey,
        batch: Bytes,
        part: RemotePart,
    ) {
        core.post.until_space(at).await;
        self.batches.push((at, key, batch));
        self.parts.push(part);
    }

    /// Sends the batches; the answer follows when all are done.
    #[expect(clippy::too_many_arguments, reason = "it ends a request, and these are all that is left of one")]
    pub(super) fn send(
        self,
        core: &Core,
        out: &Rc<Outbox>,
        slot: Option<Slot>,
        version: i16,
        writer: Writer,
        ticket: LocalTicket,
        refused: bool,
    ) {
        let parts = self.parts.len() as u32;
        let pending = Rc::new(Pending {
            out: out.clone(),
            slot,
            version,
            arrived: out.arrived(),
            head: RefCell::new(writer.into_head()),
            parts: self.parts,
            left: Cell::new(parts + u32::from(ticket.is_some())),
            refused: Cell::new(refused),
        });
        let op = core.post.expect(pending.clone(), parts);
        for (part, (at, key, batch)) in (0..).zip(self.batches) {
            core.post.send(at, Mail::Append(Append { op, part, key, batch }));
        }
        if let Some(ticket) = ticket {
            let local = Appended {
                base_offset: engine::base::Offset::ZERO,
                log_start: engine::base::Offset::ZERO,
                ticket,
            };
            core.when_durable(ticket, clock::monotonic(), Then::Part(pending, LOCAL_PART, local));
        }
    }
}

/// A request that waits for other cores.
struct Pending {
    out: Rc<Outbox>,
    slot: Option<Slot>,
    version: i16,
    arrived: Instant,
    head: RefCell<Vec<u8>>,
    parts: SmallVec<[RemotePart; 4]>,
    left: Cell<u32>,
    refused: Cell<bool>,
}

impl AppendSink for Pending {
    fn appended(&self, part: u32, result: Result<Appended, AppendError>) {
        if part == LOCAL_PART && result.is_err() {
            // Its own core's journal failed after this part was told to be accepted.
            self.out.close(Reason::Offline);
        } else if part != LOCAL_PART {
            self.fill(self.parts[part as usize], &result);
        }
        if result.is_err() {
            self.refused.set(true);
        }
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            self.finish();
        }
    }
}

impl Pending {
    fn fill(&self, part: RemotePart, result: &Result<Appended, AppendError>) {
        let (code, base, time, start) = match result {
            Ok(a) => (ErrorCode::None, a.base_offset.0, part.append_time, a.log_start.0),
            Err(error) => (errors::of_append(error), -1, -1, -1),
        };
        let mut head = self.head.borrow_mut();
        let mut at = part.position + size_of::<i32>();
        let mut put = |bytes: &[u8]| {
            head[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&code.code().to_be_bytes());
        put(&base.to_be_bytes());
        if self.version >= 2 {
            put(&time.to_be_bytes());
        }
        if self.version >= 5 {
            put(&start.to_be_bytes());
        }
    }

    fn finish(&self) {
        let writer = Writer::with_buffer(self.head.take());
        match self.slot {
            Some(slot) => {
                let timed = timed(self.arrived, clock::monotonic());
                self.out.complete(slot, Reply::new(writer).timed(timed));
            }
            None => self.out.buffers().give_writer(writer),
        }
        if self.slot.is_none() && self.refused.get() {
            self.out.close(Reason::SilentError);
        }
        self.out.flush();
    }
}
