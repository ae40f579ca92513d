//! Times of several things beside each other: a row each, from the median to the rarest that the samples
//! carry. Percentiles of parts do not add up to a percentile of the whole, so nothing is stacked.

use std::fmt::Write;

use super::axis::{Scale, log_range, log_ticks};
use super::frame::{self, RIGHT};
use super::html::{escaped, place};
use crate::report::json::Percentiles;
use crate::report::units;

/// Room for the names.
const LEFT: f64 = 190.0;
/// Height of a row.
const ROW: f64 = 27.0;
const TOP: f64 = 30.0;

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Spread<'a> {
    /// Class of the style sheet.
    pub(super) class: &'static str,
    /// Words at the left.
    pub(super) name: String,
    /// Its times in microseconds.
    pub(super) figures: &'a Percentiles,
}

/// Draws the rows on one logarithmic axis; nothing for no rows.
pub(super) fn spreads(rows: &[Spread<'_>], name: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let nanos = |us: f64| (us * 1e3).max(1.0);
    let first = |figures: &Percentiles| figures.p50.unwrap_or(figures.min);
    let smallest = rows.iter().map(|row| nanos(first(row.figures))).fold(f64::MAX, f64::min);
    let largest = rows.iter().map(|row| nanos(row.figures.max)).fold(1.0, f64::max);
    let range = log_range(smallest, largest);
    let across = Scale::logarithmic(range, (LEFT, RIGHT));
    let bottom = TOP + ROW * rows.len() as f64;

    let mut out = String::new();
    frame::open(&mut out, bottom + 34.0, name);
    for tick in log_ticks(range, 4.0) {
        let x = place(across.at(tick.value));
        let class = if tick.major { "grid major" } else { "grid" };
        let _ = write!(out, r#"<path class="{class}" d="M{x} {TOP}V{}"/>"#, place(bottom));
        if tick.labelled {
            let label = frame::latency_label(tick.value);
            let _ =
                write!(out, r#"<text class="tick mid" x="{x}" y="{}">{label}</text>"#, place(bottom + 19.0));
        }
    }
    for (index, row) in rows.iter().enumerate() {
        draw(&mut out, row, across, TOP + ROW * (index as f64 + 0.5));
    }
    let _ = write!(out, r#"<text class="axis" x="{}" y="{}">max</text>"#, RIGHT + 12.0, TOP - 10.0);
    frame::close(&mut out);
    out
}

fn draw(out: &mut String, row: &Spread<'_>, across: Scale, y: f64) {
    let Spread { class, name, figures } = row;
    let at = |us: f64| across.at(us * 1e3);
    let _ = write!(
        out,
        r#"<text class="label end" x="{}" y="{}" dy=".34em">{}</text>"#,
        LEFT - 12.0,
        place(y),
        escaped(name)
    );
    let start = at(figures.p50.unwrap_or(figures.min));
    frame::line(out, &format!("{class} faint"), &[(start, y), (at(figures.max), y)]);
    if let Some(p99) = figures.p99 {
        frame::line(out, &format!("{class} thick"), &[(start, y), (at(p99), y)]);
    }
    let marks = [("p50", figures.p50, 5.0), ("p99", figures.p99, 4.0), ("p99.9", figures.p999, 3.0)];
    for (label, us, radius) in marks {
        let Some(us) = us else { continue };
        let _ = write!(out, "<g><title>{} {label} {}</title>", escaped(name), latency(us));
        frame::dot(out, class, at(us), y, radius);
        out.push_str("</g>");
    }
    frame::hollow(out, class, at(figures.max), y);
    let _ = write!(
        out,
        r#"<text class="tick" x="{}" y="{}" dy=".34em">{}</text>"#,
        RIGHT + 12.0,
        place(y),
        latency(figures.max)
    );
}

/// Microseconds as people read them.
pub(super) fn latency(us: f64) -> String {
    units::latency((us * 1e3).round() as u64)
}
