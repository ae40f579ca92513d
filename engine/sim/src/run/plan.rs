//! What a seed wants to happen, as data: so that a failing run can be made smaller by leaving things out.

use std::time::Duration;

use engine::broker::ShardSettings;
use engine::config::CleanerSettings;
use engine::io::{BLOCK, DiskOp};

use super::crew::MEMBERS;
use super::topic_plan::TopicPlan;
use crate::faults::{Buggify, Side};
use crate::inode::Harm;
use crate::random::Random;

/// The wall clock is set ahead or back by at most this, ms: a third of it or more is a jump.
const JUMP_MS_MAX: u64 = 3 * 3_600_000;

/// An idle producer is remembered this long, ms: longer than a run lasts.
const PRODUCER_EXPIRATION_MS: u64 = 30 * 86_400_000;

const HOUR: Duration = Duration::from_secs(3_600);

/// Unused offsets of groups are kept this long, or for an hour.
const KEPT_FOR_LONG: Duration = Duration::from_secs(7 * 86_400);

/// Groups that commit.
pub(super) const GROUPS: usize = 2;

/// Journal files where there is little room.
const TIGHT_BYTES: u64 = 64 * 1024;

/// Segments and journal files where batches are large.
const LARGE_BYTES: u64 = 1 << 20;

/// Acts of a run that is stopped at every step.
const SYSTEMATIC_ACTS: usize = 24;

/// After this long what was sent is on the disk.
const SETTLED: Duration = Duration::from_millis(60);

/// Every kind of operation that may fail.
const OPERATIONS: [DiskOp; 12] = [
    DiskOp::Open,
    DiskOp::Allocate,
    DiskOp::Write,
    DiskOp::Read,
    DiskOp::Flush,
    DiskOp::Truncate,
    DiskOp::Rename,
    DiskOp::Remove,
    DiskOp::MakeDir,
    DiskOp::SyncDir,
    DiskOp::List,
    DiskOp::Replace,
];

/// What may go wrong in a run beside crashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weather {
    /// Nothing.
    Fair,
    /// Operations fail or hang.
    Errors,
    /// The disk gets full.
    Full,
    /// Pages rot while the machine is down, and writes go astray or are lost while it is up.
    Damage,
}

/// How the machine is set up.
#[derive(Clone, Debug)]
pub struct Scene {
    pub(super) world_seed: u64,
    pub(super) cores: u16,
    pub(super) settings: ShardSettings,
    pub(super) cleaner: CleanerSettings,
    pub(super) topics: Vec<TopicPlan>,
    /// Where groups commit.
    pub(super) offsets: TopicPlan,
    pub(super) weather: Weather,
    pub(super) buggify: Buggify,
    /// The wall clock runs faster by this, in a million.
    pub(super) drift_ppm: i64,
    /// How long unused offsets of groups are kept.
    pub(super) offsets_retention: Duration,
}

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The power goes: what was not flushed may be gone.
    Power,
    /// `kill -9`: the kernel goes on with what it was given.
    Kill,
    /// A clean stop, and then the power goes.
    Close,
}

/// A step of the disk from now on at which the machine stops.
pub type Stop = Option<(u64, Side)>;

/// One crash and what comes until the machine is up again.
#[derive(Clone, Debug)]
pub struct Crash {
    /// How.
    pub end: End,
    /// Where: at once, or at a step that changes the disk.
    pub stop: Stop,
    /// Recoveries that are cut short before one is not, each at a step.
    pub recoveries: Vec<(u64, Side)>,
    /// The partitions are spread anew, by this draw.
    pub spread: Option<u64>,
    /// What is damaged meanwhile.
    pub rot: Option<Rot>,
}

impl Crash {
    /// The same end, and a start that nothing disturbs.
    pub(super) fn plain(&self) -> Crash {
        Crash { recoveries: Vec::new(), spread: None, rot: None, ..self.clone() }
    }
}

/// What is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each is the file of that name")]
pub enum Part {
    Journal,
    Checkpoint,
    Segment,
    Index,
}

