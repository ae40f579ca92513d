//! Fetches that wait for a high watermark.
//!
//! A partition's own signal is waited for by one task per partition, however many fetches wait, and
//! a fetch that gives up leaves nothing behind on it.

use std::cell::RefCell;
use std::rc::Rc;

use engine::base::{PartitionKey, Signal};
use rustc_hash::FxHashMap;

use super::core::Core;
use crate::limits::WATCHED_MAX;

/// Who waits for which partition.
#[derive(Default)]
pub struct Watches {
    waiting: RefCell<FxHashMap<PartitionKey, Vec<Rc<Signal>>>>,
}

/// One fetch that waits. Dropping it ends that.
pub struct Watch {
    core: Rc<Core>,
    keys: Vec<PartitionKey>,
    signal: Rc<Signal>,
}

impl Watch {
    /// Notified when one of its partitions advances or goes away.
    #[must_use]
    pub fn signal(&self) -> &Signal {
        &self.signal
    }
}

impl Watches {
    /// Wakes every fetch.
    pub fn wake_all(&self) {
        let all: Vec<Rc<Signal>> = self.waiting.borrow().values().flatten().cloned().collect();
        all.iter().for_each(|signal| signal.notify());
    }
}

impl Core {
    /// Begins to watch partitions of this core, at most [`WATCHED_MAX`] of them. Look at them once more
    /// after this: what happened before is not told.
    #[must_use]
    pub fn watch(self: &Rc<Self>, keys: impl Iterator<Item = PartitionKey>) -> Watch {
        let keys: Vec<PartitionKey> = keys.take(WATCHED_MAX).collect();
        let signal = Rc::new(Signal::new());
        for &key in &keys {
            let mut waiting = self.watches.waiting.borrow_mut();
            if let Some(list) = waiting.get_mut(&key) {
                list.push(signal.clone());
                continue;
            }
            waiting.insert(key, vec![signal.clone()]);
            drop(waiting);
            glommio::spawn_local(forward(self.clone(), key, self.high_watermark(key))).detach();
        }
        Watch { core: self.clone(), keys, signal }
    }

    fn high_watermark(&self, key: PartitionKey) -> Option<i64> {
        self.shard.bounds(key).ok().map(|b| b.high_watermark.0)
    }
}

/// Passes a partition's advances on until nobody waits for them.
async fn forward(core: Rc<Core>, key: PartitionKey, mut seen: Option<i64>) {
    loop {
        let Some(signal) = core.shard.watch(key) else { break };
        let wait = signal.wait();
        let now = core.high_watermark(key);
        if now == seen {
            wait.await;
        }
        seen = core.high_watermark(key);
        let mut waiting = core.watches.waiting.borrow_mut();
        let list = waiting.get_mut(&key).expect("only this task removes it");
        if list.is_empty() {
            waiting.remove(&key);
            return;
        }
        let list = list.clone();
        drop(waiting);
        list.iter().for_each(|signal| signal.notify());
    }
    let gone = core.watches.waiting.borrow_mut().remove(&key).unwrap_or_default();
    gone.iter().for_each(|signal| signal.notify());
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut waiting = self.core.watches.waiting.borrow_mut();
        for key in &self.keys {
            if let Some(list) = waiting.get_mut(key) {
                list.retain(|signal| !Rc::ptr_eq(signal, &self.signal));
            }
        }
    }
}
