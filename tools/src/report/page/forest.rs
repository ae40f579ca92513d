//! Ratios with their intervals, a row each, on one logarithmic axis: the median as a dot, the 95 %
//! interval as a line, every pair as a tick, the machine's own noise as a shaded band around 1.

use std::fmt::Write;

use super::axis::Scale;
use super::frame::{self, WIDTH};
use super::html::{escaped, place};
use crate::compare::stats::Comparison;
use crate::report::units;

/// Room for the names.
const LEFT: f64 = 210.0;
/// Room for the figures.
const RIGHT: f64 = WIDTH - 250.0;
/// Height of a row.
const ROW: f64 = 30.0;
const TOP: f64 = 34.0;
/// Nothing is drawn closer than this around 1.
const REACH_MIN: f64 = 0.02;
/// Pairs that are drawn of one row.
const PAIRS_DRAWN_MAX: usize = 40;

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Ratio {
    /// Class of the style sheet: `good`, `bad` or `plain`.
    pub(super) class: &'static str,
    /// Words at the left.
    pub(super) name: String,
    /// The figures.
    pub(super) comparison: Comparison,
    /// Ratio of each pair.
    pub(super) pairs: Vec<f64>,
    /// The machine's own noise, as a share.
    pub(super) noise: Option<f64>,
    /// Drawn stronger.
    pub(super) primary: bool,
}

/// How a ratio is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// `+8.1 %`
    Change,
    /// `×1.08`
    Factor,
}

impl Shown {
    fn words(self, ratio: f64) -> String {
        match self {
            Self::Change => units::change(ratio),
            Self::Factor => format!("×{}", units::significant(ratio)),
        }
    }
}

