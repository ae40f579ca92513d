//! Who runs where.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs of the two sides; `None` runs wherever the kernel puts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cores {
    /// Of whatever stands for the broker.
    pub server: Option<usize>,
    /// Of whatever stands for the generator.
    pub client: Option<usize>,
}

impl Cores {
    /// Whether each side has a CPU of its own, so that one may spin without stopping the other.
    #[must_use]
    pub fn are_two(self) -> bool {
        match (self.server, self.client) {
            (Some(server), Some(client)) => server != client,
            _ => usable_cpus().len() > 1,
        }
    }
}

/// The CPUs that this process may use.
#[must_use]
pub fn usable_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

/// Pins the calling thread. A CPU that may not be used is no reason to fail: the rows name the CPUs
/// that were asked for.
pub(super) fn pin(core: Option<usize>) {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        let _ = sched_setaffinity(None, &set);
    }
}
