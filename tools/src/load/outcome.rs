//! What a run is doing, and what came of it.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::LoadError;
use super::check::Findings;
use super::plan::Pace;
use super::prepare::Setup;
use super::recorder::{Counts, Measured};
use super::warm::WarmUp;

/// What a run is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Writing the first record of each partition.
    Touch,
    /// Writing what is there before the load.
    Preload,
    /// Finding the maximum, of which the load is a share.
    Calibrate,
    /// Under load, not measured.
    WarmUp,
    /// Under load, measured.
    Measure,
    /// Waiting for answers and consumers.
    Drain,
    /// Reading everything back.
    ReadBack,
}

/// What a watcher is told four times a second.
#[derive(Debug)]
pub struct Progress {
    /// What the run is doing.
    pub phase: Phase,
    /// Since the phase began.
    pub elapsed: Duration,
    /// How long it will last; zero if nobody knows.
    pub length: Duration,
    /// Since the last progress.
    pub since: Duration,
    /// What happened since then.
    pub counts: Counts,
    /// Response times since then.
    pub response: Histogram<u64>,
    /// Acknowledged, not read yet; zero while nobody reads.
    pub lag_records: u64,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Figures of the window.
    pub measured: Measured,
    /// The data check, over everything sent.
    pub findings: Findings,
    /// Whether what was sent was also read.
    pub checked: bool,
    /// Records sent, warm-up included.
    pub records_sent: u64,
    /// Records acknowledged, warm-up included.
    pub records_acked: u64,
    /// Records whose answer never came.
    pub unanswered: u64,
    /// Refusals by Kafka error code.
    pub errors: Vec<(i16, u64)>,
    /// In an open loop: records planned within the window.
    pub records_planned: u64,
    /// When the window began, ms since the epoch.
    pub started_unix_ms: i64,
    /// What the warm-up saw, where a rule ended it.
    pub warm_up: Option<WarmUp>,
    /// What making the topic ready took.
    pub setup: Setup,
    /// How records were sent: what the plan says, a share of the maximum as the rate that it was.
    pub pace: Pace,
    /// The maximum that it is a share of, records per second.
    pub max_records_per_s: Option<f64>,
    /// Stopped before its time.
    pub interrupted: bool,
    /// The byte budget ended the load before its time.
    pub budget_spent: bool,
    /// What ended the run, if it was not time.
    pub failure: Option<LoadError>,
}
