//! `ringlog group`: list, describe, reset-offsets, delete. Everything is asked with Kafka's own requests,
//! so any broker that speaks the protocol will do.
//!
//! | file | what |
//! |---|---|
//! | `view` | a group in full: state, members, commits, lag, put together from several answers |
//! | `age` | how long the oldest record that a group has not read has been waiting |
//! | `parts` | the partitions of a member, as consumers tell them each other |
//! | `describe` | a group as a table or as JSON |
//! | `scope` | which partitions a command is about: `orders`, `orders:0,2`, all, or a file |
//! | `reset` | where a group is to go on reading: planned first, committed with `--execute` |
//!
//! Invariants: nothing changes without `--execute` or `--yes`; a group that has members is not reset.

mod age;
mod describe;
pub(super) mod parts;
mod reset;
mod scope;
pub(super) mod view;

use clap::{Args, Subcommand};
use serde_json::json;
use wire::{delete_groups, list_groups};

use super::cluster::{Cluster, refused, until_ready};
use super::connect::Brokers;
use super::output::{Output, confirm, print_json};
use super::table::table;
use crate::load::client::ClientError;

/// `ringlog group`
#[derive(Args, Clone, Debug)]
pub struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
    #[command(flatten)]
    brokers: Brokers,
    #[command(flatten)]
    output: Output,
}

#[derive(Subcommand, Clone, Debug)]
enum GroupCommand {
    /// List groups, their state and their protocol
    #[command(visible_alias = "ls")]
    List {
        /// Only groups in this state, such as Stable or Empty; may be repeated
        #[arg(long, value_name = "STATE")]
        state: Vec<String>,
    },
    /// Show members, assignments, committed offsets, and lag in records and in seconds
    Describe {
        /// Names
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Choose where an empty group goes on reading; without --execute, only show it
    ResetOffsets(reset::ResetArgs),
    /// Delete empty groups with everything that they committed
    #[command(visible_alias = "rm")]
    Delete {
        /// Names
        #[arg(required = true)]
        groups: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Runs the command.
pub fn run(args: &GroupArgs) -> anyhow::Result<()> {
    let mut cluster = Cluster::connect(&args.brokers)?;
    let look = args.output.format;
    match &args.command {
        GroupCommand::List { state } => {
            let found = list(&mut cluster, state)?;
            if look.is_json() {
                let groups: Vec<_> = found
                    .iter()
                    .map(|g| {
                        json!({"group": g.name, "state": g.state, "type": g.kind,
                            "protocol_type": g.protocol_type, "coordinator": g.coordinator})
                    })
                    .collect();
                print_json([("groups", groups.into())]);
            } else {
                let row = |g: &Listed| {
                    vec![g.name.clone(), g.state.clone(), g.kind.clone(), g.coordinator.to_string()]
                };
                let rows: Vec<_> = found.iter().map(row).collect();
                print!("{}", table(&["GROUP", "STATE", "TYPE", "COORDINATOR"], &rows));
            }
        }
        GroupCommand::Describe { groups } => {
            let found: Result<Vec<_>, _> = groups.iter().map(|g| view::view(&mut cluster, g)).collect();
            describe::print(&found?, look);
        }
        GroupCommand::ResetOffsets(reset) => reset::run(&mut cluster, reset, look)?,
        GroupCommand::Delete { groups, yes } => {
            if !yes {
                confirm(&format!("delete {} and all of their committed offsets", groups.join(", ")))?;
            }
            for group in groups {
                delete(&mut cluster, group)?;
                if !look.is_json() {
                    println!("deleted {group}");
                }
            }
            if look.is_json() {
                print_json([("deleted", groups.clone().into())]);
            }
        }
    }
    Ok(())
}

/// A group in the list.
struct Listed {
    name: String,
    /// Empty from brokers before Kafka 2.6.
    state: String,
    /// `classic` or `consumer`; empty from brokers before Kafka 4.0.
    kind: String,
    protocol_type: String,
    coordinator: i32,
}

/// Every broker lists the groups that it coordinates.
fn list(cluster: &mut Cluster, states: &[String]) -> anyhow::Result<Vec<Listed>> {
    let mut found = Vec::new();
    for node in cluster.nodes() {
        let (code, groups) = until_ready(|| {
            let states_filter = states.iter().map(String::as_str).collect();
            let request = list_groups::Request { states_filter, ..list_groups::Request::default() };
            let answer: list_groups::Response<'_> = cluster.node(node)?.call(&request)?;
            let one = |g: list_groups::ListedGroup<'_>| Listed {
                name: g.group_id.into_owned(),
                state: g.group_state.into_owned(),
                kind: g.group_type.into_owned(),
                protocol_type: g.protocol_type.into_owned(),
                coordinator: node,
            };
            Ok((answer.error_code, answer.groups.into_iter().map(one).collect::<Vec<_>>()))
        })?;
        if code.is_err() {
            return Err(refused(format!("list the groups of broker {node}"), code, None).into());
        }
        found.extend(groups);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn delete(cluster: &mut Cluster, group: &str) -> Result<(), ClientError> {
    let node = cluster.coordinator(group)?;
    let (code, ()) = until_ready(|| {
        let request = delete_groups::Request { groups_names: vec![group] };
        let answer: delete_groups::Response<'_> = cluster.node(node)?.call(&request)?;
        Ok((answer.results.first().map(|r| r.error_code).unwrap_or_default(), ()))
    })?;
    if code.is_err() { Err(refused(format!("delete group {group}"), code, None)) } else { Ok(()) }
}
