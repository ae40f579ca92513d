//! Carries out a plan: boots the machine, lets its clients act, stops it, and compares what is left with
//! what was promised.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, JUMP_MS};
use engine::broker::Shard;

use super::Outcome;
use super::atlas::Atlas;
use super::commits::Commits;
use super::crew::{self, Crew};
use super::keep::Keep;
use super::life::Life;
use super::plan::{Act, Crash, End, Plan, Rot, Scene, Weather};
use super::seat::Files;
use super::story::Story;
use super::topic::{Finding, Topic};
use crate::disk::SimDisk;
use crate::faults::CutAt;
use crate::random::Random;
use crate::world::World;

/// A machine that was told to stop at a step and does not come there stops after this.
const STOP_WITHIN: Duration = Duration::from_millis(60);

/// What is sent at the end is acknowledged within this.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The clock of every shard, and how many beats are a round of retention.
pub(super) const BEAT: Duration = Duration::from_millis(20);
pub(super) const BEATS_PER_ROUND: u32 = 5;

/// What is old is brought to its segment in one round and deleted in the next, or the one behind it.
const ROUNDS_AFTER_JUMP: u32 = 4;

/// What is sent last is compacted for so long.
const LAST_ROUND: Duration = Duration::from_millis(200);

/// The first thing that was wrong.
type Verdict = Rc<RefCell<Option<String>>>;

pub(super) struct Machine {
    pub(super) world: World,
    pub(super) scene: Scene,
    pub(super) topics: Vec<Rc<Topic>>,
    pub(super) groups: Files,
    pub(super) cores: u16,
    verdict: Verdict,
    pub(super) story: Story,
    /// What was damaged on the disk: it may be lost, but not in silence.
    pub(super) atlas: Atlas,
    pub(super) errors: Act,
}

pub(super) const NO_ERRORS: Act = Act::Errors { eio_ppm: 0, stall_ppm: 0, only: None };

/// Runs a plan, or those of its acts that are kept.
pub(super) fn run(plan: &Plan, keep: Option<&Keep>, printed: bool) -> Outcome {
    let scene = if keep.is_some_and(|k| k.calm) { plan.scene.calm() } else { plan.scene.clone() };
    let mut machine = Machine::new(&scene);
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
        // Where the commits of groups go is damaged in the journal only: its reader goes over nothing.
        world.faults(|f| f.stray_spares = Some(scene.offsets.hosted.key.topic.to_string()));
        Machine {
            world,
            topics: scene.topics.iter().map(|t| Rc::new(Topic::new(t))).collect(),
            groups: Files {
                log: Rc::new(Topic::new(&scene.offsets)),
                commits: Rc::new(RefCell::new(Commits::new(scene.offsets_retention))),
                offsets_retention: scene.offsets_retention,
                crew: Rc::new(Crew::new()),
                image: crew::image(),
            },
            cores: scene.cores,
            verdict: Rc::default(),
            story: Story::default(),
            atlas: Atlas::default(),
            errors: NO_ERRORS,
            scene: scene.clone(),
        }
    }

    pub(super) fn all_topics(&self) -> impl Iterator<Item = &Rc<Topic>> {
        self.topics.iter().chain([&self.groups.log])
    }

    fn carry_out(&mut self, plan: &Plan, keep: Option<&Keep>) -> Finding {
        let Some(mut life) = self.start(None)? else { return Ok(()) };
        for (number, op) in plan.ops.iter().enumerate() {
            if keep.is_some_and(|keep| keep.acts.binary_search(&number).is_err()) {
                continue;
            }
            self.world.pass(op.after);
            self.judge()?;
            if self.world.is_cut() {
                let Some(next) = self.stopped_by_itself(life)? else { return Ok(()) };
                life = next;
            }
            self.world.note(&[6, number as u64], || format!("act {number}: {:?}", op.act));
            match &op.act {
                Act::Crash(crash) => {
                    let is_plain = keep.is_some_and(|keep| keep.plain.contains(&number));
                    let crash = if is_plain { crash.plain() } else { crash.clone() };
                    self.stop(&life, &crash)?;
                    drop(life);
                    let Some(next) = self.start(Some(&crash))? else { return Ok(()) };
                    life = next;
                }
                act => self.act(&life, act),
            }
        }
        self.judge()?;
        self.at_last(life)
    }

    /// The machine came to a step where it was told to stop.
    fn stopped_by_itself(&mut self, life: Life) -> Result<Option<Life>, String> {
        self.story.stops_at_steps += 1;
        self.fall(true);
        drop(life);
        self.start(None)
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

    pub(super) fn heal(&mut self) {
        self.errors = NO_ERRORS;
        self.world.faults(|f| {
            f.capacity = None;
            f.stray_ppm = 0;
        });
        self.set_errors(&NO_ERRORS);
    }

    pub(super) fn set_errors(&self, act: &Act) {
        if let Act::Errors { eio_ppm, stall_ppm, only } = act {
            self.world.faults(|f| {
                f.eio_ppm = *eio_ppm;
                f.stall_ppm = *stall_ppm;
                f.eio_ops = only.iter().copied().collect();
            });
        }
    }

    pub(super) fn shard_of<'a>(&self, life: &'a Life, topic: &Topic) -> &'a Shard<SimDisk> {
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
            Act::Alter { topic, draw } => {
                let (shard, topic) = at(topic);
                topic.alter(&shard, &mut Random::new(*draw));
                self.story.altered += 1;
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
                    world.pass(BEAT * (ROUNDS_AFTER_JUMP * BEATS_PER_ROUND));
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
            }
            Act::StopAt { step, side } => {
                world.cut_at(Some(CutAt { step: world.persist_steps() + step, side: *side }));
            }
            Act::Crash(_) => {}
        }
        self.tell_time();
    }

    /// The ledgers hear how late it may be.
    pub(super) fn tell_time(&self) {
        let times = self.world.believable();
        self.all_topics().for_each(|t| t.ledger.borrow_mut().told_time(times));
        self.groups.commits.borrow_mut().told_time(times.1);
    }

    pub(super) fn guard(&self, client: impl Future<Output = Finding> + 'static) {
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
            let stats = shard.stats();
            self.story.overlapped += stats.commits_overlapped;
            self.story.extents += stats.extents;
        }
        self.judge_upkeep(life)?;
        self.fall(crash.end != End::Kill);
        if let Some(spread) = crash.spread {
            self.spread(&mut Random::new(spread));
        }
        self.rot(crash.rot.as_ref());
        Ok(())
    }

    /// The machine is down.
    pub(super) fn fall(&mut self, power: bool) {
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

    pub(super) fn stopped(&mut self, power: bool) {
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

    fn rot(&mut self, rot: Option<&Rot>) {
        let Some(rot) = rot else { return };
        if let Some(place) = self.atlas.damage(&self.world, rot, &self.groups.log.key()) {
            self.world.note(&[8], || format!("{place} is damaged: {:?}", rot.harm));
        }
    }

    fn finish(mut self) -> Story {
        let counters = self.world.counters();
        self.story.writes_lost = counters.writes_lost;
        self.story.writes_torn = counters.writes_torn;
        self.story.names_lost = counters.names_lost;
        self.story.faults = counters.faults;
        self.story.damages += counters.strays + counters.damaged;
        self.story.commits = self.groups.commits.borrow().acknowledged;
        self.story.commits_expired = self.groups.commits.borrow().expired;
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
            self.story.fenced += topic.fenced.get();
        }
        self.story
    }
}
