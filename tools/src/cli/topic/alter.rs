//! `ringlog topic alter`: more partitions, other settings, a later first record.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::Args;
use serde_json::json;
use wire::describe_configs::RESOURCE_TOPIC;
use wire::list_offsets::{EARLIEST, LATEST};
use wire::{ErrorCode, create_partitions, delete_records};

use crate::cli::cluster::{Cluster, Place, TopicInfo, by_leader, refused};
use crate::cli::config::change::{Change, apply};
use crate::cli::config::settings::Resource;
use crate::cli::exit::Usage;
use crate::cli::moment::Moment;
use crate::cli::output::{Look, confirm, print_json};
use crate::cli::table::table;

/// How long the broker may take, ms.
const TIMEOUT_MS: i32 = 30_000;

/// `ringlog topic alter`
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(super) struct AlterArgs {
    /// Names
    #[arg(required = true)]
    topics: Vec<String>,
    /// Partitions in all, more than there are; keys go to other partitions from then on
    #[arg(long, short, group = "what", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A setting: NAME=VALUE, or NAME+=WORD and NAME-=WORD for lists; may be repeated
    #[arg(long, short, group = "what", value_name = "NAME=VALUE")]
    config: Vec<Change>,
    /// A setting that goes back to its default; may be repeated
    #[arg(long, group = "what", value_name = "NAME")]
    delete_config: Vec<String>,
    /// Records to delete: below OFFSET (of the only partition), below PARTITION:OFFSET, `end` for all, @TIME for older ones; may be repeated
    #[arg(long, group = "what", value_name = "WHERE")]
    delete_records_before: Vec<Before>,
    /// Check and show, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before records are deleted
    #[arg(long, short)]
    yes: bool,
}

/// Below which offset records go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    /// Of the only partition.
    Offset(i64),
    /// Of this partition.
    At(i32, i64),
    /// All there are.
    End,
    /// Those written before, in every partition.
    Time(Moment),
}

impl FromStr for Before {
    type Err = String;

    fn from_str(text: &str) -> Result<Before, String> {
        let offset = |digits: &str| digits.parse::<i64>().ok().filter(|n| *n >= 0);
        if let Some(time) = text.strip_prefix('@') {
            return time.parse().map(Before::Time);
        }
        let before = match text.split_once(':') {
            Some((partition, below)) => {
                let partition = partition.parse().ok().filter(|p: &i32| *p >= 0);
                partition.zip(offset(below)).map(|(p, o)| Before::At(p, o))
            }
            None if matches!(text, "end" | "latest") => Some(Before::End),
            None => offset(text).map(Before::Offset),
        };
        before.ok_or_else(|| format!("{text:?} is not OFFSET, PARTITION:OFFSET, end or @TIME"))
    }
}

/// Runs the command.
pub(super) fn run(cluster: &mut Cluster, args: &AlterArgs, look: Look) -> anyhow::Result<()> {
    let topics = cluster.existing(&args.topics)?;
    let cuts = cuts(cluster, args, &topics)?;
    if !cuts.is_empty() && !args.dry_run && !args.yes {
        confirm(&format!(
            "delete {} records of {}",
            cuts.iter().map(|c| c.records()).sum::<i64>(),
            args.topics.join(", ")
        ))?;
    }
    let mut changes = args.config.clone();
    changes.extend(args.delete_config.iter().map(|name| Change::delete(name)));
    if !changes.is_empty() {
        for topic in &topics {
            let resource = Resource { kind: RESOURCE_TOPIC, name: topic.name.clone() };
            apply(cluster, &resource, &changes, args.dry_run)?;
        }
    }
    if let Some(count) = args.partitions {
        for topic in &topics {
            add_partitions(cluster, &topic.name, count, args.dry_run)?;
        }
    }
    let starts = if args.dry_run { Vec::new() } else { delete(cluster, &topics, &cuts)? };
    show(args, &topics, &cuts, &starts, look);
    if args.dry_run {
        eprintln!("dry run: nothing was changed");
    }
    Ok(())
}

/// Where a partition is to begin.
struct Cut {
    place: Place,
    start: i64,
    below: i64,
}

impl Cut {
    fn records(&self) -> i64 {
        (self.below - self.start).max(0)
    }
}

fn cuts(cluster: &mut Cluster, args: &AlterArgs, topics: &[TopicInfo]) -> anyhow::Result<Vec<Cut>> {
    if args.delete_records_before.is_empty() {
        return Ok(Vec::new());
    }
    let all: Vec<Place> = topics.iter().flat_map(|t| t.places().collect::<Vec<_>>()).collect();
    let starts = cluster.offsets(topics, &all, EARLIEST)?;
    let ends = cluster.offsets(topics, &all, LATEST)?;
    let mut cuts: BTreeMap<Place, Cut> = BTreeMap::new();
    for before in &args.delete_records_before {
        let timed = match before {
            Before::Time(moment) => Some(cluster.offsets(topics, &all, moment.0)?),
            _ => None,
        };
        for topic in topics {
            let count = topic.partitions.len();
            match before {
                Before::Offset(_) if count > 1 => {
                    let says = format!("{} has {count} partitions: write PARTITION:OFFSET", topic.name);
                    return Err(Usage::new(says).into());
                }
                Before::At(partition, _) if topic.partitions.iter().all(|p| p.index != *partition) => {
                    return Err(Usage::no_partition(&topic.name, count, *partition).into());
                }
                _ => {}
            }
            for place in topic.places().filter(|p| !matches!(before, Before::At(only, _) if *only != p.1)) {
                let (start, end) = (starts.of(&place)?, ends.of(&place)?);
                let below = match (before, &timed) {
                    (Before::Offset(offset) | Before::At(_, offset), _) => *offset,
                    // All are older.
                    // What came since `end` was asked stays.
                    (_, Some(timed)) => Some(timed.of(&place)?).filter(|o| *o >= 0).unwrap_or(end).min(end),
                    (_, None) => end,
                };
                if below > end {
                    let code = ErrorCode::OffsetOutOfRange;
                    let what =
                        format!("delete records of {}/{} below {below}, it ends at {end}", place.0, place.1);
                    return Err(refused(what, code, None).into());
                }
                // Said twice, the later start holds.
                let cut = cuts.entry(place.clone()).or_insert(Cut { place, start, below });
                cut.below = cut.below.max(below);
            }
        }
    }
    Ok(cuts.into_values().collect())
}

