//! The loop: one thread, busy, all sockets, from the first connection to the last check.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wire::ApiKey;

use super::client::{Client, resolve};
use super::clock::{now_ns, wall_ms};
use super::consumer::{Consumer, Reading, Role};
use super::image::Filler;
use super::keys::Keys;
use super::outcome::{Outcome, Phase, Progress};
use super::plan::{Acks, Mode, Pace, Plan, StartAt};
use super::poll::{Poll, Ready};
use super::prepare::Setup;
use super::producer::Producer;
use super::random::Random;
use super::run::{Run, Tally};
use super::setup::{TopicView, await_topic, create_topic_of, producer_identity};
use super::socket::Socket;
use super::warm::{self, WarmEnd, WarmRule, WarmUp, Warming};
use super::{LoadError, clock};

/// How long answers and reads may take after the window, without any progress.
const DRAIN_NS: u64 = 10_000_000_000;

/// How long answers may take after the window, whatever trickles in: Kafka's `request.timeout.ms`.
const ANSWERS_NS: u64 = 30_000_000_000;

/// How often the watcher is told.
const WATCH_NS: u64 = 250_000_000;

/// Pauses of a turn that found nothing to do, tens of nanoseconds each.
const IDLE_HINTS: usize = 8;

/// Answers to produce requests are small.
const PRODUCE_ANSWER_BYTES_MAX: usize = 1 << 20;

/// What a fetch answer may hold beyond `fetch.max.bytes`: its first batch comes whole, and every
/// partition has a header.
const FETCH_ANSWER_BYTES_SLACK: usize = 80 << 20;

/// Connections that read everything back after a produce-only run.
const READ_BACK_CONSUMERS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Owner {
    Producer { index: usize, link: usize },
    Consumer { index: usize, link: usize },
}

pub(super) struct Drive<'a> {
    pub(super) run: Run,
    pub(super) tally: Tally,
    pub(super) producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    pub(super) leaders: Vec<String>,
    /// When the topic was asked for.
    pub(super) began_ns: u64,
    pub(super) setup: Setup,
    pub(super) max_records_per_s: Option<f64>,
    /// Bytes written before the load.
    pub(super) bytes_before: u64,
    /// Where each partition ended when the load began.
    pub(super) prepared_ends: Vec<i64>,
    poll: Poll,
    owners: Vec<Owner>,
    ready: Vec<Ready>,
    pub(super) stop: &'a AtomicBool,
    watch: &'a mut dyn FnMut(&Progress),
    phase: Phase,
    phase_ns: u64,
    length: Duration,
    told_ns: u64,
    /// When the load ended: nothing planned later was sent.
    ended_ns: u64,
    /// While it warms up by a rule.
    warming: Option<Warming>,
    warm_up: Option<WarmUp>,
}

/// Carries out a plan on the calling thread, which it keeps busy and pins if the plan says so.
///
/// # Errors
/// What stands in the way of starting. Once the load runs, what ends it early is part of the outcome.
pub fn run(plan: &Plan, stop: &AtomicBool, watch: &mut dyn FnMut(&Progress)) -> Result<Outcome, LoadError> {
    plan.check()?;
    pin(plan.core);
    let mut client = Client::connect_any(&plan.brokers)?;
    let began_ns = now_ns();
    let since = || Duration::from_nanos(now_ns() - began_ns);
    let partitions = plan.partitions as i32;
    create_topic_of(&mut client, &plan.topic, partitions, plan.replication, &plan.topic_configs)?;
    let created = since();
    let view = await_topic(&mut client, &plan.topic, Some(partitions))?;
    let setup = Setup { created, led: since(), touched: Duration::ZERO };
    let mut drive = Drive::new(plan, view, &client, stop, watch)?;
    (drive.began_ns, drive.setup) = (began_ns, setup);
    drive.connect_producers(&mut client)?;
    let mut failure = drive.prepare().err();
    let window = match failure {
        None => drive.measure(),
        Some(_) => Err((now_ns(), None)),
    };
    let (started_ns, interrupted) = match window {
        Ok(started) => (started, drive.stopped()),
        Err((at, e)) => {
            failure = failure.or(e);
            (at, false)
        }
    };
    Ok(drive.finish(started_ns, interrupted, failure))
}

