//! The page of two brokers in turns: the table of ratios first, then each row with what it rests on.

use std::fmt::Write;
use std::path::Path;

use super::facts::{self, shortened};
use super::forest::{Ratio, Shown, forest};
use super::html::{escaped, figure};
use super::{PAGE_BYTES_MAX, shell, versus_row};
use crate::compare::stats::{Better, Comparison};
use crate::report::{calendar, units};
use crate::versus::document::{Document, GoalVerdict, ResultDocument, RowDocument, Side, SideDocument};

/// Rows on the page.
const ROWS_SHOWN_MAX: usize = 60;
/// Lines of notes, results and goals of one row.
pub(super) const LINES_SHOWN_MAX: usize = 24;
/// Characters of one of them.
pub(super) const LINE_SHOWN_MAX: usize = 400;
/// Beyond this much page, rows have words only: a row's drawings are far below the rest of the bound.
const DRAWN_BYTES_MAX: usize = PAGE_BYTES_MAX / 2;
/// Beyond this much, rows are left to `versus.json`.
const ROWS_BYTES_MAX: usize = PAGE_BYTES_MAX * 3 / 4;

/// The whole page. Samples come from the slots' folders below `dir`; one that cannot be read is named.
pub(super) fn page(document: &Document, dir: &Path) -> String {
    let mut sections = vec![header(document), overview(document)];
    let mut bytes = 0;
    let mut shown = 0;
    for (index, row) in document.rows.iter().enumerate().take(ROWS_SHOWN_MAX) {
        if bytes > ROWS_BYTES_MAX {
            break;
        }
        let drawings = if bytes < DRAWN_BYTES_MAX {
            versus_row::drawings(row, dir)
        } else {
            "<p class=\"lead\">Its drawings do not fit on this page; the raw files are in the folders of its slots.</p>"
                .to_string()
        };
        let section = versus_row::section(row, index, &drawings);
        bytes += section.len();
        shown += 1;
        sections.push(section);
    }
    if shown < document.rows.len() {
        let more = document.rows.len() - shown;
        sections.push(format!(
            "<p class=\"lead\">{more} more rows do not fit here; they are in versus.json.</p>\n"
        ));
    }
    sections.push(brokers(document));
    sections.push(facts::machine_table(&document.machine));
    sections.push(format!(
        "<section>\n<h2>Run it again</h2>\n<pre>{}</pre>\n</section>\n",
        facts::command(&document.command_line)
    ));
    sections.push(method(document));
    sections.push(format!(
        "<footer>ringlog {} · schema {}</footer>\n",
        escaped(&document.tool_version),
        document.schema_version
    ));
    shell::html(&format!("{} · ringlog versus", names(document)), &sections)
}

fn names(document: &Document) -> String {
    let names: Vec<String> =
        document.brokers.iter().map(|broker| format!("{} {}", broker.title, broker.version)).collect();
    shortened(&names.join(" and "), LINE_SHOWN_MAX)
}

pub(super) fn class(side: Side) -> &'static str {
    match side {
        Side::Ours => "s1",
        Side::Theirs => "s3",
    }
}

fn header(document: &Document) -> String {
    let goals = || document.rows.iter().flat_map(|row| &row.goals);
    let count = |verdict: GoalVerdict| goals().filter(|goal| goal.verdict == verdict).count();
    let (reached, missed) = (count(GoalVerdict::Reached), count(GoalVerdict::Missed));
    let badge = if missed > 0 { "bad" } else { "good" };
    let badge = match goals().count() {
        0 => String::new(),
        all => format!("<span class=\"badge {badge}\">{reached} of {all} goals reached</span>"),
    };
    format!(
        "<header>\n<div>\n<p class=\"over\">Ringlog versus</p>\n<h1>{}</h1>\n<p class=\"sub\">{} · in turns A B B A on the \
         same cores: broker on {}, generator {} · the idle broker is stopped · machine <code>{}</code></p>\n</div>\n\
         <div>{badge}</div>\n</header>\n",
        escaped(&names(document)),
        calendar::utc(document.started_unix_ms),
        escaped(&document.broker_cores),
        document.load_core.map_or("wherever it was put".to_string(), |cpu| format!("on {cpu}")),
        escaped(&document.machine.hardware_id)
    )
}

