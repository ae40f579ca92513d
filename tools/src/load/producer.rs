//! One producer: takes records from its schedule, fills batches, sends them, takes their answers.
//!
//! Batches are chosen as Kafka's default partitioner does (KIP-794): without keys, a producer fills
//! one partition's batch, then goes on to the next; with keys, key *k* belongs to partition
//! *k* mod partitions.

use std::collections::VecDeque;

use wire::{ApiKey, List, Message, Reader, Records, RequestHeader, ResponseHeader, Writer, produce};

use super::LoadError;
use super::client::CLIENT_ID;
use super::image::{Image, KEY_BYTES, Sender};
use super::plan::{Acks, Pace};
use super::random::Random;
use super::recorder::{Clock, Counts};
use super::run::{Run, Tally};
use super::schedule::{Schedule, Shape, Stage};
use super::socket::Socket;
use super::stamp::Stamp;

/// A send is late when it leaves this long after its plan although the connection was free.
pub const LATE_NS: u64 = 1_000_000;

/// `timeout.ms` of a produce request: Kafka's `request.timeout.ms`.
const PRODUCE_TIMEOUT_MS: i32 = 30_000;

/// A batch that is being filled.
#[derive(Debug)]
struct Open {
    image: Image,
    /// Planned time of each record, in an open loop.
    planned: Vec<u64>,
    first_planned_ns: u64,
    /// When it became full.
    full_ns: Option<u64>,
    first_sequence: u64,
    bytes: u64,
}

/// A batch that is on its way.
#[derive(Debug)]
struct InFlight {
    correlation_id: i32,
    partition: usize,
    first_sequence: u64,
    records: u64,
    bytes: u64,
    planned: Vec<u64>,
    sent_ns: u64,
}

/// The connection to one leader.
#[derive(Debug)]
struct Link {
    socket: Socket,
    inflight: VecDeque<InFlight>,
    /// Since when it could take a batch.
    free_ns: u64,
    correlation_id: i32,
    /// In a closed loop: the next of this leader's partitions.
    turn: usize,
}

impl Link {
    fn is_free(&self, depth: usize) -> bool {
        self.inflight.len() < depth && self.socket.is_idle()
    }
}

/// The next record, drawn before it is known whether it fits.
#[derive(Clone, Copy, Debug)]
struct Draw {
    value_bytes: usize,
    key: u64,
}

/// One producer.
#[derive(Debug)]
pub(super) struct Producer {
    index: usize,
    links: Vec<Link>,
    schedule: Option<Schedule>,
    random: Random,
    draw: Draw,
    /// Keys drawn so far.
    drawn: u64,
    open: Vec<Option<Open>>,
    /// Open batches by age: partition and first sequence (another one means that it has left).
    ages: VecDeque<(usize, u64)>,
    sticky: usize,
    id: i64,
    epoch: i16,
    images: Vec<Image>,
    times: Vec<Vec<u64>>,
    out: Writer,
}

impl Producer {
    /// A producer with one connection per leader, in the order of `run.leaders`.
    pub(super) fn new(
        index: usize,
        sockets: Vec<Socket>,
        run: &Run,
        identity: Option<(i64, i16)>,
    ) -> Producer {
        let links = sockets.into_iter().map(|socket| Link {
            socket,
            inflight: VecDeque::new(),
            free_ns: 0,
            correlation_id: 0,
            // Producers start at different partitions, or all would fill the same one.
            turn: index,
        });
        let (id, epoch) = identity.unwrap_or((-1, -1));
        let mut random = Random::new(run.plan.seed ^ (index as u64 + 1).wrapping_mul(0x5851_F42D_4C95_7F2D));
        // Producers that go through all keys in turn start at different ones.
        let drawn = index as u64 * run.plan.keys / run.plan.producers as u64;
        let draw = draw(run, drawn, &mut random);
        Producer {
            index,
            links: links.collect(),
            schedule: None,
            random,
            draw,
            drawn,
            open: (0..run.plan.partitions).map(|_| None).collect(),
            ages: VecDeque::new(),
            sticky: index * run.plan.partitions / run.plan.producers,
            id,
            epoch,
            images: Vec::new(),
            times: Vec::new(),
            out: Writer::new(),
        }
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.links.iter().map(|link| &link.socket)
    }

    /// Its id and epoch, if it has one.
    pub(super) fn identity(&self) -> Option<(i64, i16)> {
        (self.id >= 0).then_some((self.id, self.epoch))
    }

