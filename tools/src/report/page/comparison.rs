//! The page of a comparison: verdict first, then what it rests on.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::curve::{Series, percentile_curve};
use super::facts::shortened;
use super::forest::{Ratio, Shown, forest};
use super::heatmap::{HeatScale, heatmap};
use super::html::{escaped, figure};
use super::timeline::{self, RunLine};
use super::{facts, shell};
use crate::compare::metric;
use crate::compare::runs::Side;
use crate::compare::stats::Finding;
use crate::compare::text;
use crate::compare::verdict::{ComparisonDocument, Row};
use crate::report::data::{Interval, SamplesOf};
use crate::report::interval::coarsened;
use crate::report::units;

/// Warnings, differences and runs on the page.
const LINES_SHOWN_MAX: usize = 60;
/// Characters of one of them.
const LINE_SHOWN_MAX: usize = 300;
/// Colour classes of the two sides.
const CLASSES: [&str; 2] = ["s3", "s1"];

/// The latency questions that are drawn.
const OPERATIONS: [(&str, SamplesOf); 3] = [
    ("produce response", |set| set.produce_response.as_ref()),
    ("end to end", |set| set.end_to_end.as_ref()),
    ("produce service", |set| set.produce_service.as_ref()),
];
const FETCH: (&str, SamplesOf) = ("fetch", |set| set.fetch.as_ref());

/// The whole page.
pub(super) fn page(document: &ComparisonDocument, a: &Side, b: &Side) -> String {
    let title = shortened(&format!("{} · comparison · ringlog", document.workload), 300);
    let first = &a.runs[0].document;
    shell::html(
        &title,
        &[
            header(document),
            ratios(document),
            percentiles(a, b),
            timelines(a, b),
            heat(a, b),
            differences(document),
            facts::machine_table(&first.machine),
            reproduce(document),
            method(document),
            format!("<footer>Comparison · ringlog · schema {}</footer>\n", document.schema_version),
        ],
    )
}

fn badge(finding: Finding) -> (&'static str, &'static str) {
    match finding {
        Finding::Faster => ("good", "FASTER"),
        Finding::Slower => ("bad", "SLOWER"),
        Finding::NoChange => ("plain", "NO CHANGE FOUND"),
        Finding::TooFewPairs => ("warn", "NO VERDICT"),
    }
}

fn header(document: &ComparisonDocument) -> String {
    let mut out = String::new();
    let (class, word) = badge(document.finding);
    let side = |name: &str, class: &str, side: &crate::compare::verdict::SideDocument| {
        format!(
            "<p class=\"sub\"><span class=\"key {class}\"></span><strong>{name}</strong> {} · {} · {} run{}</p>\n",
            escaped(&shortened(&side.path, LINE_SHOWN_MAX)),
            escaped(&shortened(&side.broker, LINE_SHOWN_MAX)),
            side.runs.len(),
            if side.runs.len() == 1 { "" } else { "s" }
        )
    };
    let order = if document.interleaved { "interleaved" } else { "not interleaved" };
    let _ = write!(
        out,
        "<header>\n<div>\n<p class=\"over\">Ringlog compare</p>\n<h1>{}</h1>\n{}{}<p class=\"sub\">{} {} · {} · machine \
         <code>{}</code></p>\n</div>\n<div><span class=\"badge {class}\">{word}</span></div>\n</header>\n",
        escaped(&shortened(&document.workload, LINE_SHOWN_MAX)),
        side("A", CLASSES[0], &document.a),
        side("B", CLASSES[1], &document.b),
        figure("pairs", document.pairs, &document.pairs.to_string()),
        format_args!("pair{}, {order}", if document.pairs == 1 { "" } else { "s" }),
        escaped(&shortened(&document.durability, LINE_SHOWN_MAX)),
        escaped(&document.hardware_id),
    );
    let class = if matches!(document.finding, Finding::Slower | Finding::TooFewPairs) { " bad" } else { "" };
    let _ = write!(out, "<div class=\"why{class}\">{}", escaped(&text::verdict(document)));
    if !document.warnings.is_empty() {
        out.push_str("<ul>");
        for warning in document.warnings.iter().take(LINES_SHOWN_MAX) {
            let _ = write!(out, "<li>{}</li>", escaped(&shortened(warning, LINE_SHOWN_MAX)));
        }
        out.push_str("</ul>");
    }
    out.push_str("</div>\n");
    tiles(&mut out, document);
    out
}

fn tiles(out: &mut String, document: &ComparisonDocument) {
    out.push_str("<dl class=\"tiles few\">\n");
    let shown = document.metrics.iter().enumerate().filter(|(_, row)| row.primary);
    for (index, row) in shown.take(4) {
        let key = format!("metrics.{index}.median_ratio");
        let ratio = row.comparison.median_ratio;
        let _ = writeln!(
            out,
            "<div class=\"tile\"><dt>{}</dt><dd class=\"{}\">{}</dd><p>{}</p><p>{} → {}</p></div>",
            escaped(&row.label),
            class(row),
            figure(&key, ratio, &units::change(ratio)),
            escaped(&text::finding_words(row)),
            shown_value(row, row.a),
            shown_value(row, row.b),
        );
    }
    out.push_str("</dl>\n");
}

