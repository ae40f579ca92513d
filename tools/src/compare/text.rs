//! A comparison as people read it: a table for the terminal, the same in Markdown.

use std::fmt::Write;

use super::metric;
use super::noise::NoiseEntry;
use super::stats::{Finding, PAIRS_MIN};
use super::verdict::{ComparisonDocument, Merged, Row};
use crate::report::json::Percentiles;
use crate::report::quantile::LADDER;
use crate::report::units;

const HEADS: [&str; 7] = ["", "A", "B", "B / A", "95 % interval", "noise", "verdict"];

/// The comparison for a terminal.
pub fn terminal(document: &ComparisonDocument) -> String {
    let mut out = head(document);
    let rows: Vec<[String; 7]> = document.metrics.iter().map(cells).collect();
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEADS[column].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let heads = HEADS.map(str::to_string);
    for row in std::iter::once(&heads).chain(&rows) {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Words to the left, figures to the right.
            let _ = if matches!(column, 0 | 6) {
                write!(line, "{cell:width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push_str(" * declared up front: these decide. The others are exploratory.\n\n");
    merged(&mut out, document);
    if !document.differences.is_empty() {
        out.push_str(" settings that differ\n");
        for difference in &document.differences {
            let _ = writeln!(out, "   {}: {} → {}", difference.name, difference.a, difference.b);
        }
    }
    for warning in &document.warnings {
        let _ = writeln!(out, " note: {warning}");
    }
    let _ = writeln!(out, "\nVERDICT  {}", verdict(document));
    out
}

/// A noise floor for a terminal.
pub fn noise(entry: &NoiseEntry) -> String {
    let mut out = format!(
        "{} · {} · {} runs, {} pairs of neighbours\n\
         a comparison of five pairs of equal runs stays within, 95 times of 100:\n",
        entry.workload, entry.durability, entry.runs, entry.pairs
    );
    for metric in &metric::METRICS {
        if let Some(floor) = entry.floors.get(metric.name) {
            let _ = writeln!(out, "  {:20} ±{}", metric.label, units::percent(*floor));
        }
    }
    out
}

/// The comparison for a pull request.
pub fn markdown(document: &ComparisonDocument) -> String {
    let mut out = format!("**{}**\n\n", in_markdown(&verdict(document)));
    let _ = writeln!(out, "```text\n{}```\n", head(document));
    let _ = writeln!(out, "| metric | {} |\n|---|--:|--:|--:|--:|--:|---|", HEADS[1..].join(" | "));
    for row in &document.metrics {
        let cells: Vec<String> = cells(row).iter().map(|cell| in_markdown(cell)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    if !document.differences.is_empty() {
        out.push_str("\n| setting that differs | A | B |\n|---|---|---|\n");
        for difference in &document.differences {
            let cells = [&difference.name, &difference.a, &difference.b].map(|text| in_markdown(text));
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
    for warning in &document.warnings {
        let _ = write!(out, "\n- {}", in_markdown(warning));
    }
    out
}

fn in_markdown(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('*', "\\*").replace(['\r', '\n'], " ")
}

fn head(document: &ComparisonDocument) -> String {
    let mut out = String::new();
    for (name, side) in [("A", &document.a), ("B", &document.b)] {
        let runs = side.runs.len();
        let _ = writeln!(
            out,
            "{name}  {} · {runs} run{} · {} · tool {}",
            side.path,
            if runs == 1 { "" } else { "s" },
            side.broker,
            side.tool_version
        );
    }
    let _ = writeln!(
        out,
        "{} · {} · {} · machine {}",
        pairs_words(document),
        document.workload,
        document.durability,
        document.hardware_id
    );
    let _ = writeln!(out, "noise floor: {}\n", document.noise.source);
    out
}

fn pairs_words(document: &ComparisonDocument) -> String {
    let pairs = document.pairs;
    let order = if document.interleaved {
        "interleaved"
    } else {
        "NOT interleaved: a drift of the machine counts as a difference"
    };
    format!("{pairs} pair{}, {order}", if pairs == 1 { "" } else { "s" })
}

fn cells(row: &Row) -> [String; 7] {
    let metric = metric::named(&row.metric);
    let shown = |value: f64| metric.map_or_else(|| units::significant(value), |metric| metric.shown(value));
    let comparison = &row.comparison;
    let interval = if comparison.is_enough() {
        format!("{} … {}", units::change(comparison.low), units::change(comparison.high))
    } else {
        "–".to_string()
    };
    [
        format!("{}{}", if row.primary { "* " } else { "  " }, row.label),
        shown(row.a),
        shown(row.b),
        units::change(comparison.median_ratio),
        interval,
        row.noise_floor.map_or_else(|| "?".to_string(), |floor| format!("±{}", units::percent(floor))),
        finding_words(row),
    ]
}

/// The finding, and what belongs to it.
pub fn finding_words(row: &Row) -> String {
    match (row.finding, row.smallest_seen) {
        (Finding::NoChange, Some(seen)) => {
            format!("no change found (could have seen {})", units::percent(seen))
        }
        (Finding::TooFewPairs, _) => {
            format!("no verdict: {} of {PAIRS_MIN} pairs", row.comparison.pairs)
        }
        (finding, _) => metric::named(&row.metric).map_or(finding.word(), |m| m.word(finding)).to_string(),
    }
}

/// The sentence that everything is for.
pub fn verdict(document: &ComparisonDocument) -> String {
    let mut parts: Vec<String> = Vec::new();
    for row in document.primary() {
        let comparison = &row.comparison;
        let change = units::change(comparison.median_ratio);
        parts.push(match row.finding {
            Finding::Faster | Finding::Slower => format!(
                "{} {change} [{}, {}]: {}",
                row.label,
                units::change(comparison.low),
                units::change(comparison.high),
                finding_words(row).to_uppercase()
            ),
            _ => format!("{} {change}: {}", row.label, finding_words(row)),
        });
    }
    if parts.is_empty() {
        parts.push("no verdict: neither side measured what was asked for".to_string());
    }
    parts.join(" · ")
}

/// Percentiles of all samples of a side, with how many there are.
fn merged(out: &mut String, document: &ComparisonDocument) {
    type Of = fn(&Merged) -> Option<&Percentiles>;
    let rows: [(&str, Of); 3] = [
        ("response", |m| m.response_us.as_ref()),
        ("service", |m| m.service_us.as_ref()),
        ("end2end", |m| m.end_to_end_us.as_ref()),
    ];
    let fetch: (&str, Of) = ("fetch", |m| m.fetch_us.as_ref());
    let measured = rows.iter().any(|(_, of)| of(&document.a.merged).is_some());
    let _ = write!(out, " all runs merged (ms)");
    for rung in LADDER {
        let _ = write!(out, "{:>9}", rung.label);
    }
    let _ = writeln!(out, "{:>9}{:>14}", "max", "samples");
    for (name, of) in rows.into_iter().chain((!measured).then_some(fetch)) {
        for (side, merged) in [("A", &document.a.merged), ("B", &document.b.merged)] {
            let Some(figures) = of(merged) else { continue };
            let _ = write!(out, "   {name:9} {side}       ");
            for value in figures.ladder() {
                let text = value.map_or_else(|| "-".to_string(), milliseconds);
                let _ = write!(out, "{text:>9}");
            }
            let _ = writeln!(out, "{:>9}{:>14}", milliseconds(figures.max), units::grouped(figures.count));
        }
    }
    out.push('\n');
}

fn milliseconds(us: f64) -> String {
    units::milliseconds((us * 1e3).round() as u64)
}
