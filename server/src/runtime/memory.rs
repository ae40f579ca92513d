//! Memory that connections use: recycled heap buffers for receives and replies.
//!
//! Receive buffers are powers of two and charged to a budget while a connection holds them.
//! Free ones are kept per size, so that a warm broker allocates nothing per request.

use std::cell::{Cell, RefCell};

use engine::base::Signal;
use wire::Writer;

use super::reply::Part;
use super::turns::{Turn, Turns};

/// The smallest receive buffer, in bytes: what a quiet connection reads with.
pub const RECEIVE_BYTES_MIN: usize = 16 * 1024;

/// The largest that is kept for reuse, in bytes.
const RECEIVE_BYTES_KEPT_MAX: usize = 4 * 1024 * 1024;

/// Budgets of unsent answers above which nobody is answered before slow readers have gone.
const HELD_UP_ABOVE: usize = 4;

/// Receive buffers up to this size, in bytes, find room while larger ones are under way: who sends giants waits
/// for other giants, and nobody else for them.
pub const RECEIVE_BYTES_SMALL: usize = 256 * 1024;

const CLASSES: usize = (RECEIVE_BYTES_KEPT_MAX / RECEIVE_BYTES_MIN).ilog2() as usize + 1;

/// Free receive memory that is kept, in bytes.
const FREE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Free reply buffers that are kept, and the largest of them in bytes.
const REPLIES_KEPT_MAX: usize = 512;
const REPLY_BYTES_KEPT_MAX: usize = 16 * 1024;

/// Free lists of a reply's parts that are kept, and the longest of them.
const PARTS_KEPT_MAX: usize = 128;
const PARTS_IN_LIST_MAX: usize = 512;

/// One core's receive and reply memory.
pub struct Buffers {
    budget: usize,
    /// In buffers up to [`RECEIVE_BYTES_SMALL`].
    small: Cell<usize>,
    /// Set aside for requests above that, whole.
    large: Cell<usize>,
    /// Who waits for such a place.
    large_turns: Turns,
    free_bytes: Cell<usize>,
    free: RefCell<[Vec<Vec<u8>>; CLASSES]>,
    room: Signal,
    unsent: Cell<usize>,
    unsent_fell: Signal,
    replies: RefCell<Vec<Writer>>,
    parts: RefCell<Vec<Vec<Part>>>,
}

fn class_of(bytes: usize) -> Option<usize> {
    let class = (bytes / RECEIVE_BYTES_MIN).ilog2() as usize;
    (class < CLASSES).then_some(class)
}

fn is_large(bytes: usize) -> bool {
    bytes > RECEIVE_BYTES_SMALL
}

impl Buffers {
    /// Memory of which at most `budget` bytes are held by connections at a time for what they receive, and
    /// about as many for answers that nobody reads.
    #[must_use]
    pub fn new(budget: usize) -> Buffers {
        Buffers {
            budget,
            small: Cell::new(0),
            large: Cell::new(0),
            large_turns: Turns::default(),
            free_bytes: Cell::new(0),
            free: RefCell::new(std::array::from_fn(|_| Vec::new())),
            room: Signal::new(),
            unsent: Cell::new(0),
            unsent_fell: Signal::new(),
            replies: RefCell::new(Vec::with_capacity(REPLIES_KEPT_MAX)),
            parts: RefCell::default(),
        }
    }

    /// A buffer of at least `bytes`, rounded up to a power of two. One up to [`RECEIVE_BYTES_SMALL`] is given while
    /// all that is held stays within the budget, or all such buffers within a quarter of it; else `None`. A
    /// larger one is for whoever has set room aside ([`Buffers::set_aside`]).
    pub fn take(&self, bytes: usize) -> Option<Vec<u8>> {
        let bytes = bytes.max(RECEIVE_BYTES_MIN).next_power_of_two();
        if !is_large(bytes) {
            let small = self.small.get();
            let fits = small + self.large.get() + bytes <= self.budget || small + bytes <= self.budget / 4;
            if small > 0 && !fits {
                return None;
            }
            self.small.set(small + bytes);
        }
        if let Some(buf) = class_of(bytes).and_then(|class| self.free.borrow_mut()[class].pop()) {
            self.free_bytes.set(self.free_bytes.get() - buf.len());
            return Some(buf);
        }
        Some(vec![0; bytes])
    }

