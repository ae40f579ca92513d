//! `ringlog consume`: a topic's records to standard output, alone or as a member of a group.
//!
//! | file | what |
//! |---|---|
//! | `begin` | where to begin, as people write it |
//! | `reader` | from partitions to standard output |
//! | `member` | a member of a group: join, heartbeat, commit, leave |
//! | `range` | who gets what, when we are the group's leader |
//!
//! Invariant: what a group commits has left through standard output before.

mod begin;
mod member;
mod range;
mod reader;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use self::begin::{Begin, place};
use self::member::Member;
use self::reader::{Cursor, Reader};
use super::cluster::{Cluster, Place};
use super::connect::Brokers;
use super::exit::{INTERRUPTED, Usage};
use super::format::Format;

/// How often a group's member commits while records flow.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// `ringlog consume`
#[derive(Args, Clone, Debug)]
pub struct ConsumeArgs {
    #[command(flatten)]
    brokers: Brokers,
    /// The topic
    #[arg(long, short)]
    topic: String,
    /// The partition; without it, all
    #[arg(long, short)]
    partition: Option<i32>,
    /// Read as a member of this group, which shares the partitions; what was printed is committed
    #[arg(long, short, conflicts_with = "partition")]
    group: Option<String>,
    /// Where to begin in each partition: start, end, an offset, +N from the start, -N from the end, @TIME or @-1h.
    /// A partition that has no such offset begins at its nearest end. With --group: where nothing is committed
    #[arg(long, short, default_value = "start", allow_hyphen_values = true)]
    offset: Begin,
    /// Stop after this many records
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// Stop at the end of the topic
    #[arg(long, short)]
    exit: bool,
    /// %t topic, %p partition, %o offset, %T time, %k key, %v value, %h headers, %K and %V their sizes, \n \t
    #[arg(long, short, default_value = "%v\\n", conflicts_with = "json")]
    format: Format,
    /// One JSON object a line
    #[arg(long, short = 'J')]
    json: bool,
}

/// Runs the command; returns its exit code.
pub fn run(args: &ConsumeArgs) -> anyhow::Result<u8> {
    let mut cluster = Cluster::connect(&args.brokers)?;
    let result = match &args.group {
        None => alone(&mut cluster, args),
        Some(group) => in_group(&mut cluster, args, group),
    };
    match result {
        // Whoever reads our output has seen enough.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(0)
        }
        result => result,
    }
}

fn alone(cluster: &mut Cluster, args: &ConsumeArgs) -> anyhow::Result<u8> {
    let mut reader = Reader::new(cluster, args)?;
    let all: Vec<i32> = reader.topic.partitions.iter().map(|p| p.index).collect();
    let partitions = match args.partition {
        Some(partition) if all.contains(&partition) => vec![partition],
        Some(partition) => return Err(Usage::no_partition(&args.topic, all.len(), partition).into()),
        None => all,
    };
    reader.cursors = place(cluster, &reader.topic, &partitions, args.offset)?;
    while !reader.is_done() {
        reader.round(cluster)?;
    }
    Ok(0)
}

/// Why a member stops reading its partitions.
enum Turn {
    /// Enough was read.
    Done,
    /// A signal came.
    Stopped,
    /// The group gives partitions out anew.
    Rebalance,
}

fn in_group(cluster: &mut Cluster, args: &ConsumeArgs, group: &str) -> anyhow::Result<u8> {
    if !matches!(args.offset, Begin::Start | Begin::End) {
        return Err(Usage::new("with --group, --offset is start or end: where nothing is committed").into());
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends us at once.
        flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    let mut reader = Reader::new(cluster, args)?;
    let mut member = Member::new(cluster, group, &args.topic)?;
    let code = as_member(cluster, args, &mut reader, &mut member, &stop);
    member.leave(cluster);
    code
}

/// Joins and reads until it is done or told to stop.
fn as_member(
    cluster: &mut Cluster,
    args: &ConsumeArgs,
    reader: &mut Reader<'_>,
    member: &mut Member,
    stop: &AtomicBool,
) -> anyhow::Result<u8> {
    loop {
        let Some(parts) = member.join(cluster, stop)? else { return Ok(INTERRUPTED) };
        reader.topic = cluster.existing(std::slice::from_ref(&args.topic))?.remove(0);
        reader.cursors = resume(cluster, reader, member, &parts, args.offset)?;
        match read(cluster, reader, member, stop)? {
            Turn::Rebalance => {}
            Turn::Done => return Ok(0),
            Turn::Stopped => return Ok(INTERRUPTED),
        }
    }
}

/// Each partition where the group left it, or where `begin` says.
fn resume(
    cluster: &mut Cluster,
    reader: &Reader<'_>,
    member: &Member,
    parts: &[i32],
    begin: Begin,
) -> anyhow::Result<Vec<Cursor>> {
    let mut cursors = place(cluster, &reader.topic, parts, begin)?;
    let committed = member.committed(cluster)?;
    for cursor in &mut cursors {
        let place: Place = (reader.topic.name.clone(), cursor.partition);
        if let Some(offset) = committed.get(&place) {
            cursor.next = *offset;
        }
        cursor.committed = cursor.next;
    }
    Ok(cursors)
}

fn read(
    cluster: &mut Cluster,
    reader: &mut Reader<'_>,
    member: &mut Member,
    stop: &AtomicBool,
) -> anyhow::Result<Turn> {
    let mut committed_at = Instant::now();
    loop {
        let turn = if stop.load(Ordering::Relaxed) {
            Some(Turn::Stopped)
        } else if reader.is_done() {
            Some(Turn::Done)
        } else if !member.is_in(cluster)? {
            Some(Turn::Rebalance)
        } else {
            None
        };
        match turn {
            Some(Turn::Rebalance) => {
                // What is not taken now, whoever has the partition next prints again.
                member.commit(cluster, &mut reader.cursors)?;
                return Ok(Turn::Rebalance);
            }
            Some(end) => {
                member.commit_at_last(cluster, &mut reader.cursors)?;
                return Ok(end);
            }
            None if committed_at.elapsed() >= COMMIT_EVERY => {
                if !member.commit(cluster, &mut reader.cursors)? {
                    return Ok(Turn::Rebalance);
                }
                committed_at = Instant::now();
            }
            None => {}
        }
        reader.round(cluster)?;
    }
}