fn add_partitions(cluster: &mut Cluster, topic: &str, count: i32, dry_run: bool) -> anyhow::Result<()> {
    let one = create_partitions::Topic { name: topic, count, assignments: None };
    let request =
        create_partitions::Request { topics: vec![one], timeout_ms: TIMEOUT_MS, validate_only: dry_run };
    let answer: create_partitions::Response<'_> = cluster.first().call(&request)?;
    match answer.results.into_iter().next() {
        Some(r) if r.error_code.is_err() => {
            let detail = r.error_message.map(std::borrow::Cow::into_owned);
            Err(refused(format!("give topic {topic} {count} partitions"), r.error_code, detail).into())
        }
        _ => Ok(()),
    }
}

/// The new first offset of each partition, in the order of `cuts`.
fn delete(cluster: &mut Cluster, topics: &[TopicInfo], cuts: &[Cut]) -> anyhow::Result<Vec<i64>> {
    let places: Vec<Place> = cuts.iter().map(|c| c.place.clone()).collect();
    let mut found = std::collections::HashMap::new();
    for (leader, places) in by_leader(topics, &places, &mut found) {
        for (topic, partition_index) in places {
            let place = (topic, partition_index);
            let cut = cuts.iter().find(|c| c.place == place).expect("asked for");
            let partition = delete_records::Partition { partition_index, offset: cut.below };
            let one = delete_records::Topic { name: &place.0, partitions: vec![partition] };
            let request = delete_records::Request { topics: vec![one], timeout_ms: TIMEOUT_MS };
            let answer: delete_records::Response<'_> = cluster.node(leader)?.call(&request)?;
            let result = answer.topics.first().and_then(|t| t.partitions.first());
            let result = match result {
                Some(p) if !p.error_code.is_err() => Ok(p.low_watermark),
                Some(p) => Err(p.error_code),
                None => Err(ErrorCode::UnknownTopicOrPartition),
            };
            found.insert(place, result);
        }
    }
    let one = |cut: &Cut| match found.get(&cut.place) {
        Some(Ok(offset)) => Ok(*offset),
        other => {
            let code = other.and_then(|r| r.err()).unwrap_or(ErrorCode::UnknownTopicOrPartition);
            Err(refused(format!("delete records of {}/{}", cut.place.0, cut.place.1), code, None).into())
        }
    };
    cuts.iter().map(one).collect()
}

fn show(args: &AlterArgs, topics: &[TopicInfo], cuts: &[Cut], starts: &[i64], look: Look) {
    let begins = |at: usize, cut: &Cut| starts.get(at).copied().unwrap_or(cut.below.max(cut.start));
    if look.is_json() {
        let deleted: Vec<_> = cuts
            .iter()
            .enumerate()
            .map(|(at, c)| {
                json!({"topic": c.place.0, "partition": c.place.1, "old_start_offset": c.start,
                    "new_start_offset": begins(at, c)})
            })
            .collect();
        let names: Vec<_> = topics.iter().map(|t| t.name.clone()).collect();
        let (altered, executed) = (names.into(), (!args.dry_run).into());
        print_json([("altered", altered), ("executed", executed), ("records_deleted", deleted.into())]);
        return;
    }
    for topic in topics {
        println!("{} {}", if args.dry_run { "would alter" } else { "altered" }, topic.name);
    }
    let row = |(at, c): (usize, &Cut)| {
        vec![c.place.0.clone(), c.place.1.to_string(), c.start.to_string(), begins(at, c).to_string()]
    };
    let rows: Vec<_> = cuts.iter().enumerate().map(row).collect();
    if !rows.is_empty() {
        print!("{}", table(&["TOPIC", "PARTITION", "OLD START", "NEW START"], &rows));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_read_as_people_write_it() {
        let cases = [
            ("17", Before::Offset(17)),
            ("2:17", Before::At(2, 17)),
            ("end", Before::End),
            ("@1700000000000", Before::Time(Moment(1_700_000_000_000))),
        ];
        for (text, before) in cases {
            assert_eq!(text.parse(), Ok(before), "{text}");
        }
        for bad in ["", "-1", "a:1", "1:", "@noon", "-1:5"] {
            assert!(bad.parse::<Before>().is_err(), "{bad}");
        }
    }
}
