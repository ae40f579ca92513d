//! `perf/versus.toml`: the rule by which a slot is warm and a disk quiet, the figures that are taken from a slot's
//! report, and the rows.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::bench::quantity::{Bytes, Span};
use crate::compare::stats::Better;

/// Everything that `versus.toml` says.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Lab {
    pub(super) rule: Rule,
    pub(super) figure: BTreeMap<String, Figure>,
    pub(super) row: Vec<Row>,
}

/// What holds for every slot.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Rule {
    /// Length of a warm-up window.
    pub(super) window: Span,
    /// Two windows agree within this share.
    pub(super) tolerance: f64,
    /// A slot warms up at most this long.
    pub(super) warm_max: Span,
    /// The disk is waited for at most this long.
    pub(super) quiet_max: Span,
    /// Dirty memory below this is quiet.
    pub(super) dirty_max: Bytes,
    /// The broker that goals beside another broker are set against; beside any other they are not judged.
    pub(super) goals_against: String,
    /// Bytes that a slot may write, warm-up included.
    pub(super) slot_bytes: Bytes,
}

/// A figure: where it stands in `report.json` and which way it improves.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Figure {
    pub(super) label: String,
    pub(super) unit: String,
    pub(super) better: Better,
    pub(super) path: String,
    /// Divided by this one.
    pub(super) over: Option<String>,
    /// And multiplied by this.
    #[serde(default = "one")]
    pub(super) scale: f64,
}

fn one() -> f64 {
    1.0
}

/// What a slot of a row is.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A load on a broker that runs already.
    #[default]
    Load,
    /// A broker of its own: started, left alone, loaded, stopped.
    Footprint,
}

/// One row.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) title: String,
    /// What is done, in a sentence or two.
    #[serde(default)]
    pub(super) about: String,
    #[serde(default)]
    pub(super) kind: Kind,
    /// A file of `workloads`, without its ending.
    pub(super) workload: String,
    /// More flags of `ringlog bench`.
    #[serde(default)]
    pub(super) flags: Vec<String>,
    /// More flags of our slots alone, such as --floors.
    #[serde(default)]
    pub(super) ours_flags: Vec<String>,
    /// What our acknowledgement means: `flushed` or `unflushed`.
    #[serde(default = "flushed")]
    pub(super) ours: String,
    /// The same of the other broker …
    pub(super) theirs: Option<String>,
    /// … or a second load of our own beside the first: then the other broker is not in the row.
    pub(super) beside: Option<Beside>,
    /// Instead of the duration of all slots.
    pub(super) duration: Option<Span>,
    /// Whether slots warm up; a row about first times does not.
    #[serde(default = "yes")]
    pub(super) warm: bool,
    /// What `--quick` measures.
    #[serde(default)]
    pub(super) quick: bool,
    /// The figures that are compared, the first being the row's headline.
    pub(super) figures: Vec<String>,
    #[serde(default)]
    pub(super) goal: Vec<Goal>,
}

fn flushed() -> String {
    "flushed".to_string()
}

fn yes() -> bool {
    true
}

/// The second side of a row that is only about ours.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Beside {
    /// What its acknowledgement means.
    #[serde(default = "flushed")]
    pub(super) mode: String,
    /// [default: that of the row]
    pub(super) workload: Option<String>,
    #[serde(default)]
    pub(super) flags: Vec<String>,
}

/// What a row must show. All conditions that it names must hold.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Goal {
    /// As the goal was set.
    pub(super) text: String,
    pub(super) figure: String,
    /// Ours is at least this many times better, in the median of pairs.
    pub(super) better_by: Option<f64>,
    /// The median of ours is at least this.
    pub(super) ours_at_least: Option<f64>,
    /// The median of ours is at most this.
    pub(super) ours_at_most: Option<f64>,
    /// The median of the other side is at least this.
    pub(super) theirs_at_least: Option<f64>,
}

impl Lab {
    /// Reads `DIR/versus.toml`.
    pub(super) fn read(dir: &Path) -> anyhow::Result<Lab> {
        let path = dir.join("versus.toml");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}; run in the repository, or name its perf folder with --lab",
                path.display()
            )
        })?;
        let lab: Lab = toml::from_str(&text).with_context(|| path.display().to_string())?;
        lab.check().with_context(|| path.display().to_string())?;
        Ok(lab)
    }

    fn check(&self) -> anyhow::Result<()> {
        for row in &self.row {
            let named = row.figures.iter().chain(row.goal.iter().map(|goal| &goal.figure));
            for figure in named {
                anyhow::ensure!(
                    self.figure.contains_key(figure),
                    "row {} names the figure {figure}, which is not there",
                    row.name
                );
            }
            anyhow::ensure!(!row.figures.is_empty(), "row {} has no figure", row.name);
            anyhow::ensure!(
                row.theirs.is_some() != row.beside.is_some(),
                "row {} needs either `theirs` or `beside`",
                row.name
            );
        }
        Ok(())
    }

    /// The rows that a command asks for, in the order of the file.
    pub(super) fn rows(&self, full: bool, named: &[String]) -> anyhow::Result<Vec<&Row>> {
        if let Some(unknown) = named.iter().find(|name| !self.row.iter().any(|row| row.name == **name)) {
            let known: Vec<&str> = self.row.iter().map(|row| row.name.as_str()).collect();
            anyhow::bail!("there is no row {unknown}; there are {}", known.join(", "));
        }
        let wanted =
            |row: &&Row| full || if named.is_empty() { row.quick } else { named.contains(&row.name) };
        Ok(self.row.iter().filter(wanted).collect())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn lab() -> Lab {
        Lab::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf")).expect("the lab of this repository")
    }

    #[test]
    fn the_rows_of_the_repository_are_sound_and_their_workloads_exist() {
        let lab = lab();
        let workloads = Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf/workloads");
        for row in &lab.row {
            let more = row.beside.iter().filter_map(|beside| beside.workload.as_ref());
            for workload in std::iter::once(&row.workload).chain(more) {
                assert!(workloads.join(format!("{workload}.toml")).is_file(), "{}: {workload}", row.name);
            }
        }
        for row in &lab.row {
            let beside = row.beside.iter().flat_map(|beside| &beside.flags);
            for flags in [row.flags.iter().chain(&row.ours_flags).collect::<Vec<_>>(), beside.collect()] {
                let line = ["ringlog", "bench"].into_iter().chain(flags.into_iter().map(String::as_str));
                assert!(crate::cli::Cli::try_parse_from(line).is_ok(), "{}", row.name);
            }
        }
        let mut names: Vec<&str> = lab.row.iter().map(|row| row.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), lab.row.len(), "each row has its own name");
    }

    #[test]
    fn quick_is_one_row_and_an_unknown_row_is_said() {
        let lab = lab();
        assert_eq!(lab.rows(false, &[]).expect("the quick rows").len(), 1);
        assert_eq!(lab.rows(true, &[]).expect("all rows").len(), lab.row.len());
        let error = lab.rows(false, &["no-such-row".to_string()]).expect_err("a typo").to_string();
        assert!(error.contains("no-such-row") && error.contains(&lab.row[0].name), "{error}");
    }

    #[test]
    fn a_row_with_an_unknown_figure_is_refused() {
        let mut lab = lab();
        lab.row[0].figures.push("no-such-figure".to_string());
        assert!(lab.check().expect_err("a typo").to_string().contains("no-such-figure"));
    }
}
