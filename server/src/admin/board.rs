//! Where cores leave their numbers for others to read.

use std::sync::Mutex;

use engine::broker::ShardStats;

use crate::runtime::Reason;
use crate::shard::Core;

/// Relaxed topics that are named on the page; further ones are only counted.
const RELAXED_NAMED_MAX: usize = 1000;

/// One core's numbers at one moment.
#[derive(Clone, Default, Debug)]
pub struct CoreReport {
    /// Name, meaning, value.
    pub counters: Vec<(&'static str, &'static str, u64)>,
    /// Connections closed, by reason.
    pub closed: [u64; Reason::COUNT],
    /// Connections open.
    pub connections: usize,
    /// Receive memory held, bytes.
    pub receive_bytes: usize,
    /// Log memory held by replies, bytes.
    pub lease_bytes: usize,
    /// The shard's.
    pub shard: ShardStats,
    /// Topics whose records count as durable once flushed; on core 0 alone.
    pub topics_durable: usize,
    /// Topics whose records count as durable once written; on core 0 alone.
    pub topics_relaxed: usize,
    /// Names of the latter.
    pub relaxed: Vec<String>,
}

/// The newest report of each core.
#[derive(Debug)]
pub struct Board {
    cores: Vec<Mutex<CoreReport>>,
}

impl Board {
    /// A board for that many cores.
    #[must_use]
    pub fn new(cores: usize) -> Board {
        Board { cores: (0..cores).map(|_| Mutex::default()).collect() }
    }

    /// Replaces a core's report.
    pub fn publish(&self, core: &Core, connections: usize) {
        let mut report = CoreReport {
            counters: core.counters.all().collect(),
            closed: std::array::from_fn(|i| core.counters.closed[i].get()),
            connections,
            receive_bytes: core.buffers.held(),
            lease_bytes: core.leases.held(),
            shard: core.shard.stats(),
            ..CoreReport::default()
        };
        if core.id.0 == 0 {
            for entry in core.catalog().topics() {
                if entry.settings.is_relaxed() {
                    report.topics_relaxed += 1;
                    if report.relaxed.len() < RELAXED_NAMED_MAX {
                        report.relaxed.push(entry.topic.name.clone());
                    }
                } else {
                    report.topics_durable += 1;
                }
            }
        }
        *self.cores[usize::from(core.id.0)].lock().expect("no holder panics") = report;
    }

    /// The newest report of each core.
    #[must_use]
    pub fn read(&self) -> Vec<CoreReport> {
        self.cores.iter().map(|c| c.lock().expect("no holder panics").clone()).collect()
    }
}
