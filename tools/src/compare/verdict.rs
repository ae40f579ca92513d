//! Two sides → the document of a comparison: what `--json` prints and what table and page are made from.

use serde::{Deserialize, Serialize};

use super::likeness::{self, Difference};
use super::metric::{METRICS, Metric, Unit};
use super::noise::Noise;
use super::runs::Side;
use super::stats::{self, Better, Comparison, Finding};
use crate::report::data::Verdict;
use crate::report::json::Percentiles;
use crate::report::stored::StoredRun;

/// Version of the document.
pub const COMPARISON_SCHEMA_VERSION: u32 = 1;

/// A comparison with everything that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonDocument {
    /// [`COMPARISON_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// `comparison`: tells this document from a run's.
    pub kind: String,
    /// What is compared with.
    pub a: SideDocument,
    /// What is compared.
    pub b: SideDocument,
    /// Name of the workload (of the first run).
    pub workload: String,
    /// What an acknowledgement meant (in the first run).
    pub durability: String,
    /// The machine (of the first run).
    pub hardware_id: String,
    /// Pairs of runs.
    pub pairs: usize,
    /// True when the runs of each pair stood next to each other in time.
    pub interleaved: bool,
    /// What the machine's own noise is taken to be.
    pub noise: Noise,
    /// One row per metric that both sides have.
    pub metrics: Vec<Row>,
    /// The finding of the metrics declared up front, the worst first.
    pub finding: Finding,
    /// What a reader must know: invalid runs, left-out runs, forced comparisons.
    pub warnings: Vec<String>,
    /// In what the sides differ.
    pub differences: Vec<Difference>,
    /// Repeats the comparison.
    pub command_line: String,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SideDocument {
    /// As named on the command line.
    pub path: String,
    /// The broker (of the first run).
    pub broker: String,
    /// The tool (of the first run).
    pub tool_version: String,
    /// Its runs in order of time.
    pub runs: Vec<String>,
    /// Percentiles of all runs' samples merged.
    pub merged: Merged,
}

/// Merged percentiles of one side, microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// Planned send to acknowledgement.
    pub response_us: Option<Percentiles>,
    /// Actual send to acknowledgement.
    pub service_us: Option<Percentiles>,
    /// Planned send to consumer.
    pub end_to_end_us: Option<Percentiles>,
    /// Fetch request to its complete answer.
    pub fetch_us: Option<Percentiles>,
}

/// One metric compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the metric.
    pub metric: String,
    /// As printed.
    pub label: String,
    /// Unit of `a`, `b` and `runs`.
    pub unit: Unit,
    /// Which way it improves.
    pub better: Better,
    /// Declared up front; the others are exploratory.
    pub primary: bool,
    /// Median over the runs of the first side.
    pub a: f64,
    /// Median over the runs of the second side.
    pub b: f64,
    /// Ratio, interval, pairs.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// The machine's own noise, as a share; `null` when unknown.
    pub noise_floor: Option<f64>,
    /// The smallest change that could have been seen, as a share; `null` with too few pairs.
    pub smallest_seen: Option<f64>,
    /// What is found.
    pub finding: Finding,
    /// The figures of each pair.
    pub runs: Vec<(f64, f64)>,
}

/// What the user chose.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Names of the metrics that decide; they exist.
    pub primary: Vec<String>,
    /// Unlike runs are compared all the same: why they are unlike.
    pub forced: Vec<String>,
    /// Repeats the comparison.
    pub command_line: String,
}

/// Compares two sides, pair by pair in order of time.
pub fn compare(a: &Side, b: &Side, noise: Noise, choices: Choices) -> ComparisonDocument {
    let pairs: Vec<(&StoredRun, &StoredRun)> = a.runs.iter().zip(&b.runs).collect();
    let metrics: Vec<Row> = METRICS
        .iter()
        .filter_map(|metric| {
            let primary = choices.primary.iter().any(|name| name == metric.name);
            row(metric, &pairs, noise.floors.get(metric.name).copied(), primary)
        })
        .collect();
    let first = &a.runs[0].document;
    ComparisonDocument {
        schema_version: COMPARISON_SCHEMA_VERSION,
        kind: "comparison".to_string(),
        workload: first.workload.clone(),
        durability: first.durability.label.clone(),
        hardware_id: first.machine.hardware_id.clone(),
        pairs: pairs.len(),
        interleaved: is_interleaved(&pairs),
        finding: worst(&choices.primary, &metrics),
        warnings: warnings(a, b, &metrics, &choices),
        differences: likeness::differences(&a.runs, &b.runs),
        a: side(a),
        b: side(b),
        noise,
        metrics,
        command_line: choices.command_line,
    }
}

