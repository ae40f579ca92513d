//! How the process tells its cores to stop, and learns that they did.
//!
//! The only state that threads share under a lock; touched at the start and at the end.

use std::future::Future;
use std::sync::{Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

/// What the cores are to do. It only goes forward.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Stage {
    /// Serve.
    #[default]
    Serve,
    /// Take no new requests, answer those in flight, close connections.
    Drain,
    /// Every core has drained: close the shards and end.
    Close,
    /// End now; the start failed.
    Abort,
}

/// The stage and who waits for the next.
#[derive(Default, Debug)]
pub(super) struct Stages {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct State {
    stage: Stage,
    drained: usize,
    wakers: Vec<Waker>,
}

impl Stages {
    /// Goes on to a stage.
    pub(super) fn set(&self, stage: Stage) {
        let mut state = self.state.lock().expect("no holder panics");
        state.stage = state.stage.max(stage);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends when the stage is `wanted` or later; gives that stage.
    pub(super) fn reached(&self, wanted: Stage) -> impl Future<Output = Stage> + '_ {
        std::future::poll_fn(move |cx| {
            let mut state = self.state.lock().expect("no holder panics");
            if state.stage >= wanted {
                return Poll::Ready(state.stage);
            }
            state.wakers.push(cx.waker().clone());
            Poll::Pending
        })
    }

    /// One core has drained.
    pub(super) fn drained(&self) {
        self.state.lock().expect("no holder panics").drained += 1;
        self.changed.notify_all();
    }

    /// Waits until `cores` cores have drained, but not longer than `limit`.
    pub(super) fn until_drained(&self, cores: usize, limit: Duration) {
        let state = self.state.lock().expect("no holder panics");
        let waited = self.changed.wait_timeout_while(state, limit, |s| s.drained < cores);
        drop(waited.expect("no holder panics"));
    }
}
