//! Where the time goes inside the broker, how large its flushes are and how busy its cores, as its
//! own clocks say.

use std::fmt::Write;

use super::html::{escaped, figure};
use super::spread::{Spread, latency, spreads};
use crate::report::json::{Document, Percentiles};
use crate::report::stages::{BrokerStages, StageTime};
use crate::report::units;

/// Rows on the page.
const STAGES_SHOWN_MAX: usize = 40;
/// Cores on the page.
const CORES_SHOWN_MAX: usize = 128;

/// Both sections; nothing when the broker's clocks were not seen.
pub(super) fn stages(document: &Document) -> String {
    let Some(stages) = &document.broker.stages else { return String::new() };
    format!("{}{}", times(stages), cores(stages))
}

fn times(stages: &BrokerStages) -> String {
    if stages.time_us.is_empty() {
        return String::new();
    }
    let shown = &stages.time_us[..stages.time_us.len().min(STAGES_SHOWN_MAX)];
    let rows: Vec<Spread<'_>> = shown
        .iter()
        .map(|time| Spread { class: class(time), name: name(time), figures: &time.figures })
        .collect();
    let mut cells = String::new();
    for (index, time) in shown.iter().enumerate() {
        let key = |name: &str| format!("broker.stages.time_us.{index}.{name}");
        let _ = write!(
            cells,
            "<tr><td><span class=\"key {}\"></span>{}</td><td class=\"num\">{}</td>",
            class(time),
            escaped(&name(time)),
            figure(&key("count"), time.figures.count, &units::grouped(time.figures.count))
        );
        let Percentiles { p50, p99, p999, max, .. } = time.figures;
        for (name, us) in [("p50", p50), ("p99", p99), ("p999", p999), ("max", Some(max))] {
            let shown = us.map_or_else(|| "–".to_string(), |us| figure(&key(name), us, &latency(us)));
            let _ = write!(cells, "<td class=\"num\">{shown}</td>");
        }
        cells.push_str("</tr>\n");
    }
    format!(
        "<section>\n<h2>Stages in the broker</h2>\n<p class=\"lead\">From the broker's own clocks, over {} s. A line \
         runs from the median over p99 and p99.9 to the slowest. Stages overlap and percentiles do not add up, so they \
         stand beside each other.</p>\n<figure>{}</figure>\n<details><summary>The figures</summary>\n\
         <div class=\"card\"><table>\n<thead><tr><th>stage</th><th class=\"num\">count</th><th class=\"num\">p50</th>\
         <th class=\"num\">p99</th><th class=\"num\">p99.9</th><th class=\"num\">max</th></tr></thead>\n<tbody>\n{cells}</tbody>\n\
         </table></div></details>\n{}</section>\n",
        units::significant_trimmed(stages.window_s),
        spreads(&rows, "Time in each stage"),
        flushes(stages)
    )
}

fn class(time: &StageTime) -> &'static str {
    if time.api == "produce" { "s1" } else { "s3" }
}

fn name(time: &StageTime) -> String {
    format!("{} · {}", time.api, time.stage.replace('_', " "))
}

fn flushes(stages: &BrokerStages) -> String {
    let mut facts = String::new();
    type Shown = fn(f64) -> String;
    type FlushRow<'a> = (&'a str, &'a str, &'a Option<Percentiles>, Shown);
    let rows: [FlushRow<'_>; 2] = [
        ("Bytes in a flush", "flush_bytes", &stages.flush_bytes, |bytes| units::bytes(bytes.round() as u64)),
        (
            "Acknowledgements that a flush releases",
            "acks_per_flush",
            &stages.acks_per_flush,
            units::significant_trimmed,
        ),
    ];
    for (label, key, figures, shown) in rows {
        let Some(figures) = figures else { continue };
        let key = |name: &str| format!("broker.stages.{key}.{name}");
        let percentile = |name: &str, value: Option<f64>| {
            value.map_or_else(|| "–".to_string(), |value| figure(&key(name), value, &shown(value)))
        };
        let _ = writeln!(
            facts,
            "<tr><td>{label}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{}</td></tr>",
            figure(&key("count"), figures.count, &units::grouped(figures.count)),
            percentile("p50", figures.p50),
            percentile("p99", figures.p99),
            figure(&key("max"), figures.max, &shown(figures.max)),
        );
    }
    if facts.is_empty() {
        return facts;
    }
    format!(
        "<div class=\"card\"><table>\n<thead><tr><th>each flush of the journal</th><th class=\"num\">flushes</th>\
         <th class=\"num\">p50</th><th class=\"num\">p99</th><th class=\"num\">max</th></tr></thead>\n\
         <tbody>\n{facts}</tbody>\n</table></div>\n"
    )
}

fn cores(stages: &BrokerStages) -> String {
    if stages.cores.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (index, core) in stages.cores.iter().enumerate().take(CORES_SHOWN_MAX) {
        let percent = core.busy_share * 100.0;
        let _ = writeln!(
            rows,
            "<tr><td>Core {}</td><td class=\"share\"><div class=\"meter\"><i style=\"width:{:.1}%\"></i></div></td>\
             <td class=\"num\">{}</td></tr>",
            core.core,
            percent.clamp(0.0, 100.0),
            figure(
                &format!("broker.stages.cores.{index}.busy_share"),
                core.busy_share,
                &format!("{percent:.1} %")
            )
        );
    }
    format!(
        "<section>\n<h2>CPU per core</h2>\n<p class=\"lead\">CPU time of each broker core's thread over the time that \
         passed. The rest it slept, waiting for the disk or for requests.</p>\n<div class=\"card\"><table class=\"cores\">\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}
