//! The charge on log memory that replies hold.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::base::Signal;

use super::turns::{Turn, Turns};

/// How many cores are short of memory for reads. A reader that stops holds the memory of every core that lent to
/// it, so all must know. Written when a core's memory becomes short or no longer is, not per reply.
#[derive(Clone, Debug, Default)]
pub struct TightCores(Arc<AtomicUsize>);

/// How many log bytes the replies of one core may hold, and what it lent to others. Soft: a fetch asks what it may take, and
/// a single batch larger than that still comes whole.
#[derive(Debug)]
pub struct LeaseBudget {
    limit: usize,
    held: Cell<usize>,
    freed: Signal,
    turns: Turns,
    tight_cores: TightCores,
}

/// The least that a fetch may take while anything is left, in bytes.
const LEASE_BYTES_MIN: usize = 32 * 1024;

/// One reply takes at most this part of what is left (one over this number).
const LEASE_SHARE: usize = 32;

/// The most that one reply takes, in bytes. A larger answer comes in several fetches, which Kafka's
/// protocol allows: every client asks again from where it stands.
pub const LEASE_BYTES_MAX: usize = 1024 * 1024;

impl LeaseBudget {
    /// A budget of `limit` bytes, on one of the cores that share `tight_cores`.
    #[must_use]
    pub fn new(limit: usize, tight_cores: TightCores) -> Rc<LeaseBudget> {
        let (held, freed, turns) = (Cell::new(0), Signal::new(), Turns::default());
        Rc::new(LeaseBudget { limit, held, freed, turns, tight_cores })
    }

    /// How many bytes one reply may take now: a small part of what is left, so that a hundred
    /// readers that stop leave room for those that do not. `None` when nothing is left, or others wait for it.
    #[must_use]
    pub fn allowance(&self) -> Option<usize> {
        if self.turns.is_empty() { self.share() } else { None }
    }

    fn share(&self) -> Option<usize> {
        let left = self.limit.saturating_sub(self.held.get());
        (left > 0).then(|| (left / LEASE_SHARE).clamp(LEASE_BYTES_MIN, LEASE_BYTES_MAX))
    }

    /// As [`LeaseBudget::allowance`], once something is left and all who waited before have theirs: readers that
    /// ask again and again cannot keep one from its answer. What it gives must be charged at once.
    pub async fn allowance_in_turn(&self) -> usize {
        let place = Place { budget: self, turn: Some(self.turns.join()) };
        loop {
            let freed = self.freed.wait();
            if self.turns.is_next(place.turn.as_ref())
                && let Some(bytes) = self.share()
            {
                return bytes;
            }
            freed.await;
        }
    }

    /// Whether on any core so much is held that readers that do not read must go.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.tight_cores.0.load(Ordering::Relaxed) > 0
    }

    fn is_tight_here(&self) -> bool {
        self.held.get() > self.limit / 4 * 3
    }

    fn hold(&self, bytes: usize) {
        let before = self.is_tight_here();
        self.held.set(bytes);
        match (before, self.is_tight_here()) {
            (false, true) => self.tight_cores.0.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.tight_cores.0.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
    }

    /// Bytes held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// Charges `bytes` until the guard drops.
    #[must_use]
    pub fn charge(self: &Rc<Self>, bytes: usize) -> LeaseGuard {
        self.hold(self.held.get() + bytes);
        LeaseGuard { budget: self.clone(), bytes }
    }
}

/// A waiting fetch's place in the queue, given up when its future ends or is dropped.
struct Place<'a> {
    budget: &'a LeaseBudget,
    turn: Option<Turn>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.budget.turns.leave(turn);
            self.budget.freed.notify();
        }
    }
}

/// A charge on a [`LeaseBudget`].
#[derive(Debug)]
pub struct LeaseGuard {
    budget: Rc<LeaseBudget>,
    bytes: usize,
}

impl LeaseGuard {
    /// Corrects the charge to what was really taken.
    pub fn resize(&mut self, bytes: usize) {
        self.budget.hold(self.budget.held.get() - self.bytes + bytes);
        self.bytes = bytes;
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.budget.hold(self.budget.held.get() - self.bytes);
        self.budget.freed.notify();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_fetch_that_waits_for_memory_is_not_overtaken() {
        let budget = LeaseBudget::new(1 << 20, TightCores::default());
        let held = budget.charge(1 << 20);
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(budget.allowance_in_turn());
        let mut second = Box::pin(budget.allowance_in_turn());
        assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
        drop(held);
        assert_eq!(budget.allowance(), None, "two wait");
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert!(first.as_mut().poll(&mut cx).is_ready());
        drop(first);
        assert!(second.as_mut().poll(&mut cx).is_ready());
        drop(second);
        assert!(budget.allowance().is_some());
    }

    #[test]
    fn readers_that_stop_leave_room_for_others() {
        let budget = LeaseBudget::new(32 << 20, TightCores::default());
        let held: Vec<LeaseGuard> =
            (0..100).map(|_| budget.charge(budget.allowance().expect("a hundred fit"))).collect();
        assert!(budget.is_tight());
        drop(held);
        assert_eq!((budget.held(), budget.allowance()), (0, Some(LEASE_BYTES_MAX)));
        assert_eq!(LeaseBudget::new(0, TightCores::default()).allowance(), None);
    }

    #[test]
    fn readers_that_hold_what_another_core_lent_must_go_too() {
        let cores = TightCores::default();
        let [lender, borrower] = [1 << 20, 1 << 20].map(|limit| LeaseBudget::new(limit, cores.clone()));
        let mut lent = lender.charge(1 << 20);
        assert!(borrower.is_tight());
        let own = borrower.charge(1 << 20);
        lent.resize(1000);
        assert!(lender.is_tight(), "the other one still is");
        drop(own);
        assert!(!lender.is_tight() && !borrower.is_tight());
    }
}
