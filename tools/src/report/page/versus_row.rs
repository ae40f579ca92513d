//! One row of two brokers in turns, with everything that its ratio rests on.

use std::fmt::Write;
use std::path::Path;

use hdrhistogram::Histogram;

use super::curve::{Series, percentile_curve};
use super::facts::{self, shortened};
use super::html::{escaped, figure};
use super::slots::{Slot, slots};
use super::versus::{LINE_SHOWN_MAX, LINES_SHOWN_MAX, chip, class, interval, ratio_class, side_value, times};
use super::warm::{WarmUp, windows};
use crate::report::data::{LatencySet, SamplesOf};
use crate::report::{stored, units};
use crate::versus::document::{ResultDocument, RowDocument, Side, SlotDocument};

/// The latency questions in the order in which the first with samples is drawn.
const OPERATIONS: [(&str, SamplesOf); 3] = [
    ("produce response", |set| set.produce_response.as_ref()),
    ("end to end", |set| set.end_to_end.as_ref()),
    ("fetch", |set| set.fetch.as_ref()),
];

/// One row: who, goals, figures, drawings, notes, and the command that measures it again.
pub(super) fn section(row: &RowDocument, index: usize, drawings: &str) -> String {
    let mut out = format!(
        "<section id=\"row-{index}\">\n<h2>{}</h2>\n<p class=\"lead\">{}</p>\n",
        escaped(&shortened(&row.title, LINE_SHOWN_MAX)),
        escaped(&shortened(&row.about, 4 * LINE_SHOWN_MAX))
    );
    sides(&mut out, row);
    if let Some(ceiling) = row.ceiling_mb_per_s {
        let _ = writeln!(
            out,
            "<p class=\"lead below\">On a broker that keeps nothing the generator reaches {} with this load.</p>",
            figure(
                &format!("rows.{index}.ceiling_mb_per_s"),
                ceiling,
                &format!("{} MB/s", units::significant(ceiling))
            )
        );
    }
    if let Some(why) = &row.not_measured {
        let _ = writeln!(out, "<div class=\"why bad\">Not measured: {}</div>", escaped(why));
    }
    for goal in row.goals.iter().take(LINES_SHOWN_MAX) {
        let _ = writeln!(
            out,
            "<p class=\"aim\">{}<strong>{}</strong> – {}</p>",
            chip(goal.verdict),
            escaped(&shortened(&goal.text, LINE_SHOWN_MAX)),
            escaped(&shortened(&goal.found, LINE_SHOWN_MAX))
        );
    }
    results(&mut out, row, index);
    out.push_str(drawings);
    notes(&mut out, row);
    let _ = writeln!(out, "<pre>{}</pre>\n</section>", facts::command(&row.command));
    out
}

fn sides(out: &mut String, row: &RowDocument) {
    out.push_str("<div class=\"card\"><table class=\"sides\"><tbody>\n");
    let both = [(Side::Ours, Some(&row.ours)), (Side::Theirs, row.theirs.as_ref())];
    for (side, document) in both {
        let Some(document) = document else { continue };
        let _ = writeln!(
            out,
            "<tr><td><span class=\"key {}\"></span><strong>{}</strong></td><td>{}</td><td><span class=\"goal {}\">{}</span></td>\
             <td>{}</td></tr>",
            class(side),
            escaped(&shortened(&document.broker, LINE_SHOWN_MAX)),
            escaped(&shortened(&document.mode, LINE_SHOWN_MAX)),
            if document.flushed { "good" } else { "plain" },
            if document.flushed { "on the device" } else { "not flushed" },
            escaped(&shortened(&document.meaning, LINE_SHOWN_MAX))
        );
    }
    out.push_str("</tbody></table></div>\n");
}

fn results(out: &mut String, row: &RowDocument, index: usize) {
    if row.results.is_empty() {
        return;
    }
    let free = !row.unpinned.is_empty();
    let _ = writeln!(
        out,
        "<div class=\"card\"><table>\n<thead><tr><th>figure</th><th class=\"num\">Ringlog</th><th class=\"num\">beside it</th>\
         <th class=\"num\">times better</th><th class=\"num\">95 %</th><th class=\"num\">pairs</th>{}</tr></thead>\n<tbody>",
        if free { "<th class=\"num\">nothing pinned, one run each</th>" } else { "" }
    );
    for (which, result) in row.results.iter().enumerate().take(LINES_SHOWN_MAX) {
        let key = format!("rows.{index}.results.{which}");
        let seen = &result.times_better;
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num {}\">{}</td>\
             <td class=\"num\">{}</td><td class=\"num\">{}</td>{}</tr>",
            escaped(&shortened(&result.label, LINE_SHOWN_MAX)),
            side_value(&format!("{key}.ours"), result.ours, result, None),
            side_value(&format!("{key}.theirs"), result.theirs, result, None),
            ratio_class(seen),
            times(&key, seen),
            interval(&key, seen),
            seen.pairs,
            if free { unpinned(row, index, result) } else { String::new() }
        );
    }
    out.push_str("</tbody>\n</table></div>\n");
}

