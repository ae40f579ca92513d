//! `ringlog topic`: create, list, describe, delete.

use std::io::{BufRead, IsTerminal, Write};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use wire::{ErrorCode, describe_configs, list_offsets, metadata};

use super::connect::Brokers;
use super::exit::Usage;
use super::table::table;
use crate::load::client::{Client, ClientError};
use crate::load::setup::{create_topic, delete_topic};

/// Kafka's timestamp for "the start of the log".
pub const EARLIEST: i64 = -2;

/// Kafka's timestamp for "the end of the log".
pub const LATEST: i64 = -1;

/// The version of the JSON that `--format json` prints.
const SCHEMA_VERSION: u32 = 1;

/// `ringlog topic`
#[derive(Args, Clone, Debug)]
pub struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
    #[command(flatten)]
    brokers: Brokers,
    /// How results look
    #[arg(long, value_enum, default_value = "text", global = true)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
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
        config: Vec<String>,
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
    let mut client = args.brokers.connect()?;
    match &args.command {
        TopicCommand::Create { topics, partitions, replication_factor, config } => {
            let split =
                |c: &String| c.split_once('=').map(|(name, value)| (name.to_string(), value.to_string()));
            let configs: Option<Vec<_>> = config.iter().map(split).collect();
            let configs = configs
                .ok_or_else(|| Usage::new("--config takes NAME=VALUE, such as retention.ms=3600000"))?;
            for topic in topics {
                create_topic(&mut client, topic, *partitions, *replication_factor, &configs)?;
                println!("created {topic}");
            }
        }
        TopicCommand::List => list(&mut client, args.format)?,
        TopicCommand::Describe { topics } => describe(&mut client, topics, args.format)?,
        TopicCommand::Delete { topics, yes } => {
            if !yes {
                confirm(topics)?;
            }
            for topic in topics {
                delete_topic(&mut client, topic)?;
                println!("deleted {topic}");
            }
        }
    }
    Ok(())
}

fn confirm(topics: &[String]) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Usage::new("deleting takes --yes where nobody can be asked").into());
    }
    eprint!("delete {} and all of their records? [y/N] ", topics.join(", "));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { anyhow::bail!("nothing was deleted") }
}

/// A partition as `describe` shows it.
struct Row {
    index: i32,
    leader: i32,
    epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
}

struct Topic {
    name: String,
    id: String,
    error: ErrorCode,
    rows: Vec<Row>,
}

