//! One consumer: fetches its partitions in a loop, checks every record, takes its times.

use wire::{
    ApiKey, ErrorCode, List, Message, Reader, RequestHeader, ResponseHeader, Writer, fetch, list_offsets,
};

use engine::record::{BatchHeader, Records, crc_matches, payload};

use super::LoadError;
use super::client::CLIENT_ID;
use super::plan::Acks;
use super::recorder::{Clock, Counts};
use super::run::{Run, Tally};
use super::socket::Socket;

/// How long a broker may hold a fetch that has nothing to bring.
const FETCH_WAIT_MS: i32 = 500;

/// Partitions of one request when everything is read back: a broker may walk through all that it is asked for, and a
/// request for thousands of which few have something is answered slowly.
const READ_BACK_PARTITIONS: usize = 32;

/// The most that one compressed batch may inflate to: far above any batch that the load sends.
const INFLATED_BYTES_MAX: usize = 512 << 20;

/// What a consumer is for: it decides what is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Reads beside the producers: throughput and end-to-end latency.
    Tail,
    /// Reads one set again and again: throughput and fetch latency.
    Again,
    /// The same, beside the producers and the tail: a throughput of its own.
    CatchUp,
    /// Reads everything back: only the check.
    ReadBack,
}

/// What a consumer reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) role: Role,
    /// Its group, whose check it feeds.
    pub(super) group: usize,
    /// Its number among the consumers of the group, from 0, and how many these are.
    pub(super) index: usize,
    pub(super) of: usize,
    /// Where each partition is read from; `None`: its start.
    pub(super) from: Option<&'a [i64]>,
    /// Where each partition's reading starts over.
    pub(super) until: Option<&'a [i64]>,
}

/// The connection to one leader.
#[derive(Debug)]
struct Link {
    socket: Socket,
    /// The partitions read here, as they stand in the next request.
    partitions: Vec<fetch::Partition>,
    /// Where each partition's log ends, if reading starts over there.
    ends: Option<Vec<i64>>,
    /// Partitions that are to be read below the start of their log: retention was faster.
    adrift: Vec<i32>,
    /// When the request in flight left.
    asked_ns: Option<u64>,
    /// That request asks where logs start.
    asks_starts: bool,
    correlation_id: i32,
}

/// One consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    role: Role,
    group: usize,
    resting: bool,
    links: Vec<Link>,
    out: Writer,
}

impl Consumer {
    /// A consumer with one connection per leader, in the order of `run.leaders`; it reads the partitions that are dealt
    /// to it.
    pub(super) fn new(reading: Reading<'_>, sockets: Vec<Socket>, run: &Run) -> Consumer {
        let Reading { role, group, index, of, from, until } = reading;
        let links = sockets.into_iter().zip(&run.led).map(|(socket, led)| {
            let mine = led.iter().copied().filter(|p| p % of == index);
            // A partition without records has no end to start over at.
            let mine: Vec<usize> = mine.filter(|p| until.is_none_or(|ends| ends[*p] > 0)).collect();
            let partitions = mine.iter().map(|p| fetch::Partition {
                partition: *p as i32,
                fetch_offset: from.map_or(0, |from| from[*p]),
                partition_max_bytes: run.plan.fetch_bytes as i32,
                ..fetch::Partition::default()
            });
            Link {
                socket,
                partitions: partitions.collect(),
                ends: until.map(|ends| mine.iter().map(|p| ends[*p]).collect()),
                adrift: Vec::new(),
                asked_ns: None,
                asks_starts: false,
                correlation_id: 0,
            }
        });
        Consumer { role, group, resting: false, links: links.collect(), out: Writer::new() }
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.links.iter().map(|link| &link.socket)
    }

    /// Asks for more where nothing is asked. `ends` is where partitions end, as far as answers told.
    pub(super) fn tick(&mut self, run: &Run, ends: &[i64]) -> Result<(), LoadError> {
        for link in self.links.iter_mut().filter(|_| !self.resting) {
            if link.asked_ns.is_none() && self.role == Role::ReadBack && run.plan.acks != Acks::None {
                // Nothing more will come: what is read to its end need not be asked for again.
                link.partitions.retain(|p| p.fetch_offset < ends[p.partition as usize]);
            }
            if link.asked_ns.is_some() || link.partitions.is_empty() || !link.socket.is_idle() {
                continue;
            }
            link.correlation_id = link.correlation_id.wrapping_add(1);
            link.asks_starts = !link.adrift.is_empty();
            if link.asks_starts {
                ask_starts(run, link, &mut self.out)?;
            } else {
                encode(run, link, self.role, &mut self.out);
            }
            let out = &self.out;
            link.asked_ns = Some(super::clock::now_ns());
            link.socket.send(|outgoing| outgoing.head.extend_from_slice(out.head()))?;
        }
        Ok(())
    }

    /// A reader that starts over and over ends here: nothing tells it to.
    pub(super) fn rest_if_again(&mut self) {
        self.resting |= matches!(self.role, Role::Again | Role::CatchUp);
    }

