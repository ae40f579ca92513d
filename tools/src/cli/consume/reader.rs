//! From partitions to standard output.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::thread::sleep;
use std::time::Duration;

use engine::record::{BatchHeader, Record, Records, payload};
use wire::list_offsets::EARLIEST;
use wire::{ErrorCode, List, fetch};

use super::ConsumeArgs;
use crate::cli::cluster::{Cluster, TopicInfo, refused};
use crate::cli::format::Envelope;

/// How long a broker may hold a fetch that has nothing to bring.
const FETCH_WAIT_MS: i32 = 500;

/// The most that one fetch brings.
const FETCH_BYTES: i32 = 4 << 20;

/// The most that one compressed batch may inflate to.
const INFLATED_BYTES_MAX: usize = 512 << 20;

/// How long to wait until a partition may have a leader again.
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// A partition and how far it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) partition: i32,
    /// The offset of the next record to print.
    pub(super) next: i64,
    /// Where the partition ended when we began.
    pub(super) end: i64,
    /// What the group knows of `next`.
    pub(super) committed: i64,
}

/// What is read, and what was printed of it.
pub(super) struct Reader<'a> {
    args: &'a ConsumeArgs,
    pub(super) topic: TopicInfo,
    pub(super) cursors: Vec<Cursor>,
    out: BufWriter<StdoutLock<'static>>,
    /// Records that may still be printed.
    left: u64,
}

impl<'a> Reader<'a> {
    /// A reader without partitions yet.
    pub(super) fn new(cluster: &mut Cluster, args: &'a ConsumeArgs) -> anyhow::Result<Reader<'a>> {
        let topic = cluster.existing(std::slice::from_ref(&args.topic))?.remove(0);
        let out = BufWriter::new(io::stdout().lock());
        Ok(Reader { args, topic, cursors: Vec::new(), out, left: args.count.unwrap_or(u64::MAX) })
    }

    /// Whether what was asked for is printed.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0 || (self.args.exit && self.cursors.iter().all(|c| c.next >= c.end))
    }

    /// Asks each leader once for what comes next, and prints it.
    pub(super) fn round(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        let mut by_leader: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (at, cursor) in self.cursors.iter().enumerate() {
            let leader =
                self.topic.partitions.iter().find(|p| p.index == cursor.partition).map_or(-1, |p| p.leader);
            by_leader.entry(leader).or_default().push(at);
        }
        if by_leader.is_empty() {
            // A member of a group that has no partition.
            sleep(Duration::from_millis(FETCH_WAIT_MS as u64));
        }
        // With several leaders, none may hold up the others.
        let wait_ms =
            if by_leader.len() == 1 && !self.args.exit { FETCH_WAIT_MS } else { FETCH_WAIT_MS / 10 };
        let mut has_moved = false;
        for (leader, cursors) in by_leader {
            if leader < 0 || !self.fetch(cluster, leader, &cursors, wait_ms)? {
                has_moved = true;
            }
        }
        self.out.flush()?;
        if has_moved {
            sleep(LEADER_PAUSE);
            self.topic = cluster.existing(std::slice::from_ref(&self.args.topic))?.remove(0);
        }
        Ok(())
    }

    /// One fetch. False if a partition is led by somebody else now.
    fn fetch(
        &mut self,
        cluster: &mut Cluster,
        leader: i32,
        cursors: &[usize],
        wait_ms: i32,
    ) -> anyhow::Result<bool> {
        let wanted = cursors.iter().map(|at| fetch::Partition {
            partition: self.cursors[*at].partition,
            fetch_offset: self.cursors[*at].next,
            partition_max_bytes: FETCH_BYTES,
            ..fetch::Partition::default()
        });
        let wanted: Vec<fetch::Partition> = wanted.collect();
        let topic = self.args.topic.as_str();
        let topics = [fetch::Topic { topic, topic_id: self.topic.id, partitions: List::of(&wanted) }];
        let request = fetch::Request {
            max_wait_ms: wait_ms,
            min_bytes: 1,
            max_bytes: FETCH_BYTES,
            topics: List::of(&topics),
            ..fetch::Request::default()
        };
        let mut gone = Vec::new();
        let mut is_led = true;
        {
            let answer: fetch::Response<'_> = cluster.node(leader)?.call(&request)?;
            if answer.error_code.is_err() {
                return Err(refused(format!("fetch {topic}"), answer.error_code, None).into());
            }
            for data in answer.responses.iter().flat_map(|t| t.partitions) {
                let index = data.partition_index;
                match data.error_code {
                    ErrorCode::None => {}
                    ErrorCode::OffsetOutOfRange => gone.push(index),
                    code if code.is_retriable() => is_led = false,
                    code => return Err(refused(format!("fetch {topic}/{index}"), code, None).into()),
                }
                self.print_batches(index, data.records.as_bytes().unwrap_or_default())?;
            }
        }
        for partition in gone {
            self.restart(cluster, partition)?;
        }
        Ok(is_led)
    }

    /// What was to be read next was deleted meanwhile: on with what is left.
    fn restart(&mut self, cluster: &mut Cluster, partition: i32) -> anyhow::Result<()> {
        let place = (self.topic.name.clone(), partition);
        let found =
            cluster.offsets(std::slice::from_ref(&self.topic), std::slice::from_ref(&place), EARLIEST)?;
        let cursor = self.cursors.iter_mut().find(|c| c.partition == partition);
        if let (Some(start), Some(cursor)) = (found.known(&place), cursor) {
            eprintln!("{}/{partition} has no offset {}: goes on at {start}", place.0, cursor.next);
            cursor.next = start;
        }
        Ok(())
    }

    fn print_batches(&mut self, partition: i32, mut bytes: &[u8]) -> anyhow::Result<()> {
        let Some(at) = self.cursors.iter().position(|c| c.partition == partition) else { return Ok(()) };
        while let Some((header, total)) = BatchHeader::peek(bytes).and_then(|h| Some((h, h.total_bytes()?))) {
            if total > bytes.len() {
                break;
            }
            if header.last_offset().0 >= self.cursors[at].next && !header.attributes().is_control() {
                let records = payload(&bytes[..total], INFLATED_BYTES_MAX)?;
                for record in Records::of(header, &records) {
                    let record = record?;
                    if record.offset.0 < self.cursors[at].next {
                        continue;
                    }
                    if self.left == 0 {
                        return Ok(());
                    }
                    self.left -= 1;
                    self.print(partition, &record)?;
                    self.cursors[at].next = record.offset.0 + 1;
                }
            }
            let next = &mut self.cursors[at].next;
            *next = (*next).max(header.next_offset().0);
            bytes = &bytes[total..];
        }
        Ok(())
    }

    fn print(&mut self, partition: i32, record: &Record<'_>) -> io::Result<()> {
        let envelope = Envelope { topic: &self.args.topic, partition, record };
        if self.args.json {
            envelope.json(&mut self.out)
        } else {
            self.args.format.write(&envelope, &mut self.out)
        }
    }
}
