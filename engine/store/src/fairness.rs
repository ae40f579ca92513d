//! Gives the rings their turn.
//!
//! With preemption off (see [`crate::runtime`]) glommio runs tasks until none is ready, and only
//! then looks at its rings, timers and channels. Sockets that always have data would starve
//! everything else. So the tasks of an executor share one budget: whoever does work measures it
//! with [`begin`], and once [`BUDGET`] is spent everybody who ends a piece of work waits until
//! the executor has been round its rings. Measured on a toy broker without flushes: p99.9 falls from
//! 20-60 ms to 2-3 ms, and any budget between 50 and 1000 us does equally well. A durable commit needs
//! several visits one after the other (its write goes out, its write returns, its flush goes out, its
//! flush returns), so there a short budget pays (`engine/docs/decisions.md`, 40).
//!
//! Work that nobody waits for (compaction) goes on in short steps with [`rest`] between them: at full speed on
//! an executor that nobody else needs, and for a quarter of its time at most beside others.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use glommio::timer::Timer;

/// Work that the tasks of one executor do together between two visits to its rings.
pub const BUDGET: Duration = Duration::from_micros(30);

/// How far ahead the timer lies that stands for "after the next visit". One that is over at its
/// first poll yields nothing, and where making it takes that long every one is over: so each try
/// lies twice as far ahead as the one before.
const PAUSE: Duration = Duration::from_micros(1);

/// Beside others a step of background work is followed by a rest of so many times its length. The rest is
/// slept: the kernel's threads that write and flush for this executor run on its CPU too.
const REST_TIMES: u32 = 3;

/// Others are at work on an executor if somebody has ended a piece of it within this time.
const LATELY: Duration = Duration::from_millis(2);

/// No step counts as longer: one that waited for the disk meanwhile was not all work.
const STEP_MAX: Duration = Duration::from_millis(1);

thread_local! {
    static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// When a piece of work last ended.
    static WORKED: Cell<Option<Instant>> = const { Cell::new(None) };
    /// When background work last went on after a rest.
    static RESTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A piece of work that began.
#[derive(Debug)]
pub struct Work {
    began: Instant,
}

/// Begins a piece of work: synchronous, without an await before [`Work::end`].
#[must_use]
pub fn begin() -> Work {
    Work { began: Instant::now() }
}

impl Work {
    /// Ends it, and waits for the rings' turn if the executor's budget is spent.
    pub async fn end(self) {
        let now = Instant::now();
        let spent = SPENT.get() + now.duration_since(self.began);
        SPENT.set(spent);
        WORKED.set(Some(now));
        if spent >= BUDGET {
            visit_rings().await;
        }
    }
}

/// Ends a step of background work. One task of an executor at a time is in such work.
pub async fn rest() {
    let now = Instant::now();
    if WORKED.get().is_some_and(|at| now.duration_since(at) < LATELY) {
        let step = RESTED.get().map_or(STEP_MAX, |at| now.duration_since(at).min(STEP_MAX));
        Timer::new(step * REST_TIMES).await;
    }
    visit_rings().await;
    RESTED.set(Some(Instant::now()));
}

/// Waits until the executor has drained its ready tasks and been round its rings.
pub async fn visit_rings() {
    let mut waited = false;
    let mut pause = PAUSE;
    while !waited {
        let mut timer = pin!(Timer::new(pause));
        std::future::poll_fn(|cx| {
            let poll = timer.as_mut().poll(cx);
            waited |= poll.is_pending();
            poll.map(drop)
        })
        .await;
        pause *= 2;
    }
    SPENT.set(Duration::ZERO);
}
