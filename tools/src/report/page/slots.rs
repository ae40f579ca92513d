//! One figure slot by slot, in the order in which two brokers took turns: who drifts, who jumps, who failed.

use std::fmt::Write;

use super::axis::{Scale, linear_ticks, log_range, log_ticks};
use super::frame::{self, Band, EndLabel, LEFT, RIGHT};
use super::html::{escaped, place};
use crate::report::units;

const HEIGHT: f64 = 230.0;
const BAND: Band = Band { top: 34.0, bottom: 190.0 };
/// Beyond this factor between the slots the axis is logarithmic.
const LINEAR_FACTOR_MAX: f64 = 8.0;
/// Slots in one drawing.
pub(super) const SLOTS_DRAWN_MAX: usize = 120;

/// One slot.
#[derive(Debug, Clone)]
pub(super) struct Slot<'a> {
    /// Class of the style sheet: whose it is.
    pub(super) class: &'static str,
    /// Whose it is, in words.
    pub(super) name: &'a str,
    /// Its pair, from 1.
    pub(super) pair: u32,
    /// Its figure; `None` when it has none.
    pub(super) value: Option<f64>,
    /// A valid run.
    pub(super) valid: bool,
}

/// Draws the slots; nothing when none has the figure. `name` is the figure with its
/// unit; with `latency` the values are nanoseconds.
pub(super) fn slots(slots: &[Slot<'_>], name: &str, latency: bool) -> String {
    let slots = &slots[..slots.len().min(SLOTS_DRAWN_MAX)];
    let values = || slots.iter().filter_map(|slot| slot.value).filter(|value| value.is_finite());
    let largest = values().fold(0.0, f64::max);
    let smallest = values().filter(|value| *value > 0.0).fold(f64::MAX, f64::min);
    if largest <= 0.0 {
        return String::new();
    }
    let words: fn(f64) -> String = if latency { frame::latency_label } else { units::significant_trimmed };
    let mut out = String::new();
    frame::open(&mut out, HEIGHT, name);
    let across = Scale::linear((0.0, slots.len() as f64), (LEFT, RIGHT));
    pairs(&mut out, slots, across);
    let upward = if largest / smallest > LINEAR_FACTOR_MAX {
        let range = log_range(smallest, largest);
        let scale = Scale::logarithmic(range, BAND.upwards());
        frame::value_axis(&mut out, BAND, scale, &log_ticks(range, 2.4), name, words);
        scale
    } else {
        let (top, ticks) = linear_ticks(largest * 1.02, 4);
        let scale = Scale::linear((0.0, top), BAND.upwards());
        frame::value_axis(&mut out, BAND, scale, &ticks, name, words);
        scale
    };
    let mut labels: Vec<EndLabel> = Vec::new();
    for (index, slot) in slots.iter().enumerate() {
        let x = across.at(index as f64 + 0.5);
        let Some(value) = slot.value else {
            let _ = write!(
                out,
                r#"<path class="late" d="M{} {}l4 7h-8z"><title>{}: no figure</title></path>"#,
                place(x),
                place(BAND.bottom - 8.0),
                escaped(slot.name)
            );
            continue;
        };
        let y = upward.at(value);
        let shown = if latency { units::latency(value.max(0.0) as u64) } else { units::significant(value) };
        let _ = write!(out, "<g><title>{} {shown}</title>", escaped(slot.name));
        if slot.valid {
            frame::dot(&mut out, slot.class, x, y, 4.4);
        } else {
            frame::hollow(&mut out, slot.class, x, y);
        }
        out.push_str("</g>");
        labels.retain(|label| label.class != slot.class);
        labels.push(EndLabel { class: slot.class, text: slot.name.to_string(), y });
    }
    frame::end_labels(&mut out, BAND, labels);
    frame::close(&mut out);
    out
}

/// A shade behind every other pair, and its number below.
fn pairs(out: &mut String, slots: &[Slot<'_>], across: Scale) {
    let mut start = 0;
    while start < slots.len() {
        let pair = slots[start].pair;
        let end = start + slots[start..].iter().take_while(|slot| slot.pair == pair).count();
        let (from, to) = (across.at(start as f64), across.at(end as f64));
        if pair % 2 == 1 {
            let _ = write!(
                out,
                r#"<rect class="heat-ground" x="{}" y="{}" width="{}" height="{}"/>"#,
                place(from),
                BAND.top,
                place(to - from),
                BAND.bottom - BAND.top
            );
        }
        let _ = write!(
            out,
            r#"<text class="tick mid" x="{}" y="{}">pair {pair}</text>"#,
            place((from + to) / 2.0),
            BAND.bottom + 19.0
        );
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(pair: u32, value: Option<f64>, valid: bool) -> Slot<'static> {
        Slot { class: if value.is_some() { "s1" } else { "s3" }, name: "<ours>", pair, value, valid }
    }

    #[test]
    fn an_invalid_slot_is_hollow_and_one_without_a_figure_is_marked() {
        let drawn = slots(
            &[slot(1, Some(5.0), true), slot(1, Some(4.0), false), slot(2, None, false)],
            "MB/s",
            false,
        );
        assert_eq!(drawn.matches("class=\"dot s1\"").count(), 1);
        assert_eq!(drawn.matches("class=\"hollow s1\"").count(), 1);
        assert_eq!(drawn.matches("class=\"late\"").count(), 1);
        assert!(drawn.contains("pair 2") && drawn.contains("&lt;ours&gt;"));
        assert_eq!(slots(&[slot(1, None, false)], "MB/s", false), "");
    }
}
