//! The order of things: read the data, say how long it takes, fetch, measure row by row, write after each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;

use super::VersusArgs;
use super::chain::{Chain, Lane, Peers, chains};
use super::document::{self, BrokerDocument, Document, RowDocument, RuleDocument, SCHEMA_VERSION, Side};
use super::house::House;
use super::lab::{Kind, Lab, Row};
use super::peer::Peer;
use super::process::{self, Place};
use super::quiet::Watch;
use super::table;
use crate::bench::{self, quantity::Span, workload};
use crate::cli::exit;
use crate::load::{CALIBRATION, clock};
use crate::report::{calendar, machine, page};

/// The description of our own broker.
const OURS: &str = "ringlog";

/// The measured window of a slot that says nothing else, seconds.
const DURATION_S: u64 = 30;
const DURATION_QUICK_S: u64 = 10;

/// What a slot takes beside window and warm-up, for the estimate: a topic, the drain, the deletion, a quiet disk.
const OVERHEAD_S: f64 = 4.0;

/// What floors before and after a slot add.
const FLOORS_S: f64 = 8.0;

/// What a broker of its own adds: its start, its rest, its end.
const FOOTPRINT_S: f64 = 20.0;

/// How fast a preload is written, for the estimate.
const PRELOAD_BYTES_PER_S: f64 = 400e6;

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
    let left: Vec<&Row> = rows.iter().filter(|row| !done.contains_key(&row.name)).copied().collect();
    let free = || rows.iter().filter(|row| lacks_unpinned(args, row, done.get(&row.name))).copied();
    let mut peers: Peers = [(Side::Ours, ours), (Side::Theirs, theirs)]
        .map(|(side, peer)| (side, (peer, PathBuf::new())))
        .into();
    let walks = chains(&left, &peers)?;
    let free_walks = chains(&free().collect::<Vec<_>>(), &peers)?;
    announce(args, &lab, (&walks, &free_walks), &peers, duration, &out);
    if !done.is_empty() {
        eprintln!("kept    {}", done.keys().cloned().collect::<Vec<_>>().join(", "));
    }

    let stop: Arc<AtomicBool> = bench::stop_on_signal()?;
    let place = Place {
        homes: args.data.join("peers"),
        data: args.data.join("versus"),
        logs: out.clone(),
        cores: args.broker_cores.clone(),
    };
    for (peer, home) in peers.values_mut() {
        *home = process::fetch(peer, &place)?;
    }
    let rule = &lab.rule;
    let mut house = House {
        lab: &lab,
        dir: &args.lab,
        out: &out,
        place,
        load_core: args.generator_core(),
        stop: &stop,
        watch: Watch::new(&args.data, rule.dirty_max.0, rule.quiet_max.0),
        peers,
        running: BTreeMap::new(),
        warm_for: BTreeMap::new(),
        ceilings: BTreeMap::new(),
    };
    let mut document = Document {
        schema_version: SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_string(),
        command_line: command_line(args),
        started_unix_ms,
        machine,
        broker_cores: args.broker_cores.clone(),
        load_core: args.generator_core(),
        rule: RuleDocument {
            window_s: rule.window.0.as_secs_f64(),
            tolerance: rule.tolerance,
            warm_max_s: rule.warm_max.0.as_secs_f64(),
            quiet_max_s: rule.quiet_max.0.as_secs_f64(),
        },
        brokers: known_brokers(&out),
        rows: Vec::new(),
    };
    for walk in &walks {
        let measured = house.measure(walk, args.pairs, duration, |row| command(args, row, duration))?;
        for row in measured {
            document::write(&row_path(&out, &row.name), &row)?;
            table::print(&row);
            done.insert(row.name.clone(), row);
        }
        for (_, broker) in house.running.values() {
            document.brokers.retain(|known| known.side != broker.side);
            document.brokers.push(broker.clone());
        }
        document.brokers.sort_by_key(|broker| broker.side);
        save(&mut document, &lab, &done, &out)?;
    }
    if free_walks.iter().any(|walk| walk.len() > 0) {
        eprintln!("unpin   one run of each side, the broker on every CPU");
        house.unpin();
    }
    for walk in free_walks.iter().filter(|walk| walk.len() > 0) {
        let measured = house.one_each(walk, duration)?;
        for (link, slots) in walk.links.iter().zip(measured) {
            let finished = done.get_mut(&link.row.name).expect("every row is done");
            finished.unpinned = slots;
            document::write(&row_path(&out, &link.row.name), finished)?;
            table::print_unpinned(finished);
        }
        save(&mut document, &lab, &done, &out)?;
    }
    save(&mut document, &lab, &done, &out)?;
    house.end();
    println!("report  {}", out.join("index.html").display());
    println!("table   {}", out.join("table.md").display());
    let failed = document
        .rows
        .iter()
        .flat_map(|row| row.slots.iter().chain(&row.unpinned))
        .filter(|slot| slot.verdict == "failed")
        .count();
    if failed > 0 {
        eprintln!("ringlog: {failed} slots gave no report; their notes in versus.json say why");
        return Ok(exit::FAILED);
    }
    Ok(0)
}