fn pin(core: Option<usize>) {
    if let Some(core) = core {
        let mut set = rustix::thread::CpuSet::new();
        set.set(core);
        // A core that may not be used is no reason to fail: the run says where it ran.
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}

impl<'a> Drive<'a> {
    fn new(
        plan: &Plan,
        view: TopicView,
        client: &Client,
        stop: &'a AtomicBool,
        watch: &'a mut dyn FnMut(&Progress),
    ) -> Result<Drive<'a>, LoadError> {
        if view.leaders.len() != plan.partitions {
            return Err(LoadError::Unexpected { what: "a topic with another number of partitions" });
        }
        let mut nodes: Vec<i32> = view.leaders.clone();
        nodes.sort_unstable();
        nodes.dedup();
        let leader_of: Vec<usize> =
            view.leaders.iter().map(|n| nodes.binary_search(n).expect("every leader is a node")).collect();
        let mut led = vec![Vec::new(); nodes.len()];
        leader_of.iter().enumerate().for_each(|(partition, leader)| led[*leader].push(partition));
        let address = |node: &i32| view.nodes.get(node).cloned();
        let leaders: Option<Vec<String>> = nodes.iter().map(address).collect();
        let leaders = leaders.ok_or(LoadError::Unexpected { what: "a leader without an address" })?;
        let version = |api| client.versions().of(api).ok_or(LoadError::NoVersion { api });
        let mut random = Random::new(plan.seed);
        let filler = Filler::new(plan.sizes.max, &plan.payload, &mut random);
        // Runs with one seed send the same load, yet must not take each other's records for theirs.
        let id = (clock::wall_ms() as u64 ^ clock::now_ns().rotate_left(32))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            >> 32;
        let run = Run {
            plan: plan.clone(),
            id: id as u32,
            pace: plan.pace,
            bytes_max: plan.bytes_max,
            topic_id: view.id,
            produce_version: version(ApiKey::Produce)?,
            fetch_version: version(ApiKey::Fetch)?,
            offsets_version: client.versions().of(ApiKey::ListOffsets),
            leader_of,
            led,
            filler,
            keys: Keys::new(plan.keys, plan.key_spread),
        };
        let now = now_ns();
        Ok(Drive {
            tally: Tally::new(run.id, plan),
            run,
            producers: Vec::new(),
            consumers: Vec::new(),
            leaders,
            began_ns: now,
            setup: Setup::default(),
            max_records_per_s: None,
            bytes_before: 0,
            prepared_ends: Vec::new(),
            poll: Poll::new()?,
            owners: Vec::new(),
            ready: Vec::new(),
            stop,
            watch,
            phase: Phase::WarmUp,
            phase_ns: now,
            length: Duration::ZERO,
            told_ns: now,
            ended_ns: u64::MAX,
            warming: None,
            warm_up: None,
        })
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn connect(&self, frame_bytes_max: usize) -> Result<Vec<Socket>, LoadError> {
        let connect = |address: &String| Ok(Socket::connect(resolve(address)?, frame_bytes_max)?);
        self.leaders.iter().map(connect).collect()
    }

    fn connect_producers(&mut self, client: &mut Client) -> Result<(), LoadError> {
        for index in 0..self.run.plan.producers {
            let identity = if self.run.plan.idempotence { Some(producer_identity(client)?) } else { None };
            let producer = Producer::new(index, self.connect(PRODUCE_ANSWER_BYTES_MAX)?, &self.run, identity);
            for (link, socket) in producer.sockets().enumerate() {
                self.poll.add(socket.stream(), self.owners.len())?;
                self.owners.push(Owner::Producer { index, link });
            }
            self.producers.push(producer);
        }
        Ok(())
    }

    /// A group of `count` consumers, which begins at `from` (or at the start).
    fn connect_group(&mut self, role: Role, count: usize, from: Option<&[i64]>) -> Result<(), LoadError> {
        let whole = matches!(role, Role::Tail | Role::ReadBack);
        let group = self.tally.open_group(whole);
        if from.is_some() {
            self.tally.groups[group].checker.start_behind(&self.tally.prepared);
        }
        // What is read again and again ends where the load began.
        let until = (!whole).then(|| self.prepared_ends.clone());
        let frame_bytes_max = self.run.plan.fetch_bytes + FETCH_ANSWER_BYTES_SLACK;
        for index in 0..count {
            let sockets = self.connect(frame_bytes_max)?;
            let reading = Reading { role, group, index, of: count, from, until: until.as_deref() };
            let consumer = Consumer::new(reading, sockets, &self.run);
            for (link, socket) in consumer.sockets().enumerate() {
                self.poll.add(socket.stream(), self.owners.len())?;
                self.owners.push(Owner::Consumer { index: self.consumers.len(), link });
            }
            self.consumers.push(consumer);
        }
        Ok(())
    }

    /// The readers that run from the start of the load.
    fn connect_readers(&mut self) -> Result<(), LoadError> {
        let plan = &self.run.plan;
        let (groups, consumers) = (plan.groups, plan.consumers);
        let role = if plan.mode.produces() { Role::Tail } else { Role::Again };
        // First records are few: they are read too, so that the check covers them. What was written besides is not the
        // load's, unless it is there to be caught up with.
        let more = plan.preload_bytes > 0 || self.max_records_per_s.is_some();
        let behind = role == Role::Tail && more && plan.start_at == StartAt::End;
        let from = behind.then(|| self.prepared_ends.clone());
        for _ in 0..groups {
            self.connect_group(role, consumers, from.as_deref())?;
        }
        Ok(())
    }

    /// One turn: what the sockets have, what is due, what the watcher wants to know.
    pub(super) fn turn(&mut self, end_ns: u64) -> Result<u64, LoadError> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.now(&mut ready)?;
        for event in &ready {
            match self.owners[event.token] {
                Owner::Producer { index, link } => {
                    let producer = &mut self.producers[index];
                    if event.readable {
                        producer.readable(link, &self.run, &mut self.tally)?;
                    }
                    if event.writable {
                        producer.writable(link, now_ns())?;
                    }
                }
                Owner::Consumer { index, link } => {
                    let consumer = &mut self.consumers[index];
                    if event.readable {
                        consumer.readable(link, &self.run, &mut self.tally)?;
                    }
                    if event.writable {
                        consumer.writable(link)?;
                    }
                }
            }
        }
        if ready.is_empty() {
            // The broker may run on the other half of this very core: leave it some room, for less than
            // a microsecond.
            (0..IDLE_HINTS).for_each(|_| std::hint::spin_loop());
        }
        self.ready = ready;
        let now = now_ns();
        self.tally.recorder.cut(now);
        for producer in &mut self.producers {
            producer.tick(&self.run, &mut self.tally, now, end_ns)?;
        }
        for consumer in &mut self.consumers {
            consumer.tick(&self.run, &self.tally.ends)?;
        }
        if now >= self.told_ns + WATCH_NS {
            self.tell(now);
        }
        Ok(now)
    }

    pub(super) fn enter(&mut self, phase: Phase, now: u64, length: Duration) {
        self.tell(now);
        (self.phase, self.phase_ns, self.length) = (phase, now, length);
        self.tell(now);
    }

    fn tell(&mut self, now: u64) {
        self.tally.wall_ms = wall_ms();
        let (counts, response) = self.tally.recorder.live();
        if let Some(warming) = &mut self.warming {
            warming.take(now, &counts, &response);
        }
        let unread = self.tally.records_acked.saturating_sub(self.tally.findings().read);
        (self.watch)(&Progress {
            phase: self.phase,
            elapsed: Duration::from_nanos(now - self.phase_ns),
            length: self.length,
            since: Duration::from_nanos(now - self.told_ns),
            counts,
            response,
            lag_records: if self.consumers.is_empty() { 0 } else { unread },
        });
        self.told_ns = now;
    }

    /// Warm-up and window; returns when the window began, or when it failed and why.
    fn measure(&mut self) -> Result<u64, (u64, Option<LoadError>)> {
        let now = now_ns();
        let plan = self.run.plan.clone();
        if plan.mode.fetches() {
            self.connect_readers().map_err(|e| (now_ns(), Some(e)))?;
        }
        // Stages wait for the end of a warm-up whose length nobody knows.
        let planned_start = plan.warm_rule.map_or(now + plan.warm_up.as_nanos() as u64, |_| u64::MAX);
        if plan.mode.produces() {
            self.producers.iter_mut().for_each(|p| p.start(&self.run, now, planned_start));
        } else {
            // The preload was theirs.
            self.run.bytes_max = 0;
        }
        self.enter(Phase::WarmUp, now, plan.warm_rule.map_or(plan.warm_up, |rule| rule.max));
        let start = match plan.warm_rule {
            None => planned_start,
            Some(rule) => self.warm_up(rule, now).map_err(|e| (now_ns(), Some(e)))?,
        };
        let end = start + plan.duration.as_nanos() as u64;
        let fail = |e| (now_ns().max(start), Some(e));
        self.tally.open_window(start..end, &plan);
        let mut catch_up_ns = match plan.catch_up {
            0 => u64::MAX,
            _ => start + plan.catch_up_after.as_nanos() as u64,
        };
        let mut last = now;
        while last < end && !self.stopped() {
            last = self.turn(end).map_err(fail)?;
            if self.phase == Phase::WarmUp && last >= start {
                self.enter(Phase::Measure, last, plan.duration);
            }
            if last >= catch_up_ns {
                catch_up_ns = u64::MAX;
                self.connect_group(Role::CatchUp, plan.catch_up, None).map_err(fail)?;
            }
            // Waiting for the end with nothing left to send would be measured as slowness.
            if plan.mode.produces() && self.tally.bytes_sent >= self.run.bytes_max {
                break;
            }
        }
        self.drain(last.min(end)).map_err(fail)?;
        Ok(start)
    }

    /// Loads until two successive windows agree and every partition has taken a record, within the bounds of `rule`;
    /// returns when that was. An open loop starts again there with a fresh plan: what the warm-up fell behind is not
    /// the window's to catch up with.
    fn warm_up(&mut self, rule: WarmRule, began_ns: u64) -> Result<u64, LoadError> {
        let planned_per_s = match self.run.plan.pace {
            Pace::Open { records_per_s, .. } if self.run.plan.mode.produces() => Some(records_per_s),
            _ => None,
        };
        let bytes_max = self.bytes_before
            + (self.run.bytes_max.saturating_sub(self.bytes_before) as f64 * warm::BYTES_SHARE) as u64;
        let producing = self.run.plan.mode.produces();
        // Without answers nobody knows which partitions took a record.
        let answered = producing && self.run.plan.acks != Acks::None;
        self.warming = Some(Warming::new(rule, planned_per_s, began_ns));
        let (end, untouched, now) = loop {
            let now = self.turn(u64::MAX)?;
            let warming = self.warming.as_ref().expect("it was set above");
            let untouched =
                || if answered { self.tally.ends.iter().filter(|end| **end == 0).count() } else { 0 };
            let agreed = warming.agrees() && warming.lasted(self.run.plan.warm_up, now) && untouched() == 0;
            let end = match () {
                () if self.stopped() => WarmEnd::Stopped,
                () if agreed => WarmEnd::Agreed,
                () if warming.is_over(now) => WarmEnd::Time,
                () if producing && self.tally.bytes_sent >= bytes_max => WarmEnd::Bytes,
                () => continue,
            };
            break (end, untouched(), now);
        };
        self.tell(now);
        self.warm_up = self.warming.take().map(|warming| warming.finish(end, untouched, now));
        if producing {
            self.producers.iter_mut().for_each(|p| p.start(&self.run, now, now));
        }
        Ok(now)
    }

    /// Lets answers and consumers arrive. Nothing planned after `end_ns` is sent any more.
    fn drain(&mut self, end_ns: u64) -> Result<(), LoadError> {
        self.enter(Phase::Drain, now_ns(), Duration::ZERO);
        self.ended_ns = end_ns;
        self.consumers.iter_mut().for_each(Consumer::rest_if_again);
        self.until_quiet(end_ns, ANSWERS_NS, |d| {
            d.producers.iter().all(|p| p.is_drained(&d.run, &d.tally, end_ns))
        })?;
        let (tally, producers) = (&mut self.tally, &mut self.producers);
        producers.iter_mut().for_each(|p| p.abandon(tally, end_ns));
        if self.run.plan.mode == Mode::Produce && self.run.plan.read_back {
            self.enter(Phase::ReadBack, now_ns(), Duration::ZERO);
            self.connect_group(Role::ReadBack, READ_BACK_CONSUMERS.min(self.run.plan.partitions), None)?;
        }
        if self.run.plan.mode.produces() && !self.consumers.is_empty() {
            self.until_quiet(end_ns, u64::MAX, Drive::is_caught_up)?;
        }
        Ok(())
    }

    fn is_caught_up(&self) -> bool {
        // Without answers nobody knows where the logs end.
        let enough = self.run.plan.acks != Acks::None
            || self.tally.findings().read >= self.tally.records_sent * self.tally.groups.len() as u64;
        enough && self.consumers.iter().all(|c| c.is_caught_up(&self.tally.ends))
    }

    /// Turns until `done`, until nothing has moved for [`DRAIN_NS`], or at most for `limit_ns`.
    pub(super) fn until_quiet(
        &mut self,
        end_ns: u64,
        limit_ns: u64,
        done: impl Fn(&Drive<'a>) -> bool,
    ) -> Result<(), LoadError> {
        let moved = |d: &Drive<'a>| (d.tally.records_acked, d.tally.findings().read, d.tally.records_sent);
        let started_ns = now_ns();
        let (mut last, mut last_ns) = (moved(self), started_ns);
        while !done(self) {
            let now = self.turn(end_ns)?;
            if moved(self) != last {
                (last, last_ns) = (moved(self), now);
            }
            if now - last_ns > DRAIN_NS || now - started_ns > limit_ns {
                break;
            }
        }
        Ok(())
    }

    fn finish(mut self, started_ns: u64, interrupted: bool, failure: Option<LoadError>) -> Outcome {
        let now = now_ns();
        self.tell(now);
        let checked = !self.consumers.is_empty();
        // The fetch modes stop in the middle of a pass; a run that broke may not have read all.
        let whole = self.run.plan.mode.produces() && failure.is_none();
        let (tally, producers) = (&mut self.tally, &mut self.producers);
        producers.iter_mut().for_each(|p| p.abandon(tally, 0));
        let mut tally = self.tally;
        Outcome {
            findings: tally.finish(whole && checked),
            measured: tally.recorder.finish(self.ended_ns.min(now).max(started_ns)),
            checked,
            records_sent: tally.records_sent,
            records_acked: tally.records_acked,
            unanswered: tally.unanswered,
            errors: tally.errors.into_iter().collect(),
            records_planned: tally.records_planned,
            started_unix_ms: wall_ms() - (now.saturating_sub(started_ns) / 1_000_000) as i64,
            warm_up: self.warm_up,
            setup: self.setup,
            pace: self.run.plan.pace,
            max_records_per_s: self.max_records_per_s,
            interrupted,
            budget_spent: self.run.plan.mode.produces() && tally.bytes_sent >= self.run.bytes_max,
            failure,
        }
    }
}
