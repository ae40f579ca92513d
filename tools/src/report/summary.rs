//! What `ringlog bench` prints when a run ends.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::data::{CheckVerdict, OTHERS_SHARE_MAX, RunReport};
use super::disk::per_s;
use super::quantile::{LADDER, carried_ns};
use super::units;

/// Prints [`summary`] to standard output.
pub fn print_summary(report: &RunReport) {
    print!("{}", summary(report));
}

/// The table of percentiles, the data check with the verdict, throughput, and one line in the form
/// of `kafka-producer-perf-test`, so that figures can be set beside older ones. A percentile that
/// the samples do not carry is `-`.
pub fn summary(report: &RunReport) -> String {
    let mut out = String::new();
    table(&mut out, report);
    throughput(&mut out, report);
    disk(&mut out, report);
    check(&mut out, report);
    shares(&mut out, report);
    perf_test_line(&mut out, report);
    out
}

fn table(out: &mut String, report: &RunReport) {
    let _ = write!(out, "{:10}", "");
    for rung in LADDER {
        let _ = write!(out, "{:>9}", rung.label);
    }
    let _ = writeln!(out, "{:>9}   (ms)", "max");
    let rows = [
        ("response", &report.latency.produce_response, "from the planned send to the acknowledgement"),
        ("service", &report.latency.produce_service, "from the actual send to the acknowledgement"),
        ("end2end", &report.latency.end_to_end, "from the planned send to the consumer"),
    ];
    let fetch = ("fetch", &report.latency.fetch, "from the fetch request to its answer");
    let measured = rows.iter().any(|(_, histogram, _)| histogram.is_some());
    for (name, histogram, meaning) in rows.into_iter().chain((!measured).then_some(fetch)) {
        let Some(histogram) = histogram else { continue };
        let _ = write!(out, " {name:9}");
        for rung in LADDER {
            let value = carried_ns(histogram, rung).map_or_else(|| "-".to_string(), units::milliseconds);
            let _ = write!(out, "{value:>9}");
        }
        let max = if histogram.is_empty() { "-".to_string() } else { units::milliseconds(histogram.max()) };
        let _ = writeln!(out, "{max:>9}   {meaning}");
    }
}

fn throughput(out: &mut String, report: &RunReport) {
    let directions =
        [("in", Some(report.produced)), ("out", report.consumed), ("catch-up", report.caught_up)];
    for (name, throughput) in directions {
        let Some(throughput) = throughput else { continue };
        let _ = writeln!(
            out,
            " {name:3} {} records/s · {:.1} MB/s ({:.1} MiB/s) over {:.1} s",
            units::grouped(throughput.records_per_s().round() as u64),
            throughput.mb_per_s(),
            throughput.mib_per_s(),
            throughput.wall.as_secs_f64(),
        );
    }
}

fn disk(out: &mut String, report: &RunReport) {
    let Some(disk) = &report.disk else { return };
    let rate = |bytes| units::significant(per_s(bytes, disk.window_s) / 1e6);
    let times = disk.write_amplification.map_or_else(String::new, |times| {
        format!(" · {} bytes written for each acknowledged", units::significant(times))
    });
    let flush =
        disk.total.flush_us.map_or_else(String::new, |us| format!(", {} µs each", units::significant(us)));
    let _ = writeln!(
        out,
        " disk {} MB/s written, {} read · {} flushes/s{flush} · queue depth {}{times}",
        rate(disk.total.written_bytes),
        rate(disk.total.read_bytes),
        units::significant(per_s(disk.total.flushes, disk.window_s)),
        units::significant(disk.total.queue_depth),
    );
}

