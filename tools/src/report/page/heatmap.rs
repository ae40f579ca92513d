//! Latency over time as a heat map: one column per interval, one row per step of latency, colour by
//! the logarithm of the number of samples. It shows the stalls that a percentile hides.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::axis::{Scale, log_range, log_ticks};
use super::frame::{self, Band, LEFT, RIGHT, WIDTH};
use super::html::place;
use super::marks;
use super::timeline::time_scale;
use crate::report::data::{Interval, SamplesOf};
use crate::report::stages::Mark;
use crate::report::units;

const HEIGHT: f64 = 356.0;
const BAND: Band = Band { top: 34.0, bottom: 314.0 };

/// Rows of cells.
const ROWS: usize = 40;
/// Colours of the style sheet, `h0` to `h8`.
const SHADES: usize = 9;

/// What the colours and the rows of a map stand for; maps that share it can be compared by eye.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HeatScale {
    range: (f64, f64),
    fullest: u64,
}

impl HeatScale {
    /// A scale for all of these maps; `None` without a sample.
    pub(super) fn of(maps: &[&[Interval]], of: SamplesOf) -> Option<Self> {
        let histograms = || maps.iter().flat_map(|map| map.iter().filter_map(|i| of(&i.latency)));
        let filled = || histograms().filter(|histogram| !histogram.is_empty());
        let largest = filled().map(Histogram::max).max()?;
        let smallest = filled().map(Histogram::min).min()?;
        let range = log_range(smallest as f64, largest as f64);
        let fullest = filled().flat_map(|histogram| column(histogram, range)).max()?.max(1);
        Some(Self { range, fullest })
    }
}

/// Draws the map of one operation.
pub(super) fn heatmap(
    intervals: &[Interval],
    marks: &[Mark],
    name: &str,
    of: SamplesOf,
    scale: HeatScale,
) -> String {
    let HeatScale { range, fullest } = scale;
    let columns: Vec<(&Interval, &Histogram<u64>)> = intervals
        .iter()
        .filter_map(|interval| Some((interval, of(&interval.latency)?)))
        .filter(|(_, histogram)| !histogram.is_empty())
        .collect();
    let cells: Vec<[u64; ROWS]> = columns.iter().map(|(_, histogram)| column(histogram, range)).collect();

    let (across, end) = time_scale(intervals);
    let upward = Scale::logarithmic(range, BAND.upwards());
    let mut out = String::new();
    frame::open(&mut out, HEIGHT + marks::height(marks), name);
    let _ = write!(
        out,
        r#"<rect class="heat-ground" x="{LEFT}" y="{}" width="{}" height="{}"/>"#,
        BAND.top,
        RIGHT - LEFT,
        BAND.bottom - BAND.top
    );
    let places: Vec<(f64, f64)> = columns
        .iter()
        .map(|(interval, _)| {
            let start = across.at(interval.start.as_secs_f64());
            (start, across.at((interval.start + interval.length).as_secs_f64()) - start)
        })
        .collect();
    shades(&mut out, &cells, &places, fullest);
    frame::value_axis(&mut out, BAND, upward, &log_ticks(range, 3.4), name, frame::latency_label);
    frame::time_axis(&mut out, BAND, across, end, true);
    marks::draw(&mut out, marks, across, BAND);
    legend(&mut out, fullest);
    frame::close(&mut out);
    out
}

/// How many samples lie in each row.
fn column(histogram: &Histogram<u64>, range: (f64, f64)) -> [u64; ROWS] {
    let rows = Scale::logarithmic(range, (0.0, ROWS as f64));
    let mut cells = [0_u64; ROWS];
    for step in histogram.iter_recorded() {
        let row = (rows.at(step.value_iterated_to() as f64) as usize).min(ROWS - 1);
        cells[row] += step.count_since_last_iteration();
    }
    cells
}

/// Colour class of a count: one sample is the first shade, the fullest cell the last.
fn shade(count: u64, fullest: u64) -> usize {
    if fullest <= 1 {
        return SHADES - 1;
    }
    let share = (count as f64).ln() / (fullest as f64).ln();
    ((share * SHADES as f64) as usize).min(SHADES - 1)
}

/// One path per colour, with runs of equal cells in a column joined: a few bytes per cell, which
/// keeps the longest run's page within its bound.
fn shades(out: &mut String, cells: &[[u64; ROWS]], places: &[(f64, f64)], fullest: u64) {
    let row_height = (BAND.bottom - BAND.top) / ROWS as f64;
    let mut paths: [String; SHADES] = Default::default();
    for (column, (x, width)) in cells.iter().zip(places) {
        let mut row = 0;
        while row < ROWS {
            let count = column[row];
            if count == 0 {
                row += 1;
                continue;
            }
            let class = shade(count, fullest);
            let first = row;
            while row < ROWS && column[row] > 0 && shade(column[row], fullest) == class {
                row += 1;
            }
            let _ = write!(
                paths[class],
                "M{} {}h{}v{}h-{}z",
                place(*x),
                place(BAND.bottom - row as f64 * row_height),
                place(*width),
                place((row - first) as f64 * row_height),
                place(*width)
            );
        }
    }
    for (class, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let _ = write!(out, r#"<path class="heat h{class}" d="{path}"/>"#);
    }
}

/// A ladder of the colours beside the map, with the counts at its ends.
fn legend(out: &mut String, fullest: u64) {
    let x = RIGHT + 22.0;
    let side = 14.0;
    let top = BAND.top + 26.0;
    let _ = write!(out, r#"<text class="axis" x="{x}" y="{}">samples per cell</text>"#, BAND.top + 10.0);
    for class in 0..SHADES {
        let y = top + (SHADES - 1 - class) as f64 * side;
        let _ =
            write!(out, r#"<rect class="heat h{class}" x="{x}" y="{y}" width="{side}" height="{side}"/>"#);
    }
    let ends = [(fullest, top + side / 2.0), (1, top + (SHADES as f64 - 0.5) * side)];
    for (count, y) in ends {
        let _ = write!(
            out,
            r#"<text class="tick" x="{}" y="{y}" dy=".34em">{}</text>"#,
            x + side + 7.0,
            units::grouped(count)
        );
    }
    debug_assert!(x + side < WIDTH);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::latency_histogram;

    #[test]
    fn every_sample_lands_in_one_cell() {
        let mut histogram = latency_histogram();
        for value in [1, 90, 100, 5_000, 9_999, 10_000] {
            histogram.record_n(value, 7).expect("in range");
        }
        assert_eq!(column(&histogram, (100.0, 10_000.0)).iter().sum::<u64>(), 42);
    }

    #[test]
    fn shades_span_the_counts() {
        assert_eq!(shade(1, 1_000), 0);
        assert_eq!(shade(1_000, 1_000), SHADES - 1);
        assert_eq!(shade(1, 1), SHADES - 1);
        assert!(shade(30, 1_000) > shade(2, 1_000));
    }
}