    /// Whether everything up to these offsets is read, as far as it is this one's to read.
    pub(super) fn is_caught_up(&self, ends: &[i64]) -> bool {
        if self.resting {
            return true;
        }
        let mut partitions = self.links.iter().flat_map(|link| &link.partitions);
        partitions.all(|p| p.fetch_offset >= ends[p.partition as usize])
    }

    /// The kernel takes bytes again.
    pub(super) fn writable(&mut self, link: usize) -> Result<(), LoadError> {
        self.links[link].socket.flush()?;
        Ok(())
    }

    /// Takes answers.
    pub(super) fn readable(&mut self, link: usize, run: &Run, tally: &mut Tally) -> Result<(), LoadError> {
        let (role, group) = (self.role, self.group);
        let link = &mut self.links[link];
        while link.socket.fill()? {
            while let Some(frame) = link.socket.frame()? {
                let now_ns = super::clock::now_ns();
                let asked_ns =
                    link.asked_ns.take().ok_or(LoadError::Unexpected { what: "an answer to nothing" })?;
                if link.asks_starts {
                    let found = take_starts(run, frame, link.correlation_id)?;
                    move_on(&mut link.partitions, &mut link.adrift, &found, group, tally)?;
                    link.socket.drop_frame();
                    continue;
                }
                let mut taking = Taking {
                    run,
                    role,
                    group,
                    tally,
                    now_ns,
                    counts: Counts::default(),
                    adrift: &mut link.adrift,
                };
                taking.take(frame, link.correlation_id, &mut link.partitions)?;
                let counts = taking.counts;
                if counts != Counts::default() && role != Role::CatchUp {
                    tally.recorder.latency(Clock::Fetch, asked_ns, asked_ns, now_ns);
                }
                tally.recorder.count(now_ns, counts);
                link.socket.drop_frame();
                if let Some(ends) = &link.ends {
                    start_over(&mut link.partitions, ends, group, tally);
                }
                // The first partitions of a request are served first: take turns.
                link.partitions.rotate_left(1);
                if let Some(ends) = &mut link.ends {
                    ends.rotate_left(1);
                }
            }
        }
        Ok(())
    }
}

fn start_over(partitions: &mut [fetch::Partition], ends: &[i64], group: usize, tally: &mut Tally) {
    for (partition, end) in partitions.iter_mut().zip(ends) {
        if partition.fetch_offset >= *end {
            partition.fetch_offset = 0;
            tally.groups[group].checker.rewind(partition.partition as usize, &tally.prepared);
        }
    }
}

/// Goes on where the logs of partitions adrift start now.
fn move_on(
    partitions: &mut [fetch::Partition],
    adrift: &mut Vec<i32>,
    found: &[(i32, i64)],
    group: usize,
    tally: &mut Tally,
) -> Result<(), LoadError> {
    for lost in adrift.drain(..) {
        let start = found.iter().find(|(partition, _)| *partition == lost).map(|(_, offset)| *offset);
        let start = start
            .ok_or(LoadError::Unexpected { what: "an answer for other partitions than were asked for" })?;
        let partition = partitions.iter_mut().find(|p| p.partition == lost).expect("it was asked for");
        if start < partition.fetch_offset {
            // Its log starts below what we ask for, and yet it has not got it: not retention.
            return Err(LoadError::Fetch { code: ErrorCode::OffsetOutOfRange });
        }
        let skipped = (start - partition.fetch_offset) as u64;
        tally.groups[group].checker.skip(partition.partition as usize, skipped);
        partition.fetch_offset = start;
    }
    Ok(())
}

/// A ListOffsets request for the starts of the partitions adrift.
fn ask_starts(run: &Run, link: &Link, out: &mut Writer) -> Result<(), LoadError> {
    let version = run.offsets_version.ok_or(LoadError::NoVersion { api: ApiKey::ListOffsets })?;
    let asked = link.adrift.iter().map(|partition| list_offsets::Partition {
        partition_index: *partition,
        timestamp: list_offsets::EARLIEST,
        ..list_offsets::Partition::default()
    });
    let topics = vec![list_offsets::Topic { name: &run.plan.topic, partitions: asked.collect() }];
    let request = list_offsets::Request { replica_id: -1, topics, ..list_offsets::Request::default() };
    let header = RequestHeader {
        api_key: ApiKey::ListOffsets,
        api_version: version,
        correlation_id: link.correlation_id,
        client_id: Some(CLIENT_ID),
    };
    out.clear();
    header.frame(&request, out);
    Ok(())
}

/// Its answer: partitions and where they start.
fn take_starts(run: &Run, frame: &[u8], correlation_id: i32) -> Result<Vec<(i32, i64)>, LoadError> {
    let version = run.offsets_version.ok_or(LoadError::NoVersion { api: ApiKey::ListOffsets })?;
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(ApiKey::ListOffsets, version, &mut reader)?;
    if header.correlation_id != correlation_id {
        return Err(LoadError::Unexpected { what: "an answer out of order" });
    }
    let response = list_offsets::Response::decode(version, &mut reader)?;
    let mut found = Vec::new();
    for partition in response.topics.iter().flat_map(|t| &t.partitions) {
        if partition.error_code.is_err() {
            return Err(LoadError::Fetch { code: partition.error_code });
        }
        found.push((partition.partition_index, partition.offset));
    }
    Ok(found)
}