fn row_path(out: &Path, row: &str) -> PathBuf {
    out.join(row).join("row.json")
}

/// Whether a row's run without pinning is still to come: of every row with --unpinned, of rows with a goal with --full.
/// `done` is `None` while its pairs are to come.
fn lacks_unpinned(args: &VersusArgs, row: &Row, done: Option<&RowDocument>) -> bool {
    let asked = args.unpinned || (args.full && !row.goal.is_empty());
    asked && done.is_none_or(|row| row.unpinned.is_empty() && row.theirs.is_some())
}

/// Rows that an earlier run finished in this folder.
fn finished(out: &Path, rows: &[&Row]) -> anyhow::Result<BTreeMap<String, RowDocument>> {
    let mut done = BTreeMap::new();
    for row in rows {
        if let Some(document) = document::read_row(&row_path(out, &row.name))? {
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
            None => rows.extend(document::read_row(&row_path(out, &row.name))?),
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
    (walks, free): (&[Chain<'_>], &[Chain<'_>]),
    peers: &Peers,
    duration: Span,
    out: &Path,
) {
    let theirs = &peers[&Side::Theirs].0;
    let workloads = args.lab.join("workloads");
    let of = |walks: &[Chain<'_>], pairs: u32| {
        let lanes = || walks.iter().flat_map(|walk| walk.walk(1));
        let beside = lanes().any(|lane| lane.broker == Side::Theirs && lane.row.kind == Kind::Load);
        let warm = theirs.warm.at_least.filter(|_| beside).map_or(0.0, |span| span.0.as_secs_f64());
        let slots = lanes().map(|lane| lane_s(lab, lane, pairs, &workloads, duration));
        warm + slots.sum::<f64>()
    };
    let seconds = of(walks, args.pairs) + of(free, 1);
    let names = |walk: &Chain<'_>| {
        walk.links.iter().map(|link| link.row.name.as_str()).collect::<Vec<_>>().join(" + ")
    };
    eprintln!(
        "versus  {} {} · {} pairs of {duration} · into {}",
        theirs.title,
        theirs.version,
        args.pairs,
        out.display()
    );
    eprintln!("rows    {}", walks.iter().map(names).collect::<Vec<_>>().join(", "));
    eprintln!("time    about {}, longer where warming up or the disk takes longer", hours(seconds));
}

/// Seconds that the slots of a lane take when their warm-ups end as early as they can: after two windows in the first,
/// after one in those that are held against it.
fn lane_s(lab: &Lab, lane: &Lane<'_>, slots: u32, workloads: &Path, duration: Span) -> f64 {
    let row = lane.row;
    let window = row.duration.unwrap_or(duration).0.as_secs_f64();
    let warm = if row.warm { lab.rule.window.0.as_secs_f64() } else { 0.0 };
    let rest = if row.kind == Kind::Footprint { FOOTPRINT_S } else { 0.0 };
    let floors = if lane.document.flags.iter().any(|flag| flag == "--floors") { FLOORS_S } else { 0.0 };
    // What is written or found out first; a file that cannot be read says so when its row begins.
    let workload = workloads.join(format!("{}.toml", lane.document.workload));
    let before = workload::read(&workload).map_or(0.0, |knobs| {
        let preload = knobs.preload.map_or(0.0, |bytes| bytes.0 as f64 / PRELOAD_BYTES_PER_S);
        preload + knobs.rate_of_max.map_or(0.0, |_| CALIBRATION.as_secs_f64())
    });
    f64::from(slots) * (window + warm + rest + floors + before + OVERHEAD_S) + warm
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
    if args.unpinned {
        line.push_str(" --unpinned");
    }
    if args.pairs != 5 {
        line.push_str(&format!(" --pairs {}", args.pairs));
    }
    if (args.broker_cores.as_str(), args.generator_core()) != ("0", Some(1)) {
        line.push_str(&place(args));
    }
    line
}

/// Whose CPUs are whose.
fn place(args: &VersusArgs) -> String {
    let load = args.generator_core().map_or("--load-free".to_string(), |cpu| format!("--load-core {cpu}"));
    format!(" --broker-cores {} {load}", args.broker_cores)
}

fn command_line(args: &VersusArgs) -> String {
    let mut line = format!("ringlog bench versus {}", args.peer);
    for (given, flag) in [(args.quick, "--quick"), (args.full, "--full")] {
        if given {
            line.push_str(&format!(" {flag}"));
        }
    }
    if args.unpinned {
        line.push_str(" --unpinned");
    }
    for row in &args.row {
        line.push_str(&format!(" --row {row}"));
    }
    if let Some(duration) = args.duration {
        line.push_str(&format!(" --duration {duration}"));
    }
    line.push_str(&format!(" --pairs {}{}", args.pairs, place(args)));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_counts_warm_ups_preloads_and_maxima_that_are_found_first() {
        let perf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf");
        let lab = Lab::read(&perf).expect("the lab of this repository");
        let peer = |name: &str| (Peer::read(&perf.join("peers"), name).expect("a peer"), PathBuf::new());
        let peers: Peers = [(Side::Ours, peer("ringlog")), (Side::Theirs, peer("kafka"))].into();
        let seconds = |name: &str, slots: u32| {
            let rows = lab.rows(false, &[name.to_string()]).expect(name);
            let walks = chains(&rows, &peers).expect("a walk");
            let lane = *walks[0].walk(1).iter().find(|lane| lane.side == Side::Ours).expect("ours");
            lane_s(&lab, lane, slots, &perf.join("workloads"), Span(std::time::Duration::from_secs(30)))
        };
        let (first, window) = (lab.rule.window.0.as_secs_f64(), 30.0 + lab.rule.window.0.as_secs_f64());
        let plain = window + OVERHEAD_S;
        assert_eq!(
            seconds("saturated-16k", 1),
            plain + first,
            "the first slot has nothing to be held against"
        );
        assert_eq!(seconds("saturated-16k", 5), 5.0 * plain + first);
        assert_eq!(seconds("flat-tail", 1), plain + first + FLOORS_S + CALIBRATION.as_secs_f64());
        assert!(seconds("fetch-cold", 1) > plain + first + FLOORS_S + 15.0, "8 GiB are written before");
        assert!(seconds("first-touch", 1) < 15.0, "its own duration, and no warm-up");
    }

    #[test]
    fn a_row_lacks_its_run_without_pinning_until_it_has_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let document = crate::versus::sample::write(dir.path(), |position, _| {
            let mut report = crate::report::sample::run(7);
            report.run_id = format!("run-{position}");
            report
        })
        .expect("written");
        let [mut row, skipped] = [0, 1].map(|index| document.rows[index].clone());
        let args = |line: &str| {
            let line = ["ringlog", "bench", "versus", "kafka"].into_iter().chain(line.split(' '));
            let Some(crate::cli::Command::Bench(bench)) = clap::Parser::try_parse_from(line)
                .map(|cli: crate::cli::Cli| cli.command)
                .expect("it parses")
            else {
                panic!("it is a bench")
            };
            let Some(bench::Question::Versus(args)) = bench.question else { panic!("it is a versus") };
            args
        };
        let lab = Lab::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf")).expect("the lab");
        let named = |name: &str| lab.row.iter().find(|row| row.name == name).expect("a row");
        let (judged, unjudged) = (named("saturated-16k"), named("saturated-16k-flushed"));
        assert!(!lacks_unpinned(&args("--full"), judged, Some(&row)), "it is there");
        row.unpinned.clear();
        assert!(lacks_unpinned(&args("--full"), judged, Some(&row)));
        assert!(!lacks_unpinned(&args("--full"), unjudged, Some(&row)), "no goal asks for it");
        assert!(lacks_unpinned(&args("--row x --unpinned"), unjudged, Some(&row)));
        assert!(!lacks_unpinned(&args("--quick"), judged, Some(&row)), "nobody asked for it");
        assert!(
            !lacks_unpinned(&args("--full"), judged, Some(&skipped)),
            "there is nothing to run it beside"
        );
    }

    #[test]
    fn long_runs_are_said_in_hours() {
        assert_eq!(hours(61.0), "2 minutes");
        assert_eq!(hours(7200.0), "2.0 hours");
    }
}
