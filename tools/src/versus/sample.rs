//! Two made-up brokers in turns, the same each time: what the page is tested with, and how it can be looked
//! at without an hour of measuring (`cargo run -p tools --example sample_report -- DIR`).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::document::{
    BrokerDocument, Document, GoalDocument, GoalVerdict, ResultDocument, RowDocument, RuleDocument,
    SCHEMA_VERSION, Side, SideDocument, SlotDocument, SlotTime,
};
use super::quiet::Quiet;
use crate::compare::stats::{self, Better};
use crate::report::data::{RunReport, WarmEnd, WarmUpFacts, WarmWindowFacts};
use crate::report::json::Percentiles;
use crate::report::{self, units};

/// Pairs of a row.
const PAIRS: u32 = 5;
/// From the start of one slot to the start of the next.
const STEP_MS: u64 = 60_000;

/// Writes the slots of a made-up row below `dir` and returns the document. `run` makes the run of a slot
/// from its position and how many times slower its broker is.
///
/// # Errors
/// Files that cannot be written.
pub fn write(dir: &Path, mut run: impl FnMut(u64, f64) -> RunReport) -> io::Result<Document> {
    let mut slots = Vec::new();
    let (mut throughput, mut tail) = (Vec::new(), Vec::new());
    let mut machine = None;
    for pair in 1..=PAIRS {
        let order = if pair % 2 == 1 { [Side::Ours, Side::Theirs] } else { [Side::Theirs, Side::Ours] };
        let mut figures = [(0.0, 0.0); 2];
        for side in order {
            let position = slots.len() as u64;
            let slowness = if side == Side::Ours { 1.0 } else { 3.5 + 0.2 * f64::from(pair) };
            let mut report = run(position, slowness);
            report.started_unix_ms += position * STEP_MS;
            let folder = format!("durable-tail/pair-{pair}-{}", side.word());
            report::write(&dir.join(&folder), &report)?;
            let p99 = Percentiles::of(report.latency.produce_response.as_ref()).and_then(|p| p.p99);
            let mb_per_s = report.produced.mb_per_s() / slowness.sqrt();
            figures[usize::from(side == Side::Theirs)] = (mb_per_s, p99.unwrap_or(f64::NAN));
            slots.push(slot(pair, side, folder, mb_per_s, p99));
            machine.get_or_insert(report.machine);
        }
        throughput.push((figures[1].0, figures[0].0));
        tail.push((figures[0].1, figures[1].1));
    }
    let machine = machine.expect("a row has slots");
    let results = vec![
        result("p99", "p99", "µs", Better::Lower, &slots, &tail),
        result("throughput", "throughput", "MB/s", Better::Higher, &slots, &throughput),
    ];
    let started_unix_ms = 1_795_331_550_000;
    let row = RowDocument {
        name: "durable-tail".to_string(),
        title: "Durable tail, open loop".to_string(),
        about: "Both brokers get 20,000 records of 1 KiB a second over 16 partitions, planned times kept."
            .to_string(),
        command: "ringlog bench versus sample --row durable-tail".to_string(),
        ours: side("Ringlog 0.1.0", "flushed", true, "written and flushed before the acknowledgement"),
        theirs: Some(side("Sample 1.0", "page-cache", false, "acknowledged from memory, written later")),
        not_measured: None,
        started_unix_ms,
        seconds: 640.0,
        duration_s: 30.0,
        goals: vec![
            goal("p99 at least 3 × lower", "p99", GoalVerdict::Reached, &results[0]),
            goal("100 × lower", "p99", GoalVerdict::Missed, &results[0]),
        ],
        ceiling_mb_per_s: Some(1_840.0),
        unpinned: [(Side::Ours, 1.3), (Side::Theirs, 1.7)]
            .into_iter()
            .map(|(side, times)| {
                let pinned = slots.iter().find(|slot| slot.side == side).expect("a slot of each side");
                let values =
                    pinned.values.iter().map(|(name, v)| (name.clone(), v.map(|v| v * times))).collect();
                SlotDocument { pair: 0, values, ..pinned.clone() }
            })
            .collect(),
        slots,
        results,
    };
    let skipped = RowDocument {
        name: "price".to_string(),
        title: "Price of durability".to_string(),
        about: "The other broker has no such mode.".to_string(),
        command: "ringlog bench versus sample --row price".to_string(),
        theirs: None,
        not_measured: Some("it has no mode that flushes".to_string()),
        slots: Vec::new(),
        unpinned: Vec::new(),
        results: Vec::new(),
        goals: Vec::new(),
        ..row.clone()
    };
    Ok(Document {
        schema_version: SCHEMA_VERSION,
        tool_version: "0.1.0 (a1b2c3d)".to_string(),
        command_line: "ringlog bench versus sample --full".to_string(),
        started_unix_ms,
        machine,
        broker_cores: "0".to_string(),
        load_core: Some(1),
        rule: RuleDocument { window_s: 5.0, tolerance: 0.05, warm_max_s: 90.0, quiet_max_s: 90.0 },
        brokers: vec![
            broker(Side::Ours, "Ringlog", "0.1.0", 61.0),
            broker(Side::Theirs, "Sample", "1.0", 2_710.0),
        ],
        rows: vec![row, skipped],
    })
}

