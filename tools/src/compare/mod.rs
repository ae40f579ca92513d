//! Two sets of runs held against each other, so that a statistician would sign it.
//!
//! | file | what |
//! |---|---|
//! | [`stats`] | pairs of figures → median ratio, 95 % interval, finding |
//! | [`metric`] | the figures of a run that can be compared, by name |
//! | [`runs`] | one side: a run folder or a folder of them, samples merged |
//! | [`likeness`] | what must be equal, and in what the sides differ |
//! | [`noise`] | the machine's A/A noise floor: measured, kept, chosen |
//! | [`verdict`] | two sides → the document of a comparison |
//! | [`text`] | that document as a table and in Markdown |
//!
//! Invariants: a run is one sample, never a request (requests of one run are not independent);
//! figures are compared as ratios within a pair; histograms are merged, percentiles never averaged;
//! nothing is dropped without being said; every draw is seeded, so that the same runs give the same words.

pub mod likeness;
pub mod metric;
pub mod noise;
pub mod runs;
pub mod stats;
pub mod text;
pub mod verdict;

use std::path::Path;

use metric::{METRICS, PRIMARY};
use runs::Side;
use verdict::{Choices, ComparisonDocument};

/// What a comparison is asked for.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Metrics that decide; empty means [`PRIMARY`], or their reading counterparts for runs that only read.
    pub metrics: Vec<String>,
    /// Compare although the runs are unlike.
    pub force: bool,
    /// Repeats the comparison.
    pub command_line: String,
}

/// Why two sides are not compared.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The runs answer different questions.
    #[error("these runs cannot be compared: {}; --force compares them all the same", .0.join("; "))]
    Unlike(Vec<String>),
    /// Data was lost or changed: speed does not matter.
    #[error("run {} failed its data check: how fast it was does not matter; --force compares all the same", .0.join(", "))]
    Broken(Vec<String>),
    /// No such metric.
    #[error("there is no metric `{name}`; there are {}", METRICS.map(|metric| metric.name).join(", "))]
    NoMetric {
        /// What was asked for.
        name: String,
    },
}

/// What decides for runs that only read.
const PRIMARY_OF_READS: [&str; 2] = ["throughput_read", "fetch_p99"];

/// Compares two sides that have been read. Floors come from `store`.
///
/// # Errors
/// A [`Refusal`], or a noise file that cannot be read.
pub fn answer(a: &Side, b: &Side, store: &Path, question: Question) -> anyhow::Result<ComparisonDocument> {
    if let Some(name) = question.metrics.iter().find(|name| metric::named(name).is_none()) {
        return Err(Refusal::NoMetric { name: name.clone() }.into());
    }
    let all: Vec<_> = a.runs.iter().chain(&b.runs).collect();
    let broken = likeness::broken(&all);
    if !broken.is_empty() && !question.force {
        return Err(Refusal::Broken(broken.into_iter().map(str::to_string).collect()).into());
    }
    let unlike = likeness::unlike(&all);
    if !unlike.is_empty() && !question.force {
        return Err(Refusal::Unlike(unlike).into());
    }
    let first = &a.runs[0].document;
    let file = noise::read(store, &first.machine.hardware_id)?;
    let noise = noise::chosen(file.as_ref(), first);
    let primary = if question.metrics.is_empty() { default_metrics(a) } else { question.metrics };
    Ok(verdict::compare(
        a,
        b,
        noise,
        Choices { primary, forced: unlike, command_line: question.command_line },
    ))
}

/// Measures the noise floor from the runs of one side, which must be equal, and keeps it in `store`; returns what to print.
///
/// # Errors
/// Runs that are unlike or too few, or a file that cannot be written.
pub fn keep_noise(side: &Side, store: &Path) -> anyhow::Result<String> {
    let unlike = likeness::unlike(&side.runs.iter().collect::<Vec<_>>());
    if !unlike.is_empty() {
        return Err(Refusal::Unlike(unlike).into());
    }
    let entry = noise::measured(side)?;
    let mut text = text::noise(&entry);
    let path = noise::keep(store, &side.runs[0].document.machine.hardware_id, entry)?;
    text.push_str(&format!("kept in {}\n", path.display()));
    Ok(text)
}

fn default_metrics(a: &Side) -> Vec<String> {
    let produces = a.runs.iter().any(|run| run.latency.produce_response.is_some());
    let names = if produces { PRIMARY } else { PRIMARY_OF_READS };
    names.map(str::to_string).to_vec()
}