    /// Begins an open loop at `start_ns`; its stages begin with the window at `window_ns`.
    pub(super) fn start(&mut self, run: &Run, start_ns: u64, window_ns: u64) {
        if let Pace::Open { records_per_s, arrivals } = run.pace {
            let mine = |rate: f64| rate / run.plan.producers as f64;
            let stage = |s: &Stage| Stage { records_per_s: mine(s.records_per_s), ..*s };
            let shape = Shape {
                records_per_s: mine(records_per_s),
                stages: run.plan.stages.iter().map(stage).collect(),
                stages_ns: window_ns,
                together: run.plan.batch_records,
                arrivals,
            };
            self.schedule = Some(Schedule::new(start_ns, shape, self.random.next()));
        }
    }

    /// Sends what is due at `now_ns`, as far as connections are free. Records planned at or after
    /// `end_ns` are never sent; in a closed loop nothing is, from then on.
    pub(super) fn tick(
        &mut self,
        run: &Run,
        tally: &mut Tally,
        now_ns: u64,
        end_ns: u64,
    ) -> Result<(), LoadError> {
        match run.pace {
            Pace::Open { .. } => self.tick_open(run, tally, now_ns, end_ns),
            Pace::Closed if now_ns < end_ns => self.tick_closed(run, tally, now_ns),
            // A share is a rate or a closed loop by the time that anything is sent.
            Pace::Closed | Pace::OfMax { .. } => Ok(()),
        }
    }