fn slot(pair: u32, side: Side, folder: String, mb_per_s: f64, p99: Option<f64>) -> SlotDocument {
    let settled = side == Side::Ours || pair != 2;
    let windows = if side == Side::Ours { 2 } else { 6 };
    let window = |i: u32| {
        let share = if side == Side::Ours { 1.0 } else { 1.0 - 0.6 / f64::from(i + 1).powi(2) };
        WarmWindowFacts {
            start_s: 5.0 * f64::from(i),
            length_s: 5.0,
            records: 100_000,
            mb_per_s: mb_per_s * share,
            p50_us: Some(400.0 / share),
        }
    };
    SlotDocument {
        pair,
        side,
        folder,
        tries: if settled { 1 } else { 2 },
        verdict: if settled { "valid" } else { "invalid" }.to_string(),
        notes: if settled { Vec::new() } else { vec!["the planned rate was not held".to_string()] },
        warm_up: Some(WarmUpFacts {
            end: WarmEnd::Agreed,
            untouched: 0,
            before: None,
            windows: (0..windows).map(window).collect(),
        }),
        quiet: Some(Quiet {
            seconds: 1.2,
            reached: true,
            dirty_bytes: 0,
            written_bytes: 0,
            free_bytes: 1 << 34,
            space_back: true,
        }),
        time: SlotTime {
            start_s: 0.0,
            settle_s: 1.2,
            warm_s: 5.0 * f64::from(windows),
            measured_s: 30.0,
            other_s: 2.1,
        },
        bytes_max: 1 << 30,
        values: BTreeMap::from([("throughput".to_string(), Some(mb_per_s)), ("p99".to_string(), p99)]),
    }
}

fn result(
    name: &str,
    label: &str,
    unit: &str,
    better: Better,
    slots: &[SlotDocument],
    pairs: &[(f64, f64)],
) -> ResultDocument {
    let median = |side: Side| {
        let mut values: Vec<f64> =
            slots.iter().filter(|slot| slot.side == side).filter_map(|slot| slot.values[name]).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    ResultDocument {
        figure: name.to_string(),
        label: label.to_string(),
        unit: unit.to_string(),
        better,
        ours: median(Side::Ours),
        theirs: median(Side::Theirs),
        times_better: stats::pairs(pairs),
    }
}

fn goal(text: &str, figure: &str, verdict: GoalVerdict, result: &ResultDocument) -> GoalDocument {
    let found = format!("×{} in the median", units::significant(result.times_better.median_ratio));
    GoalDocument { text: text.to_string(), figure: figure.to_string(), verdict, found }
}

fn side(broker: &str, mode: &str, flushed: bool, meaning: &str) -> SideDocument {
    SideDocument {
        broker: broker.to_string(),
        mode: mode.to_string(),
        flushed,
        meaning: meaning.to_string(),
        workload: "tail-20k".to_string(),
        flags: Vec::new(),
        topic: BTreeMap::new(),
    }
}

fn broker(side: Side, title: &str, version: &str, ready_ms: f64) -> BrokerDocument {
    BrokerDocument {
        side,
        peer: title.to_lowercase(),
        title: title.to_string(),
        version: version.to_string(),
        about: "A made-up broker.".to_string(),
        command: vec!["broker".to_string(), "--data".to_string(), "{data}".to_string()],
        ready_ms,
        warm_runs_mb_per_s: vec![310.0, 402.0, 411.0],
        warm_s: 45.0,
        warm_agreed: true,
    }
}
