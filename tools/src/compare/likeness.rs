//! Whether runs may be compared at all, and in what their settings differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::data::{LoadSettings, Verdict};
use crate::report::json::Document;
use crate::report::stored::StoredRun;

/// Settings that are new in each run and say nothing about it.
const NEW_EACH_RUN: [&str; 4] = ["load.topic", "load.brokers", "listeners", "bench.out"];
/// Distinct values of one setting that are listed.
const VALUES_SHOWN_MAX: usize = 4;

/// What all runs of a comparison must share, in words; empty when they do.
pub fn unlike(runs: &[&StoredRun]) -> Vec<String> {
    let mut found = Vec::new();
    let documents = || runs.iter().map(|run| &run.document);
    let machines = distinct(documents().map(|d| d.machine.hardware_id.clone()));
    if machines.len() > 1 {
        found.push(format!("the machines differ (hardware id {})", machines.join(", ")));
    }
    let workloads = distinct(documents().map(|d| d.workload.clone()));
    if workloads.len() > 1 {
        found.push(format!("the workloads differ ({})", workloads.join(", ")));
    }
    let durability = distinct(documents().map(|d| d.durability.label.clone()));
    if durability.len() > 1 {
        found.push(format!("acknowledgements mean different things ({})", durability.join(" | ")));
    }
    let loads: Vec<BTreeMap<String, String>> = documents().map(|d| load_fields(&d.load)).collect();
    let names: BTreeSet<&String> = loads.iter().flat_map(BTreeMap::keys).collect();
    for name in names {
        let values = distinct(loads.iter().map(|load| load.get(name).cloned().unwrap_or_default()));
        if values.len() > 1 {
            found.push(format!("the load differs in {name} ({})", values.join(", ")));
        }
    }
    found
}

/// The load's settings by name, without the seed: another seed is another sample of the same load.
fn load_fields(load: &LoadSettings) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let value = serde_json::to_value(load).expect("settings become JSON");
    let mut open = vec![(String::new(), value)];
    while let Some((name, value)) = open.pop() {
        match value {
            Value::Object(fields) => open.extend(fields.into_iter().map(|(field, value)| {
                let name = if name.is_empty() { field } else { format!("{name}.{field}") };
                (name, value)
            })),
            Value::String(text) => {
                out.insert(name, text);
            }
            other => {
                out.insert(name, other.to_string());
            }
        }
    }
    out.remove("seed");
    out
}

/// Values in order of their first appearance.
fn distinct(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for value in values {
        if !out.contains(&value) {
            out.push(value);
        }
    }
    out
}

/// Runs whose data check failed: how fast they were does not matter.
pub fn broken<'a>(runs: &[&'a StoredRun]) -> Vec<&'a str> {
    let of = |run: &&'a StoredRun| run.document.verdict == Verdict::DataCheckFailed;
    runs.iter().copied().filter(of).map(|run| run.document.run_id.as_str()).collect()
}

/// A name whose values differ between the sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The setting or fact.
    pub name: String,
    /// Values of the first side.
    pub a: String,
    /// Values of the second side.
    pub b: String,
}

/// Settings, tool, broker and machine facts in which the sides differ.
pub fn differences(a: &[StoredRun], b: &[StoredRun]) -> Vec<Difference> {
    let (a, b) = (facts(a), facts(b));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let shown = |values: Option<&BTreeSet<String>>| -> String {
        let Some(values) = values else { return "not set".to_string() };
        let mut text = values.iter().take(VALUES_SHOWN_MAX).cloned().collect::<Vec<_>>().join(" | ");
        if values.len() > VALUES_SHOWN_MAX {
            text.push_str(" | …");
        }
        text
    };
    names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name))
        .map(|name| Difference { name: name.clone(), a: shown(a.get(name)), b: shown(b.get(name)) })
        .collect()
}

/// Every fact of a side with the values that its runs had.
fn facts(runs: &[StoredRun]) -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |name: String, value: String| {
        out.entry(name).or_default().insert(value);
    };
    for run in runs {
        let Document { settings, machine, broker, tool_version, durability, .. } = &run.document;
        for setting in settings.iter().filter(|s| !NEW_EACH_RUN.contains(&s.name.as_str())) {
            add(setting.name.clone(), setting.value.clone());
        }
        add("tool version".to_string(), tool_version.clone());
        add("broker".to_string(), broker.name.clone());
        add(
            "broker cores".to_string(),
            broker.cores.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        );
        add("broker buffers".to_string(), broker.buffers.word().to_string());
        add("durability".to_string(), durability.label.clone());
        if let Ok(Value::Object(fields)) = serde_json::to_value(machine) {
            for (name, value) in fields {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                add(format!("machine.{name}"), value);
            }
        }
    }
    out
}
