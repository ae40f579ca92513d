//! While the load runs: the live line, and the broker's CPU and memory.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::target::Target;
use crate::load::{Phase, Progress};
use crate::report::stages::BrokerStages;
use crate::report::{Live, LiveSample, quantile};

/// Rates over less than this are noise: a phase that has just begun shows none.
const SAMPLE_MIN: Duration = Duration::from_millis(100);

/// What was seen of the broker.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// CPU seconds within the window.
    pub(super) cpu_seconds: Option<f64>,
    /// Highest resident memory.
    pub(super) rss_bytes_max: Option<u64>,
    /// What its clocks said of the window.
    pub(super) stages: Option<BrokerStages>,
}

/// Shows progress until the sender is gone.
pub(super) fn watch(progress: &Receiver<Progress>, target: &Target, quiet: bool) -> Seen {
    let mut seen = Seen::default();
    let mut live: Option<(Phase, Live)> = None;
    let (mut sends, mut late) = (0, 0);
    let mut cpu_at_start = None;
    let mut look_at_start = None;
    for progress in progress {
        if live.as_ref().is_none_or(|(phase, _)| *phase != progress.phase) {
            let usage = target.usage();
            if progress.phase == Phase::Measure {
                cpu_at_start = usage.map(|u| u.cpu_seconds);
                look_at_start = target.look();
                (sends, late) = (0, 0);
            } else if live.as_ref().is_some_and(|(phase, _)| *phase == Phase::Measure) {
                seen.stages = look_at_start.take().zip(target.look()).and_then(|(s, e)| e.since(&s).ok());
                seen.cpu_seconds = usage.zip(cpu_at_start).map(|(end, start)| end.cpu_seconds - start);
            }
            if let Some((_, line)) = live.take() {
                line.finish();
            }
            let line =
                if quiet { Live::quiet() } else { Live::start(name(progress.phase), length(&progress)) };
            live = Some((progress.phase, line));
        }
        sends += progress.counts.sends;
        late += progress.counts.late_sends;
        if let Some((_, line)) = &live
            && progress.since >= SAMPLE_MIN
        {
            line.update(&sample(&progress, sends, late));
        }
        seen.rss_bytes_max = target.usage().map(|u| u.rss_bytes_max).max(seen.rss_bytes_max);
    }
    if let Some((_, line)) = live {
        line.finish();
    }
    seen
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Touch => "touch",
        Phase::Preload => "preload",
        Phase::Calibrate => "maximum",
        Phase::WarmUp => "warm-up",
        Phase::Measure => "measure",
        Phase::Drain => "drain",
        Phase::ReadBack => "read",
    }
}

fn length(progress: &Progress) -> Duration {
    progress.length.max(Duration::from_millis(1))
}

fn sample(progress: &Progress, sends: u64, late: u64) -> LiveSample {
    let seconds = progress.since.as_secs_f64().max(1e-9);
    let response = &progress.response;
    LiveSample {
        elapsed: progress.elapsed,
        bytes_in_per_s: progress.counts.bytes_in as f64 / seconds,
        records_in_per_s: progress.counts.records_in as f64 / seconds,
        records_out_per_s: progress.counts.records_out as f64 / seconds,
        lag_records: progress.lag_records,
        p99_ns: quantile::is_carried(response.len(), 100).then(|| quantile::value_ns(response, 0.99)),
        late_share: if sends == 0 { 0.0 } else { late as f64 / sends as f64 },
    }
}
