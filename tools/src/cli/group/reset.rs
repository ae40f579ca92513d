//! Where a group is to go on reading, as kafka-consumer-groups does it: without `--execute` only the plan is
//! shown; a group with members is refused, because they would commit over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use serde_json::json;
use wire::list_offsets::{EARLIEST, LATEST};
use wire::{ErrorCode, offset_commit};

use super::scope::{Scope, places};
use super::view;
use crate::cli::cluster::{Cluster, Place, TopicInfo, refused, until_ready};
use crate::cli::exit::Usage;
use crate::cli::moment::{Moment, Stretch};
use crate::cli::output::{Look, print_json};
use crate::cli::table::table;
use crate::load::clock::wall_ms;

/// `ringlog group reset-offsets`
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("to").required(true))]
#[command(group = ArgGroup::new("scope").required(true).multiple(true).args(["topic", "all_topics", "from_file"]))]
pub(super) struct ResetArgs {
    /// The group
    group: String,
    /// A topic, or some of its partitions: orders or orders:0,2; may be repeated
    #[arg(long, short, value_name = "TOPIC[:P,P]")]
    topic: Vec<Scope>,
    /// Every topic that the group has committed
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    /// To the oldest record that is left
    #[arg(long, group = "to")]
    to_earliest: bool,
    /// To the end: only what comes from now on
    #[arg(long, group = "to")]
    to_latest: bool,
    /// To where it is: a commit of what is committed, or of the end where nothing is
    #[arg(long, group = "to")]
    to_current: bool,
    /// To this offset
    #[arg(long, group = "to", value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// To the first record at or after this time: 2026-11-22T07:12:30, UTC unless Z or +01:00 says otherwise, or ms
    #[arg(long, group = "to", value_name = "TIME")]
    to_datetime: Option<Moment>,
    /// To the first record of the last stretch of time: 2h, PT1H30M, P7D
    #[arg(long, group = "to", value_name = "DURATION")]
    by_duration: Option<Stretch>,
    /// Forward, or back if negative, from where it is
    #[arg(long, group = "to", value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To what a file says: lines topic,partition,offset, as --export prints them
    #[arg(long, group = "to", value_name = "FILE", conflicts_with_all = ["topic", "all_topics"])]
    from_file: Option<PathBuf>,
    /// Commit the plan
    #[arg(long, conflicts_with = "dry_run")]
    execute: bool,
    /// Only show the plan; this is the default
    #[arg(long)]
    dry_run: bool,
    /// Print the plan as lines topic,partition,offset
    #[arg(long)]
    export: bool,
}

/// Where a partition is to go.
struct Step {
    place: Place,
    from: Option<i64>,
    to: i64,
}

/// Runs the command.
pub(super) fn run(cluster: &mut Cluster, args: &ResetArgs, look: Look) -> anyhow::Result<()> {
    let coordinator = cluster.coordinator(&args.group)?;
    let state = view::state(cluster, coordinator, &args.group)?;
    if let Some(state) = state.filter(|s| s != "Empty" && s != "Dead") {
        bail!(
            "group {} is {state}: offsets are reset while it has no members, so stop its consumers",
            args.group
        );
    }
    let current = view::committed(cluster, coordinator, &args.group)?;
    let wanted = match &args.from_file {
        Some(file) => from_file(file)?,
        None => {
            let places = if args.all_topics {
                current.keys().cloned().collect()
            } else {
                places(cluster, &args.topic)?
            };
            places.into_iter().map(|place| (place, None)).collect()
        }
    };
    if let (true, Some(file)) = (wanted.is_empty(), &args.from_file) {
        return Err(Usage::new(format!("{} names no partition", file.display())).into());
    }
    if wanted.is_empty() {
        bail!("group {} has committed nothing: name topics with --topic", args.group);
    }
    let steps = plan(cluster, args, &current, &wanted)?;
    if args.execute {
        commit(cluster, coordinator, &args.group, &steps)?;
    }
    show(args, &steps, look);
    if !args.execute {
        eprintln!("dry run: nothing was changed; add --execute to commit this");
    }
    Ok(())
}

/// Lines of `topic,partition,offset`; empty ones and comments are skipped.
fn from_file(file: &Path) -> anyhow::Result<BTreeMap<Place, Option<i64>>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut wanted = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let cells: Vec<&str> = line.split(',').map(|c| c.trim().trim_matches('"')).collect();
        let parsed = match cells[..] {
            [topic, partition, offset] => partition
                .parse()
                .ok()
                .zip(offset.parse::<i64>().ok())
                .map(|(p, o)| ((topic.to_owned(), p), o)),
            _ => None,
        };
        let Some((place, offset)) = parsed.filter(|(_, offset)| *offset >= 0) else {
            let says = format!("{}:{}: a line is topic,partition,offset", file.display(), number + 1);
            return Err(Usage::new(says).into());
        };
        wanted.insert(place, Some(offset));
    }
    Ok(wanted)
}

