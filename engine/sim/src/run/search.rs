//! Many seeds on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::plan::Plan;
use super::story::Story;

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

/// How many threads a search should have.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
