//! Carries out a plan: boots the machine, lets its clients act, stops it, and compares what is left with
//! what was promised.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, JUMP_MS};
use engine::broker::{HostedPartition, Recovered, RecoveryReport, Shard, recover};
use engine::io::IO_BYTES_MAX;

use super::Outcome;
use super::crew::{self, Crew};
use super::plan::{Act, Crash, End, Keep, Plan, Rot, Scene, Weather};
use super::seat::{Files, Seat};
use super::story::Story;
use super::topic::{Finding, Topic};
use crate::disk::SimDisk;
use crate::faults::{Buggify, CutAt};
use crate::random::Random;
use crate::world::World;

const POOL_BYTES: usize = 16 * IO_BYTES_MAX;

/// Segment files that a shard may keep open where they are made few.
const FEW_FILES: usize = 2;

/// A machine that was told to stop at a step and does not come there stops after this.
const STOP_WITHIN: Duration = Duration::from_millis(60);

/// Starts that may fail on a disk with errors before it has none.
const STARTS_MAX: u32 = 3;

/// What is sent at the end is acknowledged within this.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The clock of every shard, and how many beats are a round of retention.
const BEAT: Duration = Duration::from_millis(20);
const BEATS_PER_ROUND: u64 = 5;

/// What is old is brought to its segment in one round and deleted in the next, or the one behind it.
const ROUNDS_AFTER_JUMP: u64 = 4;

/// A late beat comes after so many.
const LATE_BEATS: u32 = 10;

/// What is sent last is compacted for so long.
const LAST_ROUND: Duration = Duration::from_millis(200);

/// The first thing that was wrong.
type Verdict = Rc<RefCell<Option<String>>>;

/// A machine that is up.
struct Life {
    shards: Vec<Shard<SimDisk>>,
    seat: Rc<Seat>,
}

/// How a start ended, if nothing was wrong.
enum Start {
    Up(Vec<Shard<SimDisk>>, RecoveryReport),
    /// It stopped on the way.
    Stopped,
    /// It said that it cannot.
    Refused(String),
}

pub(super) struct Machine {
    world: World,
    scene: Scene,
    topics: Vec<Rc<Topic>>,
    groups: Files,
    cores: u16,
    verdict: Verdict,
    story: Story,
    /// Something on the disk was damaged: it may be lost, but not in silence.
    damaged: bool,
    errors: Act,
}

const NO_ERRORS: Act = Act::Errors { eio_ppm: 0, stall_ppm: 0, only: None };

/// Runs a plan, or those of its acts that are kept.
pub(super) fn run(plan: &Plan, keep: Option<&Keep>, printed: bool) -> Outcome {
    let mut machine = Machine::new(&plan.scene);
    if printed {
        machine.world.print_trace();
    }
    let failure = machine.carry_out(plan, keep).err();
    machine.world.kill();
    let hash = machine.world.trace_hash();
    Outcome { failure, story: machine.finish(), hash }
}

impl Machine {
    fn new(scene: &Scene) -> Machine {
        let world = World::new(scene.world_seed);
        world.drift(scene.drift_ppm);
        Machine {
            world,
            topics: scene.topics.iter().map(|t| Rc::new(Topic::new(t))).collect(),
            groups: Files {
                log: Rc::new(Topic::new(&scene.offsets)),
                commits: Rc::default(),
                crew: Rc::new(Crew::new()),
                image: crew::image(),
            },
            cores: scene.cores,
            verdict: Rc::default(),
            story: Story::default(),
            damaged: false,
            errors: NO_ERRORS,
            scene: scene.clone(),
        }
    }

    fn all_topics(&self) -> impl Iterator<Item = &Rc<Topic>> {
        self.topics.iter().chain([&self.groups.log])
    }

