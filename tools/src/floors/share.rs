//! Our figures beside the floors that bound them.
//!
//! | load | figure | floors |
//! |---|---|---|
//! | closed loop, depth 1 | produce p50, p99 | durable echo; overwrite + fdatasync and a round trip, added up |
//! | open loop | produce p50, p99, p99.9 and p99.99 over p50 | durable echo at the same rate |
//! | closed loop, deeper | MB/s | direct write, stream to the server, saturated durable echo |
//! | fetch | MB/s read | stream from the server; from disk: direct read too |
//!
//! A latency is bound by the faster of two echoes (the server sleeps, or spins): both are programs
//! that anybody could write. Throughput is bound by the smallest of the limits.

use crate::report::data::{Arrivals, DurabilityMode, Floor, FloorUnit, Floors, RunReport, Share};
use crate::report::floors::rounded;
use crate::report::json::Percentiles;

/// A limit of one figure: in words, its rows, its value.
type Limit = (String, Vec<String>, f64);

/// Every figure of the run that a measured floor bounds. Flushes bind only a run that waits for them.
#[must_use]
pub fn shares(report: &RunReport, floors: &Floors) -> Vec<Share> {
    let flushed = matches!(report.durability, DurabilityMode::Flushed { .. });
    let mut found = Vec::new();
    match (report.load.arrivals, Percentiles::of(report.latency.produce_response.as_ref())) {
        (_, None) => {}
        (Arrivals::Closed { depth: 1 }, Some(ours)) if report.load.producers == 1 => {
            if flushed {
                depth_one(&ours, floors, &mut found);
            }
        }
        (Arrivals::Closed { .. }, Some(_)) => produced(report, floors, flushed, &mut found),
        (Arrivals::Fixed { .. } | Arrivals::Poisson { .. }, Some(ours)) => {
            if flushed {
                at_rate(&ours, floors, &mut found);
            }
        }
    }
    consumed(report, floors, &mut found);
    found
}

/// Sets `ours` beside each limit. `binding` picks one of the limits by its value.
fn beside(
    figure: &str,
    unit: FloorUnit,
    ours: f64,
    limits: Vec<Limit>,
    binding: Option<f64>,
    found: &mut Vec<Share>,
) {
    for (floor, rows, limit) in limits.into_iter().filter(|(_, _, limit)| *limit > 0.0 && ours > 0.0) {
        let ratio = ours / limit;
        found.push(Share {
            figure: figure.to_string(),
            floor,
            rows,
            unit,
            ours: rounded(ours),
            limit: rounded(limit),
            ratio: rounded(ratio),
            share: rounded(if unit == FloorUnit::MbPerS { ratio } else { 1.0 / ratio }),
            binding: binding == Some(limit),
        });
    }
}

fn smallest(limits: &[Limit]) -> Option<f64> {
    limits.iter().map(|(_, _, limit)| *limit).filter(|limit| *limit > 0.0).reduce(f64::min)
}

/// A percentile of rows with latency.
fn of_rows(floors: &Floors, ids: &[&str], percentile: impl Fn(&Percentiles) -> Option<f64>) -> Vec<Limit> {
    let limit =
        |row: &Floor| Some((row.label.clone(), vec![row.id.clone()], percentile(row.latency_us.as_ref()?)?));
    ids.iter().filter_map(|id| limit(floors.row(id)?)).collect()
}

fn depth_one(ours: &Percentiles, floors: &Floors, found: &mut Vec<Share>) {
    const ECHOES: [&str; 2] = ["echo_one_spin", "echo_one_sleep"];
    const FLUSH: &str = "overwrite_fdatasync_4k";
    if let Some(p50) = ours.p50 {
        let mut limits = of_rows(floors, &ECHOES, |l| l.p50);
        let binding = smallest(&limits);
        for trip in ["round_trip_spin", "round_trip_server_sleeps"] {
            if let (Some(flush), Some(row)) = (floors.row(FLUSH), floors.row(trip)) {
                let label = format!("{} and {}, added up", flush.label, row.label);
                limits.push((label, vec![FLUSH.to_string(), trip.to_string()], flush.value + row.value));
            }
        }
        beside("produce.response_us.p50", FloorUnit::P50Us, p50, limits, binding, found);
    }
    if let Some(p99) = ours.p99 {
        let limits = of_rows(floors, &ECHOES, |l| l.p99);
        let binding = smallest(&limits);
        beside("produce.response_us.p99", FloorUnit::P50Us, p99, limits, binding, found);
    }
}

