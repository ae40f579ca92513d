//! `ringlog consume`: a topic's records to standard output.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use clap::Args;
use engine::record::{BatchHeader, Record, Records, payload};
use wire::{List, fetch};

use super::connect::Brokers;
use super::exit::Usage;
use super::format::{Envelope, Format};
use super::produce::leader_client;
use super::topic::{EARLIEST, LATEST, offsets};
use crate::load::client::{Client, ClientError};
use crate::load::setup::{TopicView, view_topic};

/// How long a broker may hold a fetch that has nothing to bring.
const FETCH_WAIT_MS: i32 = 500;

/// The most that one fetch brings.
const FETCH_BYTES: i32 = 4 << 20;

/// The most that one compressed batch may inflate to.
const INFLATED_BYTES_MAX: usize = 512 << 20;

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
    /// Where to begin: start, end, an offset, -N for the last N of each partition, @MS for a time
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

/// Where to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begin {
    Start,
    End,
    At(i64),
    Last(i64),
    Time(i64),
}

impl FromStr for Begin {
    type Err = String;

    fn from_str(text: &str) -> Result<Begin, String> {
        let number = |digits: &str| digits.parse::<i64>().ok().filter(|n| *n >= 0);
        let from = match text {
            "start" | "beginning" | "earliest" => Some(Begin::Start),
            "end" | "latest" => Some(Begin::End),
            _ => match (text.strip_prefix('-'), text.strip_prefix('@')) {
                (Some(last), _) => number(last).map(Begin::Last),
                (_, Some(time)) => number(time).map(Begin::Time),
                _ => number(text).map(Begin::At),
            },
        };
        from.ok_or_else(|| format!("{text:?} is not start, end, an offset, -N or @MS"))
    }
}

struct Cursor {
    partition: i32,
    next: i64,
    /// Where the partition ended when we began.
    end: i64,
}

/// Runs the command; returns how many records were read.
pub fn run(args: &ConsumeArgs) -> anyhow::Result<u64> {
    let mut client = args.brokers.connect()?;
    let view = view_topic(&mut client, &args.topic)?;
    let view = view.ok_or_else(|| anyhow::anyhow!("topic {} has partitions without a leader", args.topic))?;
    let partitions: Vec<i32> = match args.partition {
        Some(partition) if usize::try_from(partition).is_ok_and(|p| p < view.leaders.len()) => {
            vec![partition]
        }
        Some(_) => {
            return Err(
                Usage::new(format!("{} has partitions 0 to {}", args.topic, view.leaders.len() - 1)).into()
            );
        }
        None => (0..view.leaders.len() as i32).collect(),
    };
    let mut by_leader: BTreeMap<i32, Vec<Cursor>> = BTreeMap::new();
    for partition in partitions {
        by_leader.entry(view.leaders[partition as usize]).or_default().push(Cursor {
            partition,
            next: 0,
            end: 0,
        });
    }
    let mut clients = HashMap::new();
    for (leader, cursors) in &mut by_leader {
        place(leader_client(&mut clients, &view.nodes, *leader)?, args, cursors)?;
    }
    let result = read(args, &view, &mut by_leader, &mut clients);
    match result {
        // Whoever reads our output has seen enough.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(0)
        }
        result => result,
    }
}

/// Finds where to begin.
fn place(client: &mut Client, args: &ConsumeArgs, cursors: &mut [Cursor]) -> Result<(), ClientError> {
    let partitions: Vec<i32> = cursors.iter().map(|c| c.partition).collect();
    let start = offsets(client, &args.topic, &partitions, EARLIEST)?;
    let end = offsets(client, &args.topic, &partitions, LATEST)?;
    let by_time = match args.offset {
        Begin::Time(ms) => offsets(client, &args.topic, &partitions, ms)?,
        _ => Vec::new(),
    };
    for (i, cursor) in cursors.iter_mut().enumerate() {
        cursor.end = end[i];
        cursor.next = match args.offset {
            Begin::Start => start[i],
            Begin::End => end[i],
            Begin::At(offset) => offset,
            Begin::Last(n) => (end[i] - n).max(start[i]),
            Begin::Time(_) if by_time[i] < 0 => end[i],
            Begin::Time(_) => by_time[i],
        };
    }
    Ok(())
}

