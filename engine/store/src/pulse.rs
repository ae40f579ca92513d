//! A pulse from outside for every executor: the last guard against the hang.
//!
//! What comes back from the blocking pool, and every wake from another thread, arrives through an
//! eventfd on glommio's latency ring. Its completion raises `need_preempt`, and an executor that finds
//! it raised as it enters its queues parks with runnable tasks (V1 of the findings in [`crate::runtime`]).
//! Nothing inside the executor can then run, its timers neither. So one thread of the process wakes
//! each executor every [`PULSE`] from outside: one that sleeps for good reason goes back to sleep, one
//! that hangs goes on. Before it 5 of 9 runs that created 1,000 partitions under
//! load stood still; that this was why is inferred, not proven.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

/// The longest that an executor can hang. At 10 ms the wakes alone cost an idle core 1 %.
pub const PULSE: Duration = Duration::from_millis(50);

/// Where an executor leaves the waker that the next pulse calls.
type Slot = Mutex<Option<Waker>>;

static SLOTS: OnceLock<Mutex<Vec<Weak<Slot>>>> = OnceLock::new();

fn slots() -> &'static Mutex<Vec<Weak<Slot>>> {
    SLOTS.get_or_init(|| {
        // A process that cannot have one more thread serves without the guard.
        let started = std::thread::Builder::new().name("pulse".to_owned()).spawn(beat);
        if let Err(error) = started {
            tracing::warn!(%error, "no thread for the pulse of the executors");
        }
        Mutex::new(Vec::new())
    })
}

fn beat() {
    loop {
        std::thread::sleep(PULSE);
        let Some(slots) = SLOTS.get() else { continue };
        slots.lock().unwrap_or_else(PoisonError::into_inner).retain(|slot| {
            let Some(slot) = slot.upgrade() else { return false };
            // Woken under the lock: an executor that ends takes its waker back before it is gone.
            if let Some(waker) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
                waker.wake();
            }
            true
        });
    }
}

/// Runs `main` with the pulse on this executor, and without it at the end.
pub(crate) async fn with_pulse<T>(main: impl Future<Output = T>) -> T {
    let slot = Arc::new(Slot::default());
    slots().lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&slot));
    let here = Arc::clone(&slot);
    let feel = glommio::spawn_local(poll_fn(move |cx| {
        *here.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        Poll::<()>::Pending
    }));
    let value = main.await;
    feel.cancel().await;
    drop(slot.lock().unwrap_or_else(PoisonError::into_inner).take());
    value
}
