//! A walk over the rows that are measured together, slot by slot, and what came of each row.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::bail;
use serde_json::Value;

use super::chain::{Chain, Lane, Link};
use super::document::{RowDocument, Side, SlotDocument, SlotTime};
use super::house::House;
use super::lab::{Kind, Row};
use super::process::Running;
use super::quiet::Quiet;
use super::slot::Load;
use super::{figures, footprint};
use crate::bench::quantity::Span;
use crate::cli::exit::Precondition;
use crate::load::clock;
use crate::load::warm::WarmEnd;
use crate::report::data::{GENERATOR_SHARE_MAX, WarmUpFacts};

/// A slot that gives no report is tried this often.
const TRIES_MAX: u32 = 2;

/// Left free beside what a slot may write.
const RESERVE: u64 = 6 << 30;

/// A slot that may not write this much is not worth running.
const BYTES_MIN: u64 = 1 << 30;

/// One slot of a walk, before it becomes a slot of its rows.
#[derive(Debug)]
struct Measured {
    pair: u32,
    folder: String,
    tries: u32,
    report: Result<Value, String>,
    quiet: Quiet,
    bytes_max: u64,
    time: SlotTime,
}

/// What a walk has found so far, by row.
#[derive(Debug)]
struct Found {
    slots: Vec<Vec<SlotDocument>>,
    /// Why a row is measured no further: a load that fails in its first slot would fail in all, each for minutes.
    given_up: Vec<Option<String>>,
}

impl Found {
    fn of(chain: &Chain<'_>) -> Self {
        let rows = chain.links.len();
        Self { slots: vec![Vec::new(); rows], given_up: vec![None; rows] }
    }
}

/// Where a load goes.
#[derive(Debug, Clone, Copy)]
struct Target<'a> {
    address: &'a str,
    pid: u32,
}

