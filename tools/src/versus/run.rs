//! The order of things: read the data, say how long it takes, fetch, measure row by row, write after each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;

use super::VersusArgs;
use super::document::{self, BrokerDocument, Document, RowDocument, RuleDocument, SCHEMA_VERSION, Side};
use super::lab::{Kind, Lab, Row};
use super::peer::Peer;
use super::process::{self, Place};
use super::quiet::Watch;
use super::row::{House, Order};
use super::table;
use crate::bench::{self, quantity::Span};
use crate::cli::exit;
use crate::load::clock;
use crate::report::{calendar, machine, page};

/// The description of our own broker.
const OURS: &str = "ringlog";

/// The measured window of a slot that says nothing else, seconds.
const DURATION_S: u64 = 30;
const DURATION_QUICK_S: u64 = 10;

/// What a slot takes beside window and warm-up, for the estimate: a topic, the drain, the deletion, a quiet disk.
const OVERHEAD_S: f64 = 12.0;

/// Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; the same command with the same --out goes on with the row that was not finished")]
pub struct Interrupted;

/// Runs a comparison; returns its exit code.
///
/// # Errors
/// Whatever kept it from starting or a broker from running. Rows that were finished before are kept.
pub fn run(args: &VersusArgs) -> anyhow::Result<u8> {
    let lab = Lab::read(&args.lab).map_err(exit::Usage::because)?;
    let peers = args.lab.join("peers");
    let peer = |name: &str| Peer::read(&peers, name).map_err(exit::Usage::because);
    let (ours, theirs) = (peer(OURS)?, peer(&args.peer)?);
    let rows = lab.rows(args.full, &args.row).map_err(exit::Usage::because)?;
    let seconds = if args.full || !args.row.is_empty() { DURATION_S } else { DURATION_QUICK_S };
    let duration = args.duration.unwrap_or(Span(std::time::Duration::from_secs(seconds)));
    std::fs::create_dir_all(&args.data).with_context(|| format!("create {}", args.data.display()))?;
    bench::disk::check(&args.data, 0)?;
    let machine = machine::fingerprint(&args.data);
    let started_unix_ms = u64::try_from(clock::wall_ms()).unwrap_or(0);
    let out = args.out.clone().unwrap_or_else(|| {
        let run = calendar::run_id(started_unix_ms, &machine.hardware_id);
        PathBuf::from("perf/runs").join(format!("versus-{}-{run}", args.peer))
    });
    std::fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    let mut done = finished(&out, &rows)?;
    announce(args, &lab, &rows, &done, &theirs, duration, &out);

    let stop: Arc<AtomicBool> = bench::stop_on_signal()?;
    let place = Place {
        homes: args.data.join("peers"),
        data: args.data.join("versus"),
        logs: out.clone(),
        cores: args.broker_cores.clone(),
    };
    let homes = [(Side::Ours, ours), (Side::Theirs, theirs)].map(|(side, peer)| {
        let home = process::fetch(&peer, &place)?;
        Ok::<_, anyhow::Error>((side, (peer, home)))
    });
    let peers: BTreeMap<Side, (Peer, PathBuf)> = homes.into_iter().collect::<Result<_, _>>()?;
    let rule = &lab.rule;
    let mut house = House {
        lab: &lab,
        dir: &args.lab,
        out: &out,
        place,
        load_core: args.load_core,
        stop: &stop,
        watch: Watch::new(&args.data, rule.dirty_max.0, rule.quiet_max.0),
        peers,
        running: BTreeMap::new(),
    };
    let mut document = Document {
        schema_version: SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_string(),
        command_line: command_line(args),
        started_unix_ms,
        machine,
        broker_cores: args.broker_cores.clone(),
        load_core: args.load_core,
        rule: RuleDocument {
            window_s: rule.window.0.as_secs_f64(),
            tolerance: rule.tolerance,
            warm_max_s: rule.warm_max.0.as_secs_f64(),
            quiet_max_s: rule.quiet_max.0.as_secs_f64(),
        },
        brokers: known_brokers(&out),
        rows: Vec::new(),
    };
    for row in &rows {
        if done.contains_key(&row.name) {
            continue;
        }
        let order = Order { pairs: args.pairs, duration, command: &command(args, row, duration) };
        let measured = house.measure(row, order)?;
        document::write(&row_path(&out, row), &measured)?;
        table::print(&measured);
        done.insert(row.name.clone(), measured);
        for (_, broker) in house.running.values() {
            document.brokers.retain(|known| known.side != broker.side);
            document.brokers.push(broker.clone());
        }
        document.brokers.sort_by_key(|broker| broker.side);
        save(&mut document, &lab, &done, &out)?;
    }
    save(&mut document, &lab, &done, &out)?;
    for (running, _) in std::mem::take(&mut house.running).into_values() {
        running.end();
    }
    println!("report  {}", out.join("index.html").display());
    println!("table   {}", out.join("table.md").display());
    let failed =
        document.rows.iter().flat_map(|row| &row.slots).filter(|slot| slot.verdict == "failed").count();
    if failed > 0 {
        eprintln!("ringlog: {failed} slots gave no report; their notes in versus.json say why");
        return Ok(exit::FAILED);
    }
    Ok(0)
}