pub(super) fn ratio_class(comparison: &Comparison) -> &'static str {
    if !comparison.is_enough() {
        "plain"
    } else if comparison.low > 1.0 {
        "good"
    } else if comparison.high < 1.0 {
        "bad"
    } else {
        "plain"
    }
}

fn ratio_pairs(row: &RowDocument, result: &ResultDocument) -> Vec<f64> {
    let value = |pair: u32, side: Side| {
        let slot = row.slots.iter().find(|slot| slot.pair == pair && slot.side == side)?;
        slot.values.get(&result.figure).copied().flatten()
    };
    let last = row.slots.iter().map(|slot| slot.pair).max().unwrap_or(0);
    (1..=last.min(1_000))
        .filter_map(|pair| {
            let (ours, theirs) = (value(pair, Side::Ours)?, value(pair, Side::Theirs)?);
            Some(if result.better == Better::Higher { ours / theirs } else { theirs / ours })
        })
        .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        .collect()
}

fn overview(document: &Document) -> String {
    let mut drawn = Vec::new();
    let mut cells = String::new();
    for (index, row) in document.rows.iter().enumerate().take(ROWS_SHOWN_MAX) {
        let name = format!(
            "<a href=\"#row-{index}\">{}</a><small>{}</small>",
            escaped(&shortened(&row.title, LINE_SHOWN_MAX)),
            row.results.first().map(|result| escaped(&result.label)).unwrap_or_default()
        );
        let goals: String = row.goals.iter().take(LINES_SHOWN_MAX).map(|goal| chip(goal.verdict)).collect();
        let Some(result) = row.results.first() else {
            let why = row.not_measured.as_deref().unwrap_or("no slots");
            let _ = writeln!(
                cells,
                "<tr><td class=\"op flat\">{name}</td><td colspan=\"4\" class=\"none\">{}</td><td>{goals}</td></tr>",
                escaped(&shortened(why, LINE_SHOWN_MAX))
            );
            continue;
        };
        let seen = &result.times_better;
        if seen.pairs > 0 {
            drawn.push(Ratio {
                class: ratio_class(seen),
                name: shortened(&row.name, 30),
                comparison: *seen,
                pairs: ratio_pairs(row, result),
                noise: None,
                primary: false,
            });
        }
        let key = format!("rows.{index}.results.0");
        let _ = writeln!(
            cells,
            "<tr><td class=\"op flat\">{name}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <td class=\"num {}\"><strong>{}</strong></td><td class=\"num\">{}</td><td>{goals}</td></tr>",
            side_value(&format!("{key}.ours"), result.ours, result, Some(&row.ours)),
            side_value(&format!("{key}.theirs"), result.theirs, result, row.theirs.as_ref()),
            ratio_class(seen),
            times(&key, seen),
            interval(&key, seen),
        );
    }
    format!(
        "<section>\n<h2>How many times better</h2>\n<p class=\"lead\">Each row's first figure: the median ratio over its \
         pairs and its 95 % interval, so that ×2 is twice the throughput or half the latency. A row's name leads to what \
         it rests on.</p>\n<figure>{}</figure>\n<div class=\"card\"><table>\n<thead><tr><th>row</th>\
         <th class=\"num\">Ringlog</th><th class=\"num\">beside it</th><th class=\"num\">times better</th>\
         <th class=\"num\">95 %</th><th>goal</th></tr></thead>\n<tbody>\n{cells}</tbody>\n</table></div>\n</section>\n",
        forest(&drawn, "times better", Shown::Factor)
    )
}

pub(super) fn chip(verdict: GoalVerdict) -> String {
    let class = match verdict {
        GoalVerdict::Reached => "good",
        GoalVerdict::Missed => "bad",
        GoalVerdict::NotMeasured => "plain",
    };
    format!("<span class=\"goal {class}\">{}</span> ", verdict.word())
}

pub(super) fn side_value(
    key: &str,
    value: Option<f64>,
    result: &ResultDocument,
    side: Option<&SideDocument>,
) -> String {
    let Some(value) = value else { return "–".to_string() };
    let mode = side.map_or_else(String::new, |side| format!("<small>{}</small>", escaped(&side.mode)));
    format!("{}{mode}", figure(key, value, &with_unit(value, &result.unit)))
}

