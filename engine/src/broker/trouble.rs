//! Why a core is offline, and who is told when it is and when it is not any more.

use std::rc::Rc;

use super::shard::Shard;
use crate::base::Signal;
use crate::io::{Disk, DiskError, DiskResult};

/// Why a shard is offline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// Neither the journal's file nor another can be written.
    Journal,
    /// The journal is full and no checkpoint can be taken; in a stop also: nor another file prepared.
    Checkpoint,
}

impl Trouble {
    fn bit(self) -> u8 {
        match self {
            Trouble::Journal => 1,
            Trouble::Checkpoint => 2,
        }
    }
}

impl<D: Disk> Shard<D> {
    /// Nothing becomes durable for now: waiters are told, appends are refused. Reads go on.
    pub(super) fn trouble(&self, trouble: Trouble, error: &DiskError) {
        let before = self.inner.troubles.replace(self.inner.troubles.get() | trouble.bit());
        if before & trouble.bit() == 0 {
            tracing::error!(core = self.inner.core.0, %error, ?trouble, "this core is offline until it can write again");
        }
        self.inner.failed.set(true);
        self.inner.state.borrow_mut().offline_error = Some(error.clone());
        self.wake_all();
    }

    /// No journal file comes free by this way. A shard that goes on tries it again, for as long as it takes; one
    /// that stops does not wait, for its callers were given their time before.
    pub(super) fn stops_short(&self, error: &DiskError) {
        if self.inner.draining.get() && self.inner.state.borrow().starved {
            self.trouble(Trouble::Checkpoint, error);
        }
    }

    /// Why nothing becomes durable, if that is so.
    pub(super) fn why_offline(&self) -> DiskResult<()> {
        let error = self.inner.state.borrow().offline_error.clone().filter(|_| self.inner.failed.get());
        error.map_or(Ok(()), Err)
    }

    /// A trouble is over; with the last one the shard is online again.
    pub(super) fn trouble_over(&self, trouble: Trouble) {
        let before = self.inner.troubles.replace(self.inner.troubles.get() & !trouble.bit());
        if before == trouble.bit() {
            self.inner.failed.set(false);
            tracing::warn!(core = self.inner.core.0, "this core is online again");
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        let inner = &self.inner;
        let all = [
            &inner.committed,
            &inner.room,
            &inner.written,
            &inner.files,
            &inner.work,
            &inner.ahead,
            &inner.ticked,
            &inner.buried,
        ];
        all.into_iter().for_each(Signal::notify);
        let signals: Vec<_> = {
            let state = self.inner.state.borrow();
            state.partitions.iter().flatten().map(|p| Rc::clone(&p.signal)).collect()
        };
        for signal in signals {
            signal.notify();
        }
    }
}