    fn tick_open(&mut self, run: &Run, tally: &mut Tally, now_ns: u64, end_ns: u64) -> Result<(), LoadError> {
        while let Some(due_ns) = self.schedule.as_ref().map(Schedule::due_ns)
            && due_ns <= now_ns
            && due_ns < end_ns
            && tally.bytes_sent < run.bytes_max
        {
            let partition = self.partition(run);
            let keyed = run.plan.keys > 0;
            let full =
                self.open[partition].as_ref().is_some_and(|o| !o.image.fits(self.draw.value_bytes, keyed));
            if full {
                if !self.send(run, tally, partition, due_ns, now_ns)? {
                    return Ok(());
                }
                continue;
            }
            self.push(run, tally, partition, due_ns);
            if let Some(schedule) = &mut self.schedule {
                schedule.advance();
            }
            tally.planned(due_ns);
            let open = self.open[partition].as_mut().expect("a record was pushed");
            if !open.image.fits(run.plan.sizes.min, keyed) {
                open.full_ns = Some(due_ns);
                if !self.send(run, tally, partition, due_ns, now_ns)? {
                    return Ok(());
                }
            }
        }
        let linger_ns = run.plan.linger.as_nanos() as u64;
        while let Some(&(partition, first_sequence)) = self.ages.front() {
            let Some(open) = self.open[partition].as_ref().filter(|o| o.first_sequence == first_sequence)
            else {
                self.ages.pop_front();
                continue;
            };
            let due_ns = open.full_ns.unwrap_or(u64::MAX).min(open.first_planned_ns + linger_ns).min(end_ns);
            if due_ns > now_ns || !self.send(run, tally, partition, due_ns, now_ns)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn tick_closed(&mut self, run: &Run, tally: &mut Tally, now_ns: u64) -> Result<(), LoadError> {
        for link in 0..self.links.len() {
            let partitions = &run.led[link];
            while !partitions.is_empty()
                && tally.bytes_sent < run.bytes_max
                && self.links[link].is_free(run.plan.depth)
            {
                let partition = partitions[self.links[link].turn % partitions.len()];
                self.links[link].turn += 1;
                loop {
                    if run.plan.keys > 0 {
                        self.draw.key = key_of(run, partition, &mut self.random);
                    }
                    self.push(run, tally, partition, now_ns);
                    let open = self.open[partition].as_ref().expect("a record was pushed");
                    if !open.image.fits(self.draw.value_bytes, run.plan.keys > 0) {
                        break;
                    }
                }
                let sent = self.send(run, tally, partition, now_ns, now_ns)?;
                assert!(sent, "the connection was free");
            }
        }
        Ok(())
    }

    fn partition(&self, run: &Run) -> usize {
        if run.plan.keys > 0 { (self.draw.key % run.plan.partitions as u64) as usize } else { self.sticky }
    }

    fn push(&mut self, run: &Run, tally: &mut Tally, partition: usize, planned_ns: u64) {
        let ledger = tally.ledger(partition, self.index);
        let sequence = ledger.next;
        ledger.next += 1;
        let stable = run.plan.sizes.fixed();
        let open = self.open[partition].get_or_insert_with(|| {
            self.ages.push_back((partition, sequence));
            let mut image = self.images.pop().unwrap_or_else(|| Image::new(run.plan.batch_bytes, stable));
            image.clear();
            let mut planned = self.times.pop().unwrap_or_default();
            planned.clear();
            Open {
                image,
                planned,
                first_planned_ns: planned_ns,
                full_ns: None,
                first_sequence: sequence,
                bytes: 0,
            }
        });
        let stamp = Stamp { run: run.id, producer: self.index as u32, sequence, planned_ns };
        let key = (run.plan.keys > 0).then_some(self.draw.key);
        open.image.push(&stamp, key, self.draw.value_bytes, &run.filler);
        if matches!(run.pace, Pace::Open { .. }) {
            open.planned.push(planned_ns);
        }
        let bytes = self.draw.value_bytes as u64 + if key.is_some() { KEY_BYTES as u64 } else { 0 };
        open.bytes += bytes;
        tally.records_sent += 1;
        tally.bytes_sent += bytes;
        self.drawn += 1;
        self.draw = draw(run, self.drawn, &mut self.random);
    }

    /// Sends a partition's open batch if its leader's connection is free.
    fn send(
        &mut self,
        run: &Run,
        tally: &mut Tally,
        partition: usize,
        due_ns: u64,
        now_ns: u64,
    ) -> Result<bool, LoadError> {
        let link = &mut self.links[run.leader_of[partition]];
        if !link.is_free(run.plan.depth) {
            return Ok(false);
        }
        let Open { mut image, planned, first_sequence, bytes, .. } =
            self.open[partition].take().expect("only an open batch is sent");
        if partition == self.sticky {
            self.sticky = (self.sticky + 1) % run.plan.partitions;
        }
        while self
            .ages
            .front()
            .is_some_and(|&(p, s)| self.open[p].as_ref().is_none_or(|o| o.first_sequence != s))
        {
            self.ages.pop_front();
        }
        let records = image.count() as u64;
        // Sequence numbers of a producer wrap at 2^31 (KIP-98).
        let base_sequence = if self.id < 0 { -1 } else { (first_sequence & 0x7FFF_FFFF) as i32 };
        let sender = Sender { id: self.id, epoch: self.epoch, base_sequence };
        image.seal(sender, tally.wall_ms, run.plan.codec);
        link.correlation_id = link.correlation_id.wrapping_add(1);
        let correlation_id = link.correlation_id;
        encode(run, partition, correlation_id, image.bytes().len(), &mut self.out);
        let out = &self.out;
        let sent_ns = super::clock::now_ns();
        let back = link.socket.send(|outgoing| {
            let at = out.splices()[0].at;
            outgoing.head.extend_from_slice(&out.head()[..at]);
            outgoing.tail.extend_from_slice(&out.head()[at..]);
            outgoing.image = Some(image);
        })?;
        self.images.extend(back);
        let late = u64::from(now_ns.saturating_sub(due_ns.max(link.free_ns)) > LATE_NS);
        let mut counts = Counts { sends: 1, late_sends: late, ..Counts::default() };
        if run.plan.acks == Acks::None {
            counts.records_in = records;
            counts.bytes_in = bytes;
            tally.records_acked += records;
            self.times.push(planned);
        } else {
            link.inflight.push_back(InFlight {
                correlation_id,
                partition,
                first_sequence,
                records,
                bytes,
                planned,
                sent_ns,
            });
        }
        tally.recorder.count(now_ns, counts);
        Ok(true)
    }

    /// The kernel takes bytes again.
    pub(super) fn writable(&mut self, link: usize, now_ns: u64) -> Result<(), LoadError> {
        let link = &mut self.links[link];
        if !link.socket.is_idle() {
            self.images.extend(link.socket.flush()?);
            if link.socket.is_idle() {
                link.free_ns = now_ns;
            }
        }
        Ok(())
    }

    /// Takes answers.
    pub(super) fn readable(&mut self, link: usize, run: &Run, tally: &mut Tally) -> Result<(), LoadError> {
        let link = &mut self.links[link];
        while link.socket.fill()? {
            let now_ns = super::clock::now_ns();
            while let Some(frame) = link.socket.frame()? {
                let answer = answer(run, frame)?;
                if link.inflight.len() == run.plan.depth {
                    link.free_ns = now_ns;
                }
                let sent = link.inflight.pop_front().filter(|i| i.correlation_id == answer.correlation_id);
                let sent = sent.ok_or(LoadError::Unexpected { what: "an answer out of order" })?;
                if answer.error.is_err() {
                    tally.refused(answer.error, sent.records);
                    let end = sent.first_sequence + sent.records;
                    tally.ledger(sent.partition, self.index).unsure.push(sent.first_sequence..end);
                } else {
                    acknowledge(&sent, answer.base_offset, now_ns, tally);
                }
                self.times.push(sent.planned);
                link.socket.drop_frame();
            }
        }
        Ok(())
    }

    /// Whether nothing is due before `end_ns`, open or on its way.
    pub(super) fn is_drained(&self, run: &Run, tally: &Tally, end_ns: u64) -> bool {
        let planned =
            self.schedule.as_ref().is_none_or(|s| s.due_ns() >= end_ns) || tally.bytes_sent >= run.bytes_max;
        planned
            && self.open.iter().all(Option::is_none)
            && self.links.iter().all(|link| link.inflight.is_empty() && link.socket.is_idle())
    }

    /// Gives up what is not acknowledged, and counts what was planned before `end_ns` but never sent.
    pub(super) fn abandon(&mut self, tally: &mut Tally, end_ns: u64) {
        for (partition, open) in self.open.iter_mut().enumerate() {
            if let Some(open) = open.take() {
                let ledger = tally.ledger(partition, self.index);
                ledger.unsure.push(open.first_sequence..ledger.next);
            }
        }
        for link in &mut self.links {
            for sent in link.inflight.drain(..) {
                let ledger = tally.ledger(sent.partition, self.index);
                ledger.unsure.push(sent.first_sequence..sent.first_sequence + sent.records);
                tally.unanswered += sent.records;
            }
        }
        while let Some(schedule) = &mut self.schedule
            && schedule.due_ns() < end_ns
        {
            tally.planned(schedule.due_ns());
            schedule.advance();
        }
    }
}

fn acknowledge(sent: &InFlight, base_offset: i64, now_ns: u64, tally: &mut Tally) {
    for &planned_ns in &sent.planned {
        tally.recorder.latency(Clock::Response, planned_ns, planned_ns, now_ns);
    }
    // A request of the warm-up that is answered within the window belongs to it: a closed loop would
    // otherwise hide the very stall that it waits for.
    let from_ns = tally.window_start_ns().min(now_ns).max(sent.sent_ns);
    let planned_ns = sent.planned.first().copied().unwrap_or(from_ns);
    if sent.planned.is_empty() {
        tally.recorder.latency(Clock::Response, planned_ns, sent.sent_ns, now_ns);
    }
    tally.recorder.latency(Clock::Service, planned_ns, sent.sent_ns, now_ns);
    let counts = Counts { records_in: sent.records, bytes_in: sent.bytes, ..Counts::default() };
    tally.recorder.count(now_ns, counts);
    tally.records_acked += sent.records;
    let end = &mut tally.ends[sent.partition];
    *end = (*end).max(base_offset + sent.records as i64);
}

fn draw(run: &Run, drawn: u64, random: &mut Random) -> Draw {
    let sizes = run.plan.sizes;
    let spread = (sizes.max - sizes.min) as u64 + 1;
    let value_bytes = sizes.min + if spread > 1 { random.below(spread) as usize } else { 0 };
    Draw { value_bytes, key: run.keys.draw(drawn, random) }
}

/// A random key that belongs to `partition` (or the partition's number, if there are too few keys).
fn key_of(run: &Run, partition: usize, random: &mut Random) -> u64 {
    let partitions = run.plan.partitions as u64;
    partition as u64 + partitions * random.below((run.plan.keys / partitions).max(1))
}

fn encode(run: &Run, partition: usize, correlation_id: i32, batch_bytes: usize, out: &mut Writer) {
    let records = Records::Splice { bytes: batch_bytes };
    let partitions = [produce::PartitionData { index: partition as i32, records }];
    let topics = [produce::TopicData {
        name: &run.plan.topic,
        topic_id: run.topic_id,
        partition_data: List::of(&partitions),
    }];
    let request = produce::Request {
        acks: run.plan.acks.code(),
        timeout_ms: PRODUCE_TIMEOUT_MS,
        topic_data: List::of(&topics),
        ..produce::Request::default()
    };
    let header = RequestHeader {
        api_key: ApiKey::Produce,
        api_version: run.produce_version,
        correlation_id,
        client_id: Some(CLIENT_ID),
    };
    out.clear();
    header.frame(&request, out);
}

struct Answer {
    correlation_id: i32,
    error: wire::ErrorCode,
    base_offset: i64,
}

fn answer(run: &Run, frame: &[u8]) -> Result<Answer, LoadError> {
    let version = run.produce_version;
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(ApiKey::Produce, version, &mut reader)?;
    let response = produce::Response::decode(version, &mut reader)?;
    let partition = response.responses.iter().next().and_then(|t| t.partition_responses.iter().next());
    let partition =
        partition.ok_or(LoadError::Unexpected { what: "a produce answer without a partition" })?;
    Ok(Answer {
        correlation_id: header.correlation_id,
        error: partition.error_code,
        base_offset: partition.base_offset,
    })
}
