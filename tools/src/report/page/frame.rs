//! The plot area that all drawings share: grid, numbers, axis names, direct labels at the right.
//! One coordinate is one CSS pixel at the page's full width; colours come from the style sheet.

use std::fmt::Write;

use super::axis::{Scale, Tick, time_label, time_ticks};
use super::html::{escaped, place};

/// Width of every drawing.
pub(super) const WIDTH: f64 = 1_040.0;
/// Left edge of the plot area: room for numbers.
pub(super) const LEFT: f64 = 62.0;
/// Right edge of the plot area: room for direct labels.
pub(super) const RIGHT: f64 = WIDTH - 126.0;
/// Height of a line of label text.
const LABEL_HEIGHT: f64 = 16.0;

/// The vertical extent of a plot area within its drawing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Band {
    /// Upper edge.
    pub(super) top: f64,
    /// Lower edge.
    pub(super) bottom: f64,
}

impl Band {
    /// Places for a scale: values grow upwards.
    pub(super) fn upwards(self) -> (f64, f64) {
        (self.bottom, self.top)
    }
}

/// Opens a drawing. `name` is read by screen readers.
pub(super) fn open(out: &mut String, height: f64, name: &str) {
    let _ = write!(
        out,
        r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{}" class="plot">"#,
        escaped(name)
    );
}

/// Closes a drawing.
pub(super) fn close(out: &mut String) {
    out.push_str("</svg>\n");
}

/// Horizontal grid lines with their numbers, and the name of the axis above them.
pub(super) fn value_axis(
    out: &mut String,
    band: Band,
    scale: Scale,
    ticks: &[Tick],
    name: &str,
    label: fn(f64) -> String,
) {
    let _ = write!(
        out,
        r#"<text class="axis" x="{LEFT}" y="{}">{}</text>"#,
        place(band.top - 10.0),
        escaped(name)
    );
    for tick in ticks {
        let y = place(scale.at(tick.value));
        let class = if tick.major { "grid major" } else { "grid" };
        let _ = write!(out, r#"<path class="{class}" d="M{LEFT} {y}H{RIGHT}"/>"#);
        if tick.labelled {
            let _ = write!(
                out,
                r#"<text class="tick end" x="{}" y="{y}" dy=".34em">{}</text>"#,
                LEFT - 8.0,
                escaped(&label(tick.value))
            );
        }
    }
}

/// Vertical grid lines for a time axis of `end` seconds; with numbers below when `labelled`.
pub(super) fn time_axis(out: &mut String, band: Band, scale: Scale, end: f64, labelled: bool) {
    for second in time_ticks(end) {
        let x = place(scale.at(second));
        let _ = write!(out, r#"<path class="grid" d="M{x} {}V{}"/>"#, place(band.top), place(band.bottom));
        if labelled {
            let _ = write!(
                out,
                r#"<text class="tick mid" x="{x}" y="{}">{}</text>"#,
                place(band.bottom + 19.0),
                time_label(second, end)
            );
        }
    }
}

/// A label beside the end of its line.
#[derive(Debug, Clone)]
pub(super) struct EndLabel {
    /// Series class of the style sheet: its colour.
    pub(super) class: &'static str,
    /// Words.
    pub(super) text: String,
    /// Where the line ends.
    pub(super) y: f64,
}

/// Places labels at the right edge, moved apart where their lines end close together.
pub(super) fn end_labels(out: &mut String, band: Band, mut labels: Vec<EndLabel>) {
    labels.sort_by(|a, b| a.y.total_cmp(&b.y));
    let mut lowest_free = band.top;
    for label in &mut labels {
        label.y = label.y.max(lowest_free);
        lowest_free = label.y + LABEL_HEIGHT;
    }
    let mut highest_free = band.bottom + LABEL_HEIGHT / 2.0;
    for label in labels.iter_mut().rev() {
        label.y = label.y.min(highest_free);
        highest_free = label.y - LABEL_HEIGHT;
    }
    for label in &labels {
        let _ = write!(
            out,
            r#"<text class="name {}" x="{}" y="{}" dy=".34em">{}</text>"#,
            label.class,
            RIGHT + 10.0,
            place(label.y),
            escaped(&label.text)
        );
    }
}

/// A drawn line; a single point becomes a dot, so that a short run is not an empty plot.
pub(super) fn line(out: &mut String, class: &str, points: &[(f64, f64)]) {
    match points {
        [] => {}
        [(x, y)] => dot(out, class, *x, *y, 3.0),
        _ => {
            let _ = write!(out, r#"<path class="line {class}" d="{}"/>"#, super::html::path(points));
        }
    }
}

/// A filled dot.
pub(super) fn dot(out: &mut String, class: &str, x: f64, y: f64, radius: f64) {
    let _ = write!(out, r#"<circle class="dot {class}" cx="{}" cy="{}" r="{radius}"/>"#, place(x), place(y));
}

/// A hollow dot: the samples do not carry this percentile.
pub(super) fn hollow(out: &mut String, class: &str, x: f64, y: f64) {
    let _ = write!(out, r#"<circle class="hollow {class}" cx="{}" cy="{}" r="2.8"/>"#, place(x), place(y));
}

/// Latency numbers on an axis: `100 µs`, `1 ms`.
pub(super) fn latency_label(ns: f64) -> String {
    let (scaled, unit) = if ns < 1e3 {
        (ns, "ns")
    } else if ns < 1e6 {
        (ns / 1e3, "µs")
    } else if ns < 1e9 {
        (ns / 1e6, "ms")
    } else {
        (ns / 1e9, "s")
    };
    format!("{scaled} {unit}")
}