fn at_rate(ours: &Percentiles, floors: &Floors, found: &mut Vec<Share>) {
    const ECHO: [&str; 1] = ["echo_rate"];
    type Pick = fn(&Percentiles) -> Option<f64>;
    let picks: [(&str, Pick); 3] = [
        ("produce.response_us.p50", |l| l.p50),
        ("produce.response_us.p99", |l| l.p99),
        ("produce.response_us.p999", |l| l.p999),
    ];
    for (figure, pick) in picks {
        if let Some(value) = pick(ours) {
            let limits = of_rows(floors, &ECHO, pick);
            let binding = smallest(&limits);
            beside(figure, FloorUnit::P50Us, value, limits, binding, found);
        }
    }
    let tail: Pick = |l| Some(l.p9999? / l.p50?);
    if let Some(ratio) = tail(ours) {
        let limits = of_rows(floors, &ECHO, tail);
        let binding = smallest(&limits);
        beside("produce.response_us.p9999/p50", FloorUnit::Ratio, ratio, limits, binding, found);
    }
}

/// The best of the rows whose id begins so: a limit is what could be had at all.
fn best(floors: &Floors, prefix: &str) -> Option<Limit> {
    let rows = floors.rows.iter().filter(|row| row.id.starts_with(prefix));
    let best = rows.max_by(|a, b| a.value.total_cmp(&b.value))?;
    Some((best.label.clone(), vec![best.id.clone()], best.value))
}

fn produced(report: &RunReport, floors: &Floors, flushed: bool, found: &mut Vec<Share>) {
    let mut limits: Vec<Limit> =
        ["write_recycled_", "stream_in_"].iter().filter_map(|prefix| best(floors, prefix)).collect();
    let binding = smallest(&limits);
    // Beside the limits, not one of them: a broker may keep more than one group in flight.
    limits.extend(best(floors, "echo_saturated_").filter(|_| flushed));
    beside("throughput.mb_per_s", FloorUnit::MbPerS, report.produced.mb_per_s(), limits, binding, found);
}

fn consumed(report: &RunReport, floors: &Floors, found: &mut Vec<Share>) {
    let limits: Vec<Limit> =
        ["stream_out_", "read_"].iter().filter_map(|prefix| best(floors, prefix)).collect();
    let binding = smallest(&limits);
    if let Some(read) = report.consumed {
        beside("throughput_read.mb_per_s", FloorUnit::MbPerS, read.mb_per_s(), limits, binding, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn row(id: &str, unit: FloorUnit, value: f64) -> Floor {
        let mut row = sample::run(1).floors.expect("sample floors").rows.remove(1);
        (row.id, row.unit, row.value) = (id.to_string(), unit, value);
        if let Some(latency) = &mut row.latency_us {
            (latency.p50, latency.p99) = (Some(value), Some(3.0 * value));
        }
        row
    }

    fn run(arrivals: Arrivals, rows: Vec<Floor>) -> Vec<Share> {
        let mut report = sample::run(1);
        let mut floors = report.floors.take().expect("sample floors");
        (report.load.arrivals, report.load.producers, floors.rows) = (arrivals, 1, rows);
        report.consumed = None;
        shares(&report, &floors)
    }

    #[test]
    fn throughput_is_bound_by_the_smallest_of_the_best() {
        use FloorUnit::MbPerS;
        let rows = vec![
            row("write_recycled_1m_d4", MbPerS, 100.0),
            row("write_recycled_256k_d4", MbPerS, 80.0),
            row("stream_in_1m", MbPerS, 40.96),
            row("echo_saturated_16384", MbPerS, 10.0),
        ];
        let found = run(Arrivals::Closed { depth: 5 }, rows);
        let seen: Vec<(&str, f64, bool)> =
            found.iter().map(|s| (s.rows[0].as_str(), s.share, s.binding)).collect();
        // The sample acknowledges 20.48 MB/s.
        assert_eq!(
            seen,
            [
                ("write_recycled_1m_d4", 0.205, false),
                ("stream_in_1m", 0.5, true),
                ("echo_saturated_16384", 2.048, false)
            ]
        );
    }

    #[test]
    fn one_at_a_time_is_bound_by_the_faster_echo_and_set_beside_its_parts() {
        use FloorUnit::P50Us;
        let rows = vec![
            row("echo_one_sleep", P50Us, 200.0),
            row("echo_one_spin", P50Us, 160.0),
            row("overwrite_fdatasync_4k", P50Us, 120.0),
            row("round_trip_spin", P50Us, 30.0),
        ];
        let found = run(Arrivals::Closed { depth: 1 }, rows);
        let p50: Vec<&Share> = found.iter().filter(|s| s.figure.ends_with("p50")).collect();
        let limits: Vec<(f64, bool)> = p50.iter().map(|s| (s.limit, s.binding)).collect();
        assert_eq!(limits, [(160.0, true), (200.0, false), (150.0, false)]);
        assert!((p50[0].ratio * p50[0].share - 1.0).abs() < 0.01, "{:?}", p50[0]);
        assert!(found.iter().any(|s| s.figure.ends_with("p99") && s.limit == 480.0 && s.binding));
    }
}
