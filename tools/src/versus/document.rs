//! `versus.json`: what a comparison found, with everything that it was made from. `perf/report-schema.md` describes it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quiet::Quiet;
use crate::compare::stats::{Better, Comparison};
use crate::report::data::{MachineFingerprint, WarmUpFacts};

/// The version of `versus.json`. It rises when a key changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Version of the tool.
    pub tool_version: String,
    /// The command that was given.
    pub command_line: String,
    /// When it was given last, milliseconds since the epoch.
    pub started_unix_ms: u64,
    /// Where it ran.
    pub machine: MachineFingerprint,
    /// CPUs of the broker under load.
    pub broker_cores: String,
    /// CPU of the generator; `null`: wherever the scheduler put it.
    pub load_core: Option<usize>,
    /// What held for every slot.
    pub rule: RuleDocument,
    /// Both brokers, ours first.
    pub brokers: Vec<BrokerDocument>,
    /// Finished rows in the order of `versus.toml`.
    pub rows: Vec<RowDocument>,
}

/// What held for every slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleDocument {
    /// Length of a warm-up window.
    pub window_s: f64,
    /// Two windows agree within this share.
    pub tolerance: f64,
    /// A slot warms up at most this long.
    pub warm_max_s: f64,
    /// The disk is waited for at most this long between slots.
    pub quiet_max_s: f64,
}

/// One of the two brokers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BrokerDocument {
    /// `ours` or `theirs`.
    pub side: Side,
    /// The file of `perf/peers`.
    pub peer: String,
    /// Its name.
    pub title: String,
    /// Its version.
    pub version: String,
    /// What a reader should know of it.
    pub about: String,
    /// Its command, words not replaced.
    pub command: Vec<String>,
    /// From its start to its first answer that names a broker, in this run.
    pub ready_ms: f64,
    /// Runs of load after its start, before any slot, 10^6 bytes a second.
    pub warm_runs_mb_per_s: Vec<f64>,
    /// How long they loaded it.
    pub warm_s: f64,
    /// Whether the last two agreed.
    pub warm_agreed: bool,
}

/// Whose a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Ringlog's.
    Ours,
    /// The other broker's; in a row about ours alone, the load that is held beside it.
    Theirs,
}

impl Side {
    /// As in folder names.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }
}

/// One side of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SideDocument {
    /// Title and version of the broker.
    pub broker: String,
    /// Name of its mode.
    pub mode: String,
    /// Whether an acknowledged record is on the device.
    pub flushed: bool,
    /// The same in words.
    pub meaning: String,
    /// Name of the workload.
    pub workload: String,
    /// Flags beside it.
    pub flags: Vec<String>,
    /// Settings of the topic.
    pub topic: BTreeMap<String, String>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowDocument {
    /// Its name in `versus.toml`.
    pub name: String,
    /// Its headline.
    pub title: String,
    /// What was done.
    pub about: String,
    /// The command that measures this row again.
    pub command: String,
    /// Ringlog.
    pub ours: SideDocument,
    /// What stands beside it; `null` when the other broker has no such mode.
    pub theirs: Option<SideDocument>,
    /// Why there are no slots.
    pub not_measured: Option<String>,
    /// When it began, milliseconds since the epoch.
    pub started_unix_ms: u64,
    /// How long its slots took, those that it shares with another row too.
    pub seconds: f64,
    /// The measured window of a slot.
    pub duration_s: f64,
    /// What the generator reaches with this load on a broker that keeps nothing, same cores, 10^6 bytes a second; `None`
    /// where it was not asked. A slot at half of it or more says so in its notes.
    #[serde(default)]
    pub ceiling_mb_per_s: Option<f64>,
    /// Slots in the order in which they ran. A slot may be one of another row too, and lie in that row's folder.
    pub slots: Vec<SlotDocument>,
    /// One run of each side in which nothing is pinned, ours first; empty when there was none. No figure of `results` and
    /// no goal takes it in.
    #[serde(default)]
    pub unpinned: Vec<SlotDocument>,
    /// The row's figures, its headline first.
    pub results: Vec<ResultDocument>,
    /// Its goals.
    pub goals: Vec<GoalDocument>,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotDocument {
    /// Its pair, from 1; 0 for the run in which nothing is pinned.
    pub pair: u32,
    /// Whose it is.
    pub side: Side,
    /// Its bench folder, below the folder of `versus.json`.
    pub folder: String,
    /// How often it was tried.
    pub tries: u32,
    /// `valid`, `invalid` or `data_check_failed`, as in `report.json`; `failed` without a report.
    pub verdict: String,
    /// Why it is not valid: a rate that was not held, a warm-up that did not settle.
    pub notes: Vec<String>,
    /// Its warm-up.
    pub warm_up: Option<WarmUpFacts>,
    /// The wait for the disk before it.
    pub quiet: Option<Quiet>,
    /// Where its time went.
    #[serde(default)]
    pub time: SlotTime,
    /// Bytes that it might write.
    pub bytes_max: u64,
    /// Value of each of the row's figures; `null`: the report has none.
    pub values: BTreeMap<String, Option<f64>>,
}

/// Where the time of a slot went, seconds. Its topic, a preload, floors, the deletion and the report are `other_s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SlotTime {
    /// Its broker started and warmed, or continued.
    pub start_s: f64,
    /// The wait for the disk.
    pub settle_s: f64,
    /// Its warm-up.
    pub warm_s: f64,
    /// Its window.
    pub measured_s: f64,
    /// All the rest.
    pub other_s: f64,
}

