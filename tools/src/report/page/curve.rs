//! The percentile curve: latency over "nines". The horizontal axis is 1/(1-q), one decade per nine,
//! so that 99 % and 99.99 % get equal room. Solid where the samples carry the percentile; the last
//! samples beyond that are hollow points, each one sample.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::axis::{Scale, log_range, log_ticks};
use super::frame::{self, Band, EndLabel, LEFT, RIGHT};
use super::html::{escaped, path, place};
use crate::report::quantile::{LADDER, SAMPLES_BEYOND_MIN, is_carried, value_ns};
use crate::report::units;

const HEIGHT: f64 = 470.0;
const BAND: Band = Band { top: 34.0, bottom: 410.0 };

/// Points per decade: a step every few pixels.
const STEPS_PER_NINE: u32 = 48;
/// The same for the thin lines of single runs.
const RUN_STEPS_PER_NINE: u32 = 16;
/// Single runs that are drawn of one series; the band covers all.
const RUNS_DRAWN_MAX: usize = 20;

/// One curve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series<'a> {
    /// Class of the style sheet.
    pub(super) class: &'static str,
    /// Words at its end.
    pub(super) name: &'a str,
    /// Its samples.
    pub(super) histogram: &'a Histogram<u64>,
    /// The runs that it was merged from: a thin line each, and the band between them. Empty for one run.
    pub(super) runs: &'a [&'a Histogram<u64>],
}