/// Damage that comes while the machine is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rot {
    /// Of which files.
    pub part: Part,
    /// What becomes of a page.
    pub harm: Harm,
    /// Which page, by this draw.
    pub draw: u64,
}

/// One thing that happens. Places are given in a million parts of the log as it is then.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum Act {
    /// A producer sends some batches at once.
    Produce { topic: usize, batches: usize, draw: u64 },
    /// A client that lost the answer sends an acknowledged batch once more, the last or one before.
    Again { topic: usize, back: usize },
    /// A consumer reads.
    Read { topic: usize, at_ppm: u64, bytes: usize },
    /// A client deletes records.
    Delete { topic: usize, at_ppm: u64 },
    /// An operator changes when what is old goes, by this draw.
    Alter { topic: usize, draw: u64 },
    /// A consumer commits.
    Commit { group: usize, topic: usize },
    /// What a group has committed of a topic ends.
    End { group: usize, topic: usize },
    /// A member of a group calls the coordinator, or leaves: one of the new protocol, or of the classic one.
    Member { number: usize, new: bool, leaves: bool },
    /// Retention is applied.
    Housekeep,
    /// The wall clock jumps.
    Jump { ms: i64 },
    /// Nothing happens for long.
    Wait { ms: u64 },
    /// Operations fail and hang this often in a million from now on; those of one kind, or all.
    Errors { eio_ppm: u32, stall_ppm: u32, only: Option<DiskOp> },
    /// The disk has room for this many bytes more, or all it wants.
    Room { bytes: Option<u64> },
    /// Writes of segments and indexes go astray or are lost this often in a million.
    Stray { ppm: u32 },
    /// The machine stops by itself before or after the n-th step from now on that changes its disk.
    StopAt { step: u64, side: Side },
    /// The machine stops and starts again.
    Crash(Crash),
}

/// One act and the time before it.
#[derive(Clone, Debug)]
pub struct Op {
    /// Virtual time since the one before.
    pub after: Duration,
    /// What.
    pub act: Act,
}

/// Everything that a seed decides before anything runs.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) scene: Scene,
    /// In order.
    pub ops: Vec<Op>,
}

impl Plan {
    /// The plan of a seed in fair weather: the machine crashes, its disk works.
    #[must_use]
    pub fn of(seed: u64) -> Plan {
        Plan::draw(seed, false)
    }

    /// The plan of a seed on a disk that fails, hangs, fills or rots.
    #[must_use]
    pub fn rough(seed: u64) -> Plan {
        Plan::draw(seed, true)
    }

    /// The plan of a seed in fair weather, with batches that go straight to their segments.
    #[must_use]
    pub fn large(seed: u64) -> Plan {
        let mut plan = Plan::of(seed);
        let scene = &mut plan.scene;
        (scene.settings.journal_bytes_first, scene.settings.journal_bytes) = (LARGE_BYTES, LARGE_BYTES);
        scene.settings.extent_bytes_min = BLOCK;
        for topic in &mut scene.topics {
            topic.leave_uncompacted();
            topic.extents = true;
            let settings = &mut topic.hosted.settings;
            (settings.segment_bytes, settings.flush_messages) = (LARGE_BYTES as u32, 1);
            settings.retention_bytes = settings.retention_bytes.map(|_| 2 * LARGE_BYTES);
        }
        plan
    }

    /// The plan of a seed in fair weather, with the least of journal files.
    #[must_use]
    pub fn tight(seed: u64) -> Plan {
        let mut plan = Plan::of(seed);
        let settings = &mut plan.scene.settings;
        (settings.journal_bytes_first, settings.journal_bytes) = (TIGHT_BYTES, TIGHT_BYTES);
        settings.journal_files = 2;
        plan
    }

