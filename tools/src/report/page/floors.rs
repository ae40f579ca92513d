//! How near the run came to what the machine can do.

use std::fmt::Write;

use super::html::{escaped, figure};
use crate::report::data::{Floor, FloorUnit, Floors, FloorsSource, Share};
use crate::report::json::Document;
use crate::report::units;

/// Rows of either table on the page.
const ROWS_SHOWN_MAX: usize = 60;

/// Shares first, then the floors themselves; nothing when none were measured.
pub(super) fn floors(document: &Document) -> String {
    let Some(floors) = &document.floors else { return String::new() };
    format!(
        "<section>\n<h2>Share of the machine's limits</h2>\n<p class=\"lead\">{}</p>\n{}{}</section>\n",
        lead(floors),
        shares(&document.share_of_floor),
        table(floors)
    )
}

fn lead(floors: &Floors) -> String {
    let when = match floors.source {
        FloorsSource::AroundTheRun => "right before and right after the load, on the same disk and cores",
        FloorsSource::Alone => "by themselves",
        FloorsSource::File => "at another time and read from a file",
    };
    format!(
        "A floor is what plain system calls reach without a broker, measured {when} ({} s). Nothing durable can be \
         faster than the floor that binds it.",
        units::significant_trimmed(floors.seconds)
    )
}

fn shares(shares: &[Share]) -> String {
    if shares.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (index, share) in shares.iter().enumerate().take(ROWS_SHOWN_MAX) {
        let key = |name: &str| format!("share_of_floor.{index}.{name}");
        let percent = format!("{:.0} %", share.share * 100.0);
        let _ = writeln!(
            rows,
            "<tr{}><td><code>{}</code></td><td class=\"num\">{}</td><td>{}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{}</td><td class=\"share\"><div class=\"meter\"><i style=\"width:{:.1}%\"></i></div></td>\
             <td class=\"num\">{}</td></tr>",
            if share.binding { " class=\"set\"" } else { "" },
            escaped(&share.figure),
            figure(&key("ours"), share.ours, &shown(share.unit, share.ours)),
            escaped(&share.floor),
            figure(&key("limit"), share.limit, &shown(share.unit, share.limit)),
            figure(&key("ratio"), share.ratio, &format!("{:.2} ×", share.ratio)),
            (share.share * 100.0).clamp(0.0, 100.0),
            figure(&key("share"), share.share, &percent),
        );
    }
    format!(
        "<div class=\"card\"><table>\n<thead><tr><th>figure</th><th class=\"num\">this run</th><th>floor</th>\
         <th class=\"num\">limit</th><th class=\"num\">ratio</th><th colspan=\"2\">share reached (bold: the floor \
         that binds)</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

fn table(floors: &Floors) -> String {
    if floors.rows.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (index, floor) in floors.rows.iter().enumerate().take(ROWS_SHOWN_MAX) {
        let key = format!("floors.rows.{index}.value");
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            escaped(&floor.label),
            figure(&key, floor.value, &shown(floor.unit, floor.value)),
            passes(floor),
            p99(floor),
        );
    }
    format!(
        "<details><summary>All floors of this machine</summary>\n<div class=\"card\"><table>\n<thead><tr><th>floor</th>\
         <th class=\"num\">value</th><th class=\"num\">pass by pass</th><th class=\"num\">p99</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div></details>\n"
    )
}

/// How far the machine itself moved.
fn passes(floor: &Floor) -> String {
    let shown: Vec<String> = floor.passes.iter().take(4).map(|value| units::significant(*value)).collect();
    shown.join(" · ")
}

fn p99(floor: &Floor) -> String {
    let figure = floor.latency_us.as_ref().and_then(|figures| figures.p99);
    figure.map_or_else(String::new, super::spread::latency)
}

fn shown(unit: FloorUnit, value: f64) -> String {
    match unit {
        FloorUnit::MbPerS => format!("{} MB/s", units::significant(value)),
        FloorUnit::P50Us => super::spread::latency(value),
        FloorUnit::Ratio => format!("{} ×", units::significant(value)),
    }
}