/// `None` when no pair has the figure.
fn row(
    metric: &Metric,
    pairs: &[(&StoredRun, &StoredRun)],
    noise_floor: Option<f64>,
    primary: bool,
) -> Option<Row> {
    let runs: Vec<(f64, f64)> =
        pairs.iter().filter_map(|(a, b)| Some((metric.of(a)?, metric.of(b)?))).collect();
    if runs.is_empty() {
        return None;
    }
    let comparison = stats::pairs(&runs);
    let floor = noise_floor.unwrap_or(0.0);
    let median = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        stats::median(&figures)
    };
    Some(Row {
        metric: metric.name.to_string(),
        label: metric.label.to_string(),
        unit: metric.unit,
        better: metric.better,
        primary,
        a: median(runs.iter().map(|(a, _)| *a).collect()),
        b: median(runs.iter().map(|(_, b)| *b).collect()),
        comparison,
        noise_floor,
        smallest_seen: comparison.is_enough().then(|| comparison.smallest_seen(floor)),
        finding: comparison.finding(metric.better, floor),
        runs,
    })
}

/// The worst finding of the metrics that decide: a regression outranks a lack of pairs (or of the
/// figure itself), which outranks the rest.
fn worst(primary: &[String], rows: &[Row]) -> Finding {
    let rank = |finding: &Finding| match finding {
        Finding::Slower => 0,
        Finding::TooFewPairs => 1,
        Finding::Faster => 2,
        Finding::NoChange => 3,
    };
    let of = |name: &String| {
        rows.iter().find(|row| row.metric == *name).map_or(Finding::TooFewPairs, |row| row.finding)
    };
    primary.iter().map(of).min_by_key(rank).unwrap_or(Finding::TooFewPairs)
}

/// No run of the comparison lies between the two of a pair.
fn is_interleaved(pairs: &[(&StoredRun, &StoredRun)]) -> bool {
    let mut starts: Vec<(u64, usize)> = pairs
        .iter()
        .enumerate()
        .flat_map(|(i, (a, b))| [(a.document.started_unix_ms, i), (b.document.started_unix_ms, i)])
        .collect();
    starts.sort_unstable();
    starts.as_chunks::<2>().0.iter().all(|[first, second]| first.1 == second.1)
}

fn warnings(a: &Side, b: &Side, metrics: &[Row], choices: &Choices) -> Vec<String> {
    let mut out: Vec<String> =
        choices.forced.iter().map(|why| format!("compared by force although {why}")).collect();
    if a.runs.len() != b.runs.len() {
        let (few, many) = (a.runs.len().min(b.runs.len()), a.runs.len().max(b.runs.len()));
        let alone =
            if many - few == 1 { "1 run has".to_string() } else { format!("{} runs have", many - few) };
        out.push(format!("{alone} no partner: left out of the pairs"));
    }
    for run in a.runs.iter().chain(&b.runs) {
        let document = &run.document;
        let why = match (document.verdict, document.partial) {
            (Verdict::Valid, false) => continue,
            (Verdict::Valid, true) => "was interrupted".to_string(),
            (Verdict::DataCheckFailed, _) => "failed its data check".to_string(),
            (Verdict::Invalid, _) => {
                format!(
                    "is invalid: {}",
                    document.validity.reasons.first().map_or("no reason given", String::as_str)
                )
            }
        };
        out.push(format!("run {} {why}; it is kept", document.run_id));
    }
    let pairs = a.runs.len().min(b.runs.len());
    for row in metrics.iter().filter(|row| row.comparison.pairs < pairs) {
        let missing = pairs - row.comparison.pairs;
        out.push(format!("{}: {missing} of {pairs} pairs lack the figure or the samples for it", row.label));
    }
    for name in choices.primary.iter().filter(|name| metrics.iter().all(|row| row.metric != **name)) {
        out.push(format!("{name} was measured by neither or only one side"));
    }
    out
}

fn side(side: &Side) -> SideDocument {
    let first = &side.runs[0].document;
    let latency = &side.latency;
    SideDocument {
        path: side.path.display().to_string(),
        broker: first.broker.name.clone(),
        tool_version: first.tool_version.clone(),
        runs: side.runs.iter().map(|run| run.document.run_id.clone()).collect(),
        merged: Merged {
            response_us: Percentiles::of(latency.produce_response.as_ref()),
            service_us: Percentiles::of(latency.produce_service.as_ref()),
            end_to_end_us: Percentiles::of(latency.end_to_end.as_ref()),
            fetch_us: Percentiles::of(latency.fetch.as_ref()),
        },
    }
}

impl ComparisonDocument {
    /// The metrics declared up front.
    pub fn primary(&self) -> impl Iterator<Item = &Row> {
        self.metrics.iter().filter(|row| row.primary)
    }

    /// The exit code of `ringlog report compare`: 10 for a regression, 6 when nothing can be said, else 0.
    pub fn exit_code(&self) -> u8 {
        match self.finding {
            Finding::Slower => crate::cli::exit::REGRESSION,
            Finding::TooFewPairs => crate::cli::exit::INVALID,
            Finding::Faster | Finding::NoChange => 0,
        }
    }
}