    fn carry_out(&mut self, plan: &Plan, keep: Option<&Keep>) -> Finding {
        let Some(mut life) = self.start(None)? else { return Ok(()) };
        for (number, op) in plan.ops.iter().enumerate() {
            if keep.is_some_and(|keep| keep.0.binary_search(&number).is_err()) {
                continue;
            }
            self.world.pass(op.after);
            self.judge()?;
            self.world.note(&[6, number as u64], || format!("act {number}: {:?}", op.act));
            match &op.act {
                Act::Crash(crash) => {
                    self.stop(&life, crash)?;
                    drop(life);
                    let Some(next) = self.start(Some(crash))? else { return Ok(()) };
                    life = next;
                }
                act => self.act(&life, act),
            }
        }
        self.judge()?;
        self.at_last(life)
    }

    fn judge(&self) -> Finding {
        self.verdict.borrow_mut().take().map_or(Ok(()), Err)
    }

    /// Everything is healed: the machine starts, holds what it must, and takes what is sent.
    fn at_last(&mut self, life: Life) -> Finding {
        self.heal();
        self.world.kill();
        self.stopped(false);
        drop(life);
        let Some(life) = self.start(None)? else { return Ok(()) };
        let before: Vec<u64> = self.topics.iter().map(|t| t.ledger.borrow().acknowledged).collect();
        self.topics.iter().for_each(|t| t.order(1, 7));
        let mut waited = Duration::ZERO;
        let answered =
            |(t, before): (&Rc<Topic>, &u64)| t.given_up.get() || t.ledger.borrow().acknowledged > *before;
        while !self.topics.iter().zip(&before).all(answered) {
            if waited > LAST_ANSWER_WITHIN {
                return Err("a healthy machine does not answer a producer".to_owned());
            }
            self.world.pass(BEAT);
            waited += BEAT;
            self.judge()?;
        }
        self.world.pass(LAST_ROUND);
        self.judge()?;
        self.world.kill();
        self.stopped(false);
        drop(life);
        self.start(None).map(drop)
    }

    fn heal(&mut self) {
        self.errors = NO_ERRORS;
        self.world.faults(|f| {
            f.capacity = None;
            f.stray_ppm = 0;
        });
        self.set_errors(&NO_ERRORS);
    }

    fn set_errors(&self, act: &Act) {
        if let Act::Errors { eio_ppm, stall_ppm, only } = act {
            self.world.faults(|f| {
                f.eio_ppm = *eio_ppm;
                f.stall_ppm = *stall_ppm;
                f.eio_ops = only.iter().copied().collect();
            });
        }
    }