fn read(
    args: &ConsumeArgs,
    view: &TopicView,
    by_leader: &mut BTreeMap<i32, Vec<Cursor>>,
    clients: &mut HashMap<i32, Client>,
) -> anyhow::Result<u64> {
    let mut out = BufWriter::new(io::stdout().lock());
    let limit = args.count.unwrap_or(u64::MAX);
    let mut seen = 0;
    // With several leaders, none may hold up the others.
    let wait_ms = if by_leader.len() == 1 && !args.exit { FETCH_WAIT_MS } else { FETCH_WAIT_MS / 10 };
    while seen < limit {
        let at_end = by_leader.values().flatten().all(|c| c.next >= c.end);
        if args.exit && at_end {
            break;
        }
        for (leader, cursors) in by_leader.iter_mut() {
            let client = leader_client(clients, &view.nodes, *leader)?;
            fetch_once(args, view, client, cursors, wait_ms, &mut |record, partition| {
                if seen < limit {
                    seen += 1;
                    print(args, partition, record, &mut out)?;
                }
                Ok(())
            })?;
        }
        out.flush()?;
    }
    out.flush()?;
    Ok(seen)
}

fn print(
    args: &ConsumeArgs,
    partition: i32,
    record: &Record<'_>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let envelope = Envelope { topic: &args.topic, partition, record };
    if args.json {
        envelope.json(out)?
    } else {
        args.format.write(&envelope, out)?
    }
    Ok(())
}

fn fetch_once(
    args: &ConsumeArgs,
    view: &TopicView,
    client: &mut Client,
    cursors: &mut [Cursor],
    wait_ms: i32,
    take: &mut dyn FnMut(&Record<'_>, i32) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let partitions: Vec<fetch::Partition> = cursors
        .iter()
        .map(|c| fetch::Partition {
            partition: c.partition,
            fetch_offset: c.next,
            partition_max_bytes: FETCH_BYTES,
            ..fetch::Partition::default()
        })
        .collect();
    let topics = [fetch::Topic { topic: &args.topic, topic_id: view.id, partitions: List::of(&partitions) }];
    let request = fetch::Request {
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: FETCH_BYTES,
        topics: List::of(&topics),
        ..fetch::Request::default()
    };
    let answer: fetch::Response<'_> = client.call(&request)?;
    let refused = |code, partition: Option<i32>| {
        let partition = partition.map(|p| format!("/{p}")).unwrap_or_default();
        ClientError::Refused { what: format!("fetch {}{partition}", args.topic), code, detail: None }
    };
    if answer.error_code.is_err() {
        return Err(refused(answer.error_code, None).into());
    }
    for data in answer.responses.iter().flat_map(|t| t.partitions) {
        let Some(cursor) = cursors.iter_mut().find(|c| c.partition == data.partition_index) else { continue };
        if data.error_code.is_err() {
            return Err(refused(data.error_code, Some(data.partition_index)).into());
        }
        let mut bytes = data.records.as_bytes().unwrap_or_default();
        while let Some((header, total)) = BatchHeader::peek(bytes).and_then(|h| Some((h, h.total_bytes()?))) {
            if total > bytes.len() {
                break;
            }
            if header.last_offset().0 >= cursor.next && !header.attributes().is_control() {
                let records = payload(&bytes[..total], INFLATED_BYTES_MAX)?;
                for record in Records::of(header, &records) {
                    let record = record?;
                    if record.offset.0 >= cursor.next {
                        take(&record, data.partition_index)?;
                    }
                }
            }
            cursor.next = cursor.next.max(header.next_offset().0);
            bytes = &bytes[total..];
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_read_as_people_write_it() {
        let cases = [
            ("start", Begin::Start),
            ("end", Begin::End),
            ("17", Begin::At(17)),
            ("-5", Begin::Last(5)),
            ("@1700000000000", Begin::Time(1_700_000_000_000)),
        ];
        for (text, from) in cases {
            assert_eq!(text.parse(), Ok(from), "{text}");
        }
        for bad in ["", "middle", "--5", "@", "1.5"] {
            assert!(bad.parse::<Begin>().is_err(), "{bad}");
        }
    }
}