fn encode(run: &Run, link: &Link, role: Role, out: &mut Writer) {
    let asked = match role {
        Role::ReadBack if run.plan.acks != Acks::None => link.partitions.len().min(READ_BACK_PARTITIONS),
        _ => link.partitions.len(),
    };
    let topics = [fetch::Topic {
        topic: &run.plan.topic,
        topic_id: run.topic_id,
        partitions: List::of(&link.partitions[..asked]),
    }];
    let request = fetch::Request {
        max_wait_ms: FETCH_WAIT_MS,
        min_bytes: 1,
        max_bytes: run.plan.fetch_bytes as i32,
        topics: List::of(&topics),
        ..fetch::Request::default()
    };
    let header = RequestHeader {
        api_key: ApiKey::Fetch,
        api_version: run.fetch_version,
        correlation_id: link.correlation_id,
        client_id: Some(CLIENT_ID),
    };
    out.clear();
    header.frame(&request, out);
}

/// One answer that is being taken.
struct Taking<'a> {
    run: &'a Run,
    role: Role,
    group: usize,
    tally: &'a mut Tally,
    now_ns: u64,
    counts: Counts,
    adrift: &'a mut Vec<i32>,
}

impl Taking<'_> {
    /// Moves the partitions' offsets on and checks what came.
    fn take(
        &mut self,
        frame: &[u8],
        correlation_id: i32,
        partitions: &mut [fetch::Partition],
    ) -> Result<(), LoadError> {
        let mut reader = Reader::new(frame);
        let header = ResponseHeader::decode(ApiKey::Fetch, self.run.fetch_version, &mut reader)?;
        if header.correlation_id != correlation_id {
            return Err(LoadError::Unexpected { what: "a fetch answer out of order" });
        }
        let response = fetch::Response::decode(self.run.fetch_version, &mut reader)?;
        if response.error_code.is_err() {
            self.tally.refused(response.error_code, 1);
            return Err(LoadError::Fetch { code: response.error_code });
        }
        let mut at = 0;
        for topic in &response.responses {
            for answered in &topic.partitions {
                // Answers come in the order of the request: the next one is near.
                let found = (at..partitions.len())
                    .chain(0..at)
                    .find(|i| partitions[*i].partition == answered.partition_index);
                at = found.ok_or(LoadError::Unexpected { what: "a partition that was not asked for" })?;
                if answered.error_code == ErrorCode::OffsetOutOfRange {
                    self.adrift.push(answered.partition_index);
                } else if answered.error_code.is_err() {
                    self.tally.refused(answered.error_code, 1);
                    return Err(LoadError::Fetch { code: answered.error_code });
                } else if let Some(bytes) = answered.records.as_bytes() {
                    self.walk(bytes, &mut partitions[at]);
                }
                at += 1;
            }
        }
        Ok(())
    }

    /// Checks the batches of one partition; the last one may be cut.
    fn walk(&mut self, mut bytes: &[u8], partition: &mut fetch::Partition) {
        while let Some(header) = BatchHeader::peek(bytes) {
            let Some(total) = header.total_bytes() else {
                self.tally.groups[self.group].checker.corrupt_batch();
                return;
            };
            if total > bytes.len() {
                return;
            }
            let (batch, rest) = bytes.split_at(total);
            bytes = rest;
            if header.last_offset().0 < partition.fetch_offset {
                continue;
            }
            self.check(header, batch, partition);
            partition.fetch_offset = header.next_offset().0.max(partition.fetch_offset);
        }
    }

    fn check(&mut self, header: &BatchHeader, batch: &[u8], partition: &fetch::Partition) {
        let Tally { groups, recorder, .. } = &mut *self.tally;
        let checker = &mut groups[self.group].checker;
        let records = if crc_matches(batch) { payload(batch, INFLATED_BYTES_MAX).ok() } else { None };
        let Some(records) = records else {
            checker.corrupt_batch();
            return;
        };
        if header.attributes().is_control() {
            return;
        }
        let (mut read, mut read_bytes) = (0, 0);
        for record in Records::of(header, &records) {
            let Ok(record) = record else {
                checker.corrupt_batch();
                break;
            };
            if record.offset.0 < partition.fetch_offset {
                continue;
            }
            let value = record.value.unwrap_or_default();
            read += 1;
            read_bytes += (value.len() + record.key.map_or(0, <[u8]>::len)) as u64;
            if let Some(stamp) = checker.record(partition.partition as usize, value)
                && self.role == Role::Tail
            {
                recorder.latency(Clock::EndToEnd, stamp.planned_ns, stamp.planned_ns, self.now_ns);
            }
        }
        if self.role == Role::CatchUp {
            self.counts.records_caught_up += read;
            self.counts.bytes_caught_up += read_bytes;
        } else {
            self.counts.records_out += read;
            self.counts.bytes_out += read_bytes;
        }
    }
}