/// Draws the rows; nothing for no rows. `name` says what lies to the right of 1.
pub(super) fn forest(rows: &[Ratio], name: &str, shown: Shown) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let reach = |pick: fn(f64, f64) -> f64| {
        rows.iter()
            .flat_map(|row| {
                [row.comparison.low, row.comparison.high].into_iter().chain(row.pairs.iter().copied())
            })
            .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
            .map(f64::ln)
            .fold(0.0, pick)
    };
    let noise = rows.iter().filter_map(|row| row.noise).fold(REACH_MIN, f64::max).ln_1p();
    let (low, high) = (reach(f64::min).min(-noise) * 1.08, reach(f64::max).max(noise) * 1.08);
    let range = (low.exp(), high.exp());
    let across = Scale::logarithmic(range, (LEFT, RIGHT));
    let bottom = TOP + ROW * rows.len() as f64;

    let mut out = String::new();
    frame::open(&mut out, bottom + 38.0, name);
    for (ratio, label) in ticks(range) {
        let x = place(across.at(ratio));
        let class = if ratio == 1.0 { "grid one" } else { "grid" };
        let _ = write!(out, r#"<path class="{class}" d="M{x} {TOP}V{}"/>"#, place(bottom));
        let _ = write!(out, r#"<text class="tick mid" x="{x}" y="{}">{label}</text>"#, place(bottom + 19.0));
    }
    let _ =
        write!(out, r#"<text class="axis" x="{}" y="{}">{}</text>"#, LEFT, place(TOP - 12.0), escaped(name));
    for (index, row) in rows.iter().enumerate() {
        draw(&mut out, row, shown, across, TOP + ROW * (index as f64 + 0.5));
    }
    frame::close(&mut out);
    out
}

fn draw(out: &mut String, row: &Ratio, shown: Shown, across: Scale, y: f64) {
    let Ratio { class, comparison, .. } = row;
    if let Some(noise) = row.noise.filter(|noise| *noise > 0.0) {
        let (from, to) = (across.at(1.0 / (1.0 + noise)), across.at(1.0 + noise));
        let _ = write!(
            out,
            r#"<rect class="noise" x="{}" y="{}" width="{}" height="{}"><title>noise floor ±{}</title></rect>"#,
            place(from),
            place(y - ROW * 0.42),
            place(to - from),
            place(ROW * 0.84),
            units::percent(noise)
        );
    }
    let weight = if row.primary { "label end strong" } else { "label end" };
    let _ = write!(
        out,
        r#"<text class="{weight}" x="{}" y="{}" dy=".34em">{}</text>"#,
        LEFT - 14.0,
        place(y),
        escaped(&row.name)
    );
    for ratio in row.pairs.iter().take(PAIRS_DRAWN_MAX) {
        let _ = write!(
            out,
            r#"<path class="pair {class}" d="M{} {}v8"/>"#,
            place(across.at(*ratio)),
            place(y - 4.0)
        );
    }
    if comparison.is_enough() {
        let ends = [(across.at(comparison.low), y), (across.at(comparison.high), y)];
        frame::line(out, class, &ends);
    }
    let middle = across.at(comparison.median_ratio);
    if comparison.is_enough() {
        frame::dot(out, class, middle, y, 5.0);
    } else {
        frame::hollow(out, class, middle, y);
    }
    let interval = if comparison.is_enough() {
        format!("{} … {}", shown.words(comparison.low), shown.words(comparison.high))
    } else {
        format!("{} of 5 pairs", comparison.pairs)
    };
    let _ = write!(
        out,
        r#"<text class="name {class}" x="{}" y="{}" dy=".34em">{}</text><text class="tick" x="{}" y="{}" dy=".34em">{}</text>"#,
        RIGHT + 18.0,
        place(y),
        shown.words(comparison.median_ratio),
        RIGHT + 94.0,
        place(y),
        interval
    );
}

/// Grid lines with their words: percent near 1, factors far from it.
fn ticks(range: (f64, f64)) -> Vec<(f64, String)> {
    const STEPS: [f64; 8] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5];
    let reach = range.1.ln().max(-range.0.ln());
    let within = |ratio: &f64| (range.0..=range.1).contains(ratio);
    if reach <= 2_f64.ln() {
        let step = STEPS.into_iter().find(|step| reach.exp_m1() / step <= 4.5).unwrap_or(0.5);
        return (-4..=4)
            .map(|i| 1.0 + f64::from(i) * step)
            .filter(within)
            .map(|ratio| (ratio, if ratio == 1.0 { "equal".to_string() } else { units::change(ratio) }))
            .collect();
    }
    let decades = (-9..=9).flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| (digit, decade)));
    let many = (range.1 / range.0).log10() > 3.0;
    decades
        .filter(|(digit, _)| *digit == 1.0 || !many)
        .map(|(digit, decade)| digit * 10_f64.powi(decade))
        .filter(within)
        .map(|ratio| {
            let words = if (ratio - 1.0).abs() < 1e-9 {
                "equal".to_string()
            } else {
                format!("×{}", units::significant_trimmed(ratio))
            };
            (ratio, words)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ratio: f64, pairs: usize) -> Ratio {
        Ratio {
            class: "good",
            name: "p99 <of all>".to_string(),
            comparison: Comparison {
                pairs,
                left_out: 0,
                median_ratio: ratio,
                low: ratio * 0.98,
                high: ratio * 1.02,
            },
            pairs: vec![ratio; pairs],
            noise: Some(0.01),
            primary: true,
        }
    }

    #[test]
    fn near_one_the_axis_is_percent_and_far_from_it_factors() {
        let near: Vec<String> = ticks((0.95, 1.05)).into_iter().map(|(_, label)| label).collect();
        assert_eq!(near, ["−4.0 %", "−2.0 %", "equal", "+2.0 %", "+4.0 %"]);
        let far: Vec<String> = ticks((0.9, 150.0)).into_iter().map(|(_, label)| label).collect();
        assert_eq!(far, ["equal", "×2", "×5", "×10", "×20", "×50", "×100"]);
    }

    #[test]
    fn too_few_pairs_are_hollow_and_have_no_interval() {
        assert_eq!(forest(&[], "B / A", Shown::Change), "");
        let drawn = forest(&[row(1.1, 4), row(1.2, 5)], "B / A", Shown::Change);
        assert_eq!(drawn.matches("class=\"hollow").count(), 1);
        assert_eq!(drawn.matches("class=\"line good\"").count(), 1);
        assert_eq!(drawn.matches("class=\"pair ").count(), 9);
        assert!(drawn.contains("4 of 5 pairs") && drawn.contains("p99 &lt;of all&gt;"));
    }
}
