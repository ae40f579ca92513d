//! A life of the machine: its start, through recoveries that are cut short; what that start tells of damage; the
//! comparison of everything with what was promised; and who lives in it then.

use std::rc::Rc;

use engine::base::PartitionKey;
use engine::broker::{DamagedPart, HostedPartition, Recovered, RecoveryReport, Shard, recover};
use engine::io::IO_BYTES_MAX;

use super::machine::{Machine, NO_ERRORS};
use super::plan::{Crash, Weather};
use super::seat::Seat;
use crate::disk::SimDisk;
use crate::faults::{Buggify, CutAt};

const POOL_BYTES: usize = 16 * IO_BYTES_MAX;

/// Segment files that a shard may keep open where they are made few.
const FEW_FILES: usize = 2;

/// Starts that may fail on a disk with errors before it has none.
const STARTS_MAX: u32 = 3;

/// A machine that is up.
pub(super) struct Life {
    pub(super) shards: Vec<Shard<SimDisk>>,
    pub(super) seat: Rc<Seat>,
}

/// How a start ended, if nothing was wrong.
enum Start {
    Up(Vec<Shard<SimDisk>>, RecoveryReport),
    /// It stopped on the way.
    Stopped,
    /// It said that it cannot.
    Refused(String),
}

impl Machine {
    /// Starts the machine, through the recoveries that are cut short. `None` if it refuses to for damage,
    /// which it may.
    pub(super) fn start(&mut self, crash: Option<&Crash>) -> Result<Option<Life>, String> {
        let (mut cut, mut told_torn) = (false, false);
        // A start that failed on errors may have kept a journal aside, and left word of that to the next.
        let mut erred = false;
        for (steps, side) in crash.iter().flat_map(|c| &c.recoveries) {
            let step = self.world.persist_steps() + steps;
            self.world.cut_at(Some(CutAt { step, side: *side }));
            let booted = self.boot();
            erred |= self.world.has_errors();
            match booted {
                Start::Stopped => {
                    cut = true;
                    self.story.recoveries_cut += 1;
                    self.story.stops_at_steps += 1;
                }
                Start::Up(shards, report) => {
                    told_torn |= report.extents_torn > 0;
                    self.hear(&shards, &report, erred)?;
                }
                Start::Refused(_) => {}
            }
            self.fall(true);
        }
        let mut tries = 0;
        let (shards, report) = loop {
            let booted = self.boot();
            erred |= self.world.has_errors();
            match booted {
                Start::Up(shards, report) => break (shards, report),
                Start::Stopped => return Err("a machine stopped that was not told to".to_owned()),
                Start::Refused(error) if self.atlas.has_any() => {
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
        let told = self.hear(&shards, &report, erred)?;
        // An extent that did not reach its segment was told of, by this start or an earlier one, or one that was cut.
        let torn = told_torn || report.extents_torn > 0 || cut;
        // What is there is compared on a disk that works.
        self.set_errors(&NO_ERRORS);
        let seat = self.verify(&shards, &report, told, torn)?;
        self.set_errors(&self.errors);
        self.story.groups_loaded += seat.as_ref().map_or(0, |seat| seat.groups() as u64);
        Ok(seat.map(|seat| self.live(shards, seat)))
    }

    /// Damage of journals is told only where there is some, and only partitions that lay in it are fenced.
    /// Whether it is told.
    fn hear(
        &mut self,
        shards: &[Shard<SimDisk>],
        report: &RecoveryReport,
        erred: bool,
    ) -> Result<bool, String> {
        self.story.extents_read += report.extents_read;
        self.story.extents_torn += report.extents_torn;
        let fenced: Vec<PartitionKey> = shards
            .iter()
            .flat_map(Shard::damages)
            .filter_map(|part| match part {
                DamagedPart::Journal(key, _) => Some(key),
                DamagedPart::Range(..) => None,
            })
            .collect();
        let found = report.frames_damaged > 0 || !fenced.is_empty();
        let told = found || report.journals_kept > 0;
        self.story.damages_told += u64::from(told);
        // A file with a block that could not be read is kept aside too.
        let may_keep = self.atlas.has_any() || erred;
        if found && !self.atlas.has_any() || told && !may_keep {
            return Err(format!("recovery takes a crash for damage: {report:?}"));
        }
        if let Some(missing) = report.partitions_damaged.iter().find(|key| !fenced.contains(key)) {
            return Err(format!("{missing} is told as damaged and not listed"));
        }
        if let Some(intact) = fenced.iter().find(|key| !self.atlas.is_suspect(key)) {
            return Err(format!("{intact} is fenced, and no damage was done to it: {report:?}"));
        }
        self.all_topics().filter(|t| fenced.contains(&t.key())).for_each(|t| t.given_up.set(true));
        Ok(told)
    }

    fn boot(&mut self) -> Start {
        self.story.holds_recalled += u64::from(self.world.begin_life(self.scene.settings.clock_synchronised));
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
                self.world.read_clock(self.scene.settings.clock_synchronised);
                // A start may believe less than the life before, and goes by its first look for a while.
                self.tell_time();
                self.world.note(&[10, report.frames, report.batches], || format!("it is up: {report:?}"));
                Start::Up(shards, report)
            }
            Some(Err(error)) => Start::Refused(error),
            None => Start::Stopped,
        }
    }

    /// Compares every partition and every commit with what was promised. No seat if the offsets' partition
    /// is damaged.
    fn verify(
        &self,
        shards: &[Shard<SimDisk>],
        report: &RecoveryReport,
        told: bool,
        torn: bool,
    ) -> Result<Option<Rc<Seat>>, String> {
        for topic in self.all_topics().filter(|t| !t.given_up.get()) {
            let shard = shards[usize::from(topic.hosted.borrow().core.0)].clone();
            let (client, world) = (topic.clone(), self.world.clone());
            match self.world.run_until(async move { client.verify(world, shard).await }) {
                Ok(()) => {}
                Err(_) if told && self.atlas.is_suspect(&topic.key()) => topic.given_up.set(true),
                Err(_) if torn && topic.is_damaged(&self.world) => topic.given_up.set(true),
                Err(e) if self.atlas.is_suspect(&topic.key()) => {
                    return Err(format!("{e}, in silence: {report:?}"));
                }
                Err(e) => return Err(e),
            }
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
        for shard in &shards {
            self.world.run_shard(shard);
            self.world.run_cleaner(shard);
        }
        self.guard(seat.clone().serve());
        let life = Life { shards, seat };
        self.keep_up(&life);
        for topic in self.topics.iter().filter(|t| !t.given_up.get()) {
            let shard = self.shard_of(&life, topic).clone();
            self.guard(topic.clone().produce(self.world.clone(), shard));
        }
        life
    }
}
