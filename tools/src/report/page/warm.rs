//! The warm-up: what the load looked like before anything counted.

use std::fmt::Write;

use super::axis::{Scale, linear_ticks};
use super::frame::{self, Band, EndLabel, LEFT, RIGHT};
use crate::report::data::{WarmEnd, WarmUpFacts};
use crate::report::json::Document;
use crate::report::units;

const HEIGHT: f64 = 220.0;
const BAND: Band = Band { top: 34.0, bottom: 180.0 };
/// Warm-ups in one drawing.
const DRAWN_MAX: usize = 60;

/// One warm-up in a drawing.
#[derive(Debug, Clone, Copy)]
pub(super) struct WarmUp<'a> {
    /// Class of the style sheet.
    pub(super) class: &'static str,
    /// Words at its end; `None` for one of many.
    pub(super) name: Option<&'a str>,
    /// Its windows.
    pub(super) facts: &'a WarmUpFacts,
}

/// The section of a run; nothing when no rule ended its warm-up.
pub(super) fn warm_up(document: &Document) -> String {
    let Some(facts) = document.warm_up.as_ref().filter(|facts| !facts.windows.is_empty()) else {
        return String::new();
    };
    let end = match facts.end {
        WarmEnd::Agreed if facts.windows.len() == 1 && facts.before.is_some() => {
            "It ended when its first window agreed with what this load had done on this broker when it was last measured."
        }
        WarmEnd::Agreed => "It ended when two windows in a row agreed.",
        WarmEnd::Time => {
            "<strong>It ended because its time was over</strong>, before two windows in a row agreed."
        }
        WarmEnd::Bytes => {
            "<strong>It ended because its share of the bytes was used</strong>, before two windows in a row agreed."
        }
        WarmEnd::Stopped => "It was stopped.",
    };
    let untouched = match facts.untouched {
        0 => String::new(),
        one_or_more => format!(" {} partitions had taken no record by then.", units::grouped(one_or_more)),
    };
    format!(
        "<section>\n<h2>Warm-up</h2>\n<p class=\"lead\">The load before the measured window, which counts in no figure. \
         {end}{untouched}</p>\n<figure>{}</figure>\n</section>\n",
        windows(&[WarmUp { class: "s1", name: Some("acknowledged"), facts }])
    )
}

/// Throughput window by window.
pub(super) fn windows(warm_ups: &[WarmUp<'_>]) -> String {
    let windows = || warm_ups.iter().flat_map(|warm_up| &warm_up.facts.windows);
    let end = windows().map(|window| window.start_s + window.length_s).fold(0.0, f64::max);
    let largest = windows().map(|window| window.mb_per_s).fold(0.0, f64::max);
    if end <= 0.0 {
        return String::new();
    }
    let (top, ticks) = linear_ticks(largest * 1.02, 4);
    let upward = Scale::linear((0.0, top), BAND.upwards());
    let across = Scale::linear((0.0, end), (LEFT, RIGHT));
    let mut out = String::new();
    frame::open(&mut out, HEIGHT, "Throughput while warming up");
    frame::value_axis(&mut out, BAND, upward, &ticks, "MB/s while warming up", units::significant_trimmed);
    frame::time_axis(&mut out, BAND, across, end, true);
    let mut labels: Vec<EndLabel> = Vec::new();
    for warm_up in warm_ups.iter().take(DRAWN_MAX) {
        let points: Vec<(f64, f64)> = warm_up
            .facts
            .windows
            .iter()
            .map(|window| (across.at(window.start_s + window.length_s / 2.0), upward.at(window.mb_per_s)))
            .collect();
        frame::line(&mut out, &format!("{} thin", warm_up.class), &points);
        for (point, window) in points.iter().zip(&warm_up.facts.windows) {
            let _ = write!(out, "<g><title>{} MB/s</title>", units::significant(window.mb_per_s));
            frame::dot(&mut out, warm_up.class, point.0, point.1, 2.6);
            out.push_str("</g>");
        }
        if let (Some(name), Some((_, y))) = (warm_up.name, points.last()) {
            labels.push(EndLabel { class: warm_up.class, text: name.to_string(), y: *y });
        }
    }
    frame::end_labels(&mut out, BAND, labels);
    frame::close(&mut out);
    out
}
