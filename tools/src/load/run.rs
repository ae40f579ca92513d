//! What producers and consumers of one run share: facts that never change, and the tally.

use std::collections::BTreeMap;

use uuid::Uuid;
use wire::ErrorCode;

use super::check::{Checker, Findings, Ledger};
use super::image::Filler;
use super::keys::Keys;
use super::plan::{Pace, Plan};
use super::recorder::Recorder;

/// Facts of a run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) plan: Plan,
    /// Random: stands in every stamp.
    pub(super) id: u32,
    /// How records are sent now: a preload is a closed loop whatever the plan says.
    pub(super) pace: Pace,
    /// The run stops sending at this many bytes.
    pub(super) bytes_max: u64,
    pub(super) topic_id: Uuid,
    pub(super) produce_version: i16,
    pub(super) fetch_version: i16,
    /// `None` from brokers that cannot say where a log starts.
    pub(super) offsets_version: Option<i16>,
    /// Partition → index of its leader's connection.
    pub(super) leader_of: Vec<usize>,
    /// The reverse: partitions of each leader.
    pub(super) led: Vec<Vec<usize>>,
    pub(super) filler: Filler,
    pub(super) keys: Keys,
}

/// Readers that share the partitions among them, and what they found.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) checker: Checker,
    /// Whether it should have read everything when the run ends.
    pub(super) whole: bool,
}

/// What a run counts.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) recorder: Recorder,
    /// One for each group of readers, in the order in which they began.
    pub(super) groups: Vec<Group>,
    run_id: u32,
    partitions: usize,
    expires: bool,
    /// The ledgers as they were when the load began: what was prepared for it.
    pub(super) prepared: Vec<Ledger>,
    /// `partition * producers + producer`.
    pub(super) ledgers: Vec<Ledger>,
    producers: usize,
    /// Acknowledged end offset of each partition.
    pub(super) ends: Vec<i64>,
    pub(super) records_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) records_acked: u64,
    /// Records whose answer never came.
    pub(super) unanswered: u64,
    /// Requests and records refused, by error code.
    pub(super) errors: BTreeMap<i16, u64>,
    window: std::ops::Range<u64>,
    /// Records planned within the window.
    pub(super) records_planned: u64,
    pub(super) wall_ms: i64,
}

impl Tally {
    pub(super) fn new(run_id: u32, plan: &Plan) -> Tally {
        Tally {
            recorder: Recorder::new(u64::MAX, u64::MAX, plan.interval),
            groups: Vec::new(),
            run_id,
            partitions: plan.partitions,
            expires: plan.expires(),
            prepared: Vec::new(),
            ledgers: vec![Ledger::default(); plan.partitions * plan.producers],
            producers: plan.producers,
            ends: vec![0; plan.partitions],
            records_sent: 0,
            bytes_sent: 0,
            records_acked: 0,
            unanswered: 0,
            errors: BTreeMap::new(),
            window: u64::MAX..u64::MAX,
            records_planned: 0,
            wall_ms: super::clock::wall_ms(),
        }
    }

    /// From now on, what is planned in `window` is measured.
    pub(super) fn open_window(&mut self, window: std::ops::Range<u64>, plan: &Plan) {
        self.recorder = Recorder::new(window.start, window.end, plan.interval);
        self.window = window;
    }

    /// A new group of readers; returns its number.
    pub(super) fn open_group(&mut self, whole: bool) -> usize {
        let checker = Checker::new(self.run_id, self.partitions, self.producers, self.expires);
        self.groups.push(Group { checker, whole });
        self.groups.len() - 1
    }

    /// What all groups found so far, losses apart.
    pub(super) fn findings(&self) -> Findings {
        let mut sum = Findings::default();
        self.groups.iter().for_each(|group| sum.add(&group.checker.findings()));
        sum
    }

    /// What all groups found; unless `whole`, no group was to read everything.
    pub(super) fn finish(&mut self, whole: bool) -> Findings {
        let mut sum = Findings::default();
        for group in self.groups.drain(..) {
            sum.add(&group.checker.finish(&self.ledgers, group.whole && whole));
        }
        sum
    }

    pub(super) fn ledger(&mut self, partition: usize, producer: usize) -> &mut Ledger {
        &mut self.ledgers[partition * self.producers + producer]
    }

    /// When measuring begins.
    pub(super) fn window_start_ns(&self) -> u64 {
        self.window.start
    }

    pub(super) fn planned(&mut self, due_ns: u64) {
        self.records_planned += u64::from(self.window.contains(&due_ns));
    }

    pub(super) fn refused(&mut self, error: ErrorCode, records: u64) {
        *self.errors.entry(error.code()).or_default() += records;
    }
}