/// Draws the curves; nothing for no samples.
pub(super) fn percentile_curve(series: &[Series<'_>]) -> String {
    let samples_max = series.iter().map(|series| series.histogram.len()).max().unwrap_or(0);
    if samples_max == 0 {
        return String::new();
    }
    let nines = (samples_max as f64).log10().ceil().max(2.0);
    let smallest = series
        .iter()
        .filter(|series| !series.histogram.is_empty())
        .map(|series| value_ns(series.histogram, 0.0))
        .min()
        .unwrap_or(1);
    let largest = series.iter().map(|series| series.histogram.max()).max().unwrap_or(1);
    let across = Scale::linear((0.0, nines), (LEFT, RIGHT));
    let range = log_range(smallest as f64, largest as f64);
    let upward = Scale::logarithmic(range, BAND.upwards());

    let mut out = String::new();
    frame::open(&mut out, HEIGHT, "Latency by percentile, both axes logarithmic");
    frame::value_axis(&mut out, BAND, upward, &log_ticks(range, 3.4), "latency", frame::latency_label);
    nines_axis(&mut out, across, nines as u32);
    for series in series {
        band(&mut out, series, across, upward);
    }
    let mut labels = Vec::new();
    for series in series.iter().filter(|series| !series.histogram.is_empty()) {
        let end = draw(&mut out, series, across, upward);
        labels.push(EndLabel { class: series.class, text: series.name.to_string(), y: end });
    }
    frame::end_labels(&mut out, BAND, labels);
    frame::close(&mut out);
    out
}

fn nines_axis(out: &mut String, across: Scale, nines: u32) {
    let median = (2_f64.log10(), "50 %".to_string());
    let ticks = (0..=nines).map(|nine| (f64::from(nine), nines_label(nine))).chain([median]);
    for (at, label) in ticks {
        let x = place(across.at(at));
        let _ = write!(out, r#"<path class="grid" d="M{x} {}V{}"/>"#, BAND.top, BAND.bottom);
        let _ = write!(out, r#"<text class="tick mid" x="{x}" y="{}">{label}</text>"#, BAND.bottom + 19.0);
    }
    let _ = write!(
        out,
        r#"<text class="axis mid" x="{}" y="{}">percentile, spaced by 1 ∕ (1 − q)</text>"#,
        place((LEFT + RIGHT) / 2.0),
        BAND.bottom + 46.0
    );
}

/// `0 %`, `90 %`, `99 %`, `99.9 %` …
fn nines_label(nines: u32) -> String {
    match nines {
        0 => "0 %".to_string(),
        1 => "90 %".to_string(),
        2 => "99 %".to_string(),
        _ => format!("99.{} %", "9".repeat(nines as usize - 2)),
    }
}

/// Where the single runs lie: the area between the fastest and the slowest, and a line for each run,
/// as far as every run's samples carry the percentile.
fn band(out: &mut String, series: &Series<'_>, across: Scale, upward: Scale) {
    let Some(fewest) = series.runs.iter().map(|run| run.len()).filter(|samples| *samples > 0).min() else {
        return;
    };
    let runs: Vec<_> = series.runs.iter().filter(|run| !run.is_empty()).collect();
    let carried = (fewest as f64 / SAMPLES_BEYOND_MIN as f64).max(1.0).log10();
    let steps = (carried * f64::from(RUN_STEPS_PER_NINE)) as u32;
    let lines: Vec<Vec<(f64, f64)>> = runs
        .iter()
        .map(|run| {
            (0..=steps)
                .map(|step| {
                    let nines = f64::from(step) / f64::from(RUN_STEPS_PER_NINE);
                    let value = value_ns(run, 1.0 - 10_f64.powf(-nines)) as f64;
                    (across.at(nines), upward.at(value))
                })
                .collect()
        })
        .collect();
    let edge = |pick: fn(f64, f64) -> f64| -> Vec<(f64, f64)> {
        (0..=steps as usize)
            .map(|step| (lines[0][step].0, lines.iter().map(|line| line[step].1).reduce(pick).unwrap_or(0.0)))
            .collect()
    };
    let outline: Vec<(f64, f64)> =
        edge(f64::min).into_iter().chain(edge(f64::max).into_iter().rev()).collect();
    let _ = write!(out, r#"<path class="area {}" d="{}Z"/>"#, series.class, path(&outline));
    for line in lines.iter().take(RUNS_DRAWN_MAX) {
        frame::line(out, &format!("{} single", series.class), &without_flat_middles(line));
    }
}

/// Returns where the curve ends.
fn draw(out: &mut String, series: &Series<'_>, across: Scale, upward: Scale) -> f64 {
    let samples = series.histogram.len();
    let point = |one_in: f64| {
        let value = value_ns(series.histogram, 1.0 - 1.0 / one_in) as f64;
        (across.at(one_in.log10()), upward.at(value))
    };
    let carried_end = (samples as f64 / SAMPLES_BEYOND_MIN as f64).max(1.0);
    let steps = (carried_end.log10() * f64::from(STEPS_PER_NINE)) as u32;
    let mut carried: Vec<(f64, f64)> =
        (0..=steps).map(|step| point(10_f64.powf(f64::from(step) / f64::from(STEPS_PER_NINE)))).collect();
    carried.push(point(carried_end));
    frame::line(out, series.class, &without_flat_middles(&carried));

    let last = samples.min(SAMPLES_BEYOND_MIN - 1);
    let thin: Vec<(f64, f64)> = (1..=last)
        .rev()
        .map(|rank_from_top| {
            // The middle of the sample's own rank, so that rounding cannot pick a neighbour.
            let quantile = (samples as f64 - rank_from_top as f64 + 0.5) / samples as f64;
            let value = value_ns(series.histogram, quantile) as f64;
            (across.at((samples as f64 / rank_from_top as f64).log10()), upward.at(value))
        })
        .collect();
    let bridge: Vec<(f64, f64)> = carried.last().into_iter().chain(&thin).copied().collect();
    frame::line(out, &format!("{} uncarried", series.class), &bridge);
    for (x, y) in &thin {
        frame::hollow(out, series.class, *x, *y);
    }
    for rung in LADDER.iter().filter(|rung| is_carried(samples, rung.one_in)) {
        let (x, y) = point(rung.one_in as f64);
        let _ = write!(
            out,
            r#"<g><title>{} {} {}</title>"#,
            escaped(series.name),
            rung.label,
            units::latency(value_ns(series.histogram, rung.quantile))
        );
        frame::dot(out, series.class, x, y, 3.4);
        out.push_str("</g>");
    }
    bridge.last().map_or(BAND.bottom, |(_, y)| *y)
}

/// Drops points between two others of the same height: the tail of a curve is steps.
fn without_flat_middles(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let keep = |i: usize| {
        i == 0 || i + 1 == points.len() || points[i - 1].1 != points[i].1 || points[i].1 != points[i + 1].1
    };
    points.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, point)| *point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::latency_histogram;

    fn curve_of(samples: u64) -> String {
        let mut histogram = latency_histogram();
        for i in 0..samples {
            histogram.record(100_000 + i * 1_000).expect("in range");
        }
        percentile_curve(&[Series { class: "s1", name: "response", histogram: &histogram, runs: &[] }])
    }

    #[test]
    fn hollow_points_stand_for_the_last_samples_only() {
        assert_eq!(curve_of(5_000).matches("class=\"hollow").count(), 9);
        assert_eq!(curve_of(4).matches("class=\"hollow").count(), 4, "fewer samples than the rule asks for");
        assert_eq!(curve_of(5_000).matches("class=\"dot").count(), 3, "p50, p90 and p99 are carried");
    }

    #[test]
    fn each_run_is_a_thin_line_in_a_band() {
        let mut histogram = latency_histogram();
        histogram.record_n(100_000, 2_000).expect("in range");
        let empty = latency_histogram();
        let runs = [&histogram, &histogram, &empty];
        let drawn =
            percentile_curve(&[Series { class: "s1", name: "ours", histogram: &histogram, runs: &runs }]);
        assert_eq!(drawn.matches("s1 single").count(), 2, "an empty run has no line");
        assert_eq!(drawn.matches("class=\"area s1\"").count(), 1);
    }

    #[test]
    fn no_samples_no_curve() {
        assert_eq!(curve_of(0), "");
        assert_eq!(percentile_curve(&[]), "");
    }

    #[test]
    fn nines_are_named() {
        assert_eq!([0, 1, 2, 3, 5].map(nines_label), ["0 %", "90 %", "99 %", "99.9 %", "99.999 %"]);
    }
}
