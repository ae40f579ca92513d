//! What happened when: throughput in and out, and p50, p99 and the largest latency, per interval.
//! All panels share the time axis of the heat map, so that a stall stands at one place on the page.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::axis::{Scale, linear_ticks, log_range, log_ticks};
use super::frame::{self, Band, EndLabel, LEFT, RIGHT};
use super::html::{path, place};
use super::marks;
use crate::report::data::{INTERVALS_MAX, Interval, SamplesOf};
use crate::report::json::IntervalDocument;
use crate::report::quantile::{P50, P99, carried_ns, is_carried, value_ns};
use crate::report::stages::Mark;
use crate::report::units;

/// The time axis of the run in seconds.
pub(super) fn time_scale(intervals: &[Interval]) -> (Scale, f64) {
    let end = intervals.last().map_or(1.0, |last| (last.start + last.length).as_secs_f64()).max(0.001);
    (Scale::linear((0.0, end), (LEFT, RIGHT)), end)
}

fn middle(interval: &Interval) -> f64 {
    (interval.start + interval.length / 2).as_secs_f64()
}

/// Megabytes per second that producers got acknowledged and consumers read.
pub(super) fn throughput(intervals: &[Interval]) -> String {
    const HEIGHT: f64 = 250.0;
    const BAND: Band = Band { top: 34.0, bottom: 208.0 };
    if intervals.is_empty() {
        return String::new();
    }
    let rate = |interval: &Interval, bytes: u64| bytes as f64 / 1e6 / interval.length.as_secs_f64().max(1e-9);
    let largest = intervals.iter().map(|i| rate(i, i.bytes_in).max(rate(i, i.bytes_out))).fold(0.0, f64::max);
    let (top, ticks) = linear_ticks(largest * 1.02, 4);
    let upward = Scale::linear((0.0, top), BAND.upwards());
    let (across, end) = time_scale(intervals);
    let points = |bytes: fn(&Interval) -> u64| -> Vec<(f64, f64)> {
        intervals.iter().map(|i| (across.at(middle(i)), upward.at(rate(i, bytes(i))))).collect()
    };
    let incoming = points(|interval| interval.bytes_in);
    let read = intervals.iter().any(|interval| interval.records_out > 0);

    let mut out = String::new();
    frame::open(&mut out, HEIGHT, "Throughput over time");
    frame::value_axis(&mut out, BAND, upward, &ticks, "MB/s", units::significant_trimmed);
    frame::time_axis(&mut out, BAND, across, end, true);
    area(&mut out, "s1", &incoming, BAND.bottom);
    frame::line(&mut out, "s1", &incoming);
    let mut labels = vec![label("s1", "acknowledged", &incoming)];
    if read {
        let outgoing = points(|interval| interval.bytes_out);
        frame::line(&mut out, "s3 dashed", &outgoing);
        labels.push(label("s3", "read", &outgoing));
    }
    late_marks(&mut out, intervals, across, BAND);
    frame::end_labels(&mut out, BAND, labels);
    frame::close(&mut out);
    out
}

/// A small mark at the foot of each interval in which the generator sent late.
fn late_marks(out: &mut String, intervals: &[Interval], across: Scale, band: Band) {
    for interval in intervals.iter().filter(|interval| interval.late_sends > 0) {
        let x = across.at(middle(interval));
        let _ = write!(
            out,
            r#"<path class="late" d="M{} {}l4 7h-8z"><title>{} late sends</title></path>"#,
            place(x),
            place(band.bottom - 8.0),
            units::grouped(interval.late_sends)
        );
    }
}