/// What would be committed: within the offsets that each partition has, as Kafka's tool does.
fn plan(
    cluster: &mut Cluster,
    args: &ResetArgs,
    current: &BTreeMap<Place, i64>,
    wanted: &BTreeMap<Place, Option<i64>>,
) -> anyhow::Result<Vec<Step>> {
    let list: Vec<Place> = wanted.keys().cloned().collect();
    let mut names: Vec<String> = list.iter().map(|(topic, _)| topic.clone()).collect();
    names.dedup();
    let topics: Vec<TopicInfo> = cluster.existing(&names)?;
    let starts = cluster.offsets(&topics, &list, EARLIEST)?;
    let ends = cluster.offsets(&topics, &list, LATEST)?;
    let since = match (args.to_datetime, args.by_duration) {
        (Some(moment), _) => Some(moment.0),
        (_, Some(Stretch(back))) => {
            Some(wall_ms().saturating_sub(i64::try_from(back.as_millis()).unwrap_or(i64::MAX)).max(0))
        }
        _ => None,
    };
    let timed = since.map(|ms| cluster.offsets(&topics, &list, ms)).transpose()?;
    let mut steps = Vec::with_capacity(list.len());
    for place in list {
        let (start, end) = (starts.of(&place)?, ends.of(&place)?);
        let from = current.get(&place).copied();
        let to = if args.to_earliest {
            start
        } else if args.to_latest {
            end
        } else if args.to_current {
            from.unwrap_or(end)
        } else if let Some(timed) = &timed {
            // Nothing is that late: the end.
            Some(timed.of(&place)?).filter(|offset| *offset >= 0).unwrap_or(end)
        } else if let Some(n) = args.shift_by {
            let at = || format!("{}:{} has no committed offset to shift from", place.0, place.1);
            from.with_context(at)?.saturating_add(n)
        } else {
            args.to_offset.or(wanted[&place]).expect("clap wants one of them")
        };
        let within = to.clamp(start, end);
        if within != to {
            eprintln!("{}:{} has offsets {start} to {end}: {to} becomes {within}", place.0, place.1);
        }
        steps.push(Step { place, from, to: within });
    }
    Ok(steps)
}

/// Commits from outside of the group, which the coordinator allows while it is empty.
fn commit(cluster: &mut Cluster, coordinator: i32, group: &str, steps: &[Step]) -> anyhow::Result<()> {
    let (code, place) = until_ready(|| {
        let mut topics: Vec<offset_commit::Topic<'_>> = Vec::new();
        for step in steps {
            if topics.last().is_none_or(|t| t.name != step.place.0) {
                topics.push(offset_commit::Topic { name: &step.place.0, ..offset_commit::Topic::default() });
            }
            let partition = offset_commit::Partition {
                partition_index: step.place.1,
                committed_offset: step.to,
                ..offset_commit::Partition::default()
            };
            topics.last_mut().expect("just pushed").partitions.push(partition);
        }
        let request = offset_commit::Request { group_id: group, topics, ..offset_commit::Request::default() };
        let client = cluster.node(coordinator)?;
        let answer: offset_commit::Response<'_> =
            client.call_up_to(offset_commit::NEWEST_BY_NAME, &request)?;
        let results = answer.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p)));
        let failed = results.into_iter().find(|(_, p)| p.error_code.is_err());
        Ok(match failed {
            Some((t, p)) => (p.error_code, format!("{}/{}", t.name, p.partition_index)),
            None => (ErrorCode::None, String::new()),
        })
    })?;
    if code.is_err() {
        return Err(refused(format!("commit {place} for group {group}"), code, None).into());
    }
    Ok(())
}

fn show(args: &ResetArgs, steps: &[Step], look: Look) {
    if args.export {
        for step in steps {
            println!("{},{},{}", step.place.0, step.place.1, step.to);
        }
    } else if look.is_json() {
        let partitions: Vec<_> = steps
            .iter()
            .map(|s| json!({"topic": s.place.0, "partition": s.place.1, "current_offset": s.from, "new_offset": s.to}))
            .collect();
        let group = args.group.clone().into();
        print_json([("group", group), ("executed", args.execute.into()), ("partitions", partitions.into())]);
    } else {
        let row = |s: &Step| {
            let from = s.from.map_or("-".to_owned(), |offset| offset.to_string());
            vec![s.place.0.clone(), s.place.1.to_string(), from, s.to.to_string()]
        };
        let rows: Vec<_> = steps.iter().map(row).collect();
        print!("{}", table(&["TOPIC", "PARTITION", "CURRENT", "NEW"], &rows));
    }
}
