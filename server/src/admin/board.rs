//! Where cores leave their numbers for others to read.

use std::sync::{Arc, Mutex};

use engine::base::{ClockReport, Instant};
use engine::broker::{ScrubReport, ShardStats};

use super::clock::ClockDesk;
use super::damage;
use super::lag::LagDesk;
use crate::runtime::{Histograms, Reason, clock};
use crate::shard::{Core, GroupLag};

/// Relaxed topics that are named on the page; further ones are only counted.
const RELAXED_NAMED_MAX: usize = 1000;

/// One core's numbers at one moment.
#[derive(Clone, Default, Debug)]
pub struct CoreReport {
    /// When they were taken, by the process's monotonic clock.
    pub at: Instant,
    /// CPU time of the core's thread since it began, nanoseconds.
    pub busy_nanos: u64,
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
    /// Disk operations under way.
    pub disk_ops: usize,
    /// Requests that wait for a commit.
    pub commit_waiters: usize,
    /// Mail that waits to be handed to other cores.
    pub mails_waiting: usize,
    /// The shard's.
    pub shard: ShardStats,
    /// Topics whose records count as durable once flushed; on core 0 alone.
    pub topics_durable: usize,
    /// Topics whose records count as durable once written; on core 0 alone.
    pub topics_relaxed: usize,
    /// Names of the latter.
    pub relaxed: Vec<String>,
    /// Stored settings of topics and brokers that are not valid any more; on core 0 alone.
    pub settings_ignored: usize,
    /// Whether any of its groups has committed anything.
    pub has_commits: bool,
    /// How it judges the wall clock.
    pub clock: ClockReport,
    /// How far its scrub has come.
    pub scrub: ScrubReport,
    /// What is damaged, one JSON object a line.
    pub damage: Arc<str>,
    /// How long its requests took.
    pub histograms: Histograms,
}

/// The newest report of each core.
#[derive(Debug)]
pub struct Board {
    cores: Vec<Mutex<CoreReport>>,
    lag: LagDesk,
    clock: ClockDesk,
}

impl Board {
    /// A board for that many cores.
    #[must_use]
    pub fn new(cores: usize) -> Board {
        Board {
            cores: (0..cores).map(|_| Mutex::default()).collect(),
            lag: LagDesk::new(cores),
            clock: ClockDesk::new(cores),
        }
    }

    /// Brings a core's report up to date. While somebody reads it, it stays as it is: a core waits for
    /// nobody.
    pub fn publish(&self, core: &Core, connections: usize) {
        let Ok(mut report) = self.cores[usize::from(core.id.0)].try_lock() else { return };
        report.at = clock::monotonic();
        report.busy_nanos = thread_cpu_nanos();
        report.counters.clear();
        report.counters.extend(core.counters.all());
        report.closed = std::array::from_fn(|i| core.counters.closed[i].get());
        report.connections = connections;
        report.receive_bytes = core.buffers.held();
        report.lease_bytes = core.leases.held();
        report.disk_ops = store::ops_in_flight();
        report.commit_waiters = core.waiting_for_commit();
        report.mails_waiting = core.post.waiting();
        report.shard = core.shard.stats();
        report.has_commits = core.has_commits();
        report.clock = core.shard.clock_report(clock::now());
        report.scrub = core.shard.scrub_report();
        let damaged = report.shard.damaged_ranges + report.shard.partitions_fenced > 0;
        if damaged || !report.damage.is_empty() {
            report.damage = damage::lines(core).into();
        }
        core.clocks.with(|histograms| report.histograms.copy_from(histograms));
        if core.id.0 == 0 {
            report.name_topics(core);
        }
    }

    /// An operator's word that the wall clock is right which this core has not heeded yet.
    #[must_use]
    pub fn clock_word(&self, core: &Core) -> Option<u64> {
        self.clock.word(usize::from(core.id.0))
    }

    /// This core goes by it, and its report says so.
    pub fn heed_clock_word(&self, core: &Core, word: u64) {
        self.clock.heed(usize::from(core.id.0), word);
    }

    /// Tells every core that the wall clock is right; whether all go by it now. Those that do not yet will.
    #[must_use]
    pub fn accept_clock(&self) -> bool {
        self.clock.say()
    }

    /// The question after group lag that this core has yet to answer.
    #[must_use]
    pub fn lag_question(&self, core: &Core) -> Option<u64> {
        self.lag.open(usize::from(core.id.0))
    }

    /// This core's answer to it.
    pub fn answer_lag(&self, core: &Core, question: u64, lag: GroupLag) {
        self.lag.answer(usize::from(core.id.0), question, lag);
    }

    /// How far the groups of each core are behind: asked now, if there are any.
    #[must_use]
    pub fn lag(&self, reports: &[CoreReport]) -> Vec<Arc<GroupLag>> {
        if reports.iter().any(|r| r.has_commits) { self.lag.ask() } else { Vec::new() }
    }

    /// The newest report of each core.
    #[must_use]
    pub fn read(&self) -> Vec<CoreReport> {
        self.cores.iter().map(|c| c.lock().expect("no holder panics").clone()).collect()
    }
}

impl CoreReport {
    fn name_topics(&mut self, core: &Core) {
        (self.topics_durable, self.topics_relaxed) = (0, 0);
        self.relaxed.clear();
        self.settings_ignored = core.catalog().ignored();
        for entry in core.catalog().topics() {
            if entry.settings.is_relaxed() {
                self.topics_relaxed += 1;
                if self.relaxed.len() < RELAXED_NAMED_MAX {
                    self.relaxed.push(entry.topic.name.clone());
                }
            } else {
                self.topics_durable += 1;
            }
        }
    }
}

/// CPU time of this thread, user and system.
fn thread_cpu_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}
