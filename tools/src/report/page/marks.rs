//! What the broker did when, below a drawing over time: a row for each kind of work, a bar for each second in which it
//! happened, as strong as it happened often. Kinds that are rare stand in the drawing too, as thin lines.

use std::fmt::Write;

use super::axis::Scale;
use super::frame::{Band, LEFT, RIGHT};
use super::html::{escaped, place};
use crate::report::stages::{Mark, MarkKind};
use crate::report::units;

/// From the lower edge of the plot area to the first row: the numbers of the time axis stand between.
const BELOW: f64 = 36.0;
const ROW: f64 = 17.0;
const BAR: f64 = 9.0;
/// A bar is at least this wide, so that a second of an hour is seen.
const WIDTH_MIN: f64 = 3.0;
/// Lines of one kind through a drawing; of more, they would be all that is seen.
const LINES_MAX: usize = 12;

/// The kinds that there are marks of.
fn kinds(marks: &[Mark]) -> impl Iterator<Item = MarkKind> {
    MarkKind::ALL.into_iter().filter(|kind| marks.iter().any(|mark| mark.kind == *kind))
}

/// How much higher a drawing becomes.
pub(super) fn height(marks: &[Mark]) -> f64 {
    match kinds(marks).count() {
        0 => 0.0,
        rows => rows as f64 * ROW + 12.0,
    }
}

/// Draws the rows below the plot area and the lines in it.
pub(super) fn draw(out: &mut String, marks: &[Mark], across: Scale, band: Band) {
    for (row, kind) in kinds(marks).enumerate() {
        let of = || marks.iter().filter(|mark| mark.kind == kind);
        let class = if kind == MarkKind::SlowFlush { "slow" } else { "work" };
        let most = of().map(|mark| mark.count).max().unwrap_or(1) as f64;
        let middle = band.bottom + BELOW + row as f64 * ROW + ROW / 2.0;
        let _ = write!(out, r#"<path class="grid" d="M{LEFT} {0}H{RIGHT}"/>"#, place(middle));
        let few = of().count() <= LINES_MAX;
        for mark in of() {
            let start = across.at(mark.start_s).clamp(LEFT, RIGHT);
            let end = across.at(mark.start_s + mark.length_s).clamp(LEFT, RIGHT);
            if few {
                let x = place((start + end) / 2.0);
                let (top, bottom) = (place(band.top), place(band.bottom));
                let _ = write!(out, r#"<path class="when {class}" d="M{x} {top}V{bottom}"/>"#);
            }
            let strength = 0.35 + 0.65 * (mark.count as f64 / most).sqrt();
            let (wide, text) = ((end - start - 1.0).max(WIDTH_MIN), escaped(kind.word()));
            let _ = write!(
                out,
                r#"<rect class="mark {class}" x="{}" y="{}" width="{}" height="{BAR}" rx="2" opacity="{strength:.2}"><title>{} × {text}</title></rect>"#,
                place(start),
                place(middle - BAR / 2.0),
                place(wide),
                units::grouped(mark.count)
            );
        }
        let sum: u64 = of().map(|mark| mark.count).sum();
        let _ = write!(
            out,
            r#"<text class="tick" x="{}" y="{}" dy=".34em">{} · {}</text>"#,
            RIGHT + 10.0,
            place(middle),
            escaped(kind.word()),
            units::grouped(sum)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_row_and_rare_ones_a_line() {
        let mark = |kind, second: u32| Mark { kind, start_s: f64::from(second), length_s: 1.0, count: 2 };
        let mut marks: Vec<Mark> = (0..30).map(|second| mark(MarkKind::SegmentRolled, second)).collect();
        marks.push(mark(MarkKind::SlowFlush, 7));
        let mut out = String::new();
        draw(&mut out, &marks, Scale::linear((0.0, 30.0), (LEFT, RIGHT)), Band { top: 10.0, bottom: 90.0 });
        assert_eq!((out.matches("<rect").count(), out.matches("<text").count()), (31, 2));
        assert_eq!(out.matches("class=\"when slow\"").count(), 1, "a line where it is rare");
        assert_eq!(out.matches("class=\"when work\"").count(), 0, "none where it is everywhere");
        assert!(out.contains("2 × flush &gt; 10 ms"), "{out}");
        assert_eq!(height(&marks), 2.0 * ROW + 12.0);
        assert_eq!(height(&[]), 0.0);
    }
}
