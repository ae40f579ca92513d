//! The page of one run.

use std::fmt::Write;

use super::curve::{Series, percentile_curve};
use super::heatmap::{HeatScale, heatmap};
use super::html::figure;
use super::{disk, facts, floors, header, profile, shell, stages, timeline, warm};
use crate::report::data::{Interval, LatencySet, SamplesOf};
use crate::report::interval::coarsened;
use crate::report::json::{Document, Percentiles};
use crate::report::quantile::LADDER;
use crate::report::stages::Mark;
use crate::report::units;

/// One latency question: its place in the document, its colour and its words.
struct Operation {
    key: &'static str,
    class: &'static str,
    name: &'static str,
    meaning: &'static str,
    figures: fn(&Document) -> Option<&Percentiles>,
    samples: SamplesOf,
}

const OPERATIONS: [Operation; 3] = [
    Operation {
        key: "end_to_end_us",
        class: "s3",
        name: "end to end",
        meaning: "planned send → consumer has the record",
        figures: |document| document.end_to_end_us.as_ref(),
        samples: |set| set.end_to_end.as_ref(),
    },
    Operation {
        key: "produce.response_us",
        class: "s1",
        name: "produce response",
        meaning: "planned send → acknowledgement",
        figures: |document| document.produce.response_us.as_ref(),
        samples: |set| set.produce_response.as_ref(),
    },
    Operation {
        key: "produce.service_us",
        class: "s2",
        name: "produce service",
        meaning: "actual send → acknowledgement",
        figures: |document| document.produce.service_us.as_ref(),
        samples: |set| set.produce_service.as_ref(),
    },
];

/// A run that only read has this to show. Beside others it is left out: a fetch rightly waits for records.
const FETCH: [Operation; 1] = [Operation {
    key: "fetch_us",
    class: "s2",
    name: "fetch",
    meaning: "fetch request → complete answer",
    figures: |document| document.fetch_us.as_ref(),
    samples: |set| set.fetch.as_ref(),
}];

/// The operations that this run shows.
fn operations(document: &Document) -> &'static [Operation] {
    if OPERATIONS.iter().any(|operation| (operation.figures)(document).is_some()) {
        &OPERATIONS
    } else {
        &FETCH
    }
}

/// Those that are drawn over time: service time follows response time closely enough.
fn over_time(document: &Document) -> impl Iterator<Item = &'static Operation> {
    const ORDER: [&str; 3] = ["produce.response_us", "end_to_end_us", "fetch_us"];
    ORDER.iter().filter_map(|key| operations(document).iter().find(|operation| operation.key == *key))
}

/// The whole page.
pub(super) fn page(document: &Document, latency: &LatencySet, intervals: &[Interval]) -> String {
    let title =
        facts::shortened(&format!("{} · {} · ringlog bench", document.workload, document.run_id), 300);
    let intervals = coarsened(intervals);
    shell::html(
        &title,
        &[
            header::header(document),
            percentiles(latency, document),
            timelines(&intervals, document),
            heat(&intervals, document),
            stages::stages(document),
            disk::disk(document),
            profile::profile(document),
            floors::floors(document),
            warm::warm_up(document),
            facts::settings(document),
            facts::machine(document),
            facts::reproduce(document),
            facts::method(document),
            facts::footer(document),
        ],
    )
}

fn percentiles(latency: &LatencySet, document: &Document) -> String {
    let mut rows = String::new();
    let mut series = Vec::new();
    for operation in operations(document) {
        let Some(figures) = (operation.figures)(document) else { continue };
        table_row(&mut rows, operation, figures);
        if let Some(histogram) = (operation.samples)(latency) {
            series.push(Series { class: operation.class, name: operation.name, histogram, runs: &[] });
        }
    }
    if series.is_empty() {
        return "<section>\n<h2>Latency by percentile</h2>\n<p class=\"lead\">No latency was recorded.</p>\n</section>\n"
            .to_string();
    }
    let heads: String = LADDER.iter().map(|rung| format!("<th class=\"num\">{}</th>", rung.label)).collect();
    format!(
        "<section>\n<h2>Latency by percentile</h2>\n\
         <p class=\"lead\">Every step to the right is ten times rarer. Filled points are the percentiles of the \
         table; hollow points are the last nine samples, which carry no percentile.</p>\n\
         <figure>{}</figure>\n\
         <div class=\"card\"><table>\n<thead><tr><th>milliseconds</th>{heads}<th class=\"num\">max</th>\
         <th class=\"num\">mean</th><th class=\"num\">samples</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
         </section>\n",
        percentile_curve(&series)
    )
}