/// Microseconds take the unit that fits; everything else keeps its own.
fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "µs" | "us" => super::spread::latency(value),
        "ms" => super::spread::latency(value * 1e3),
        "bytes" => units::bytes(value.max(0.0).round() as u64),
        _ if value.abs() >= 1e4 => format!("{} {unit}", units::grouped(value.round() as u64)),
        _ => format!("{} {unit}", units::significant(value)),
    }
}

pub(super) fn times(key: &str, seen: &Comparison) -> String {
    if seen.pairs == 0 {
        return "–".to_string();
    }
    let shown = format!("×{}", units::significant(seen.median_ratio));
    figure(&format!("{key}.times_better.median_ratio"), seen.median_ratio, &shown)
}

pub(super) fn interval(key: &str, seen: &Comparison) -> String {
    if !seen.is_enough() {
        return format!("{} pairs", seen.pairs);
    }
    let end = |name: &str, value: f64| {
        figure(&format!("{key}.times_better.{name}"), value, &format!("×{}", units::significant(value)))
    };
    format!("{} … {}", end("low", seen.low), end("high", seen.high))
}

fn brokers(document: &Document) -> String {
    let mut rows = String::new();
    for (index, broker) in document.brokers.iter().enumerate().take(4) {
        let runs: Vec<String> =
            broker.warm_runs_mb_per_s.iter().take(12).map(|mb| units::significant(*mb)).collect();
        let _ = writeln!(
            rows,
            "<tr><td><span class=\"key {}\"></span><strong>{} {}</strong></td><td>{}</td><td class=\"num\">{}</td>\
             <td>{} MB/s in {} s, {}</td></tr><tr><td></td><td colspan=\"3\"><code>{}</code></td></tr>",
            class(broker.side),
            escaped(&shortened(&broker.title, LINE_SHOWN_MAX)),
            escaped(&shortened(&broker.version, LINE_SHOWN_MAX)),
            escaped(&shortened(&broker.about, 2 * LINE_SHOWN_MAX)),
            figure(
                &format!("brokers.{index}.ready_ms"),
                broker.ready_ms,
                &super::spread::latency(broker.ready_ms * 1e3)
            ),
            runs.join(", "),
            units::significant(broker.warm_s),
            if broker.warm_agreed { "the last two agree" } else { "the last two do not agree" },
            escaped(&shortened(&broker.command.join(" "), 4 * LINE_SHOWN_MAX))
        );
    }
    format!(
        "<section>\n<h2>Brokers</h2>\n<div class=\"card\"><table>\n<thead><tr><th>broker</th><th>about</th>\
         <th class=\"num\">ready after</th><th>warm runs before any slot</th></tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table></div>\n</section>\n"
    )
}

fn method(document: &Document) -> String {
    let rule = &document.rule;
    let mut entries = vec![
        ("In turns", "A B B A: both brokers stay alive, the one that is not under load is stopped with SIGSTOP and has no clients. Both get the same cores, the same generator and the same disk.".to_string()),
        ("Warm", format!("A slot counts only after two windows of {} s agree within {}, for at most {} s, and every partition has taken a record. The drawing shows those windows too.", units::significant_trimmed(rule.window_s), units::percent(rule.tolerance), units::significant_trimmed(rule.warm_max_s))),
        ("Between slots", format!("The topic is deleted, its broker runs on until the space is back, then it is stopped, the file system synced and the disk waited for: at most {} s altogether.", units::significant_trimmed(rule.quiet_max_s))),
        ("Times better", "A pair is one sample. Of each pair the ratio is taken; the table shows the median and a 95 % bootstrap interval over pairs. With fewer than five pairs there is no interval and no verdict.".to_string()),
        ("Durability", "Each side says whether an acknowledged record lies on the device. A figure of a broker that does not flush is a figure of its memory.".to_string()),
        ("Percentiles", "All slots of a broker merged into one histogram from their .hlog files, never averaged; response time counts from the planned send.".to_string()),
    ];
    if document.rows.iter().any(|row| !row.unpinned.is_empty()) {
        let text = "One run of each side after all pairs: brokers are started again with every CPU, the generator has none of its own, so all of them share. It decides nothing; it shows whether pinning does.";
        entries.push(("Nothing pinned", text.to_string()));
    }
    facts::explained("How it was measured", &entries)
}