    /// Takes a buffer back.
    pub fn give(&self, buf: Vec<u8>) {
        let bytes = buf.len();
        if !is_large(bytes) {
            self.small.set(self.small.get() - bytes);
        }
        if let Some(class) = class_of(bytes)
            && self.free_bytes.get() + bytes <= FREE_BYTES_MAX
        {
            self.free_bytes.set(self.free_bytes.get() + bytes);
            self.free.borrow_mut()[class].push(buf);
        }
        self.room.notify();
    }

    /// Sets room aside for a request of `need` bytes, by one who has `own` set aside already. That is all of it, so
    /// that two never wait for each other half way. The only one is let in whatever its size, another while all
    /// that is held stays within three quarters of the budget: never is more held than the budget and one
    /// request. What is set aside now, or `None`: then `own` still is, and `turn` a place in the queue of those who
    /// wait, to be given up with [`Buffers::leave`] by who waits no longer. Nobody overtakes, but for those who
    /// have room already: others wait for it.
    pub fn set_aside(&self, turn: &mut Option<Turn>, own: usize, need: usize) -> Option<usize> {
        let bytes = need.max(own).next_power_of_two();
        let others = self.large.get() - own;
        let fits = others == 0 || self.small.get() + others + bytes <= self.budget / 4 * 3;
        if !fits || (own == 0 && !self.large_turns.is_next(turn.as_ref())) {
            turn.get_or_insert_with(|| self.large_turns.join());
            return None;
        }
        self.leave(turn);
        self.large.set(others + bytes);
        Some(bytes)
    }

    /// Gives up a place in the queue of [`Buffers::set_aside`].
    pub fn leave(&self, turn: &mut Option<Turn>) {
        if let Some(turn) = turn.take() {
            self.large_turns.leave(turn);
            self.room.notify();
        }
    }

    /// The request came whole, or never will.
    pub fn free(&self, own: usize) {
        if own > 0 {
            self.large.set(self.large.get() - own);
            self.room.notify();
        }
    }

    /// Ends when a buffer or what was set aside came back.
    pub async fn room(&self) {
        self.room.wait().await;
    }

    /// Bytes that connections hold.
    #[must_use]
    pub fn held(&self) -> usize {
        self.small.get() + self.large.get()
    }

    /// Whether so much of what large requests leave to small ones is held that slow senders must go. A large one
    /// alone is no reason: then nobody waits for it.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        let room = self.budget.saturating_sub(self.large.get()).max(self.budget / 4);
        self.small.get() > room / 4 * 3
    }

    /// Whether somebody waits for those who send large requests.
    #[must_use]
    pub fn is_tight_for_large(&self) -> bool {
        !self.large_turns.is_empty()
    }

    /// Bytes of answers were encoded. Log memory that they lend is not counted here.
    pub(super) fn answered(&self, bytes: usize) {
        self.unsent.set(self.unsent.get() + bytes);
    }

    /// Bytes of answers were sent or dropped.
    pub(super) fn sent(&self, bytes: usize) {
        let before = self.unsent.get();
        let now = before.checked_sub(bytes).expect("only what was answered is sent");
        self.unsent.set(now);
        let fell_below = |limit: usize| before >= limit && now < limit;
        if fell_below(self.budget) || fell_below(HELD_UP_ABOVE * self.budget) {
            self.unsent_fell.notify();
        }
    }

    /// Whether a connection with so many bytes unsent may have another request worked on. Above the budget only
    /// one that has none, above [`HELD_UP_ABOVE`] times the budget nobody.
    pub(super) fn has_room_for_answer(&self, unsent: usize) -> bool {
        let limit = if unsent == 0 { HELD_UP_ABOVE * self.budget } else { self.budget };
        self.unsent.get() < limit
    }

    /// Ends when less is unsent than was, or a connection was closed.
    pub(super) async fn unsent_fell(&self) {
        self.unsent_fell.wait().await;
    }

    /// A connection was closed: whoever waits for it looks again.
    pub(super) fn closed(&self) {
        self.unsent_fell.notify();
    }

    /// Whether so many answers wait that slow readers must go.
    #[must_use]
    pub fn is_full_of_answers(&self) -> bool {
        self.unsent.get() > self.budget / 4 * 3
    }

    /// An empty writer for a reply.
    #[must_use]
    pub fn writer(&self) -> Writer {
        self.replies.borrow_mut().pop().unwrap_or_else(|| Writer::with_buffer(Vec::with_capacity(256)))
    }

    /// Takes a writer back.
    pub fn give_writer(&self, mut writer: Writer) {
        let mut replies = self.replies.borrow_mut();
        if writer.head().len() <= REPLY_BYTES_KEPT_MAX && replies.len() < REPLIES_KEPT_MAX {
            writer.clear();
            replies.push(writer);
        }
    }
}