    /// The first acts of a seed, without its crashes, on a machine that loses its power at one step: of the load, or
    /// of the `recovery` behind it.
    #[must_use]
    pub fn stopped_at(seed: u64, step: u64, side: Side, recovery: bool) -> Plan {
        let mut plan = Plan::of(seed);
        plan.ops.retain(|op| !matches!(op.act, Act::Crash(_) | Act::Wait { .. }));
        plan.ops.truncate(SYSTEMATIC_ACTS);
        if recovery {
            let recoveries = vec![(step, side)];
            let crash = Crash { end: End::Power, stop: None, recoveries, spread: Some(seed), rot: None };
            plan.ops.push(Op { after: SETTLED, act: Act::Crash(crash) });
        } else {
            plan.ops.insert(0, Op { after: Duration::ZERO, act: Act::StopAt { step, side } });
            plan.ops.push(Op { after: SETTLED, act: Act::Housekeep });
        }
        plan
    }

    /// Whether its disk may do worse than lose what was not flushed.
    #[must_use]
    pub fn is_rough(&self) -> bool {
        self.scene.weather != Weather::Fair
    }

    /// Whether the machine crashes with this act.
    #[must_use]
    pub fn is_crash(&self, act: usize) -> bool {
        self.ops.get(act).is_some_and(|op| matches!(op.act, Act::Crash(_)))
    }

    fn draw(seed: u64, rough: bool) -> Plan {
        let mut random = Random::new(seed);
        let mut scene = Scene::draw(&mut random);
        if !rough {
            scene.weather = Weather::Fair;
        }
        if scene.weather == Weather::Damage {
            // What compaction takes and what damage takes is not told apart here.
            scene.topics.iter_mut().for_each(TopicPlan::leave_uncompacted);
        }
        let mut ops = Vec::new();
        for _ in 0..random.within(3..9) {
            if scene.weather != Weather::Fair && random.coin() {
                ops.push(Op { after: Duration::ZERO, act: scene.trouble(&mut random) });
            }
            for _ in 0..random.within(0..30) {
                let after = Duration::from_micros(random.within(0..4_000));
                ops.push(Op { after, act: scene.act(&mut random) });
            }
            let after = Duration::from_micros(random.within(0..4_000));
            ops.push(Op { after, act: Act::Crash(scene.crash(&mut random)) });
        }
        Plan { scene, ops }
    }
}

impl Scene {
    /// The same, with a clock that runs true and nothing rare made usual.
    pub(super) fn calm(&self) -> Scene {
        Scene { buggify: Buggify::default(), drift_ppm: 0, ..self.clone() }
    }

    fn draw(random: &mut Random) -> Scene {
        let weather = match random.within(0..4) {
            0 | 1 => Weather::Errors,
            2 => Weather::Full,
            _ => Weather::Damage,
        };
        let cores = random.within(1..3) as u16;
        let large = random.within(0..8) == 0;
        let topics = (0..random.within(1..5)).map(|n| TopicPlan::draw(n, cores, large, random)).collect();
        let journal_bytes_first = (if large { 512 * 1024 } else { 64 * 1024 }) << random.within(0..2);
        let settings = ShardSettings {
            journal_bytes: journal_bytes_first << random.within(0..2),
            journal_bytes_first,
            journal_files: random.within(2..5) as usize,
            frame_bytes_early: [0, 1024, 64 * 1024][random.index(3)],
            extent_bytes_min: [BLOCK, BLOCK, 4 * BLOCK][random.index(3)],
            producer_expiration_ms: PRODUCER_EXPIRATION_MS,
            ..ShardSettings::default()
        };
        let drift_ppm = if random.within(0..4) == 0 { random.within(0..1_000) as i64 - 500 } else { 0 };
        let buggify = Buggify::draw(random);
        let offsets = TopicPlan::offsets(random);
        // Room for three keys makes every round a partial one.
        let cleaner = CleanerSettings {
            dedupe_bytes: [72, 512, 1 << 20][random.index(3)],
            io_bytes_per_second: [u64::MAX, u64::MAX, 1 << 20][random.index(3)],
            backoff: Duration::from_millis(random.within(0..2) * 100),
            ..CleanerSettings::default()
        };
        let world_seed = random.bits();
        let buggify = Buggify { few_files: world_seed.is_multiple_of(4), ..buggify };
        let offsets_retention = KEPT_FOR_LONG;
        let mut scene = Scene {
            world_seed,
            cores,
            settings,
            cleaner,
            topics,
            offsets,
            weather,
            buggify,
            drift_ppm,
            offsets_retention,
        };
        scene.draw_upkeep(&mut random.split());
        scene
    }

