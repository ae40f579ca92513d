//! What the disk did meanwhile: by the kernel's counters, and its flushes as the broker saw them.

use std::fmt::Write;

use super::html::{escaped, figure};
use super::spread::latency;
use super::timeline::{self, Plain};
use crate::report::data::INTERVALS_MAX;
use crate::report::disk::{DiskInterval, DiskUse, per_s};
use crate::report::json::Document;
use crate::report::units;

/// The stage of the broker whose time is that of a flush.
const FLUSH: (&str, &str) = ("produce", "flush");

/// The section; nothing when no disk was watched.
pub(super) fn disk(document: &Document) -> String {
    let Some(disk) = &document.disk else { return String::new() };
    format!(
        "<section>\n<h2>Disk</h2>\n<p class=\"lead\">What <code>{}</code> did in the window, by the kernel's counters: the \
         whole disk, whoever used it, and what the broker's own process caused. Times are means, from the request to the \
         kernel to its completion.</p>\n{}{}</section>\n",
        escaped(&disk.device),
        panels(&disk.intervals),
        table(document, disk),
    )
}

fn panels(intervals: &[DiskInterval]) -> String {
    let shown = &intervals[..intervals.len().min(INTERVALS_MAX)];
    let line = |class, name, of: &dyn Fn(&DiskInterval) -> f64| Plain {
        class,
        name,
        points: shown.iter().map(|i| (i.start_s + i.length_s / 2.0, of(i))).collect(),
    };
    let bytes = [
        line("s1", "written", &DiskInterval::written_mb_per_s),
        line("s3 dashed", "read", &DiskInterval::read_mb_per_s),
    ];
    let requests = [
        line("s1", "writes", &|i| per_s(i.work.writes, i.length_s)),
        line("s2", "flushes", &|i| per_s(i.work.flushes, i.length_s)),
        line("s3 dashed", "reads", &|i| per_s(i.work.reads, i.length_s)),
    ];
    let queue = [line("s1", "under way", &|i| i.work.queue_depth)];
    let end = shown.last().map_or(0.0, |last| last.start_s + last.length_s);
    [("MB/s on the disk", &bytes[..]), ("requests a second", &requests), ("queue depth, mean", &queue)]
        .iter()
        .map(|(name, lines)| timeline::plain(name, lines, end))
        .filter(|panel| !panel.is_empty())
        .map(|panel| format!("<figure>{panel}</figure>\n"))
        .collect()
}

fn table(document: &Document, disk: &DiskUse) -> String {
    let (work, s) = (&disk.total, disk.window_s);
    let bytes = |key: &str, bytes: u64| {
        let rate = units::significant(per_s(bytes, s) / 1e6);
        format!("{} <small>{rate} MB/s</small>", figure(&format!("disk.{key}"), bytes, &units::bytes(bytes)))
    };
    let count = |key: &str, count: u64| {
        let rate = units::significant(per_s(count, s));
        format!(
            "{} <small>{rate} a second</small>",
            figure(&format!("disk.{key}"), count, &units::grouped(count))
        )
    };
    let mean = |key: &str, us: Option<f64>| {
        us.map_or_else(|| "–".to_string(), |us| figure(&format!("disk.{key}"), us, &latency(us)))
    };
    let own = |key: &str, all: Option<u64>| all.map_or_else(|| "–".to_string(), |all| bytes(key, all));
    let rows = [
        (
            "Written",
            bytes("written_bytes", work.written_bytes),
            count("writes", work.writes),
            mean("write_us", work.write_us),
            own("broker_written_bytes", disk.broker_written_bytes),
        ),
        (
            "Read",
            bytes("read_bytes", work.read_bytes),
            count("reads", work.reads),
            mean("read_us", work.read_us),
            own("broker_read_bytes", disk.broker_read_bytes),
        ),
        (
            "Cache flushed",
            "–".to_string(),
            count("flushes", work.flushes),
            mean("flush_us", work.flush_us),
            seen_by_broker(document),
        ),
    ];
    let mut cells = String::new();
    for (name, bytes, count, mean, broker) in rows {
        let _ = writeln!(
            cells,
            "<tr><td>{name}</td><td class=\"num\">{bytes}</td><td class=\"num\">{count}</td><td class=\"num\">{mean}</td>\
             <td class=\"num\">{broker}</td></tr>"
        );
    }
    let amplification = disk.write_amplification.map_or_else(String::new, |times| {
        format!(
            " The broker wrote {} bytes for each byte of keys and values that it acknowledged.",
            figure("disk.write_amplification", times, &units::significant(times))
        )
    });
    format!(
        "<div class=\"card\"><table>\n<thead><tr><th>{} s</th><th class=\"num\">bytes</th><th class=\"num\">requests</th>\
         <th class=\"num\">mean time</th><th class=\"num\">of these, the broker</th></tr></thead>\n<tbody>\n{cells}</tbody>\n</table></div>\n\
         <p class=\"lead below\">{} requests were under way in the mean, at least one for {} of the time.{amplification}</p>\n",
        units::significant_trimmed(s),
        figure("disk.queue_depth", work.queue_depth, &units::significant(work.queue_depth)),
        figure("disk.busy_share", work.busy_share, &units::percent(work.busy_share)),
    )
}

/// The flush stage of the broker's clocks, which has percentiles.
fn seen_by_broker(document: &Document) -> String {
    let stages = document.broker.stages.as_ref().map_or(&[][..], |stages| &stages.time_us);
    let Some(index) = stages.iter().position(|time| (time.api.as_str(), time.stage.as_str()) == FLUSH) else {
        return "–".to_string();
    };
    let figures = &stages[index].figures;
    let named = [("p50", figures.p50), ("p99", figures.p99), ("max", Some(figures.max))];
    let shown: Vec<String> = named
        .iter()
        .filter_map(|(name, us)| {
            let key = format!("broker.stages.time_us.{index}.{name}");
            us.map(|us| format!("{name} {}", figure(&key, us, &latency(us))))
        })
        .collect();
    format!("<small>its flush stage</small>{}", shown.join(" · "))
}