fn unpinned(row: &RowDocument, index: usize, result: &ResultDocument) -> String {
    let of = |side| {
        let found = row.unpinned_value(side, &result.figure);
        let key = |slot: usize| format!("rows.{index}.unpinned.{slot}.values.{}", result.figure);
        found.map_or_else(
            || "–".to_string(),
            |(slot, value)| side_value(&key(slot), Some(value), result, None),
        )
    };
    format!("<td class=\"num\">{} · {}</td>", of(Side::Ours), of(Side::Theirs))
}

/// Slot by slot, curves of both brokers, warm-ups. Samples come from the slots' folders.
pub(super) fn drawings(row: &RowDocument, dir: &Path) -> String {
    let mut out = String::new();
    let mut figures = |drawing: String, caption: &str| {
        if !drawing.is_empty() {
            let _ = writeln!(out, "<figure>{drawing}<figcaption>{caption}</figcaption></figure>");
        }
    };
    if let Some(result) = row.results.first() {
        let latency = result.unit == "µs";
        let nanoseconds = if latency { 1e3 } else { 1.0 };
        let drawn: Vec<Slot<'_>> = row
            .slots
            .iter()
            .map(|slot| Slot {
                class: class(slot.side),
                name: name(row, slot.side),
                pair: slot.pair,
                value: slot.values.get(&result.figure).copied().flatten().map(|v| v * nanoseconds),
                valid: slot.verdict == "valid",
            })
            .collect();
        let axis = if latency { result.label.clone() } else { format!("{}, {}", result.label, result.unit) };
        figures(
            slots(&drawn, &axis, latency),
            "Slot by slot, in the order in which they ran. A hollow point is a slot that is not valid.",
        );
    }
    let samples = [Side::Ours, Side::Theirs].map(|side| Samples::of(row, side, dir));
    for (operation, of) in OPERATIONS {
        let drawn: Vec<(&Samples, Vec<&Histogram<u64>>)> =
            samples.iter().map(|side| (side, side.runs.iter().filter_map(of).collect())).collect();
        let series: Vec<Series<'_>> = drawn
            .iter()
            .filter_map(|(side, runs)| {
                let name = name(row, side.side);
                Some(Series { class: class(side.side), name, histogram: of(&side.merged)?, runs })
            })
            .collect();
        if !series.is_empty() {
            let caption = format!(
                "{operation}: all slots of a broker merged (bold), each slot (thin), and the area between them."
            );
            figures(percentile_curve(&series), &caption);
            break;
        }
    }
    let warm: Vec<WarmUp<'_>> = row
        .slots
        .iter()
        .filter_map(|slot| {
            Some(WarmUp { class: class(slot.side), name: None, facts: slot.warm_up.as_ref()? })
        })
        .collect();
    figures(windows(&warm), "Each slot's warm-up: nothing counts before two windows in a row agree.");
    let unread: Vec<&str> = samples.iter().flat_map(|side| side.unread.iter().map(String::as_str)).collect();
    if !unread.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"lead\">Not drawn, because their files could not be read: {}.</p>",
            escaped(&shortened(&unread.join(", "), LINE_SHOWN_MAX))
        );
    }
    out
}

fn name(row: &RowDocument, side: Side) -> &str {
    match side {
        Side::Ours => &row.ours.broker,
        Side::Theirs => row.theirs.as_ref().map_or("beside it", |side| &side.broker),
    }
}

/// The samples of one broker in one row.
struct Samples {
    side: Side,
    merged: LatencySet,
    runs: Vec<LatencySet>,
    unread: Vec<String>,
}

impl Samples {
    /// Slots that gave no report have no folder to read.
    fn of(row: &RowDocument, side: Side, dir: &Path) -> Self {
        let mut out = Self { side, merged: LatencySet::default(), runs: Vec::new(), unread: Vec::new() };
        let reported = |slot: &&SlotDocument| slot.side == side && slot.verdict != "failed";
        for slot in row.slots.iter().filter(reported) {
            match stored::read(&dir.join(&slot.folder)) {
                Ok(run) => {
                    out.merged.add(&run.latency);
                    out.runs.push(run.latency);
                }
                Err(_) => out.unread.push(slot.folder.clone()),
            }
        }
        out
    }
}

fn notes(out: &mut String, row: &RowDocument) {
    let mut lines: Vec<String> = Vec::new();
    for slot in row.slots.iter().chain(&row.unpinned) {
        let pair = if slot.pair == 0 { "nothing pinned".to_string() } else { format!("pair {}", slot.pair) };
        let said = |text: &str| format!("{pair}, {}: {text}", name(row, slot.side));
        lines.extend(slot.notes.iter().map(|note| said(note)));
        if slot.tries > 1 {
            lines.push(said(&format!("tried {} times", slot.tries)));
        }
        if slot.quiet.is_some_and(|quiet| !quiet.reached) {
            lines.push(said("the disk was not quiet before it"));
        }
    }
    if lines.is_empty() {
        return;
    }
    let more = lines.len().saturating_sub(LINES_SHOWN_MAX);
    out.push_str("<details open><summary>Notes of its slots</summary><ul class=\"notes\">\n");
    for line in lines.iter().take(LINES_SHOWN_MAX) {
        let _ = writeln!(out, "<li>{}</li>", escaped(&shortened(line, LINE_SHOWN_MAX)));
    }
    if more > 0 {
        let _ = writeln!(out, "<li>{more} more are in versus.json</li>");
    }
    out.push_str("</ul></details>\n");
}