impl Buffers {
    /// An empty list for a reply's parts.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.parts.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a list back; what its parts hold ends here.
    pub(super) fn give_parts(&self, mut list: Vec<Part>) {
        list.clear();
        let mut parts = self.parts.borrow_mut();
        if (1..=PARTS_IN_LIST_MAX).contains(&list.capacity()) && parts.len() < PARTS_KEPT_MAX {
            parts.push(list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_holds_and_a_returned_buffer_is_reused() {
        let buffers = Buffers::new(64 * 1024);
        let a = buffers.take(1).unwrap();
        let b = buffers.take(30 * 1024).unwrap();
        assert_eq!((a.len(), b.len()), (16 * 1024, 32 * 1024));
        assert!(buffers.take(32 * 1024).is_none(), "48 KiB are held of 64");
        let at = b.as_ptr();
        buffers.give(b);
        let again = buffers.take(32 * 1024).unwrap();
        assert_eq!(again.as_ptr(), at);
        buffers.give(a);
    }

    #[test]
    fn giants_come_one_at_a_time_and_leave_room_for_the_small() {
        let buffers = Buffers::new(1 << 20);
        let small = buffers.take(1).unwrap();
        let (mut first, mut second) = (None, None);
        let half = buffers.set_aside(&mut first, 0, 512 * 1024).expect("within three quarters");
        assert_eq!(buffers.set_aside(&mut second, 0, 512 * 1024), None);
        assert!(buffers.is_tight_for_large());
        let giant =
            buffers.set_aside(&mut first, half, 3 << 20).expect("the only one may be above the budget");
        assert_eq!(giant, 4 << 20);
        let grown = [512 * 1024, 4 << 20].map(|bytes| buffers.take(bytes).expect("it was set aside"));
        assert!(!buffers.is_tight(), "nobody waits for a giant that is alone");
        let beside = buffers.take(128 * 1024).expect("a quarter is for the small");
        assert!(buffers.take(256 * 1024).is_none());
        let more = buffers.take(64 * 1024).expect("within the quarter");
        assert!(buffers.is_tight());
        buffers.give(more);
        buffers.free(giant);
        let next = buffers.set_aside(&mut second, 0, 512 * 1024).expect("the giant is gone");
        assert!(!buffers.is_tight_for_large());
        buffers.free(next);
        [small, beside].into_iter().chain(grown).for_each(|buf| buffers.give(buf));
        assert_eq!(buffers.held(), 0);
    }

    #[test]
    fn who_waits_for_room_is_not_overtaken() {
        let buffers = Buffers::new(4 << 20);
        let (mut first, mut waits, mut late) = (None, None, None);
        let held = buffers.set_aside(&mut first, 0, 2 << 20).expect("room");
        assert_eq!(buffers.set_aside(&mut waits, 0, 2 << 20), None);
        assert_eq!(buffers.set_aside(&mut late, 0, 512 * 1024), None, "it would fit, and is not first");
        buffers.free(held);
        assert_eq!(buffers.set_aside(&mut late, 0, 512 * 1024), None);
        let held = buffers.set_aside(&mut waits, 0, 2 << 20).expect("its turn");
        let small = buffers.set_aside(&mut late, 0, 512 * 1024).expect("its turn");
        assert_eq!(buffers.set_aside(&mut waits, 0, 1 << 20), None);
        buffers.leave(&mut waits);
        assert!(!buffers.is_tight_for_large(), "the last that waited gave up");
        buffers.free(held + small);
    }
}
