//! The page of a search or of a latency-against-load curve: one broker under several rates.

use std::fmt::Write;

use super::axis::{Scale, linear_ticks, log_range, log_ticks};
use super::facts::{self, shortened};
use super::frame::{self, Band, EndLabel, LEFT, RIGHT};
use super::html::{escaped, figure, place};
use super::shell;
use super::spread::latency;
use crate::report::curve::{CurveDocument, CurveKind, CurvePoint};
use crate::report::json::Percentiles;
use crate::report::{calendar, units};

/// Points on the page.
const POINTS_SHOWN_MAX: usize = 200;
/// Characters of a name or a sentence.
const WORDS_SHOWN_MAX: usize = 400;

/// A percentile, its key, its colour.
type Line = (&'static str, &'static str, &'static str, fn(&Percentiles) -> Option<f64>);

const LINES: [Line; 4] = [
    ("p99.99", "p9999", "s3", |p| p.p9999),
    ("p99.9", "p999", "s3", |p| p.p999),
    ("p99", "p99", "s1", |p| p.p99),
    ("p50", "p50", "s2", |p| p.p50),
];

/// A point and its place in the document, by planned rate.
type Ranked<'a> = (usize, &'a CurvePoint);

/// The whole page.
pub(super) fn page(document: &CurveDocument) -> String {
    let mut points: Vec<Ranked<'_>> = document.points.iter().enumerate().take(POINTS_SHOWN_MAX).collect();
    points.sort_by(|(_, a), (_, b)| a.records_per_s.total_cmp(&b.records_per_s));
    let title = shortened(&format!("{} · {} · ringlog", document.workload, word(document.kind)), 300);
    shell::html(
        &title,
        &[
            header(document),
            drawn(document, &points),
            table(document, &points),
            facts::machine_table(&document.machine),
            format!(
                "<section>\n<h2>Run it again</h2>\n<pre>{}</pre>\n</section>\n",
                facts::command(&document.command_line)
            ),
            method(),
            format!(
                "<footer>{} · ringlog {} · schema {}</footer>\n",
                escaped(&document.run_id),
                escaped(&document.tool_version),
                document.schema_version
            ),
        ],
    )
}

fn word(kind: CurveKind) -> &'static str {
    match kind {
        CurveKind::Search => "search",
        CurveKind::Curve => "latency against load",
    }
}

fn header(document: &CurveDocument) -> String {
    let mut out = format!(
        "<header>\n<div>\n<p class=\"over\">Ringlog {}</p>\n<h1>{}</h1>\n<p class=\"sub\">{} · {} · machine <code>{}</code></p>\n\
         <p class=\"sub\"><strong>{}</strong></p>\n</div>\n<div>{}</div>\n</header>\n",
        word(document.kind),
        escaped(&shortened(&document.workload, WORDS_SHOWN_MAX)),
        calendar::utc(document.started_unix_ms),
        escaped(&shortened(&document.broker.name, WORDS_SHOWN_MAX)),
        escaped(&document.machine.hardware_id),
        escaped(&shortened(&document.durability.label, WORDS_SHOWN_MAX)),
        if document.partial { "<span class=\"badge warn\">PARTIAL</span>" } else { "" },
    );
    if let Some(found) = &document.found {
        let class = if found.records_per_s > 0.0 { "" } else { " bad" };
        let _ = writeln!(
            out,
            "<div class=\"why{class}\">{}</div>",
            escaped(&shortened(&found.sentence, WORDS_SHOWN_MAX))
        );
    }
    let mut tiles = String::new();
    let mut tile = |name: &str, figure: String, unit: &str, note: String| {
        let _ = writeln!(
            tiles,
            "<div class=\"tile\"><dt>{name}</dt><dd>{figure} <small>{unit}</small></dd><p>{note}</p></div>"
        );
    };
    let rate = |key: &str, value: f64| figure(key, value, &units::grouped(value.max(0.0).round() as u64));
    if let Some(found) = &document.found {
        let limit = document.limit.as_ref().map_or_else(String::new, |limit| escaped(&limit.label));
        tile("Highest rate that held", rate("found.records_per_s", found.records_per_s), "records/s", limit);
        let mb = figure("found.mb_per_s", found.mb_per_s, &units::significant(found.mb_per_s));
        tile("Acknowledged at it", mb, "MB/s", "keys and values".to_string());
        if let Some(next) = found.next_records_per_s {
            let why = found.stopped_by.map_or("", |bound| bound.words()).to_string();
            tile("Lowest that did not hold", rate("found.next_records_per_s", next), "records/s", why);
        }
    }
    if let Some(most) = document.max_records_per_s {
        let note = "a closed loop of the same shape, first".to_string();
        tile("Most it took", rate("max_records_per_s", most), "records/s", note);
    }
    if !tiles.is_empty() {
        let _ = write!(out, "<dl class=\"tiles few\">\n{tiles}</dl>\n");
    }
    out
}

