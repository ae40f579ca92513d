//! While the load runs: the live line, the broker's CPU and memory, and what the disk does.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::device::{Device, Watching};
use super::host;
use super::marks::Marking;
use super::profile::{Profiler, Profiling};
use super::target::Target;
use crate::load::{Phase, Progress};
use crate::report::data::{DiskUse, Profile};
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
    /// What the disk did in the window.
    pub(super) disk: Option<DiskUse>,
    /// Where the broker's went.
    pub(super) profile: Option<Profile>,
    /// Whose CPU time the window's was, beside broker and generator.
    pub(super) others: Option<host::Others>,
}

/// What is to be watched beside the broker, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Lies on the disk that is watched.
    pub(super) data: &'a Path,
    /// Where the CPU time goes, if that was asked for.
    pub(super) profiler: Option<&'a Profiler>,
    /// Nothing is shown meanwhile.
    pub(super) quiet: bool,
}

/// Shows progress until the sender is gone.
pub(super) fn watch(progress: &Receiver<Progress>, target: &Target, wanted: Wanted<'_>) -> Seen {
    let mut seen = Seen::default();
    let mut live: Option<(Phase, Live)> = None;
    let (mut sends, mut late) = (0, 0);
    let mut cpu_at_start = None;
    let mut look_at_start = None;
    let mut disk: Option<Watching> = None;
    let mut marking: Option<Marking> = None;
    let mut host_at_start = None;
    let mut profiling: Option<Profiling> = None;
    for progress in progress {
        if live.as_ref().is_none_or(|(phase, _)| *phase != progress.phase) {
            let usage = target.usage();
            if progress.phase == Phase::Measure {
                cpu_at_start = usage.map(|u| u.cpu_seconds);
                look_at_start = target.look();
                marking = target.mark();
                host_at_start = host::Look::now();
                profiling = wanted.profiler.zip(target.pid()).and_then(|(profiler, pid)| profiler.start(pid));
                let device = target.pid().and_then(|pid| Device::below(wanted.data, pid));
                disk = device.and_then(|device| device.watch(progress.length));
                (sends, late) = (0, 0);
            } else if live.as_ref().is_some_and(|(phase, _)| *phase == Phase::Measure) {
                seen.disk = disk.take().map(Watching::finish);
                seen.stages = look_at_start.take().zip(target.look()).and_then(|(s, e)| e.since(&s).ok());
                let marks = marking.take().map(Marking::finish).unwrap_or_default();
                seen.stages.iter_mut().for_each(|stages| stages.marks.clone_from(&marks));
                seen.cpu_seconds = usage.zip(cpu_at_start).map(|(end, start)| end.cpu_seconds - start);
                let host = host::Look::now().zip(host_at_start.take());
                seen.others = host.and_then(|(end, start)| end.since(&start, seen.cpu_seconds?));
                // Last: it takes a while.
                seen.profile = profiling.take().and_then(Profiling::finish);
            }
            if let Some((_, line)) = live.take() {
                line.finish();
            }
            let line = if wanted.quiet {
                Live::quiet()
            } else {
                Live::start(name(progress.phase), length(&progress))
            };
            live = Some((progress.phase, line));
        }
        disk.iter_mut().for_each(Watching::tick);
        marking.iter_mut().for_each(Marking::tick);
        sends += progress.counts.sends;
        late += progress.counts.late_sends;
        if let Some((_, line)) = &live
            && progress.since >= SAMPLE_MIN
        {
            line.update(&sample(&progress, sends, late));
        }
        seen.rss_bytes_max = target.usage().map(|u| u.rss_bytes_max).max(seen.rss_bytes_max);
    }
    // A run that broke off ends within its window.
    seen.disk = seen.disk.or_else(|| disk.map(Watching::finish));
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
