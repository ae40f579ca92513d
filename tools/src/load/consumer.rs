//! One consumer: fetches its partitions in a loop, checks every record, takes its times.

use wire::{ApiKey, List, Message, Reader, RequestHeader, ResponseHeader, Writer, fetch};

use engine::record::{BatchHeader, Records, crc_matches, payload};

use super::LoadError;
use super::client::CLIENT_ID;
use super::plan::Mode;
use super::recorder::{Clock, Counts};
use super::run::{Run, Tally};
use super::socket::Socket;

/// How long a broker may hold a fetch that has nothing to bring.
const FETCH_WAIT_MS: i32 = 500;

/// The most that one compressed batch may inflate to: far above any batch that the load sends.
const INFLATED_BYTES_MAX: usize = 512 << 20;

/// The connection to one leader.
#[derive(Debug)]
struct Link {
    socket: Socket,
    /// The partitions read here, as they stand in the next request.
    partitions: Vec<fetch::Partition>,
    /// Where each partition's log ends, if reading starts over there.
    ends: Option<Vec<i64>>,
    /// When the request in flight left.
    asked_ns: Option<u64>,
    correlation_id: i32,
}

/// One consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    links: Vec<Link>,
    out: Writer,
}

impl Consumer {
    /// Consumer `index` of `consumers` reads the partitions that are dealt to it, from their start; in
    /// the fetch modes again and again up to `ends`.
    pub(super) fn new(
        index: usize,
        consumers: usize,
        sockets: Vec<Socket>,
        run: &Run,
        ends: Option<&[i64]>,
    ) -> Consumer {
        let links = sockets.into_iter().zip(&run.led).map(|(socket, led)| {
            let mine = led.iter().copied().filter(|p| p % consumers == index);
            // A partition without records has no end to start over at.
            let mine: Vec<usize> = mine.filter(|p| ends.is_none_or(|ends| ends[*p] > 0)).collect();
            let partitions = mine.iter().map(|p| fetch::Partition {
                partition: *p as i32,
                partition_max_bytes: run.plan.fetch_bytes as i32,
                ..fetch::Partition::default()
            });
            Link {
                socket,
                partitions: partitions.collect(),
                ends: ends.map(|ends| mine.iter().map(|p| ends[*p]).collect()),
                asked_ns: None,
                correlation_id: 0,
            }
        });
        Consumer { links: links.collect(), out: Writer::new() }
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.links.iter().map(|link| &link.socket)
    }

    /// Asks for more where nothing is asked.
    pub(super) fn tick(&mut self, run: &Run) -> Result<(), LoadError> {
        for link in &mut self.links {
            if link.asked_ns.is_some() || link.partitions.is_empty() || !link.socket.is_idle() {
                continue;
            }
            link.correlation_id = link.correlation_id.wrapping_add(1);
            encode(run, link, &mut self.out);
            let out = &self.out;
            link.asked_ns = Some(super::clock::now_ns());
            link.socket.send(|outgoing| outgoing.head.extend_from_slice(out.head()))?;
        }
        Ok(())
    }

    /// Whether everything up to these offsets is read.
    pub(super) fn is_caught_up(&self, ends: &[i64]) -> bool {
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
        let link = &mut self.links[link];
        while link.socket.fill()? {
            while let Some(frame) = link.socket.frame()? {
                let now_ns = super::clock::now_ns();
                let asked_ns =
                    link.asked_ns.take().ok_or(LoadError::Unexpected { what: "an answer to nothing" })?;
                let counts = take(run, frame, link.correlation_id, &mut link.partitions, tally, now_ns)?;
                if counts.records_out > 0 {
                    tally.recorder.latency(Clock::Fetch, asked_ns, asked_ns, now_ns);
                    tally.recorder.count(now_ns, counts);
                }
                link.socket.drop_frame();
                if let Some(ends) = &link.ends {
                    start_over(&mut link.partitions, ends, tally);
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

fn start_over(partitions: &mut [fetch::Partition], ends: &[i64], tally: &mut Tally) {
    for (partition, end) in partitions.iter_mut().zip(ends) {
        if partition.fetch_offset >= *end {
            partition.fetch_offset = 0;
            tally.checker.rewind(partition.partition as usize, &tally.ledgers);
        }
    }
}

fn encode(run: &Run, link: &Link, out: &mut Writer) {
    let topics = [fetch::Topic {
        topic: &run.plan.topic,
        topic_id: run.topic_id,
        partitions: List::of(&link.partitions),
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

/// Takes one answer: moves the partitions' offsets on and checks what came.
fn take(
    run: &Run,
    frame: &[u8],
    correlation_id: i32,
    partitions: &mut [fetch::Partition],
    tally: &mut Tally,
    now_ns: u64,
) -> Result<Counts, LoadError> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(ApiKey::Fetch, run.fetch_version, &mut reader)?;
    if header.correlation_id != correlation_id {
        return Err(LoadError::Unexpected { what: "a fetch answer out of order" });
    }
    let response = fetch::Response::decode(run.fetch_version, &mut reader)?;
    if response.error_code.is_err() {
        tally.refused(response.error_code, 1);
        return Err(LoadError::Fetch { code: response.error_code });
    }
    let mut counts = Counts::default();
    let mut at = 0;
    for topic in &response.responses {
        for answered in &topic.partitions {
            // Answers come in the order of the request: the next one is near.
            let found = (at..partitions.len())
                .chain(0..at)
                .find(|i| partitions[*i].partition == answered.partition_index);
            at = found.ok_or(LoadError::Unexpected { what: "a partition that was not asked for" })?;
            if answered.error_code.is_err() {
                tally.refused(answered.error_code, 1);
                return Err(LoadError::Fetch { code: answered.error_code });
            }
            if let Some(bytes) = answered.records.as_bytes() {
                walk(run, bytes, &mut partitions[at], tally, now_ns, &mut counts);
            }
            at += 1;
        }
    }
    Ok(counts)
}

/// Checks the batches of one partition; the last one may be cut.
fn walk(
    run: &Run,
    mut bytes: &[u8],
    partition: &mut fetch::Partition,
    tally: &mut Tally,
    now_ns: u64,
    counts: &mut Counts,
) {
    while let Some(header) = BatchHeader::peek(bytes) {
        let Some(total) = header.total_bytes() else {
            tally.checker.corrupt_batch();
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
        check(run, header, batch, partition, tally, now_ns, counts);
        partition.fetch_offset = header.next_offset().0.max(partition.fetch_offset);
    }
}

fn check(
    run: &Run,
    header: &BatchHeader,
    batch: &[u8],
    partition: &fetch::Partition,
    tally: &mut Tally,
    now_ns: u64,
    counts: &mut Counts,
) {
    let records = if crc_matches(batch) { payload(batch, INFLATED_BYTES_MAX).ok() } else { None };
    let Some(records) = records else {
        tally.checker.corrupt_batch();
        return;
    };
    if header.attributes().is_control() {
        return;
    }
    for record in Records::of(header, &records) {
        let Ok(record) = record else {
            tally.checker.corrupt_batch();
            return;
        };
        if record.offset.0 < partition.fetch_offset {
            continue;
        }
        let value = record.value.unwrap_or_default();
        counts.records_out += 1;
        counts.bytes_out += (value.len() + record.key.map_or(0, <[u8]>::len)) as u64;
        if let Some(stamp) = tally.checker.record(partition.partition as usize, value)
            && run.plan.mode == Mode::Both
        {
            tally.recorder.latency(Clock::EndToEnd, stamp.planned_ns, stamp.planned_ns, now_ns);
        }
    }
}