    /// What a server does by itself.
    fn draw_upkeep(&mut self, random: &mut Random) {
        let settings = &mut self.settings;
        settings.clock_synchronised = random.coin();
        settings.scrub_bytes_per_second = [0, 0, 64 * 1024, 16 << 20][random.index(4)];
        settings.scrub_interval_ms = random.within(0..2) * 100;
        if random.coin() {
            self.offsets_retention = HOUR;
        }
    }

    fn act(&self, random: &mut Random) -> Act {
        let topic = random.index(self.topics.len());
        match random.within(0..45) {
            0..16 => Act::Produce { topic, batches: random.within(1..6) as usize, draw: random.bits() },
            16 | 17 => Act::Again { topic, back: random.index(5) },
            18..22 => Act::Read {
                topic,
                at_ppm: random.within(0..1_000_000),
                bytes: random.within(1..60_000) as usize,
            },
            // A quarter of them delete all that there is.
            22 | 23 => Act::Delete { topic, at_ppm: random.within(0..1_333_333).min(1_000_000) },
            24..28 => Act::Commit { group: random.index(GROUPS), topic },
            28 => Act::Jump { ms: random.within(0..2 * JUMP_MS_MAX) as i64 - JUMP_MS_MAX as i64 },
            29 => Act::Wait { ms: 1 << random.within(0..24) },
            30 | 31 => Act::Housekeep,
            33 => Act::Alter { topic, draw: random.bits() },
            32 => Act::End { group: random.index(GROUPS), topic },
            _ => Act::Member {
                number: random.index(MEMBERS),
                new: random.coin(),
                leaves: random.within(0..16) == 0,
            },
        }
    }

    fn trouble(&self, random: &mut Random) -> Act {
        match self.weather {
            Weather::Fair => Act::Housekeep,
            Weather::Errors if random.within(0..3) == 0 => {
                Act::Errors { eio_ppm: 0, stall_ppm: 0, only: None }
            }
            Weather::Errors => {
                let ppm = |random: &mut Random, max: u64| random.within(0..max) as u32;
                let eio_ppm = ppm(random, 100_000);
                let stall_ppm = if random.within(0..4) == 0 { ppm(random, 20_000) } else { 0 };
                let only = random.coin().then(|| OPERATIONS[random.index(OPERATIONS.len())]);
                Act::Errors { eio_ppm, stall_ppm, only }
            }
            Weather::Full => {
                Act::Room { bytes: (random.within(0..3) > 0).then(|| random.within(0..1 << 20)) }
            }
            Weather::Damage => {
                Act::Stray { ppm: if random.coin() { random.within(0..100_000) as u32 } else { 0 } }
            }
        }
    }

    fn crash(&self, random: &mut Random) -> Crash {
        let side = |random: &mut Random| if random.coin() { Side::Before } else { Side::After };
        let end = match random.within(0..10) {
            0 => End::Close,
            1 | 2 => End::Kill,
            _ => End::Power,
        };
        let stop = (random.within(0..3) > 0).then(|| (random.within(1..24), side(random)));
        let mut recoveries = Vec::new();
        while random.within(0..3) == 0 {
            recoveries.push((random.within(1..40), side(random)));
        }
        let spread = (random.within(0..4) == 0).then(|| random.bits());
        let rots = self.weather == Weather::Damage && random.coin();
        let rot = rots.then(|| rot(random));
        Crash { end, stop, recoveries, spread, rot }
    }
}

fn rot(random: &mut Random) -> Rot {
    let part = match random.within(0..8) {
        0..3 => Part::Journal,
        3 => Part::Checkpoint,
        4..7 => Part::Segment,
        _ => Part::Index,
    };
    // A start is refused where it cannot read what it needs; nothing is learnt from that.
    let kinds = if matches!(part, Part::Journal | Part::Checkpoint) { 3 } else { Harm::ALL.len() };
    Rot { part, harm: Harm::ALL[random.index(kinds)], draw: random.bits() }
}
