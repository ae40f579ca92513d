//! The head of the page: what was run, whether it counts, and the figures to take away.

use std::fmt::Write;

use super::facts::shortened;
use super::html::{escaped, figure};
use crate::report::calendar;
use crate::report::data::{CheckVerdict, OTHERS_SHARE_MAX, Verdict};
use crate::report::json::{Document, Percentiles, Rates};
use crate::report::units;

/// Characters of the workload's name on the page.
const TITLE_SHOWN_MAX: usize = 200;
/// Reasons on the page.
const REASONS_SHOWN_MAX: usize = 20;
/// Characters of a reason.
const REASON_SHOWN_MAX: usize = 500;

/// Title, verdict with its reasons, key figures.
pub(super) fn header(document: &Document) -> String {
    let mut out = String::new();
    let (class, word) = (badge_class(document.verdict), document.verdict.word());
    let partial = if document.partial { "<span class=\"badge warn\">PARTIAL</span>" } else { "" };
    let _ = write!(
        out,
        "<header>\n<div>\n<p class=\"over\">Ringlog bench</p>\n<h1>{}</h1>\n<p class=\"sub\">{} · {} s measured after {} s of \
         warm-up · machine <code>{}</code></p>\n<p class=\"sub\">{}</p>\n<p class=\"sub\"><strong>{}</strong> · buffers {}</p>\n\
         </div>\n<div><span class=\"badge {class}\">{word}</span>{partial}</div>\n</header>\n",
        escaped(&shortened(&document.workload, TITLE_SHOWN_MAX)),
        calendar::utc(document.started_unix_ms),
        units::significant_trimmed(document.throughput.wall_s),
        units::significant_trimmed(document.warm_up_s),
        escaped(&document.machine.hardware_id),
        escaped(&load_words(document)),
        escaped(&document.durability.label),
        document.broker.buffers.word(),
    );
    verdict(&mut out, document);
    tiles(&mut out, document);
    out
}

fn badge_class(verdict: Verdict) -> &'static str {
    if verdict == Verdict::Valid { "good" } else { "bad" }
}

fn load_words(document: &Document) -> String {
    let load = &document.load;
    format!(
        "{} · {} records in {} batches, {} · {} · {} · {}",
        load.arrivals.label(),
        units::bytes(load.record_bytes),
        units::bytes(load.batch_bytes),
        if load.compression == "none" { "uncompressed" } else { &load.compression },
        plural(load.partitions, "partition"),
        plural(load.producers, "producer"),
        plural(load.consumers, "consumer"),
    )
}

fn plural(count: u32, noun: &str) -> String {
    format!("{} {noun}{}", units::grouped(u64::from(count)), if count == 1 { "" } else { "s" })
}

fn verdict(out: &mut String, document: &Document) {
    let validity = &document.validity;
    let class = if document.verdict == Verdict::Valid { "" } else { " bad" };
    let _ = write!(out, "<div class=\"why{class}\">{} {}", plan_sentence(document), check_sentence(document));
    if let Some(share) = validity.generator_ceiling_share.filter(|_| validity.generator_bound) {
        let _ = write!(
            out,
            " <strong>Generator-bound</strong>: {} of what the generator reaches on a broker that keeps nothing, so the \
             figures say as much about the generator.",
            figure("validity.generator_ceiling_share", share, &units::percent(share))
        );
    }
    if let (Some(steal), Some(others)) = (validity.steal_share, validity.others_share) {
        let _ = write!(
            out,
            " {}Beside broker and generator {} of the CPU time was used by others, the kernel's own threads among them; the \
             host took {}.",
            if others >= OTHERS_SHARE_MAX { "<strong>Disturbed</strong>: " } else { "" },
            figure("validity.others_share", others, &share(others)),
            figure("validity.steal_share", steal, &share(steal)),
        );
    }
    if document.partial {
        out.push_str(" The run was interrupted: the figures cover what was measured until then.");
    }
    if !document.validity.reasons.is_empty() {
        out.push_str("<ul>");
        for reason in document.validity.reasons.iter().take(REASONS_SHOWN_MAX) {
            let _ = write!(out, "<li>{}</li>", escaped(&shortened(reason, REASON_SHOWN_MAX)));
        }
        out.push_str("</ul>");
    }
    out.push_str("</div>\n");
}

fn plan_sentence(document: &Document) -> String {
    let validity = &document.validity;
    let late = figure("validity.late_share", validity.late_share, &share(validity.late_share));
    let achieved =
        figure("validity.achieved_share", validity.achieved_share, &share(validity.achieved_share));
    let opening = if validity.valid {
        "The generator kept its plan"
    } else {
        "<strong>This run does not count</strong>"
    };
    format!("{opening}: {late} of sends were late, {achieved} of the planned rate was reached.")
}

