//! Who waits for room, oldest first: a wake reaches all of them, and the newest as soon as the oldest.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// A queue of those who wait.
#[derive(Debug, Default)]
pub(super) struct Turns {
    queue: RefCell<VecDeque<u64>>,
    last: Cell<u64>,
}

/// A place in a queue. It is given up by [`Turns::leave`] only.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Turn(u64);

impl Turns {
    /// The last place.
    pub(super) fn join(&self) -> Turn {
        let number = self.last.get() + 1;
        self.last.set(number);
        self.queue.borrow_mut().push_back(number);
        Turn(number)
    }

    /// Whether nobody waits longer than who has this place, or wants one.
    pub(super) fn is_next(&self, turn: Option<&Turn>) -> bool {
        self.queue.borrow().front().copied() == turn.map(|turn| turn.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    pub(super) fn leave(&self, turn: Turn) {
        let mut queue = self.queue.borrow_mut();
        let at = queue.binary_search(&turn.0).expect("a place is given up once");
        queue.remove(at);
    }
}