fn row_path(out: &Path, row: &Row) -> PathBuf {
    out.join(&row.name).join("row.json")
}

/// Rows that an earlier run finished in this folder.
fn finished(out: &Path, rows: &[&Row]) -> anyhow::Result<BTreeMap<String, RowDocument>> {
    let mut done = BTreeMap::new();
    for row in rows {
        if let Some(document) = document::read_row(&row_path(out, row))? {
            done.insert(row.name.clone(), document);
        }
    }
    Ok(done)
}

/// Brokers of an earlier run in this folder: a run that only continues may not need to start them.
fn known_brokers(out: &Path) -> Vec<BrokerDocument> {
    let text = std::fs::read_to_string(out.join("versus.json")).unwrap_or_default();
    serde_json::from_str::<Document>(&text).map_or_else(|_| Vec::new(), |document| document.brokers)
}

/// Writes everything that is finished, rows of earlier commands too.
fn save(
    document: &mut Document,
    lab: &Lab,
    done: &BTreeMap<String, RowDocument>,
    out: &Path,
) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for row in &lab.row {
        match done.get(&row.name) {
            Some(finished) => rows.push(finished.clone()),
            None => rows.extend(document::read_row(&row_path(out, row))?),
        }
    }
    document.rows = rows;
    document::write(&out.join("versus.json"), document)?;
    std::fs::write(out.join("index.html"), page::versus(document, out)).context("write the page")?;
    std::fs::write(out.join("table.md"), table::markdown(document)).context("write the table")
}

/// What is about to happen, and how long it will take.
fn announce(
    args: &VersusArgs,
    lab: &Lab,
    rows: &[&Row],
    done: &BTreeMap<String, RowDocument>,
    theirs: &Peer,
    duration: Span,
    out: &Path,
) {
    let left: Vec<&&Row> = rows.iter().filter(|row| !done.contains_key(&row.name)).collect();
    let seconds: f64 = left.iter().map(|row| estimate(lab, row, args.pairs, duration)).sum::<f64>()
        + theirs.warm.at_least.map_or(0.0, |span| span.0.as_secs_f64())
        + 2.0 * OVERHEAD_S;
    let name = |row: &&&Row| row.name.clone();
    eprintln!(
        "versus  {} {} · {} pairs of {duration} · into {}",
        theirs.title,
        theirs.version,
        args.pairs,
        out.display()
    );
    eprintln!("rows    {}", left.iter().map(name).collect::<Vec<_>>().join(", "));
    if !done.is_empty() {
        eprintln!("kept    {}", done.keys().cloned().collect::<Vec<_>>().join(", "));
    }
    eprintln!("time    about {}, longer where warming up or the disk takes longer", hours(seconds));
}

/// Seconds that a row takes when every warm-up ends as early as it can.
fn estimate(lab: &Lab, row: &Row, pairs: u32, duration: Span) -> f64 {
    let window = row.duration.unwrap_or(duration).0.as_secs_f64();
    let warm = if row.warm { 2.0 * lab.rule.window.0.as_secs_f64() } else { 0.0 };
    let rest = if row.kind == Kind::Footprint { 20.0 } else { 0.0 };
    2.0 * f64::from(pairs) * (window + warm + rest + OVERHEAD_S)
}

fn hours(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil() as u64;
    if minutes < 90 { format!("{minutes} minutes") } else { format!("{:.1} hours", seconds / 3600.0) }
}

/// The command that measures one row again.
fn command(args: &VersusArgs, row: &Row, duration: Span) -> String {
    let mut line = format!("ringlog bench versus {} --row {}", args.peer, row.name);
    if duration.0.as_secs() != DURATION_S {
        line.push_str(&format!(" --duration {duration}"));
    }
    if args.pairs != 5 {
        line.push_str(&format!(" --pairs {}", args.pairs));
    }
    line
}

fn command_line(args: &VersusArgs) -> String {
    let mut line = format!("ringlog bench versus {}", args.peer);
    for (given, flag) in [(args.quick, "--quick"), (args.full, "--full")] {
        if given {
            line.push_str(&format!(" {flag}"));
        }
    }
    for row in &args.row {
        line.push_str(&format!(" --row {row}"));
    }
    if let Some(duration) = args.duration {
        line.push_str(&format!(" --duration {duration}"));
    }
    line.push_str(&format!(
        " --pairs {} --broker-cores {} --load-core {}",
        args.pairs, args.broker_cores, args.load_core
    ));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_said_in_hours() {
        assert_eq!(hours(61.0), "2 minutes");
        assert_eq!(hours(7200.0), "2.0 hours");
    }
}