/// Two decimals: lateness is judged in tenths of a percent.
fn share(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn check_sentence(document: &Document) -> String {
    let check = &document.check;
    let count = |key: &str, value: u64| figure(&format!("check.{key}"), value, &units::grouped(value));
    match check.verdict {
        CheckVerdict::Passed => format!(
            "Data check passed: {} records sent, {} acknowledged, {} read back once, in order, byte for byte \
             ({} lost, {} duplicate, {} reordered, {} corrupt).",
            count("sent", check.sent),
            count("acked", check.acked),
            count("read", check.read),
            count("lost", check.lost),
            count("duplicate", check.duplicate),
            count("reordered", check.reordered),
            count("corrupt", check.corrupt),
        ),
        CheckVerdict::Failed => format!(
            "<strong>Data check failed</strong>: of {} acknowledged records {} were lost, {} duplicate, {} reordered, {} corrupt.",
            count("acked", check.acked),
            count("lost", check.lost),
            count("duplicate", check.duplicate),
            count("reordered", check.reordered),
            count("corrupt", check.corrupt),
        ),
        CheckVerdict::NotChecked => {
            format!(
                "{} records sent, none read back: nothing is known about the data.",
                count("sent", check.sent)
            )
        }
    }
}

/// A percentile's words, its key and where it lies.
type LatencyTile = (&'static str, &'static str, fn(&Percentiles) -> Option<f64>);

const LATENCY_TILES: [LatencyTile; 3] =
    [("p50", "p50", |p| p.p50), ("p99", "p99", |p| p.p99), ("p99.9", "p999", |p| p.p999)];

fn tiles(out: &mut String, document: &Document) {
    out.push_str("<dl class=\"tiles\">\n");
    rate_tile(out, "Throughput in", "throughput", Some(&document.throughput));
    let response = document.produce.response_us.as_ref();
    let service = document.produce.service_us.as_ref();
    for (name, suffix, of) in LATENCY_TILES {
        let service = service
            .and_then(|p| Some(figure(&format!("produce.service_us.{suffix}"), of(p)?, &latency(of(p)?))));
        let note = service
            .map_or_else(|| "from the planned send".to_string(), |shown| format!("service time {shown}"));
        latency_tile(
            out,
            &format!("Produce {name}"),
            &format!("produce.response_us.{suffix}"),
            response.map(of),
            &note,
        );
    }
    rate_tile(out, "Throughput out", "throughput_read", document.throughput_read.as_ref());
    for (name, suffix, of) in LATENCY_TILES {
        let figures = document.end_to_end_us.as_ref().map(of);
        latency_tile(
            out,
            &format!("End to end {name}"),
            &format!("end_to_end_us.{suffix}"),
            figures,
            "planned send to consumer",
        );
    }
    out.push_str("</dl>\n");
}

fn rate_tile(out: &mut String, name: &str, key: &str, rates: Option<&Rates>) {
    let Some(rates) = rates else {
        return empty_tile(out, name, "no consumers");
    };
    let _ = writeln!(
        out,
        "<div class=\"tile\"><dt>{name}</dt><dd>{} <small>MB/s</small></dd><p>{} records/s · {} MiB/s</p></div>",
        figure(&format!("{key}.mb_per_s"), rates.mb_per_s, &units::significant(rates.mb_per_s)),
        figure(
            &format!("{key}.records_per_s"),
            rates.records_per_s,
            &units::grouped(rates.records_per_s.round() as u64)
        ),
        figure(&format!("{key}.mib_per_s"), rates.mib_per_s, &units::significant(rates.mib_per_s)),
    );
}

/// `None` was not measured; `Some(None)` is refused for want of samples.
fn latency_tile(out: &mut String, name: &str, key: &str, figure_us: Option<Option<f64>>, note: &str) {
    let us = match figure_us {
        None => return empty_tile(out, name, "not measured"),
        Some(None) => return empty_tile(out, name, "too few samples"),
        Some(Some(us)) => us,
    };
    let shown = latency(us);
    let (number, unit) = shown.split_once(' ').unwrap_or((&shown, ""));
    let _ = writeln!(
        out,
        "<div class=\"tile\"><dt>{name}</dt><dd>{} <small>{unit}</small></dd><p>{note}</p></div>",
        figure(key, us, number)
    );
}

fn latency(us: f64) -> String {
    units::latency((us * 1e3).round() as u64)
}

fn empty_tile(out: &mut String, name: &str, why: &str) {
    let _ = writeln!(out, "<div class=\"tile\"><dt>{name}</dt><dd class=\"none\">–</dd><p>{why}</p></div>");
}
