//! One row: its slots in the order A B B A, and what came of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::bail;
use serde_json::Value;

use super::document::{BrokerDocument, RowDocument, Side, SideDocument, SlotDocument};
use super::lab::{Kind, Lab, Row};
use super::peer::{Mode, Peer};
use super::process::{Place, Running};
use super::quiet::{Quiet, Watch};
use super::slot::Load;
use super::{figures, footprint};
use crate::bench::quantity::Span;
use crate::cli::exit::Precondition;
use crate::load::clock;
use crate::report::data::{GENERATOR_SHARE_MAX, WarmUpFacts};

/// A slot that gives no report is tried this often.
const TRIES_MAX: u32 = 2;

/// Left free beside what a slot may write.
const RESERVE: u64 = 6 << 30;

/// A slot that may not write this much is not worth running.
const BYTES_MIN: u64 = 1 << 30;

/// The workload that warms a broker which asks for it, in pieces of this length.
const WARM_WORKLOAD: &str = "durable-16p";
const WARM_PIECE: std::time::Duration = std::time::Duration::from_secs(15);

/// Bytes that such a piece may write.
const WARM_BYTES: u64 = 8 << 30;

/// Everything that the rows of one run share.
#[derive(Debug)]
pub(super) struct House<'a> {
    pub(super) lab: &'a Lab,
    /// Folder of `versus.toml`.
    pub(super) dir: &'a Path,
    pub(super) out: &'a Path,
    pub(super) place: Place,
    /// `None`: wherever it is put.
    pub(super) load_core: Option<usize>,
    pub(super) stop: &'a AtomicBool,
    pub(super) watch: Watch,
    /// Description and packages of each side.
    pub(super) peers: BTreeMap<Side, (Peer, PathBuf)>,
    /// Those that run.
    pub(super) running: BTreeMap<Side, (Running, BrokerDocument)>,
}

/// How a row is measured now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) pairs: u32,
    pub(super) duration: Span,
    /// The command that measures it again.
    pub(super) command: &'a str,
}

/// One of the two loads of a row.
#[derive(Debug)]
struct Lane {
    side: Side,
    /// Whose broker it goes to.
    broker: Side,
    document: SideDocument,
}

