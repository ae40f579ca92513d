//! What the load measured → the report.

use super::host::{Others, STEAL_SHARE_MAX};
use crate::load::plan::Plan;
use crate::load::recorder::{Clock, Counts, Interval, Latencies};
use crate::load::warm::WarmWindow;
use crate::load::{self, Outcome};
use crate::report::data;
use crate::report::data::{DataCheck, Interval as ReportInterval, LatencySet, Setup, Throughput, Validity};

/// The largest share of late sends in a valid run.
const LATE_SHARE_MAX: f64 = 0.01;

/// The smallest share of the planned rate in a valid run.
const ACHIEVED_SHARE_MIN: f64 = 0.99;

/// Latency histograms; those without samples are left out.
pub(super) fn latency_set(latencies: &Latencies) -> LatencySet {
    let some = |clock| Some(latencies.of(clock).clone()).filter(|h| !h.is_empty());
    LatencySet {
        produce_response: some(Clock::Response),
        produce_service: some(Clock::Service),
        end_to_end: some(Clock::EndToEnd),
        fetch: some(Clock::Fetch),
    }
}

pub(super) fn intervals(intervals: &[Interval]) -> Vec<ReportInterval> {
    let one = |interval: &Interval| {
        let Counts { records_in, bytes_in, records_out, bytes_out, late_sends, .. } = interval.counts;
        ReportInterval {
            start: interval.start,
            length: interval.length,
            records_in,
            bytes_in,
            records_out,
            bytes_out,
            late_sends,
            latency: latency_set(&interval.latencies),
        }
    };
    intervals.iter().map(one).collect()
}

/// The warm-up as reports have it.
pub(super) fn warm_up(outcome: &Outcome, plan: &Plan) -> Option<data::WarmUpFacts> {
    let warm_up = outcome.warm_up.as_ref()?;
    let window = |w: &WarmWindow| data::WarmWindowFacts {
        start_s: w.start.as_secs_f64(),
        length_s: w.length.as_secs_f64(),
        records: w.records,
        mb_per_s: w.bytes_per_s() / 1e6,
        p50_us: w.p50_ns.map(|ns| ns as f64 / 1e3),
    };
    Some(data::WarmUpFacts {
        end: warm_up.end,
        untouched: warm_up.untouched as u64,
        before: plan.warm_rule.and_then(|rule| rule.before).as_ref().map(window),
        windows: warm_up.windows.iter().map(window).collect(),
    })
}

pub(super) fn produced(outcome: &Outcome) -> Throughput {
    let Counts { records_in, bytes_in, .. } = outcome.measured.counts;
    Throughput { records: records_in, bytes: bytes_in, wall: outcome.measured.wall }
}

pub(super) fn consumed(outcome: &Outcome, plan: &Plan) -> Option<Throughput> {
    let Counts { records_out, bytes_out, .. } = outcome.measured.counts;
    let read = Throughput { records: records_out, bytes: bytes_out, wall: outcome.measured.wall };
    plan.mode.fetches().then_some(read)
}

pub(super) fn caught_up(outcome: &Outcome, plan: &Plan) -> Option<Throughput> {
    let Counts { records_caught_up, bytes_caught_up, .. } = outcome.measured.counts;
    let wall = outcome.measured.wall.saturating_sub(plan.catch_up_after);
    (plan.catch_up > 0).then_some(Throughput { records: records_caught_up, bytes: bytes_caught_up, wall })
}

pub(super) fn setup(outcome: &Outcome) -> Setup {
    let ms = |length: std::time::Duration| length.as_secs_f64() * 1e3;
    let load::Setup { created, led, touched } = outcome.setup;
    Setup { created_ms: ms(created), led_ms: ms(led), touched_ms: ms(touched) }
}

pub(super) fn data_check(outcome: &Outcome) -> DataCheck {
    let found = outcome.findings;
    DataCheck {
        sent: outcome.records_sent,
        acked: outcome.records_acked,
        read: found.read,
        expired: found.expired,
        lost: found.lost,
        duplicate: found.duplicate,
        reordered: found.reordered,
        corrupt: found.corrupt,
        checked: outcome.checked,
    }
}

/// Whether the generator itself was late, so that latencies are not the broker's.
pub(super) fn is_late(late_share: f64) -> bool {
    late_share > LATE_SHARE_MAX
}

/// Whether the figures describe the broker.
pub(super) fn validity(outcome: &Outcome, plan: &Plan, others: Option<Others>) -> Validity {
    let counts = outcome.measured.counts;
    let late_share = if counts.sends == 0 { 0.0 } else { counts.late_sends as f64 / counts.sends as f64 };
    let open = plan.pace.is_open() && plan.mode.produces();
    let achieved_share = match outcome.records_planned {
        planned if open && planned > 0 => counts.records_in as f64 / planned as f64,
        _ => 1.0,
    };
    let mut reasons = Vec::new();
    if is_late(late_share) && open {
        reasons.push(format!(
            "{:.1} % of sends left more than 1 ms after their plan: the generator could not keep up",
            late_share * 100.0
        ));
    }
    if !(ACHIEVED_SHARE_MIN..=2.0 - ACHIEVED_SHARE_MIN).contains(&achieved_share) && !outcome.interrupted {
        let why = if achieved_share < 1.0 {
            "the broker could not keep up with it"
        } else {
            "what the warm-up fell behind was caught up with in the window"
        };
        reasons.push(format!("{:.1} % of the planned rate was acknowledged: {why}", achieved_share * 100.0));
    }
    let idle = if plan.mode.produces() { counts.records_in == 0 } else { counts.records_out == 0 };
    if idle && !outcome.interrupted {
        reasons.push("nothing was answered within the window: the broker stood still".to_string());
    }
    let steal_share = others.map(|others| others.steal);
    if let Some(share) = steal_share.filter(|share| *share > STEAL_SHARE_MAX) {
        reasons.push(format!(
            "{:.1} % of the CPU time went to other machines on the same host (steal): measure again when it is quiet",
            share * 100.0
        ));
    }
    for (code, count) in &outcome.errors {
        reasons
            .push(format!("{count} records were refused with {}", wire::ErrorCode::from_code(*code).name()));
    }
    if outcome.unanswered > 0 {
        reasons.push(format!("{} records were never answered", outcome.unanswered));
    }
    if let Some(failure) = &outcome.failure {
        reasons.push(failure.to_string());
    }
    let others_share = others.map(|others| others.others);
    Validity { late_share, achieved_share, steal_share, others_share, reasons, ..Validity::default() }
}
