//! What a server does by itself in every life: the clock of each shard, retention, the time that is written down,
//! the ends of what groups committed; and what must hold of that.

use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, Now};
use engine::broker::{DamagedPart, Shard};

use super::life::Life;
use super::machine::{BEAT, BEATS_PER_ROUND, Machine};
use super::plan::Weather;
use super::seat::Seat;
use super::topic::Finding;
use crate::disk::SimDisk;
use crate::faults::Buggify;
use crate::world::World;

/// A late beat comes after so many.
const LATE_BEATS: u32 = 10;

/// A jump that was held for so long is written down.
const WRITTEN_WITHIN: Duration = Duration::from_secs(6);

impl Machine {
    /// The clocks of a life that has just begun.
    pub(super) fn keep_up(&self, life: &Life) {
        for (core, shard) in life.shards.iter().enumerate() {
            self.run_beats(shard);
            // Not by the same task: a round may wait for a tick.
            let (retention, time) = (shard.clone(), self.world.clone());
            self.world.spawn(async move {
                loop {
                    time.sleep(BEAT * BEATS_PER_ROUND).await;
                    retention.housekeep(time.now()).await;
                }
            });
            if CoreId(core as u16) == CoreId(0) {
                self.guard(remember(self.world.clone(), shard.clone()));
            }
        }
        let (seat, time) = (life.seat.clone(), self.world.clone());
        self.world.spawn(async move {
            for beat in 1_u32.. {
                time.sleep(BEAT).await;
                seat.tick();
                if beat % BEATS_PER_ROUND == 0 {
                    seat.expire();
                }
            }
        });
    }

    fn run_beats(&self, shard: &Shard<SimDisk>) {
        let late_ticks = self.scene.buggify.late_ticks;
        let (clock, time) = (shard.clone(), self.world.clone());
        self.world.spawn(async move {
            loop {
                let late = late_ticks && time.random(|r| r.chance(Buggify::FIRES_PPM));
                time.sleep(if late { BEAT * LATE_BEATS } else { BEAT }).await;
                clock.tick(time.now());
            }
        });
    }

    /// What background work came to when a life ends: on a disk that works none of it fails or finds damage.
    pub(super) fn judge_upkeep(&mut self, life: &Life) -> Finding {
        for shard in &life.shards {
            let (stats, scrub) = (shard.stats(), shard.scrub_report());
            self.story.compactions += stats.compactions;
            self.story.scrubbed += u64::from(scrub.pass > 0);
            if self.scene.weather != Weather::Fair {
                continue;
            }
            if stats.compaction_errors > 0 {
                return Err("a round of compaction failed on a disk that works".to_owned());
            }
            let listed = shard.damages().into_iter().find(|part| matches!(part, DamagedPart::Range(..)));
            if scrub.damaged > 0 || listed.is_some() {
                return Err(format!("damage is listed on a disk that works: {listed:?}, {scrub:?}"));
            }
        }
        Ok(())
    }
}

/// Has core 0 write the time down, and sees that a jump that it holds is.
async fn remember(world: World, shard: Shard<SimDisk>) -> Finding {
    let mut differs_since = None;
    loop {
        world.sleep(BEAT).await;
        let now = world.now();
        let held = shard.clock_report(now).held;
        let saved = shard.remember_time(now).await;
        let is_saved = world.remembered().map(|time| time.held) == Some(held);
        let since = *differs_since.get_or_insert(now.mono);
        if is_saved {
            differs_since = None;
        } else if saved.is_ok() && !world.has_errors() && now.mono.since(since) >= WRITTEN_WITHIN {
            return Err(format!("a clock that is {} is not written down as that", told(held)));
        }
    }
}

fn told(held: bool) -> &'static str {
    if held { "held" } else { "believed" }
}

impl Seat {
    /// Offsets that nobody used for long end. Not while a group that had members has none: it would end too, and
    /// begin again with its first generation.
    pub(super) fn expire(self: &Rc<Self>) {
        if self.has_empty_group() {
            return;
        }
        let now = self.world.now();
        self.expire_at(Now { wall: self.shard.believed_time(now), ..now });
    }
}