impl House<'_> {
    /// Measures a row.
    pub(super) fn measure(&mut self, row: &Row, order: Order<'_>) -> anyhow::Result<RowDocument> {
        let began = Instant::now();
        let started_unix_ms = u64::try_from(clock::wall_ms()).unwrap_or(0);
        let duration = row.duration.unwrap_or(order.duration);
        let (ours, theirs) = self.lanes(row);
        let ours = ours?;
        let mut slots = Vec::new();
        let ceiling = self.ceiling(row, &ours, duration)?;
        let mut not_measured = None;
        let (ours_document, theirs_document) = match theirs {
            Ok(theirs) => {
                for pair in 1..=order.pairs {
                    // A B, B A, A B …: a machine that drifts in one direction treats both alike.
                    let both = if pair % 2 == 1 { [&ours, &theirs] } else { [&theirs, &ours] };
                    for lane in both {
                        slots.push(self.slot(row, lane, (pair, ceiling), duration)?);
                    }
                }
                (ours.document, Some(theirs.document))
            }
            Err(reason) => {
                not_measured = Some(reason);
                (ours.document, None)
            }
        };
        let results =
            if slots.is_empty() { Vec::new() } else { figures::results(self.lab, &row.figures, &slots) };
        let judged = row.beside.is_some() || self.peers[&Side::Theirs].0.name == self.lab.rule.goals_against;
        let goals = row.goal.iter().filter(|_| judged);
        let judge = |goal| figures::judge(goal, &results, slots.len(), not_measured.as_deref());
        Ok(RowDocument {
            name: row.name.clone(),
            title: row.title.clone(),
            about: row.about.clone(),
            command: order.command.to_string(),
            ours: ours_document,
            theirs: theirs_document,
            goals: goals.map(judge).collect(),
            not_measured,
            started_unix_ms,
            seconds: began.elapsed().as_secs_f64(),
            duration_s: duration.0.as_secs_f64(),
            ceiling_mb_per_s: ceiling,
            slots,
            unpinned: Vec::new(),
            results,
        })
    }

    /// Ends every broker; from now on they have all CPUs and the generator has no CPU of its own.
    pub(super) fn unpin(&mut self) {
        self.end();
        self.place.cores = crate::bench::all_cpus();
        self.load_core = None;
    }

    /// Ends every broker.
    pub(super) fn end(&mut self) {
        for (running, _) in std::mem::take(&mut self.running).into_values() {
            running.end();
        }
    }

    /// One slot of each side, ours first.
    pub(super) fn one_each(&mut self, row: &Row, duration: Span) -> anyhow::Result<Vec<SlotDocument>> {
        let duration = row.duration.unwrap_or(duration);
        let (ours, theirs) = self.lanes(row);
        let lanes = [ours?, theirs.map_err(anyhow::Error::msg)?];
        lanes.iter().map(|lane| self.slot(row, lane, (0, None), duration)).collect()
    }

    /// What the generator reaches with our load of this row on a broker that keeps nothing, while ours are stopped. `None`
    /// where that is no question, or is what the row is about.
    fn ceiling(&mut self, row: &Row, ours: &Lane, duration: Span) -> anyhow::Result<Option<f64>> {
        let about_it = row.ours_flags.iter().any(|flag| flag == "--share-of-limit");
        if !row.warm || row.kind != Kind::Load || about_it {
            return Ok(None);
        }
        self.watch.await_space();
        self.rest(None);
        let nobody = Target { address: "127.0.0.1:0", pid: 0 };
        self.load_of(row, ours, nobody, duration, self.lab.rule.slot_bytes.0).ceiling().map(Some)
    }

    /// Our load, and theirs or why there is none.
    fn lanes(&self, row: &Row) -> (anyhow::Result<Lane>, Result<Lane, String>) {
        let lane = |side, broker, word: &str, workload: &str, flags: &[String]| {
            let (peer, _) = &self.peers[&broker];
            match peer.mode(word) {
                Some(mode) => Ok(Lane { side, broker, document: side_document(peer, mode, workload, flags) }),
                None => Err(format!("{} {} offers no {word} mode", peer.title, peer.version)),
            }
        };
        let flags = [&row.flags[..], &row.ours_flags].concat();
        let ours = lane(Side::Ours, Side::Ours, &row.ours, &row.workload, &flags);
        let theirs = match (&row.beside, &row.theirs) {
            (Some(beside), _) => {
                let workload = beside.workload.as_ref().unwrap_or(&row.workload);
                lane(Side::Theirs, Side::Ours, &beside.mode, workload, &beside.flags)
            }
            (None, Some(word)) => lane(Side::Theirs, Side::Theirs, word, &row.workload, &row.flags),
            (None, None) => Err("the row names no other side".to_string()),
        };
        (ours.map_err(anyhow::Error::msg), theirs)
    }

    /// One slot; `ceiling` is the generator's own, if it is known.
    fn slot(
        &mut self,
        row: &Row,
        lane: &Lane,
        (pair, ceiling): (u32, Option<f64>),
        duration: Span,
    ) -> anyhow::Result<SlotDocument> {
        let name = if pair == 0 { "unpinned".to_string() } else { format!("{pair:02}") };
        let folder = format!("{}/{name}-{}", row.name, lane.side.word());
        let out = self.out.join(&folder);
        eprintln!("slot    {folder}: {} {}", lane.document.broker, lane.document.mode);
        let mut tries = 0;
        let (report, quiet, bytes) = loop {
            tries += 1;
            // What ran last deletes its topic: it is not stopped before its space is back.
            let waited = self.watch.await_space();
            match row.kind {
                Kind::Load => self.turn_to(lane.broker)?,
                // Its broker is one of its own.
                Kind::Footprint => self.rest(None),
            }
            let quiet = self.watch.wait(waited);
            let bytes = self.lab.rule.slot_bytes.0.min(self.watch.free().saturating_sub(RESERVE));
            if bytes < BYTES_MIN {
                bail!(Precondition::new(format!(
                    "the disk has {:.1} GiB free, too little for a slot; make room or name another disk with --data",
                    quiet.free_bytes as f64 / (1u64 << 30) as f64
                )));
            }
            let report = self.load(row, lane, duration, bytes, &out);
            self.go_on()?;
            match report {
                Ok(report) => break (Ok(report), quiet, bytes),
                Err(e) if tries == TRIES_MAX => break (Err(e), quiet, bytes),
                Err(e) => {
                    eprintln!("note    {folder}: {e:#}; trying again");
                    // A broker that does not answer any more gives way to a new one.
                    if self.running.get_mut(&lane.broker).is_some_and(|(running, _)| running.wake().is_err())
                    {
                        self.running.remove(&lane.broker);
                    }
                }
            }
        };
        let bound = report.as_ref().ok().and_then(|report| generator_bound(report, ceiling?));
        let mut document = self.slot_document(row, lane.side, pair, folder, tries, report, quiet, bytes);
        document.notes.extend(bound);
        Ok(document)
    }

    fn load(&self, row: &Row, lane: &Lane, duration: Span, bytes: u64, out: &Path) -> anyhow::Result<Value> {
        let load = |running: &Running| {
            let target = Target { address: &running.address, pid: running.pid() };
            self.load_of(row, lane, target, duration, bytes)
        };
        match row.kind {
            Kind::Load => load(&self.running[&lane.broker].0).run(out, self.stop),
            Kind::Footprint => {
                let (peer, home) = &self.peers[&lane.broker];
                footprint::run((peer, home), &self.place, load, out, self.stop)
            }
        }
    }

    fn load_of<'b>(
        &'b self,
        row: &Row,
        lane: &'b Lane,
        target: Target<'_>,
        duration: Span,
        bytes: u64,
    ) -> Load<'b> {
        Load {
            workload: self.workload(&lane.document.workload),
            flags: &lane.document.flags,
            topic: lane.document.topic.clone().into_iter().collect(),
            duration: duration.0,
            warm: row.warm.then_some(&self.lab.rule),
            bytes,
            address: target.address.to_string(),
            pid: target.pid,
            name: lane.document.broker.clone(),
            flushes: lane.broker == Side::Ours && lane.document.flushed,
            core: self.load_core,
            data: &self.place.data,
            broker_cores: &self.place.cores,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one slot, each of another origin")]
    fn slot_document(
        &self,
        row: &Row,
        side: Side,
        pair: u32,
        folder: String,
        tries: u32,
        report: anyhow::Result<Value>,
        quiet: Quiet,
        bytes_max: u64,
    ) -> SlotDocument {
        let mut notes = Vec::new();
        if !quiet.reached {
            notes.push(format!("the disk was not quiet after {:.0} s", quiet.seconds));
        }
        let (mut verdict, mut warm_up, mut values) = ("failed".to_string(), None, BTreeMap::new());
        match report {
            Err(e) => notes.push(format!("{e:#}")),
            Ok(report) => {
                verdict = report["verdict"].as_str().unwrap_or("failed").to_string();
                let reasons = report["validity"]["reasons"].as_array().into_iter().flatten();
                notes.extend(reasons.filter_map(Value::as_str).map(str::to_string));
                warm_up = serde_json::from_value::<WarmUpFacts>(report["warm_up"].clone()).ok();
                if let Some(warm_up) =
                    warm_up.as_ref().filter(|w| w.end != crate::load::warm::WarmEnd::Agreed)
                {
                    notes.push(format!(
                        "no two windows of its warm-up agreed within {} %; {} partitions had no record",
                        self.lab.rule.tolerance * 100.0,
                        warm_up.untouched
                    ));
                }
                values = figures::values(self.lab, &row.figures, &report);
            }
        }
        SlotDocument {
            pair,
            side,
            folder,
            tries,
            verdict,
            notes,
            warm_up,
            quiet: Some(quiet),
            bytes_max,
            values,
        }
    }

    /// Lets one broker run and stops the other; starts it first if it does not run yet.
    fn turn_to(&mut self, side: Side) -> anyhow::Result<()> {
        self.rest(Some(side));
        if !self.running.contains_key(&side) {
            let started = self.start(side)?;
            self.running.insert(side, started);
        }
        self.running.get_mut(&side).expect("it was started above").0.wake()
    }

    /// Stops every broker but one.
    fn rest(&mut self, except: Option<Side>) {
        for (side, (running, _)) in &mut self.running {
            if Some(*side) != except {
                running.sleep();
            }
        }
    }

    /// Starts a broker and loads it until it is as warm as its description asks for.
    fn start(&self, side: Side) -> anyhow::Result<(Running, BrokerDocument)> {
        let (peer, home) = &self.peers[&side];
        eprintln!("start   {} {} on CPU {}", peer.title, peer.version, self.place.cores);
        let running = Running::start(peer, home, &self.place, side.word())?;
        let mut document = BrokerDocument {
            side,
            peer: peer.name.clone(),
            title: peer.title.clone(),
            version: peer.version.clone(),
            about: peer.about.clone(),
            command: peer.start.command.clone(),
            ready_ms: running.ready.as_secs_f64() * 1e3,
            warm_runs_mb_per_s: Vec::new(),
            warm_s: 0.0,
            warm_agreed: true,
        };
        let at_least = peer.warm.at_least.map_or(0.0, |span| span.0.as_secs_f64());
        let at_most = peer.warm.at_most.map_or(at_least, |span| span.0.as_secs_f64());
        while document.warm_s < at_least || (!document.warm_agreed && document.warm_s < at_most) {
            self.go_on()?;
            let piece = document.warm_runs_mb_per_s.len() + 1;
            let load = Load {
                workload: self.workload(WARM_WORKLOAD),
                flags: &[],
                topic: topic(peer, peer.mode("unflushed").unwrap_or(&peer.mode[0])).into_iter().collect(),
                duration: WARM_PIECE,
                warm: None,
                bytes: WARM_BYTES,
                address: running.address.clone(),
                pid: running.pid(),
                name: format!("{} {}", peer.title, peer.version),
                flushes: false,
                core: self.load_core,
                data: &self.place.data,
                broker_cores: &self.place.cores,
            };
            let report = load.run(&self.out.join(format!("warm/{}-{piece:02}", side.word())), self.stop)?;
            let mb_per_s = report["throughput"]["mb_per_s"].as_f64().unwrap_or(0.0);
            eprintln!("warm    {} {piece}: {mb_per_s:.0} MB/s", peer.title);
            let before = document.warm_runs_mb_per_s.last().copied();
            document.warm_agreed = before.is_some_and(|before| {
                (before - mb_per_s).abs() <= self.lab.rule.tolerance * before.max(mb_per_s)
            });
            document.warm_runs_mb_per_s.push(mb_per_s);
            document.warm_s += WARM_PIECE.as_secs_f64();
        }
        Ok((running, document))
    }

    fn workload(&self, name: &str) -> PathBuf {
        self.dir.join("workloads").join(format!("{name}.toml"))
    }

    fn go_on(&self) -> anyhow::Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            bail!(super::run::Interrupted);
        }
        Ok(())
    }
}

