//! Many seeds on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::plan::Plan;
use super::story::Story;
use crate::faults::Side;

/// A seed and what was wrong with it.
pub type Failure = (u64, String);

/// Runs one plan; an assertion that fails is a failure like any other. It needs a build that unwinds.
///
/// # Errors
/// What was wrong.
pub fn try_plan(plan: &Plan) -> Result<Story, String> {
    match catch_unwind(AssertUnwindSafe(|| super::run(plan, None, false))) {
        Ok(outcome) => outcome.failure.map_or(Ok(outcome.story), Err),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
        }
    }
}

/// Hands seeds to `jobs` threads until there are none, or until `goes_on` says so; the sum of the stories,
/// how many there were, and each failure.
pub fn search(
    seeds: impl Iterator<Item = u64> + Send,
    jobs: usize,
    goes_on: impl Fn() -> bool + Sync,
    one: impl Fn(u64) -> Result<Story, String> + Sync,
) -> (Story, u64, Vec<Failure>) {
    let next = Mutex::new(seeds);
    let result = Mutex::new((Story::default(), 0, Vec::new()));
    let worker = || {
        while goes_on() {
            let seed = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(seed) = seed else { return };
            let outcome = one(seed);
            let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
            result.1 += 1;
            match outcome {
                Ok(story) => result.0.add(&story),
                Err(error) => result.2.push((seed, error)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(worker);
        }
    });
    result.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the first acts of a seed, and the recovery behind them, as often as they have steps that change the disk:
/// each run stops before or after another one. The sum of the stories, and what was wrong first.
pub fn stop_everywhere(seed: u64, one: impl Fn(&Plan) -> Result<Story, String>) -> (Story, Option<String>) {
    let mut all = Story::default();
    for (recovery, side) in [false, true].into_iter().flat_map(|r| [(r, Side::Before), (r, Side::After)]) {
        for step in 1.. {
            match one(&Plan::stopped_at(seed, step, side, recovery)) {
                Ok(story) if story.stops_at_steps == 0 => break,
                Ok(story) => all.add(&story),
                Err(error) => {
                    let place = if recovery { "the recovery" } else { "the load" };
                    return (all, Some(format!("stopped {side:?} step {step} of {place}: {error}")));
                }
            }
        }
    }
    (all, None)
}

/// How many threads a search should have.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