impl SlotTime {
    /// Of `seconds` altogether, what is known from elsewhere and what is left.
    pub(super) fn of(seconds: f64, start_s: f64, quiet: &Quiet, report: Option<&Value>) -> Self {
        let of = |key: &str| report.and_then(|report| report[key].as_f64()).unwrap_or(0.0);
        let wall = |key: &str| report.and_then(|report| report[key]["wall_s"].as_f64()).unwrap_or(0.0);
        let measured_s = wall("throughput").max(wall("throughput_read"));
        let known = start_s + quiet.seconds + of("warm_up_s") + measured_s;
        let other_s = (seconds - known).max(0.0);
        Self { start_s, settle_s: quiet.seconds, warm_s: of("warm_up_s"), measured_s, other_s }
    }

    /// Altogether.
    pub fn seconds(&self) -> f64 {
        self.start_s + self.settle_s + self.warm_s + self.measured_s + self.other_s
    }

    /// Both together.
    pub(super) fn add(&mut self, other: &Self) {
        self.start_s += other.start_s;
        self.settle_s += other.settle_s;
        self.warm_s += other.warm_s;
        self.measured_s += other.measured_s;
        self.other_s += other.other_s;
    }
}

/// One figure over all pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultDocument {
    /// Its name in `versus.toml`.
    pub figure: String,
    /// In words.
    pub label: String,
    /// Of the medians.
    pub unit: String,
    /// Which way it improves.
    pub better: Better,
    /// Median of our slots.
    pub ours: Option<f64>,
    /// Median of the others.
    pub theirs: Option<f64>,
    /// How many times better ours is: pairs of (theirs, ours) where higher is better, else of (ours, theirs).
    pub times_better: Comparison,
}

/// One goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoalDocument {
    /// As it was set.
    pub text: String,
    /// The figure that it is about.
    pub figure: String,
    /// Whether it was reached.
    pub verdict: GoalVerdict,
    /// What was found, beside what was asked, in words.
    pub found: String,
}

/// The word for a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoalVerdict {
    /// Every condition holds in the median.
    Reached,
    /// One does not.
    Missed,
    /// A figure is missing, or there are fewer pairs than a comparison needs.
    NotMeasured,
}

impl RowDocument {
    /// The run of a side in which nothing is pinned: its place in `unpinned`, and a figure of it.
    pub fn unpinned_value(&self, side: Side, figure: &str) -> Option<(usize, f64)> {
        let index = self.unpinned.iter().position(|slot| slot.side == side)?;
        Some((index, (*self.unpinned[index].values.get(figure)?)?))
    }
}

impl GoalVerdict {
    /// As printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Missed => "MISSED",
            Self::NotMeasured => "not measured",
        }
    }
}

/// Writes `value` so that a run that is cut off leaves the old file or the new one.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    let beside = path.with_extension("json.new");
    std::fs::write(&beside, text).with_context(|| format!("write {}", beside.display()))?;
    std::fs::rename(&beside, path).with_context(|| format!("write {}", path.display()))
}

/// Reads a finished row, if `path` is there.
pub(super) fn read_row(path: &Path) -> anyhow::Result<Option<RowDocument>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

/// Reads `versus.json` of a folder.
///
/// # Errors
/// No such file, or one of another schema.
pub fn read(dir: &Path) -> anyhow::Result<Document> {
    let path = dir.join("versus.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let document: Document = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    anyhow::ensure!(
        document.schema_version == SCHEMA_VERSION,
        "{} has schema version {}; this program reads {SCHEMA_VERSION}",
        path.display(),
        document.schema_version
    );
    Ok(document)
}