/// Where a load goes.
#[derive(Debug, Clone, Copy)]
struct Target<'a> {
    address: &'a str,
    pid: u32,
}

/// Says that a slot came so near to what the generator reaches at all that it says as much about the generator.
fn generator_bound(report: &Value, ceiling_mb_per_s: f64) -> Option<String> {
    let rate = |key: &str| report[key]["mb_per_s"].as_f64().filter(|rate| *rate > 0.0);
    let share = rate("throughput").or_else(|| rate("throughput_read"))? / ceiling_mb_per_s;
    (share >= GENERATOR_SHARE_MAX).then(|| {
        format!(
            "generator-bound: {:.0} % of the {ceiling_mb_per_s:.0} MB/s that the generator reaches on a broker that keeps nothing",
            share * 100.0
        )
    })
}

/// Settings of a topic in a mode.
fn topic(peer: &Peer, mode: &Mode) -> BTreeMap<String, String> {
    let mut all = peer.topic.clone();
    all.extend(mode.topic.clone());
    all
}

fn side_document(peer: &Peer, mode: &Mode, workload: &str, flags: &[String]) -> SideDocument {
    SideDocument {
        broker: format!("{} {}", peer.title, peer.version),
        mode: mode.name.clone(),
        flushed: mode.flushed,
        meaning: mode.meaning.clone(),
        workload: workload.to_string(),
        flags: flags.to_vec(),
        topic: topic(peer, mode),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slot_at_half_of_the_generators_ceiling_is_marked() {
        let produced = |mb: f64| json!({"throughput": {"mb_per_s": mb}, "throughput_read": null});
        assert_eq!(generator_bound(&produced(499.0), 1_000.0), None);
        let said = generator_bound(&produced(500.0), 1_000.0).expect("half of it");
        assert!(said.contains("50 % of the 1000 MB/s"), "{said}");
        let read = json!({"throughput": {"mb_per_s": 0.0}, "throughput_read": {"mb_per_s": 900.0}});
        assert!(generator_bound(&read, 1_000.0).is_some(), "a run that only reads is judged by what it read");
        assert_eq!(generator_bound(&json!({}), 1_000.0), None);
    }
}