impl House<'_> {
    /// Measures the rows of a walk; `command` is how each is measured again.
    pub(super) fn measure(
        &mut self,
        chain: &Chain<'_>,
        pairs: u32,
        duration: Span,
        command: impl Fn(&Row) -> String,
    ) -> anyhow::Result<Vec<RowDocument>> {
        let started_unix_ms = u64::try_from(clock::wall_ms()).unwrap_or(0);
        let ceilings = chain.links.iter().map(|link| self.ceiling(link, duration));
        let ceilings: Vec<Option<f64>> = ceilings.collect::<anyhow::Result<_>>()?;
        let mut found = Found::of(chain);
        for pair in 1..=pairs {
            self.walk(chain, (pair, duration), &ceilings, &mut found)?;
        }
        let rows = chain.links.iter().zip(found.slots).zip(found.given_up).zip(ceilings);
        Ok(rows
            .map(|(((link, slots), given_up), ceiling)| RowDocument {
                command: command(link.row),
                started_unix_ms,
                duration_s: link.row.duration.unwrap_or(duration).0.as_secs_f64(),
                ceiling_mb_per_s: ceiling,
                ..self.row_document(link, slots, given_up)
            })
            .collect())
    }

    /// One slot of each lane, for every row of the walk.
    pub(super) fn one_each(
        &mut self,
        chain: &Chain<'_>,
        duration: Span,
    ) -> anyhow::Result<Vec<Vec<SlotDocument>>> {
        let mut found = Found::of(chain);
        self.walk(chain, (0, duration), &vec![None; chain.links.len()], &mut found)?;
        let mut slots = found.slots;
        slots.iter_mut().for_each(|slots| slots.sort_by_key(|slot| slot.side));
        Ok(slots)
    }

    fn walk(
        &mut self,
        chain: &Chain<'_>,
        (pair, duration): (u32, Span),
        ceilings: &[Option<f64>],
        found: &mut Found,
    ) -> anyhow::Result<()> {
        for lane in chain.walk(pair) {
            let rows = chain.rows_of(lane);
            if rows.iter().all(|(index, _)| found.given_up[*index].is_some()) {
                continue;
            }
            let measured = self.slot(lane, pair, lane.row.duration.unwrap_or(duration))?;
            if let Some(why) = measured.report.as_ref().err().filter(|_| pair <= 1) {
                let why = format!("{} gave no figure: {why}", lane.document.broker);
                eprintln!("note    {why}; not tried again in this row");
                rows.iter().for_each(|(index, _)| found.given_up[*index] = Some(why.clone()));
            }
            for (index, side) in rows {
                let bound = |report| generator_bound(report, ceilings[index]?);
                let mut document = self.slot_document(chain.links[index].row, side, &measured);
                document.notes.extend(measured.report.as_ref().ok().and_then(bound));
                found.slots[index].push(document);
            }
        }
        Ok(())
    }

    fn row_document(
        &self,
        link: &Link<'_>,
        slots: Vec<SlotDocument>,
        given_up: Option<String>,
    ) -> RowDocument {
        let row = link.row;
        let not_measured = link.theirs.as_ref().err().cloned().or(given_up);
        let results = match &not_measured {
            Some(_) => Vec::new(),
            None => figures::results(self.lab, &row.figures, &slots),
        };
        let judged = row.beside.is_some() || self.peers[&Side::Theirs].0.name == self.lab.rule.goals_against;
        let judge = |goal| figures::judge(goal, &results, slots.len(), not_measured.as_deref());
        RowDocument {
            name: row.name.clone(),
            title: row.title.clone(),
            about: row.about.clone(),
            command: String::new(),
            ours: link.ours.clone(),
            theirs: link.theirs.as_ref().ok().cloned(),
            goals: row.goal.iter().filter(|_| judged).map(judge).collect(),
            not_measured,
            started_unix_ms: 0,
            seconds: slots.iter().map(|slot| slot.time.seconds()).sum(),
            duration_s: 0.0,
            ceiling_mb_per_s: None,
            slots,
            unpinned: Vec::new(),
            results,
        }
    }

    /// What the generator reaches with our load of a row on a broker that keeps nothing, while ours are stopped. `None`
    /// where that is no question, or is what the row is about.
    fn ceiling(&mut self, link: &Link<'_>, duration: Span) -> anyhow::Result<Option<f64>> {
        let row = link.row;
        let about_it = row.ours_flags.iter().any(|flag| flag == "--share-of-limit");
        if !row.warm || row.kind != Kind::Load || about_it || link.theirs.is_err() {
            return Ok(None);
        }
        let load = format!("{} {}", link.ours.workload, link.ours.flags.join(" "));
        if let Some(known) = self.ceilings.get(&load) {
            return Ok(Some(*known));
        }
        self.watch.await_space();
        self.rest(None);
        let nobody = Target { address: "127.0.0.1:0", pid: 0 };
        let lane = Lane { row, side: Side::Ours, broker: Side::Ours, document: link.ours.clone() };
        let found = self.load_of(&lane, nobody, duration, self.lab.rule.slot_bytes.0).ceiling()?;
        self.ceilings.insert(load, found);
        Ok(Some(found))
    }

    /// One slot.
    fn slot(&mut self, lane: &Lane<'_>, pair: u32, duration: Span) -> anyhow::Result<Measured> {
        let name = if pair == 0 { "unpinned".to_string() } else { format!("{pair:02}") };
        let folder = format!("{}/{name}-{}", lane.row.name, lane.side.word());
        let out = self.out.join(&folder);
        eprintln!("slot    {folder}: {} {}", lane.document.broker, lane.document.mode);
        let (mut tries, began, mut start_s) = (0, Instant::now(), 0.0);
        let (report, quiet, bytes_max) = loop {
            tries += 1;
            // What ran last deletes its topic: it is not stopped before its space is back.
            let waited = self.watch.await_space();
            let starting = Instant::now();
            match lane.row.kind {
                Kind::Load => self.turn_to(lane.broker)?,
                // Its broker is one of its own.
                Kind::Footprint => self.rest(None),
            }
            start_s += starting.elapsed().as_secs_f64();
            let quiet = self.watch.wait(waited);
            let bytes = self.lab.rule.slot_bytes.0.min(self.watch.free().saturating_sub(RESERVE));
            if bytes < BYTES_MIN {
                bail!(Precondition::new(format!(
                    "the disk has {:.1} GiB free, too little for a slot; make room or name another disk with --data",
                    quiet.free_bytes as f64 / (1u64 << 30) as f64
                )));
            }
            let report = self.load(lane, duration, bytes, &out);
            self.go_on()?;
            match report {
                Ok(report) => break (Ok(report), quiet, bytes),
                Err(e) if tries == TRIES_MAX => break (Err(format!("{e:#}")), quiet, bytes),
                Err(e) => {
                    eprintln!("note    {folder}: {e:#}; trying again");
                    self.give_up_if_dead(lane.broker);
                }
            }
        };
        self.remember(lane, &out, report.as_ref().ok());
        let time = SlotTime::of(began.elapsed().as_secs_f64(), start_s, &quiet, report.as_ref().ok());
        Ok(Measured { pair, folder, tries, report, quiet, bytes_max, time })
    }

    /// A slot that had settled and counts is what the next one of its load is held against.
    fn remember(&mut self, lane: &Lane<'_>, out: &Path, report: Option<&Value>) {
        let settled = |report: &Value| report["warm_up"]["end"] == "agreed" && report["verdict"] == "valid";
        let key = (lane.broker, load_name(lane));
        match report {
            Some(report) if settled(report) => drop(self.warm_for.insert(key, out.join("report.json"))),
            _ => drop(self.warm_for.remove(&key)),
        }
    }

    fn load(&self, lane: &Lane<'_>, duration: Span, bytes: u64, out: &Path) -> anyhow::Result<Value> {
        let load = |running: &Running| {
            let target = Target { address: &running.address, pid: running.pid() };
            self.load_of(lane, target, duration, bytes)
        };
        match lane.row.kind {
            Kind::Load => load(&self.running[&lane.broker].0).run(out, self.stop),
            Kind::Footprint => {
                let (peer, home) = &self.peers[&lane.broker];
                footprint::run((peer, home), &self.place, load, out, self.stop)
            }
        }
    }

    fn load_of<'b>(&'b self, lane: &'b Lane<'_>, target: Target<'_>, duration: Span, bytes: u64) -> Load<'b> {
        Load {
            workload: self.workload(&lane.document.workload),
            flags: &lane.document.flags,
            topic: lane.document.topic.clone().into_iter().collect(),
            duration: duration.0,
            warm: lane.row.warm.then_some(&self.lab.rule),
            like: self.warm_for.get(&(lane.broker, load_name(lane))).map(|path| &**path),
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

    fn slot_document(&self, row: &Row, side: Side, measured: &Measured) -> SlotDocument {
        let quiet = measured.quiet;
        let mut notes = Vec::new();
        if !quiet.reached {
            let what = if quiet.space_back { "the disk was not quiet" } else { "the space was not back" };
            notes.push(format!("{what} after {:.0} s", quiet.seconds));
        }
        let (mut verdict, mut warm_up, mut values) = ("failed".to_string(), None, BTreeMap::new());
        match &measured.report {
            Err(e) => notes.push(e.clone()),
            Ok(report) => {
                verdict = report["verdict"].as_str().unwrap_or("failed").to_string();
                let reasons = report["validity"]["reasons"].as_array().into_iter().flatten();
                notes.extend(reasons.filter_map(Value::as_str).map(str::to_string));
                warm_up = serde_json::from_value::<WarmUpFacts>(report["warm_up"].clone()).ok();
                if let Some(warm_up) = warm_up.as_ref().filter(|w| w.end != WarmEnd::Agreed) {
                    notes.push(format!(
                        "no two windows of its warm-up agreed within {} %; {} partitions had no record",
                        self.lab.rule.tolerance * 100.0,
                        warm_up.untouched
                    ));
                }
                values = figures::values(self.lab, &row.figures, report);
            }
        }
        SlotDocument {
            pair: measured.pair,
            side,
            folder: measured.folder.clone(),
            tries: measured.tries,
            verdict,
            notes,
            warm_up,
            quiet: Some(quiet),
            time: measured.time,
            bytes_max: measured.bytes_max,
            values,
        }
    }
}

/// Tells the loads of one broker apart.
fn load_name(lane: &Lane<'_>) -> String {
    let document = &lane.document;
    format!("{} {} {}", document.workload, document.mode, document.flags.join(" "))
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