fn check(out: &mut String, report: &RunReport) {
    let check = &report.check;
    let verdict = report.verdict().word();
    let partial = if report.partial { " (PARTIAL: interrupted)" } else { "" };
    let expired = match check.expired {
        0 => String::new(),
        n => format!(" · {} expired", units::grouped(n)),
    };
    let counts = match check.verdict() {
        CheckVerdict::NotChecked => "not read back".to_string(),
        _ => format!(
            "{} read{expired} · {} lost · {} duplicate · {} reordered · {} corrupt",
            units::grouped(check.read),
            units::grouped(check.lost),
            units::grouped(check.duplicate),
            units::grouped(check.reordered),
            units::grouped(check.corrupt),
        ),
    };
    let _ = writeln!(out, " {} sent · {counts}      {verdict}{partial}", units::grouped(check.sent));
    let _ = writeln!(
        out,
        " late sends {} · achieved {} of the plan · {}",
        units::percent(report.validity.late_share),
        units::percent(report.validity.achieved_share),
        report.durability.label(),
    );
    if let (Some(ceiling), Some(share)) =
        (report.validity.generator_ceiling_mb_per_s, report.validity.generator_ceiling_share)
    {
        let mark = if report.validity.generator_bound {
            "      GENERATOR-BOUND: half of it or more, so this says as much about the generator"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            " {} of the generator's own ceiling ({ceiling:.1} MB/s on a null broker){mark}",
            units::percent(share)
        );
    }
    if let (Some(steal), Some(others)) = (report.validity.steal_share, report.validity.others_share) {
        let mark = if others >= OTHERS_SHARE_MAX { "      DISTURBED: measure again alone" } else { "" };
        let _ = writeln!(
            out,
            " CPU time of others {} · taken by the host {}{mark}",
            units::percent(others),
            units::percent(steal)
        );
    }
    for slo in &report.slo {
        let mark = if slo.held { "held" } else { "BROKEN" };
        let value = slo.value.map_or("not measured".to_string(), |value| format!("{value}"));
        let _ = writeln!(out, " slo {mark}: {} {} · it is {value}", slo.key, slo.limit);
    }
    for reason in &report.validity.reasons {
        let _ = writeln!(out, " invalid: {reason}");
    }
}

/// Our figures beside the floors of the same run; `*` marks the floor that binds.
fn shares(out: &mut String, report: &RunReport) {
    for share in &report.share_of_floor {
        let _ = writeln!(
            out,
            " {:26} {:>8} {:4} · {:>5.2} × {} ({}){}",
            share.figure,
            units::significant(share.ours),
            share.unit.word(),
            share.ratio,
            share.floor,
            units::significant(share.limit),
            if share.binding { " *" } else { "" },
        );
    }
    // Nothing beats what bounds it: something else had the machine while the floor was measured.
    if report.share_of_floor.iter().any(|share| share.binding && share.share > 1.0) {
        let _ = writeln!(
            out,
            " floors were disturbed: a figure lies beyond the floor that binds it; measure again alone"
        );
    }
}

/// `MB` in this line is 2^20 bytes, as in Kafka's tool. Its latency counts from the planned send.
fn perf_test_line(out: &mut String, report: &RunReport) {
    let produced = &report.produced;
    let _ = write!(
        out,
        " {} records sent, {:.1} records/sec ({:.2} MB/sec)",
        produced.records,
        produced.records_per_s(),
        produced.mib_per_s()
    );
    let carried: Option<&Histogram<u64>> = report.latency.produce_response.as_ref().filter(|h| !h.is_empty());
    if let Some(histogram) = carried {
        let _ = write!(
            out,
            ", {:.2} ms avg latency, {:.2} ms max latency",
            histogram.mean() / 1e6,
            histogram.max() as f64 / 1e6
        );
        for (quantile, one_in, name) in
            [(0.5, 2, "50th"), (0.95, 20, "95th"), (0.99, 100, "99th"), (0.999, 1_000, "99.9th")]
        {
            if super::quantile::is_carried(histogram.len(), one_in) {
                let _ = write!(
                    out,
                    ", {:.2} ms {name}",
                    super::quantile::value_ns(histogram, quantile) as f64 / 1e6
                );
            }
        }
    }
    out.push_str(".\n");
}