fn drawn(document: &CurveDocument, points: &[Ranked<'_>]) -> String {
    let figures: String = [against_load(document, points), achieved(points)]
        .into_iter()
        .filter(|drawing| !drawing.is_empty())
        .map(|drawing| format!("<figure>{drawing}</figure>\n"))
        .collect();
    if figures.is_empty() {
        return figures;
    }
    format!(
        "<section>\n<h2>Latency against load</h2>\n<p class=\"lead\">Response time from the planned send. A hollow point \
         is a rate that did not hold: its latency depends on how long one looks.</p>\n{figures}</section>\n"
    )
}

/// The rate axis: from nothing to a round number above the highest.
fn rates(out: &mut String, points: &[Ranked<'_>], band: Band) -> Scale {
    let highest = points.iter().map(|(_, point)| point.records_per_s).fold(0.0, f64::max);
    let (top, ticks) = linear_ticks(highest * 1.001, 8);
    let across = Scale::linear((0.0, top), (LEFT, RIGHT));
    for tick in ticks {
        let x = place(across.at(tick.value));
        let _ = write!(out, r#"<path class="grid" d="M{x} {}V{}"/>"#, band.top, band.bottom);
        let _ = write!(
            out,
            r#"<text class="tick mid" x="{x}" y="{}">{}</text>"#,
            band.bottom + 19.0,
            units::grouped(tick.value.round() as u64)
        );
    }
    let _ = write!(
        out,
        r#"<text class="axis mid" x="{}" y="{}">planned records/s</text>"#,
        place((LEFT + RIGHT) / 2.0),
        band.bottom + 44.0
    );
    across
}

fn against_load(document: &CurveDocument, points: &[Ranked<'_>]) -> String {
    const HEIGHT: f64 = 440.0;
    const BAND: Band = Band { top: 34.0, bottom: 384.0 };
    let value = |of: fn(&Percentiles) -> Option<f64>, point: &CurvePoint| {
        point.response_us.as_ref().and_then(of).map(|us| us * 1e3)
    };
    let values = || LINES.iter().flat_map(|line| points.iter().filter_map(move |(_, p)| value(line.3, p)));
    let limit = document.limit.as_ref().map(|limit| limit.us * 1e3);
    let largest = values().chain(limit).fold(0.0, f64::max);
    let smallest = values().fold(f64::MAX, f64::min);
    if largest <= 0.0 || smallest == f64::MAX {
        return String::new();
    }
    let range = log_range(smallest, largest);
    let upward = Scale::logarithmic(range, BAND.upwards());
    let mut out = String::new();
    frame::open(&mut out, HEIGHT, "Latency against planned rate");
    frame::value_axis(&mut out, BAND, upward, &log_ticks(range, 3.4), "response time", frame::latency_label);
    let across = rates(&mut out, points, BAND);
    if let Some(limit) = limit {
        let y = place(upward.at(limit));
        let label = document.limit.as_ref().map_or("", |limit| limit.label.as_str());
        let _ = write!(out, r#"<path class="limit" d="M{LEFT} {y}H{RIGHT}"/>"#);
        let _ = write!(
            out,
            r#"<text class="axis" x="{}" y="{y}" dy="-6">{}</text>"#,
            LEFT + 8.0,
            escaped(&shortened(label, 60))
        );
    }
    let mut labels = Vec::new();
    for (name, _, class, of) in LINES {
        let places: Vec<(f64, f64, &CurvePoint)> = points
            .iter()
            .filter_map(|(_, point)| {
                Some((across.at(point.records_per_s), upward.at(value(of, point)?), *point))
            })
            .collect();
        let line: Vec<(f64, f64)> = places.iter().map(|(x, y, _)| (*x, *y)).collect();
        let Some((_, end)) = line.last() else { continue };
        let faint = if name == "p99.99" { " faint" } else { "" };
        frame::line(&mut out, &format!("{class} thin{faint}"), &line);
        for (x, y, point) in &places {
            let rate = units::grouped(point.records_per_s.max(0.0).round() as u64);
            let shown = value(of, point).map_or_else(String::new, |ns| units::latency(ns.round() as u64));
            let _ = write!(out, "<g><title>{name} at {rate} records/s: {shown}</title>");
            if point.held {
                frame::dot(&mut out, class, *x, *y, 3.6);
            } else {
                frame::hollow(&mut out, class, *x, *y);
            }
            out.push_str("</g>");
        }
        labels.push(EndLabel { class, text: name.to_string(), y: *end });
    }
    frame::end_labels(&mut out, BAND, labels);
    frame::close(&mut out);
    out
}

/// What was acknowledged of what was planned; the dashed line is all of it.
fn achieved(points: &[Ranked<'_>]) -> String {
    const HEIGHT: f64 = 290.0;
    const BAND: Band = Band { top: 34.0, bottom: 234.0 };
    let largest = points
        .iter()
        .map(|(_, point)| point.achieved_records_per_s.max(point.records_per_s))
        .fold(0.0, f64::max);
    if largest <= 0.0 {
        return String::new();
    }
    let (top, ticks) = linear_ticks(largest * 1.001, 4);
    let upward = Scale::linear((0.0, top), BAND.upwards());
    let mut out = String::new();
    frame::open(&mut out, HEIGHT, "Acknowledged against planned rate");
    frame::value_axis(&mut out, BAND, upward, &ticks, "acknowledged records/s", |value| {
        units::grouped(value.max(0.0).round() as u64)
    });
    let across = rates(&mut out, points, BAND);
    let places = |of: fn(&CurvePoint) -> f64| -> Vec<(f64, f64)> {
        points.iter().map(|(_, p)| (across.at(p.records_per_s), upward.at(of(p)))).collect()
    };
    let planned = places(|point| point.records_per_s);
    let reached = places(|point| point.achieved_records_per_s);
    frame::line(&mut out, "plain single", &planned);
    frame::line(&mut out, "s1", &reached);
    for ((x, y), (_, point)) in reached.iter().zip(points) {
        if point.held {
            frame::dot(&mut out, "s1", *x, *y, 3.6);
        } else {
            frame::hollow(&mut out, "s1", *x, *y);
        }
    }
    let end = |class, text: &str, line: &[(f64, f64)]| EndLabel {
        class,
        text: text.to_string(),
        y: line.last().map_or(0.0, |(_, y)| *y),
    };
    frame::end_labels(
        &mut out,
        BAND,
        vec![end("plain", "planned", &planned), end("s1", "acknowledged", &reached)],
    );
    frame::close(&mut out);
    out
}

fn table(document: &CurveDocument, points: &[Ranked<'_>]) -> String {
    let mut rows = String::new();
    for (index, point) in points {
        let key = |name: &str| format!("points.{index}.{name}");
        let _ = write!(
            rows,
            "<tr><td class=\"num\"><a href=\"{}/index.html\">{}</a></td><td class=\"num\">{}</td><td class=\"num\">{}</td>",
            escaped(&shortened(&point.run, WORDS_SHOWN_MAX)),
            figure(
                &key("records_per_s"),
                point.records_per_s,
                &units::grouped(point.records_per_s.max(0.0).round() as u64)
            ),
            figure(&key("achieved_share"), point.achieved_share, &units::percent(point.achieved_share)),
            figure(&key("mb_per_s"), point.mb_per_s, &units::significant(point.mb_per_s)),
        );
        for (_, name, _, of) in LINES.iter().rev() {
            let shown = point.response_us.as_ref().and_then(of).map_or_else(
                || "–".to_string(),
                |us| figure(&key(&format!("response_us.{name}")), us, &latency(us)),
            );
            let _ = write!(rows, "<td class=\"num\">{shown}</td>");
        }
        let cpu = point.cpu_seconds.map_or_else(
            || "–".to_string(),
            |cpu| figure(&key("cpu_seconds"), cpu, &units::significant(cpu)),
        );
        let verdict = match (point.held, point.stopped_by) {
            (true, _) => "<span class=\"goal good\">held</span>".to_string(),
            (false, bound) => format!(
                "<span class=\"goal bad\">did not hold</span> {}",
                bound.map_or("", |bound| bound.words())
            ),
        };
        let _ = writeln!(rows, "<td class=\"num\">{cpu}</td><td>{verdict}</td></tr>");
    }
    let more = document.points.len().saturating_sub(POINTS_SHOWN_MAX);
    let more = if more == 0 { String::new() } else { format!(" {more} more are in curve.json.") };
    format!(
        "<section>\n<h2>Every rate that was tried</h2>\n<p class=\"lead\">Each is a whole run with a page of its own.{more}</p>\n\
         <div class=\"card\"><table>\n<thead><tr><th class=\"num\">records/s</th><th class=\"num\">reached</th>\
         <th class=\"num\">MB/s</th><th class=\"num\">p50</th><th class=\"num\">p99</th><th class=\"num\">p99.9</th>\
         <th class=\"num\">p99.99</th><th class=\"num\">CPU s</th><th></th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
         </section>\n"
    )
}

fn method() -> String {
    let entries = [
        ("Held", "The run is valid, and in a search the limit is kept over the whole window and in each half of it: a latency that only grows has found no level.".to_string()),
        ("Latency", "From the planned send to the acknowledgement, so that a rate which the broker cannot take shows as latency and not as fewer requests.".to_string()),
        ("Percentiles", "Each from one histogram of its run. A percentile without ten samples beyond it is left out.".to_string()),
    ];
    facts::explained("How it was measured", &entries)
}