fn topics(client: &mut Client, names: Option<&[String]>) -> Result<Vec<Topic>, ClientError> {
    let wanted = |name: &String| name.clone();
    let names: Option<Vec<String>> = names.map(|names| names.iter().map(wanted).collect());
    let topics = names.as_ref().map(|names| {
        let by_name = |name| metadata::RequestTopic { name: Some(name), ..metadata::RequestTopic::default() };
        names.iter().map(|name| by_name(name.as_str())).collect()
    });
    let request =
        metadata::Request { topics, allow_auto_topic_creation: false, ..metadata::Request::default() };
    let answer: metadata::Response<'_> = client.call(&request)?;
    let mut found: Vec<Topic> = answer
        .topics
        .into_iter()
        .map(|topic| Topic {
            name: topic.name.unwrap_or_default().into_owned(),
            id: topic.topic_id.to_string(),
            error: topic.error_code,
            rows: topic
                .partitions
                .into_iter()
                .map(|p| Row {
                    index: p.partition_index,
                    leader: p.leader_id,
                    epoch: p.leader_epoch,
                    replicas: p.replica_nodes,
                    isr: p.isr_nodes,
                })
                .collect(),
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.iter_mut().for_each(|t| t.rows.sort_by_key(|row| row.index));
    Ok(found)
}

fn list(client: &mut Client, format: Format) -> anyhow::Result<()> {
    let found = topics(client, None)?;
    if format == Format::Json {
        let topics: Vec<_> = found
            .iter()
            .map(|t| json!({"name": t.name, "id": t.id, "partitions": t.rows.len(), "replicas": replicas(t)}))
            .collect();
        println!("{}", json!({"schema_version": SCHEMA_VERSION, "topics": topics}));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|t| vec![t.name.clone(), t.rows.len().to_string(), replicas(t).to_string()])
        .collect();
    print!("{}", table(&["NAME", "PARTITIONS", "REPLICAS"], &rows));
    Ok(())
}

fn replicas(topic: &Topic) -> usize {
    topic.rows.first().map_or(0, |row| row.replicas.len())
}

fn describe(client: &mut Client, names: &[String], format: Format) -> anyhow::Result<()> {
    let mut described = Vec::new();
    for topic in topics(client, Some(names))? {
        if topic.error.is_err() {
            let what = format!("describe topic {}", topic.name);
            return Err(ClientError::Refused { what, code: topic.error, detail: None }.into());
        }
        let indexes: Vec<i32> = topic.rows.iter().map(|row| row.index).collect();
        let start = offsets(client, &topic.name, &indexes, EARLIEST)?;
        let end = offsets(client, &topic.name, &indexes, LATEST)?;
        let configs = configs(client, &topic.name)?;
        if format == Format::Json {
            let partitions: Vec<_> = topic
                .rows
                .iter()
                .zip(start.iter().zip(&end))
                .map(|(row, (start, end))| {
                    json!({"partition": row.index, "leader": row.leader, "epoch": row.epoch,
                        "replicas": row.replicas, "isr": row.isr, "start_offset": start, "end_offset": end})
                })
                .collect();
            let configs: serde_json::Map<_, _> = configs
                .into_iter()
                .map(|c| (c.name, json!({"value": c.value, "default": c.is_default})))
                .collect();
            described.push(
                json!({"name": topic.name, "id": topic.id, "partitions": partitions, "configs": configs}),
            );
            continue;
        }
        println!("{}  id {}", topic.name, topic.id);
        let list = |nodes: &[i32]| nodes.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let rows: Vec<Vec<String>> = topic
            .rows
            .iter()
            .zip(start.iter().zip(&end))
            .map(|(row, (start, end))| {
                let numbers = [row.index.into(), row.leader.into(), row.epoch.into(), *start, *end];
                let mut cells: Vec<String> = numbers.iter().map(i64::to_string).collect();
                cells.extend([list(&row.replicas), list(&row.isr)]);
                cells
            })
            .collect();
        print!("{}", table(&["PARTITION", "LEADER", "EPOCH", "START", "END", "REPLICAS", "ISR"], &rows));
        let set: Vec<Vec<String>> = configs
            .into_iter()
            .filter(|c| !c.is_default)
            .map(|c| vec![c.name, c.value.unwrap_or_default()])
            .collect();
        if !set.is_empty() {
            print!("{}", table(&["SETTING", "VALUE"], &set));
        }
    }
    if format == Format::Json {
        println!("{}", json!({"schema_version": SCHEMA_VERSION, "topics": described}));
    }
    Ok(())
}

/// The offset of each partition at `timestamp` ([`EARLIEST`] and [`LATEST`] included); −1 where there is none.
pub fn offsets(
    client: &mut Client,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<Vec<i64>, ClientError> {
    let asked = partitions.iter().map(|partition_index| list_offsets::Partition {
        partition_index: *partition_index,
        timestamp,
        ..list_offsets::Partition::default()
    });
    let topics = vec![list_offsets::Topic { name: topic, partitions: asked.collect() }];
    let request = list_offsets::Request { replica_id: -1, topics, ..list_offsets::Request::default() };
    let answer: list_offsets::Response<'_> = client.call(&request)?;
    let answered: Vec<_> = answer.topics.into_iter().flat_map(|t| t.partitions).collect();
    let one = |index: &i32| {
        let found = answered.iter().find(|p| p.partition_index == *index);
        let refused =
            |code| ClientError::Refused { what: format!("offsets of {topic}/{index}"), code, detail: None };
        match found {
            Some(p) if p.error_code.is_err() => Err(refused(p.error_code)),
            Some(p) => Ok(p.offset),
            None => Err(refused(ErrorCode::UnknownTopicOrPartition)),
        }
    };
    partitions.iter().map(one).collect()
}

struct Config {
    name: String,
    value: Option<String>,
    is_default: bool,
}

fn configs(client: &mut Client, topic: &str) -> Result<Vec<Config>, ClientError> {
    /// Kafka's numbers: a topic among resources, and "set for this topic" among sources.
    const TOPIC: i8 = 2;
    const DYNAMIC_TOPIC: i8 = 1;
    let resource =
        describe_configs::Resource { resource_type: TOPIC, resource_name: topic, configuration_keys: None };
    let request =
        describe_configs::Request { resources: vec![resource], ..describe_configs::Request::default() };
    let answer: describe_configs::Response<'_> = client.call(&request)?;
    let all = answer.results.into_iter().flat_map(|result| result.configs);
    let one = |c: describe_configs::Config<'_>| Config {
        name: c.name.into_owned(),
        value: c.value.map(std::borrow::Cow::into_owned),
        is_default: c.config_source != DYNAMIC_TOPIC,
    };
    Ok(all.map(one).collect())
}
