//! Whole runs: one machine, its clients, its crashes, all from one seed.
//!
//! | file | what |
//! |---|---|
//! | [`plan`] | what a seed wants to happen, as data |
//! | `machine` · `life` | carries it out: acts, stops · starts, compares with what was promised |
//! | `topic_plan` | the partitions that it wants |
//! | `topic` · `ledger` | a partition's clients · what they were promised |
//! | `fold` | what compaction may take of that |
//! | `seat` | the coordinator of groups, over the partition that keeps its records |
//! | `commits` · `crew` | what groups committed, and what they were promised · their members |
//! | `atlas` | what is damaged on its disk, and what that may cost |
//! | `upkeep` | what a server does by itself |
//! | [`story`] | what happened; a run in which nothing did proves nothing |
//! | [`search`] | many seeds on all cores |
//! | [`keep`] · [`shrink`] | what is left of a plan · leaves out of a failing run what it does not need |
//!
//! After every recovery each acknowledged batch stands at its offset, byte for byte, in order, under its
//! epoch and to be found by its time; nothing that a consumer saw is gone; no offset was given twice; what
//! an idempotent producer sends again is not stored twice; log starts and committed offsets never go back;
//! and in the end a healed machine takes new records. Damage may cost data, but not in silence.

mod atlas;
mod commits;
mod crew;
mod fold;
pub mod keep;
mod ledger;
mod life;
mod machine;
pub mod plan;
pub mod search;
mod seat;
pub mod shrink;
pub mod story;
mod topic;
mod topic_plan;
mod upkeep;

use keep::Keep;
use plan::Plan;
use story::Story;

use crate::sites::Sites;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was wrong.
    pub failure: Option<String>,
    /// What happened.
    pub story: Story,
    /// Equal for equal runs: everything that happened, and when.
    pub hash: u64,
}

/// Runs a plan, or of its acts those that are kept; `printed` prints what happens as it does.
///
/// # Panics
/// If an assertion of the engine fails: that is a failure of the run too.
#[must_use]
pub fn run(plan: &Plan, keep: Option<&Keep>, printed: bool) -> Outcome {
    let calm = keep.is_some_and(|keep| keep.calm);
    let sites = if calm { Sites::default() } else { Sites::draw(plan.scene.world_seed) };
    let (mut outcome, fired) = sites.run(|| machine::run(plan, keep, printed));
    outcome.story.fired = fired;
    outcome
}