/// p50, p99 and the largest latency of one operation.
pub(super) fn latency(
    intervals: &[Interval],
    class: &'static str,
    name: &str,
    range: (f64, f64),
    of: SamplesOf,
    marks: &[Mark],
) -> String {
    const HEIGHT: f64 = 270.0;
    const BAND: Band = Band { top: 34.0, bottom: 228.0 };
    let rows: Vec<(f64, &Histogram<u64>)> = intervals
        .iter()
        .filter_map(|interval| Some((middle(interval), of(&interval.latency)?)))
        .filter(|(_, histogram)| !histogram.is_empty())
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let upward = Scale::logarithmic(range, BAND.upwards());
    let (across, end) = time_scale(intervals);
    let points = |value: fn(&Histogram<u64>) -> Option<u64>| -> Vec<(f64, f64)> {
        rows.iter()
            .filter_map(|(second, histogram)| Some((across.at(*second), upward.at(value(histogram)? as f64))))
            .collect()
    };
    let median = points(|histogram| carried_ns(histogram, P50));
    let high = points(|histogram| carried_ns(histogram, P99));
    let largest = points(|histogram| Some(histogram.max()));

    let mut out = String::new();
    frame::open(&mut out, HEIGHT + marks::height(marks), name);
    frame::value_axis(&mut out, BAND, upward, &log_ticks(range, 2.4), name, frame::latency_label);
    frame::time_axis(&mut out, BAND, across, end, true);
    marks::draw(&mut out, marks, across, BAND);
    if median.len() == high.len() && median.len() > 1 {
        let back = high.iter().rev();
        let outline: Vec<(f64, f64)> = median.iter().chain(back).copied().collect();
        let _ = write!(out, r#"<path class="area {class}" d="{}Z"/>"#, path(&outline));
    }
    frame::line(&mut out, &format!("{class} faint"), &largest);
    for (x, y) in &largest {
        frame::dot(&mut out, &format!("{class} faint"), *x, *y, 1.8);
    }
    frame::line(&mut out, class, &high);
    frame::line(&mut out, &format!("{class} thin"), &median);
    for (second, histogram) in rows.iter().filter(|(_, histogram)| !is_carried(histogram.len(), P99.one_in)) {
        let value = value_ns(histogram, P99.quantile) as f64;
        frame::hollow(&mut out, class, across.at(*second), upward.at(value));
    }
    let mut labels = vec![label(class, "max", &largest)];
    for (text, points) in [("p99", &high), ("p50", &median)] {
        if !points.is_empty() {
            labels.push(label(class, text, points));
        }
    }
    frame::end_labels(&mut out, BAND, labels);
    frame::close(&mut out);
    out
}

/// One range for all latency panels of a page, so that they can be compared by eye.
pub(super) fn latency_range(intervals: &[Interval], series: &[SamplesOf]) -> (f64, f64) {
    let histograms =
        || intervals.iter().flat_map(|interval| series.iter().filter_map(|of| of(&interval.latency)));
    let lowest = histograms().filter(|h| !h.is_empty()).map(|h| value_ns(h, 0.5)).min().unwrap_or(1_000);
    let highest = histograms().map(|h| h.max()).max().unwrap_or(1_000_000);
    log_range(lowest as f64 * 0.8, highest as f64)
}

/// One run's figure over time.
#[derive(Debug, Clone)]
pub(super) struct RunLine {
    /// Words at the end of the first line of a class.
    pub(super) name: &'static str,
    /// Class of the style sheet.
    pub(super) class: &'static str,
    /// Seconds from the start of the window, and the figure.
    pub(super) points: Vec<(f64, f64)>,
}

impl RunLine {
    /// The figure of each interval that has it, at most [`INTERVALS_MAX`].
    pub(super) fn of(
        name: &'static str,
        class: &'static str,
        intervals: &[IntervalDocument],
        value: fn(&IntervalDocument) -> Option<f64>,
    ) -> Self {
        let points = intervals
            .iter()
            .take(INTERVALS_MAX)
            .filter_map(|i| Some((i.start_s + i.length_s / 2.0, value(i).filter(|v| v.is_finite())?)))
            .collect();
        Self { name, class, points }
    }
}

/// One line of a plain panel.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    /// Class of the style sheet.
    pub(super) class: &'static str,
    /// Words at its end.
    pub(super) name: &'static str,
    /// Seconds from the start of the window, and the figure.
    pub(super) points: Vec<(f64, f64)>,
}

