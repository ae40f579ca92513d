//! What happened in a world, as one number and, for whoever asks, as lines.

use std::cell::Cell;

/// Folds events into a hash. The same seed gives the same hash, or the simulator is broken.
pub(crate) struct Trace {
    hash: Cell<u64>,
    printed: Cell<bool>,
}

impl Trace {
    pub(crate) fn new() -> Trace {
        Trace { hash: Cell::new(0), printed: Cell::new(false) }
    }

    pub(crate) fn print(&self) {
        self.printed.set(true);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.get()
    }

    /// Notes an event at a virtual time, nanoseconds. `words` are made only if somebody reads them.
    pub(crate) fn note(&self, nanos: u64, numbers: &[u64], words: impl FnOnce() -> String) {
        let mut hash = fold(self.hash.get(), nanos);
        for number in numbers {
            hash = fold(hash, *number);
        }
        self.hash.set(hash);
        if self.printed.get() {
            let (ms, us) = (nanos / 1_000_000, nanos / 1_000 % 1_000);
            println!("{ms:>8}.{us:03} ms  {}", words());
        }
    }
}

fn fold(hash: u64, number: u64) -> u64 {
    (hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}
