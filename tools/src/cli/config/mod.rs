//! `ringlog config`: what topics, groups and brokers are set to, where each value comes from, and changing it.
//!
//! | file | what |
//! |---|---|
//! | `settings` | DescribeConfigs: resources and their settings |
//! | `change` | IncrementalAlterConfigs: one setting at a time, the rest stays |

pub(super) mod change;
pub(super) mod settings;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wire::describe_configs::{RESOURCE_BROKER, RESOURCE_TOPIC};

use self::change::{Change, apply};
use self::settings::{Resource, Setting, is_set, kind_name, settings, source_name, type_name};
use super::cluster::Cluster;
use super::connect::Brokers;
use super::output::{Look, Output, print_json};
use super::table::table;

/// `ringlog config`
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
    #[command(flatten)]
    brokers: Brokers,
    #[command(flatten)]
    output: Output,
}

#[derive(Subcommand, Clone, Debug)]
enum ConfigCommand {
    /// List what somebody has set at run time, on every topic, group and broker
    #[command(visible_alias = "ls")]
    List,
    /// Show settings, their values and where they come from
    Describe {
        /// topic/NAME, group/ID, broker/ID, or broker for what holds for all brokers
        resource: Resource,
        /// Only these settings; without names, all
        names: Vec<String>,
        /// What each setting does, too
        #[arg(long)]
        docs: bool,
    },
    /// Change settings
    Set {
        /// topic/NAME, group/ID, broker/ID, or broker for what holds for all brokers
        resource: Resource,
        /// NAME=VALUE; for lists NAME+=WORD adds and NAME-=WORD takes away
        #[arg(required = true, value_name = "NAME=VALUE")]
        changes: Vec<Change>,
        /// Check, change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Take settings back to their defaults
    #[command(visible_alias = "rm")]
    Delete {
        /// topic/NAME, group/ID, broker/ID, or broker for what holds for all brokers
        resource: Resource,
        /// Names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Check, change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs the command.
pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let mut cluster = Cluster::connect(&args.brokers)?;
    let look = args.output.format;
    match &args.command {
        ConfigCommand::List => list(&mut cluster, look),
        ConfigCommand::Describe { resource, names, docs } => {
            let names = Some(names.as_slice()).filter(|names| !names.is_empty());
            let found = settings(&mut cluster, std::slice::from_ref(resource), names, *docs)?;
            let found: Vec<Setting> = found.into_iter().flat_map(|(_, settings)| settings).collect();
            if let Some(unknown) = names.into_iter().flatten().find(|n| found.iter().all(|s| s.name != **n)) {
                anyhow::bail!("{resource} has no setting {unknown}");
            }
            describe(resource, &found, *docs, look);
            Ok(())
        }
        ConfigCommand::Set { resource, changes, dry_run } => {
            alter(&mut cluster, resource, changes, *dry_run, look)
        }
        ConfigCommand::Delete { resource, names, dry_run } => {
            let changes: Vec<Change> = names.iter().map(|name| Change::delete(name)).collect();
            alter(&mut cluster, resource, &changes, *dry_run, look)
        }
    }
}

fn list(cluster: &mut Cluster, look: Look) -> anyhow::Result<()> {
    let mut resources: Vec<Resource> = Vec::new();
    let topics = cluster.topics(None)?;
    resources.extend(topics.into_iter().map(|t| Resource { kind: RESOURCE_TOPIC, name: t.name }));
    resources.extend(settings::groups(cluster)?);
    // An empty name is what holds for all brokers.
    resources.push(Resource { kind: RESOURCE_BROKER, name: String::new() });
    let brokers =
        cluster.nodes().into_iter().map(|id| Resource { kind: RESOURCE_BROKER, name: id.to_string() });
    resources.extend(brokers);
    let found = settings(cluster, &resources, None, false)?;
    let set = found.iter().flat_map(|(resource, settings)| {
        settings.iter().filter(|s| is_set(resource, s)).map(move |s| (resource, s))
    });
    if look.is_json() {
        let one = |(resource, s): (&Resource, &Setting)| {
            let mut object = as_json(s, false);
            object["resource"] = resource_json(resource);
            object
        };
        print_json([("configs", set.map(one).collect::<Vec<_>>().into())]);
    } else {
        let row = |(resource, s): (&Resource, &Setting)| {
            vec![resource.to_string(), s.name.clone(), shown(s), source_name(s.source).to_owned()]
        };
        let rows: Vec<_> = set.map(row).collect();
        print!("{}", table(&["RESOURCE", "SETTING", "VALUE", "SOURCE"], &rows));
    }
    Ok(())
}

fn describe(resource: &Resource, found: &[Setting], docs: bool, look: Look) {
    if look.is_json() {
        let configs: Vec<Value> = found.iter().map(|s| as_json(s, docs)).collect();
        print_json([("resource", resource_json(resource)), ("configs", configs.into())]);
        return;
    }
    let mut heads = vec!["SETTING", "VALUE", "SOURCE", "TYPE"];
    if docs {
        heads.push("WHAT IT DOES");
    }
    let row = |s: &Setting| {
        let change = if s.read_only { ", read only" } else { "" };
        let mut cells = vec![s.name.clone(), shown(s), source_name(s.source).to_owned()];
        cells.push(format!("{}{change}", type_name(s.kind)));
        cells.extend(s.doc.clone().filter(|_| docs));
        cells
    };
    print!("{}", table(&heads, &found.iter().map(row).collect::<Vec<_>>()));
}

fn alter(
    cluster: &mut Cluster,
    resource: &Resource,
    changes: &[Change],
    dry_run: bool,
    look: Look,
) -> anyhow::Result<()> {
    apply(cluster, resource, changes, dry_run)?;
    if look.is_json() {
        let changed: Vec<&str> = changes.iter().map(Change::name).collect();
        let (resource, executed) = (resource_json(resource), (!dry_run).into());
        print_json([("resource", resource), ("changed", changed.into()), ("executed", executed)]);
    } else {
        println!("{} {resource}", if dry_run { "would alter" } else { "altered" });
    }
    Ok(())
}

fn shown(setting: &Setting) -> String {
    match &setting.value {
        None if setting.sensitive => "(withheld)".to_owned(),
        None => "(none)".to_owned(),
        Some(value) => value.clone(),
    }
}

fn resource_json(resource: &Resource) -> Value {
    json!({"type": kind_name(resource.kind), "name": resource.name})
}

fn as_json(s: &Setting, docs: bool) -> Value {
    let mut object = json!({"name": s.name, "value": s.value, "source": source_name(s.source),
        "type": type_name(s.kind), "read_only": s.read_only, "sensitive": s.sensitive});
    if docs {
        object["documentation"] = s.doc.clone().into();
    }
    object
}
