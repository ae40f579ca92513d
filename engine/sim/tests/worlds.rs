//! Random machines: nothing acknowledged is lost, whatever the seed.
//!
//! A seed that fails is printed: `cargo run --release -p sim -- --seed N` makes it small and tells it.
//! `SIM_SEEDS=n` runs that many.

use sim::run::plan::Plan;
use sim::run::search::{cores, search, stop_everywhere, try_plan};

/// Seeds of an ordinary run; CI asks for more.
const SEEDS: u64 = 1_000;

/// Failures printed by seed and cause.
const FAILURES_SHOWN: usize = 20;

/// Of so many seeds one is also run on a disk that fails, hangs, fills, rots and puts writes elsewhere.
const ROUGH_EVERY: u64 = 2;

fn seeds() -> u64 {
    std::env::var("SIM_SEEDS").ok().map_or(SEEDS, |n| n.parse().expect("SIM_SEEDS is a number"))
}

/// `idle` is what these plans never do.
fn all_hold(seeds: u64, rough: bool, plan: fn(u64) -> Plan, idle: &[&str]) {
    let (story, runs, mut failures) = search(0..seeds, cores(), || true, |seed| try_plan(&plan(seed)));
    println!("{runs} seeds: {story}");
    println!("rare ways: {}", story.fired);
    failures.sort_unstable();
    for (seed, error) in failures.iter().take(FAILURES_SHOWN) {
        println!("seed {seed}: {error}");
    }
    assert!(failures.is_empty(), "{} of {runs} seeds failed", failures.len());
    let missing: Vec<String> =
        story.missing(runs, rough).into_iter().filter(|name| !idle.contains(&name.as_str())).collect();
    assert_eq!(missing, Vec::<String>::new(), "too little happened: {story}");
}

#[test]
fn nothing_acknowledged_is_lost_whatever_the_seed() {
    all_hold(seeds(), false, Plan::of, &[]);
}

/// `cargo run --release -p sim -- --rough --seed N` for one that fails.
#[test]
fn what_is_intact_stays_on_a_rough_disk_and_what_is_not_is_told() {
    all_hold(seeds() / ROUGH_EVERY, true, Plan::rough, &[]);
}

#[test]
fn batches_that_go_straight_to_their_segments_are_there_whatever_the_seed() {
    // None of their topics is relaxed.
    all_hold(seeds() / ROUGH_EVERY, false, Plan::large, &["FlushRelaxed"]);
}

/// Loads that are stopped before and after each step of them that changes the disk, and of the recovery behind them.
const SYSTEMATIC_SEEDS: u64 = 4;

#[test]
fn a_machine_may_stop_before_and_after_every_step() {
    let mut stops = 0;
    for seed in 0..SYSTEMATIC_SEEDS {
        let (story, failure) = stop_everywhere(seed, try_plan);
        assert_eq!(failure, None, "seed {seed}");
        stops += story.stops_at_steps;
    }
    println!("{stops} stops");
    assert!(stops > SYSTEMATIC_SEEDS * 100, "only {stops} stops");
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