/// Several figures of one unit over time, from zero, in a low panel; nothing when all of them are nothing. A line that is
/// always zero is left out. The time axis ends at `end` seconds, as those of the other panels do.
pub(super) fn plain(name: &str, lines: &[Plain], end: f64) -> String {
    const HEIGHT: f64 = 176.0;
    const BAND: Band = Band { top: 34.0, bottom: 148.0 };
    let drawn: Vec<&Plain> = lines
        .iter()
        .filter(|l| l.points.len() > 1 && l.points.iter().any(|(_, value)| *value > 0.0))
        .collect();
    let points = || drawn.iter().flat_map(|line| &line.points);
    if drawn.is_empty() || end <= 0.0 {
        return String::new();
    }
    let (top, ticks) = linear_ticks(points().map(|(_, value)| *value).fold(0.0, f64::max) * 1.02, 3);
    let upward = Scale::linear((0.0, top), BAND.upwards());
    let across = Scale::linear((0.0, end), (LEFT, RIGHT));
    let mut out = String::new();
    frame::open(&mut out, HEIGHT, name);
    frame::value_axis(&mut out, BAND, upward, &ticks, name, units::significant_trimmed);
    frame::time_axis(&mut out, BAND, across, end, true);
    let mut labels = Vec::new();
    for line in drawn {
        let points: Vec<(f64, f64)> =
            line.points.iter().map(|(second, value)| (across.at(*second), upward.at(*value))).collect();
        frame::line(&mut out, line.class, &points);
        let colour = line.class.split(' ').next().unwrap_or(line.class);
        labels.push(label(colour, line.name, &points));
    }
    frame::end_labels(&mut out, BAND, labels);
    frame::close(&mut out);
    out
}

/// Runs in one panel.
const RUNS_DRAWN_MAX: usize = 40;

/// The same figure of several runs, a line each: nanoseconds on a logarithmic axis, or a plain number from zero.
pub(super) fn runs(name: &str, lines: &[RunLine], nanoseconds: bool) -> String {
    const HEIGHT: f64 = 250.0;
    const BAND: Band = Band { top: 34.0, bottom: 208.0 };
    let points = || lines.iter().flat_map(|line| &line.points);
    let end = points().map(|(second, _)| *second).fold(0.0, f64::max);
    if end <= 0.0 {
        return String::new();
    }
    let smallest = points().map(|(_, value)| *value).fold(f64::MAX, f64::min);
    let largest = points().map(|(_, value)| *value).fold(0.0, f64::max);
    let across = Scale::linear((0.0, end), (LEFT, RIGHT));
    let mut out = String::new();
    frame::open(&mut out, HEIGHT, name);
    let upward = if nanoseconds {
        let range = log_range(smallest, largest);
        let scale = Scale::logarithmic(range, BAND.upwards());
        frame::value_axis(&mut out, BAND, scale, &log_ticks(range, 2.4), name, frame::latency_label);
        scale
    } else {
        let (top, ticks) = linear_ticks(largest * 1.02, 4);
        let scale = Scale::linear((0.0, top), BAND.upwards());
        frame::value_axis(&mut out, BAND, scale, &ticks, name, units::significant_trimmed);
        scale
    };
    frame::time_axis(&mut out, BAND, across, end, true);
    let mut labels: Vec<EndLabel> = Vec::new();
    for line in lines.iter().take(RUNS_DRAWN_MAX) {
        let points: Vec<(f64, f64)> =
            line.points.iter().map(|(second, value)| (across.at(*second), upward.at(*value))).collect();
        frame::line(&mut out, &format!("{} single", line.class), &points);
        if labels.iter().all(|label| label.text != line.name) {
            labels.push(label(line.class, line.name, &points));
        }
    }
    frame::end_labels(&mut out, BAND, labels);
    frame::close(&mut out);
    out
}

fn label(class: &'static str, text: &str, points: &[(f64, f64)]) -> EndLabel {
    EndLabel { class, text: text.to_string(), y: points.last().map_or(0.0, |(_, y)| *y) }
}

fn area(out: &mut String, class: &str, points: &[(f64, f64)], floor: f64) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let outline: Vec<(f64, f64)> =
        [(first.0, floor)].iter().chain(points).chain(&[(last.0, floor)]).copied().collect();
    let _ = write!(out, r#"<path class="area {class}" d="{}Z"/>"#, path(&outline));
}
