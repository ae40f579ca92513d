//! Random machines: nothing acknowledged is lost, whatever the seed.
//!
//! A seed that fails is printed: `cargo run --release -p sim -- --seed N` makes it small and tells it.
//! `SIM_SEEDS=n` runs that many.

use sim::run::plan::Plan;
use sim::run::search::{cores, search, try_plan};

/// Seeds of an ordinary run; CI asks for more.
const SEEDS: u64 = 1_000;

/// Failures printed by seed and cause.
const FAILURES_SHOWN: usize = 20;

#[test]
fn nothing_acknowledged_is_lost_whatever_the_seed() {
    let seeds = std::env::var("SIM_SEEDS").ok().map_or(SEEDS, |n| n.parse().expect("SIM_SEEDS is a number"));
    let (story, runs, mut failures) = search(0..seeds, cores(), || true, |seed| try_plan(&Plan::of(seed)));
    println!("{runs} seeds: {story}");
    failures.sort_unstable();
    for (seed, error) in failures.iter().take(FAILURES_SHOWN) {
        println!("seed {seed}: {error}");
    }
    assert!(failures.is_empty(), "{} of {runs} seeds failed", failures.len());
    assert_eq!(story.missing(runs), Vec::<&str>::new(), "too little happened: {story}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| sim::run::run(&Plan::of(seed), None, false);
    for seed in 0..40 {
        let (first, again) = (run(seed), run(seed));
        assert_eq!((first.hash, first.story), (again.hash, again.story), "seed {seed}");
        let other = run(seed + 1_000);
        assert_ne!(first.hash, other.hash, "seeds {seed} and {}", seed + 1_000);
    }
}