    fn shard_of<'a>(&self, life: &'a Life, topic: &Topic) -> &'a Shard<SimDisk> {
        &life.shards[usize::from(topic.hosted.borrow().core.0)]
    }

    /// Lets one act happen.
    fn act(&mut self, life: &Life, act: &Act) {
        self.tell_time();
        let world = &self.world;
        let at = |topic: &usize| {
            let topic = self.topics[*topic].clone();
            (self.shard_of(life, &topic).clone(), topic)
        };
        match act {
            Act::Produce { topic, batches, draw } => self.topics[*topic].order(*batches, *draw),
            Act::Again { topic, back } => self.topics[*topic].order_again(*back),
            Act::Read { topic, at_ppm, bytes } => {
                let (shard, topic) = at(topic);
                if !topic.given_up.get() {
                    self.guard(topic.consume(world.clone(), shard, *at_ppm, *bytes));
                }
            }
            Act::Delete { topic, at_ppm } => {
                let (shard, topic) = at(topic);
                if !topic.given_up.get() {
                    self.guard(topic.delete(world.clone(), shard, *at_ppm));
                }
            }
            Act::Commit { group, topic } => {
                if !self.groups.log.given_up.get() {
                    self.guard(life.seat.clone().commit_from_outside((*group, *topic)));
                }
            }
            Act::End { group, topic } => {
                if !self.groups.log.given_up.get() {
                    self.guard(life.seat.clone().end((*group, *topic)));
                }
            }
            Act::Member { number, new, leaves } => {
                let (crew, seat) = (self.groups.crew.clone(), life.seat.clone());
                match self.groups.log.given_up.get() {
                    true => {}
                    false if *new => self.guard(crew.beat(seat, *number, *leaves)),
                    false => self.guard(crew.call(seat, *number, *leaves)),
                }
            }
            Act::Housekeep => {
                for shard in &life.shards {
                    let (shard, world) = (shard.clone(), world.clone());
                    world.clone().spawn(async move { shard.housekeep(world.now()).await });
                }
            }
            Act::Jump { ms } => {
                world.jump(*ms);
                self.story.jumps += 1;
                if *ms > JUMP_MS {
                    // It is there for rounds of retention to see.
                    world.pass(BEAT * (ROUNDS_AFTER_JUMP * BEATS_PER_ROUND) as u32);
                }
            }
            Act::Wait { ms } => world.skip(Duration::from_millis(*ms)),
            Act::Errors { .. } => {
                self.errors = act.clone();
                self.set_errors(act);
            }
            Act::Room { bytes } => {
                let used = world.used();
                world.faults(|f| f.capacity = bytes.map(|more| used + more));
            }
            Act::Stray { ppm } => {
                world.faults(|f| f.stray_ppm = *ppm);
                self.damaged |= *ppm > 0;
            }
            Act::Crash(_) => {}
        }
        self.tell_time();
    }

    /// The ledgers hear how late it may be.
    fn tell_time(&self) {
        let times = self.world.believable();
        self.all_topics().for_each(|t| t.ledger.borrow_mut().told_time(times));
    }

    fn guard(&self, client: impl Future<Output = Finding> + 'static) {
        let verdict = self.verdict.clone();
        self.world.spawn(async move {
            if let Err(error) = client.await {
                verdict.borrow_mut().get_or_insert(error);
            }
        });
    }

    /// Ends a life.
    fn stop(&mut self, life: &Life, crash: &Crash) -> Finding {
        if let Some((steps, side)) = crash.stop {
            let step = self.world.persist_steps() + steps;
            self.world.cut_at(Some(CutAt { step, side }));
        }
        if crash.end == End::Close {
            for shard in &life.shards {
                let (shard, now) = (shard.clone(), self.world.now());
                match self.world.run_until_cut(async move { shard.close(now).await }) {
                    Some(Err(error)) if self.scene.weather == Weather::Fair => {
                        return Err(format!("close: {error}"));
                    }
                    Some(_) => self.story.closes += 1,
                    None => break,
                }
            }
        } else if crash.stop.is_some() {
            self.world.pass(STOP_WITHIN);
        }
        self.story.stops_at_steps += u64::from(self.world.is_cut());
        self.judge()?;
        for shard in &life.shards {
            self.story.overlapped += shard.stats().commits_overlapped;
            let stats = shard.stats();
            self.story.extents += stats.extents;
            self.story.compactions += stats.compactions;
            if self.scene.weather == Weather::Fair && stats.compaction_errors > 0 {
                return Err("a round of compaction failed on a disk that works".to_owned());
            }
        }
        self.fall(crash.end != End::Kill);
        if let Some(spread) = crash.spread {
            self.spread(&mut Random::new(spread));
        }
        self.rot(crash.rot);
        Ok(())
    }

    /// The machine is down.
    fn fall(&mut self, power: bool) {
        self.world.note(&[7, u64::from(power)], || {
            (if power { "the power goes" } else { "the process is killed" }).to_owned()
        });
        if power {
            self.world.crash();
        } else {
            self.world.kill();
        }
        let in_round = self.world.has_file(|name| name.ends_with("/swap"));
        self.story.rounds_cut += u64::from(in_round);
        let in_swap = in_round && self.world.has_file(|name| name.ends_with(".log.deleted"));
        self.story.swaps_cut += u64::from(in_swap);
        self.stopped(power);
    }

    fn stopped(&mut self, power: bool) {
        self.tell_time();
        self.story.crashes += 1;
        self.groups.commits.borrow_mut().stopped();
        self.groups.crew.stopped();
        self.all_topics().for_each(|t| t.crashed(power));
    }

    fn spread(&mut self, random: &mut Random) {
        self.cores = random.within(1..4) as u16;
        for topic in &self.topics {
            let core = CoreId(random.index(usize::from(self.cores)) as u16);
            self.story.moved += u64::from(topic.hosted.borrow().core != core);
            topic.hosted.borrow_mut().core = core;
        }
    }

    fn rot(&mut self, rot: Option<Rot>) {
        let part = match rot {
            None => return,
            Some(Rot::Journal) => "/journal-",
            Some(Rot::Checkpoint) => "/checkpoint-",
        };
        if let Some(file) = self.world.rot(|name| name.contains(part)) {
            self.world.note(&[8], || format!("a bit of {file} rots"));
            self.damaged = true;
            self.story.damages += 1;
        }
    }

    /// Starts the machine, through the recoveries that are cut short. `None` if it refuses to for damage,
    /// which it may.
    fn start(&mut self, crash: Option<&Crash>) -> Result<Option<Life>, String> {
        for (steps, side) in crash.iter().flat_map(|c| &c.recoveries) {
            let step = self.world.persist_steps() + steps;
            self.world.cut_at(Some(CutAt { step, side: *side }));
            if let Start::Stopped = self.boot() {
                self.story.recoveries_cut += 1;
                self.story.stops_at_steps += 1;
            }
            self.fall(true);
        }
        let mut tries = 0;
        let (shards, report) = loop {
            match self.boot() {
                Start::Up(shards, report) => break (shards, report),
                Start::Stopped => return Err("a machine stopped that was not told to".to_owned()),
                Start::Refused(error) if self.damaged => {
                    self.world.note(&[9], || format!("it does not start: {error}"));
                    self.story.damages_told += 1;
                    return Ok(None);
                }
                Start::Refused(error) if self.scene.weather == Weather::Fair || tries > STARTS_MAX => {
                    return Err(format!("it does not start: {error}"));
                }
                Start::Refused(_) => {
                    tries += 1;
                    self.story.starts_failed += 1;
                    if tries == STARTS_MAX {
                        self.heal();
                    }
                    self.world.kill();
                    self.stopped(false);
                }
            }
        };
        self.hear(&report)?;
        // What is there is compared on a disk that works.
        self.set_errors(&NO_ERRORS);
        let seat = self.verify(&shards, &report)?;
        self.set_errors(&self.errors);
        self.story.groups_loaded += seat.as_ref().map_or(0, |seat| seat.groups() as u64);
        Ok(seat.map(|seat| self.live(shards, seat)))
    }

    /// Damage is told only where there is some.
    fn hear(&mut self, report: &RecoveryReport) -> Finding {
        self.story.extents_read += report.extents_read;
        self.story.extents_torn += report.extents_torn;
        let told = report.frames_damaged > 0 || !report.partitions_damaged.is_empty();
        self.story.damages_told += u64::from(told);
        if told && !self.damaged {
            return Err(format!("recovery takes a crash for damage: {report:?}"));
        }
        if report.frames_damaged > 0 {
            // Whatever the frame held may be gone.
            self.all_topics().for_each(|t| t.given_up.set(true));
        }
        self.all_topics()
            .filter(|t| report.partitions_damaged.contains(&t.key()))
            .for_each(|t| t.given_up.set(true));
        Ok(())
    }

    fn boot(&mut self) -> Start {
        self.world.begin_life();
        // Nobody else runs in a recovery: who is refused memory there would wait for ever.
        self.world.faults(|f| {
            f.buggify = Buggify { refuse_memory: false, ..self.scene.buggify };
            f.files_max = self.scene.buggify.few_files.then_some(FEW_FILES);
        });
        let hosted: Vec<HostedPartition> = self.all_topics().map(|t| t.hosted.borrow().clone()).collect();
        let (world, cores, settings) = (self.world.clone(), self.cores, self.scene.settings.clone());
        let cleaner = self.scene.cleaner;
        let started = self.world.run_until_cut(async move {
            let disk = world.disk(POOL_BYTES);
            let recovered = recover(&disk, &hosted, cores, world.now()).await;
            let Recovered { cores, report } = recovered.map_err(|e| format!("recovery: {e}"))?;
            let mut shards = Vec::new();
            for core in cores {
                let disk = world.disk(POOL_BYTES);
                let shard = Shard::open(disk, core, settings.clone(), world.now()).await;
                let shard = shard.map_err(|e| format!("open: {e}"))?;
                shard.set_cleaner(cleaner);
                shards.push(shard);
            }
            Ok((shards, report))
        });
        match started {
            Some(Ok((shards, report))) => {
                self.world.note(&[10, report.frames, report.batches], || format!("it is up: {report:?}"));
                Start::Up(shards, report)
            }
            Some(Err(error)) => Start::Refused(error),
            None => Start::Stopped,
        }
    }

    /// Compares every partition and every commit with what was promised. No seat if the offsets' partition
    /// is damaged.
    fn verify(&self, shards: &[Shard<SimDisk>], report: &RecoveryReport) -> Result<Option<Rc<Seat>>, String> {
        for topic in self.all_topics().filter(|t| !t.given_up.get()) {
            let shard = shards[usize::from(topic.hosted.borrow().core.0)].clone();
            let (topic, world) = (topic.clone(), self.world.clone());
            self.world
                .run_until(async move { topic.verify(world, shard).await })
                .map_err(|e| if self.damaged { format!("{e}, in silence: {report:?}") } else { e })?;
        }
        if self.groups.log.given_up.get() {
            return Ok(None);
        }
        let shard = shards[usize::from(self.groups.log.hosted.borrow().core.0)].clone();
        let seat = Seat::load(self.world.clone(), shard, self.groups.clone());
        self.world.run_until(seat).map(Some)
    }

    /// The jobs of every shard, and the clients of every topic.
    fn live(&self, shards: Vec<Shard<SimDisk>>, seat: Rc<Seat>) -> Life {
        self.world.faults(|f| f.buggify = self.scene.buggify);
        let late_ticks = self.scene.buggify.late_ticks;
        for shard in &shards {
            let (clock, time) = (shard.clone(), self.world.clone());
            self.world.run_shard(shard);
            self.world.run_cleaner(shard);
            self.world.spawn(async move {
                for beat in 1_u64.. {
                    let late = late_ticks && time.random(|r| r.chance(Buggify::FIRES_PPM));
                    time.sleep(if late { BEAT * LATE_BEATS } else { BEAT }).await;
                    clock.tick(time.now());
                    if beat % BEATS_PER_ROUND == 0 {
                        clock.housekeep(time.now()).await;
                    }
                }
            });
        }
        self.guard(seat.clone().serve());
        let (ticks, time) = (seat.clone(), self.world.clone());
        self.world.spawn(async move {
            loop {
                time.sleep(BEAT).await;
                ticks.tick();
            }
        });
        let life = Life { shards, seat };
        for topic in self.topics.iter().filter(|t| !t.given_up.get()) {
            let shard = self.shard_of(&life, topic).clone();
            self.guard(topic.clone().produce(self.world.clone(), shard));
        }
        life
    }

    fn finish(mut self) -> Story {
        let counters = self.world.counters();
        self.story.writes_lost = counters.writes_lost;
        self.story.writes_torn = counters.writes_torn;
        self.story.names_lost = counters.names_lost;
        self.story.faults = counters.faults;
        self.story.damages += counters.strays;
        self.story.commits = self.groups.commits.borrow().acknowledged;
        self.story.commits_ended = self.groups.commits.borrow().ended;
        self.story.synced = self.groups.crew.synced.get();
        self.story.beats = self.groups.crew.beats.get();
        for topic in self.topics.iter().chain([&self.groups.log]) {
            let (compacted, ended) = topic.ledger.borrow().compacted();
            self.story.compacted += compacted;
            self.story.keys_ended += ended;
        }
        for topic in &self.topics {
            let ledger = topic.ledger.borrow();
            self.story.acknowledged += ledger.acknowledged;
            self.story.read += ledger.read;
            self.story.batches_lost += ledger.lost;
            self.story.retained += u64::from(ledger.moved() && !ledger.deleted());
            self.story.deleted += u64::from(ledger.deleted());
            self.story.duplicates += topic.duplicates.get();
        }
        self.story
    }
}
