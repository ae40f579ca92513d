//! A single-threaded wake-up: many tasks wait, one event wakes them all.
//!
//! It never allocates once its list of wakers has grown to the number of tasks that wait.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// An event counter that tasks of one core wait on. Waiters re-check their own condition: a wake
/// says that something changed, not what.
#[derive(Default, Debug)]
pub struct Signal {
    count: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Signal {
    /// A signal nobody waits on.
    #[must_use]
    pub fn new() -> Signal {
        Signal::default()
    }

    /// Wakes every task that waits now.
    pub fn notify(&self) {
        self.count.set(self.count.get() + 1);
        // Wakers may run foreign code: hand them out without holding the borrow.
        while let Some(waker) = {
            let mut list = self.wakers.borrow_mut();
            list.pop()
        } {
            waker.wake();
        }
    }

    /// A future that ends at the first `notify` after this call (not after its first poll, so a
    /// condition checked between the two is never missed).
    #[must_use]
    pub fn wait(&self) -> Wait<'_> {
        Wait { signal: self, seen: self.count.get() }
    }
}

/// Ends at the next [`Signal::notify`].
#[derive(Debug)]
pub struct Wait<'a> {
    signal: &'a Signal,
    seen: u64,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.signal.count.get() != self.seen {
            return Poll::Ready(());
        }
        let mut wakers = self.signal.wakers.borrow_mut();
        if !wakers.iter().any(|w| w.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