fn table_row(out: &mut String, operation: &Operation, figures: &Percentiles) {
    let _ = write!(
        out,
        "<tr><td class=\"op\"><span class=\"key {}\"></span>{}<small>{}</small></td>",
        operation.class, operation.name, operation.meaning
    );
    let keys = ["p50", "p90", "p99", "p999", "p9999"];
    for (key, value) in keys.iter().zip(figures.ladder()) {
        let _ = match value {
            Some(us) => write!(out, "<td class=\"num\">{}</td>", milliseconds(operation.key, key, us)),
            None => write!(out, "<td class=\"num none\" title=\"fewer than ten samples beyond it\">–</td>"),
        };
    }
    let _ = writeln!(
        out,
        "<td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
        milliseconds(operation.key, "max", figures.max),
        milliseconds(operation.key, "mean", figures.mean),
        figure(&format!("{}.count", operation.key), figures.count, &units::grouped(figures.count)),
    );
}

fn milliseconds(operation: &str, key: &str, us: f64) -> String {
    figure(&format!("{operation}.{key}"), us, &units::milliseconds((us * 1e3).round() as u64))
}

fn timelines(intervals: &[Interval], document: &Document) -> String {
    let Some(first) = intervals.first() else { return String::new() };
    let samples: Vec<SamplesOf> = over_time(document).map(|operation| operation.samples).collect();
    let range = timeline::latency_range(intervals, &samples);
    let marks = marks(document);
    let latencies = over_time(document).map(|operation| {
        timeline::latency(intervals, operation.class, operation.name, range, operation.samples, marks)
    });
    let panels: String = std::iter::once(timeline::throughput(intervals))
        .chain(latencies)
        .filter(|panel| !panel.is_empty())
        .map(|panel| format!("<figure>{panel}</figure>\n"))
        .collect();
    let late = if intervals.iter().any(|interval| interval.late_sends > 0) {
        " Red marks stand where sends left later than planned."
    } else {
        ""
    };
    let did = match marks {
        [] => "",
        _ => {
            " Below, what the broker did in each second: a bar is as strong as it happened often, and what is rare has a \
             thin line through the drawing."
        }
    };
    format!(
        "<section>\n<h2>Over time</h2>\n<p class=\"lead\">One point per {}. Latency panels share their scale: \
         p50 and p99 bound the shaded band, the faint line is the slowest request of the interval.{late}{did}</p>\n{panels}</section>\n",
        interval_words(first.length.as_secs()),
    )
}

/// What the broker did when, as far as it was seen.
fn marks(document: &Document) -> &[Mark] {
    document.broker.stages.as_ref().map_or(&[], |stages| &stages.marks)
}

fn interval_words(seconds: u64) -> String {
    if seconds <= 1 { "second".to_string() } else { format!("{seconds} seconds") }
}

fn heat(intervals: &[Interval], document: &Document) -> String {
    let maps: String = over_time(document)
        .filter_map(|operation| {
            let scale = HeatScale::of(&[intervals], operation.samples)?;
            Some(heatmap(intervals, marks(document), operation.name, operation.samples, scale))
        })
        .filter(|map| !map.is_empty())
        .map(|map| format!("<figure class=\"map\">{map}</figure>\n"))
        .collect();
    if maps.is_empty() {
        return String::new();
    }
    format!(
        "<section>\n<h2>Every request</h2>\n<p class=\"lead\">Each cell counts the requests of one interval within \
         one step of latency; darker by day and brighter by night is more, on a logarithmic scale. A stall that a \
         percentile hides stands out as a column.</p>\n{maps}</section>\n"
    )
}
