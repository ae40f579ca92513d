//! `ringlog topic`: create, list, describe, alter, delete.

mod alter;
mod describe;

use clap::{Args, Subcommand};
use serde_json::json;

use super::cluster::{Cluster, TopicInfo};
use super::config::change::Pair;
use super::connect::Brokers;
use super::output::{Output, confirm, print_json};
use super::table::table;
use crate::load::setup::{create_topic, delete_topic};

/// `ringlog topic`
#[derive(Args, Clone, Debug)]
pub struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
    #[command(flatten)]
    brokers: Brokers,
    #[command(flatten)]
    output: Output,
}

#[derive(Subcommand, Clone, Debug)]
enum TopicCommand {
    /// Create topics
    Create {
        /// Names
        #[arg(required = true)]
        topics: Vec<String>,
        /// Partitions; -1 leaves it to the broker
        #[arg(long, short, default_value = "-1", allow_negative_numbers = true)]
        partitions: i32,
        /// Replicas of each partition; -1 leaves it to the broker
        #[arg(long, short, default_value = "-1", allow_negative_numbers = true)]
        replication_factor: i16,
        /// A setting of the topic under Kafka's name, such as retention.ms=3600000; may be repeated
        #[arg(long, short, value_name = "NAME=VALUE")]
        config: Vec<Pair>,
    },
    /// List topics
    #[command(visible_alias = "ls")]
    List,
    /// Show partitions, leaders, offsets and settings
    Describe {
        /// Names
        #[arg(required = true)]
        topics: Vec<String>,
    },
    /// Add partitions, change settings, delete old records
    Alter(alter::AlterArgs),
    /// Delete topics and their data
    #[command(visible_alias = "rm")]
    Delete {
        /// Names
        #[arg(required = true)]
        topics: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Runs the command.
pub fn run(args: &TopicArgs) -> anyhow::Result<()> {
    let mut cluster = Cluster::connect(&args.brokers)?;
    let look = args.output.format;
    match &args.command {
        TopicCommand::Create { topics, partitions, replication_factor, config } => {
            let configs: Vec<_> = config.iter().map(|p| (p.name.clone(), p.value.clone())).collect();
            for topic in topics {
                create_topic(cluster.first(), topic, *partitions, *replication_factor, &configs)?;
                if !look.is_json() {
                    println!("created {topic}");
                }
            }
            if look.is_json() {
                print_json([("created", topics.clone().into())]);
            }
        }
        TopicCommand::List => {
            let found = cluster.topics(None)?;
            let replicas = |t: &TopicInfo| t.partitions.first().map_or(0, |p| p.replicas.len());
            if look.is_json() {
                let topics: Vec<_> = found
                    .iter()
                    .map(|t| {
                        json!({"name": t.name, "id": t.id.to_string(), "partitions": t.partitions.len(),
                            "replicas": replicas(t)})
                    })
                    .collect();
                print_json([("topics", topics.into())]);
            } else {
                let row = |t: &TopicInfo| {
                    vec![t.name.clone(), t.partitions.len().to_string(), replicas(t).to_string()]
                };
                let rows: Vec<_> = found.iter().map(row).collect();
                print!("{}", table(&["NAME", "PARTITIONS", "REPLICAS"], &rows));
            }
        }
        TopicCommand::Describe { topics } => describe::run(&mut cluster, topics, look)?,
        TopicCommand::Alter(alter) => alter::run(&mut cluster, alter, look)?,
        TopicCommand::Delete { topics, yes } => {
            if !yes {
                confirm(&format!("delete {} and all of their records", topics.join(", ")))?;
            }
            for topic in topics {
                delete_topic(cluster.first(), topic)?;
                if !look.is_json() {
                    println!("deleted {topic}");
                }
            }
            if look.is_json() {
                print_json([("deleted", topics.clone().into())]);
            }
        }
    }
    Ok(())
}