fn class(row: &Row) -> &'static str {
    match row.finding {
        Finding::Faster => "good",
        Finding::Slower => "bad",
        Finding::NoChange | Finding::TooFewPairs => "plain",
    }
}

fn shown_value(row: &Row, value: f64) -> String {
    metric::named(&row.metric).map_or_else(|| units::significant(value), |metric| metric.shown(value))
}

fn ratios(document: &ComparisonDocument) -> String {
    if document.metrics.is_empty() {
        return String::new();
    }
    let drawn: Vec<Ratio> = document
        .metrics
        .iter()
        .map(|row| Ratio {
            class: class(row),
            name: row.label.clone(),
            comparison: row.comparison,
            pairs: row.runs.iter().map(|(a, b)| b / a).filter(|ratio| ratio.is_finite()).collect(),
            noise: row.noise_floor,
            primary: row.primary,
        })
        .collect();
    let mut rows = String::new();
    for (index, row) in document.metrics.iter().enumerate() {
        let key = |name: &str| format!("metrics.{index}.{name}");
        let comparison = &row.comparison;
        let interval = if comparison.is_enough() {
            format!(
                "{} … {}",
                figure(&key("low"), comparison.low, &units::change(comparison.low)),
                figure(&key("high"), comparison.high, &units::change(comparison.high))
            )
        } else {
            "–".to_string()
        };
        let noise = row.noise_floor.map_or_else(
            || "not known".to_string(),
            |floor| figure(&key("noise_floor"), floor, &format!("±{}", units::percent(floor))),
        );
        let _ = writeln!(
            rows,
            "<tr{}><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{noise}</td><td><span class=\"{}\">{}</span></td></tr>",
            if row.primary { " class=\"set\"" } else { "" },
            escaped(&row.label),
            figure(&key("a"), row.a, &shown_value(row, row.a)),
            figure(&key("b"), row.b, &shown_value(row, row.b)),
            figure(&key("median_ratio"), comparison.median_ratio, &units::change(comparison.median_ratio)),
            interval,
            class(row),
            escaped(&text::finding_words(row)),
        );
    }
    format!(
        "<section>\n<h2>Verdict</h2>\n<p class=\"lead\">B over A: the median of the pairs' ratios (dot), its 95 % \
         interval (line), each pair (tick) and the machine's own noise (shade): {}. Bold metrics were declared up front \
         and decide; the others are exploratory.</p>\n<figure>{}</figure>\n<div class=\"card\"><table>\n\
         <thead><tr><th>metric</th><th class=\"num\">A</th><th class=\"num\">B</th><th class=\"num\">B / A</th>\
         <th class=\"num\">95 % interval</th><th class=\"num\">noise floor</th><th>finding</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
        escaped(&document.noise.source),
        forest(&drawn, "B / A", Shown::Change)
    )
}

/// The operations that both sides have samples of.
fn operations(a: &Side, b: &Side) -> Vec<(&'static str, SamplesOf)> {
    let both = |of: SamplesOf| of(&a.latency).is_some() && of(&b.latency).is_some();
    let found: Vec<_> = OPERATIONS.into_iter().filter(|(_, of)| both(*of)).collect();
    if found.is_empty() { [FETCH].into_iter().filter(|(_, of)| both(*of)).collect() } else { found }
}

fn percentiles(a: &Side, b: &Side) -> String {
    let mut figures = String::new();
    for (name, of) in operations(a, b) {
        let sides = [a, b].map(|side| (of(&side.latency), single(side, of)));
        let series: Vec<Series<'_>> = sides
            .iter()
            .zip(["A", "B"])
            .zip(CLASSES)
            .filter_map(|(((histogram, runs), name), class)| {
                Some(Series { class, name, histogram: (*histogram)?, runs })
            })
            .collect();
        let _ = writeln!(figures, "<h3>{name}</h3>\n<figure>{}</figure>", percentile_curve(&series));
    }
    if figures.is_empty() {
        return String::new();
    }
    format!(
        "<section>\n<h2>Latency by percentile</h2>\n<p class=\"lead\">Bold: all runs of a side merged into one \
         histogram. Thin: each run. The shade lies between the fastest and the slowest run: where the shades overlap, \
         single runs cannot tell the sides apart.</p>\n{figures}</section>\n"
    )
}

fn single(side: &Side, of: SamplesOf) -> Vec<&Histogram<u64>> {
    if side.runs.len() < 2 {
        return Vec::new();
    }
    side.runs.iter().filter_map(|run| of(&run.latency)).collect()
}

fn timelines(a: &Side, b: &Side) -> String {
    let lines = |value: fn(&crate::report::json::IntervalDocument) -> Option<f64>| -> Vec<RunLine> {
        [(a, "A", CLASSES[0]), (b, "B", CLASSES[1])]
            .into_iter()
            .flat_map(|(side, name, class)| {
                side.runs.iter().map(move |run| RunLine::of(name, class, &run.document.intervals, value))
            })
            .filter(|line| !line.points.is_empty())
            .collect()
    };
    let panels = [
        timeline::runs(
            "MB/s in",
            &lines(|i| (i.records_in > 0).then(|| i.bytes_in as f64 / 1e6 / i.length_s)),
            false,
        ),
        timeline::runs("produce p99", &lines(|i| Some(i.produce.response_us.as_ref()?.p99? * 1e3)), true),
        timeline::runs("end to end p99", &lines(|i| Some(i.end_to_end_us.as_ref()?.p99? * 1e3)), true),
    ];
    let panels: String = panels
        .iter()
        .filter(|panel| !panel.is_empty())
        .map(|panel| format!("<figure>{panel}</figure>\n"))
        .collect();
    if panels.is_empty() {
        return panels;
    }
    format!(
        "<section>\n<h2>Over time</h2>\n<p class=\"lead\">Each run from the start of its window; one line per run.</p>\n\
         {panels}</section>\n"
    )
}

fn heat(a: &Side, b: &Side) -> String {
    let (cut_a, cut_b): (&[Interval], &[Interval]) = (&coarsened(&a.intervals), &coarsened(&b.intervals));
    let Some((name, of)) = operations(a, b).into_iter().next() else { return String::new() };
    let Some(scale) = HeatScale::of(&[cut_a, cut_b], of) else { return String::new() };
    let map = |side: &str, intervals: &[Interval]| {
        if intervals.is_empty() {
            return String::new();
        }
        let title = format!("{side} · {name}");
        format!("<figure class=\"map\">{}</figure>\n", heatmap(intervals, &[], &title, of, scale))
    };
    format!(
        "<section>\n<h2>Every request</h2>\n<p class=\"lead\">All runs of a side over the time of their windows; both \
         maps share their scales.</p>\n{}{}</section>\n",
        map("A", cut_a),
        map("B", cut_b)
    )
}

fn differences(document: &ComparisonDocument) -> String {
    if document.differences.is_empty() {
        return "<section>\n<h2>What differs</h2>\n<p class=\"lead\">No setting and no fact of broker or machine differs \
                between the sides.</p>\n</section>\n"
            .to_string();
    }
    let mut rows = String::new();
    for difference in document.differences.iter().take(LINES_SHOWN_MAX) {
        let cell = |text: &str| escaped(&shortened(text, LINE_SHOWN_MAX));
        let _ = writeln!(
            rows,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            cell(&difference.name),
            cell(&difference.a),
            cell(&difference.b)
        );
    }
    let more = document.differences.len().saturating_sub(LINES_SHOWN_MAX);
    let more = if more == 0 { String::new() } else { format!(" {more} more are in the JSON.") };
    format!(
        "<section>\n<h2>What differs</h2>\n<p class=\"lead\">Settings and facts that are not the same on both \
         sides.{more}</p>\n<div class=\"card\"><table>\n<thead><tr><th>name</th><th>A</th><th>B</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

fn reproduce(document: &ComparisonDocument) -> String {
    let runs = |side: &crate::compare::verdict::SideDocument| {
        let shown: Vec<String> = side.runs.iter().take(LINES_SHOWN_MAX).map(|run| escaped(run)).collect();
        shown.join(", ")
    };
    format!(
        "<section>\n<h2>Compare again</h2>\n<p class=\"lead\">A: {}. B: {}.</p>\n<pre>{}</pre>\n</section>\n",
        runs(&document.a),
        runs(&document.b),
        facts::command(&document.command_line)
    )
}

fn method(document: &ComparisonDocument) -> String {
    let entries = [
        ("A run is one sample", "Requests of one run are not independent of each other, so only whole runs are counted. Runs are paired in order of time, and of each pair the ratio is taken: a drift of the machine that both share cancels out.".to_string()),
        ("Interval", "A bootstrap over pairs, 10,000 draws from a fixed seed, its levels widened for few pairs. With five pairs it is their range.".to_string()),
        ("Finding", "Faster or slower only when the interval excludes equality and the median lies beyond the noise floor. Otherwise no change was found, and the smallest change that could have been seen is named.".to_string()),
        ("Noise floor", format!("What equal runs on this machine come to lie apart: {}.", document.noise.source)),
        ("Merged", "Percentiles of a side come from one histogram into which every sample of every run went. Percentiles are never averaged; the table's A and B are medians over runs.".to_string()),
        ("Nothing dropped", "An invalid run stays in and is named. A figure whose samples do not carry it leaves its pair out, and that is said.".to_string()),
    ];
    facts::explained("How the verdict was reached", &entries)
}
