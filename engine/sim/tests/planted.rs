//! The simulator finds what is broken: every bug of `engine::base::Bug`, planted alone, shows within
//! [`SEEDS_MAX`] seeds, from whichever seed one begins. It needs a build that can be broken:
//! `cargo test --profile fuzz -p sim --features planted --test planted -- --nocapture`.

#![cfg(feature = "planted")]

use std::sync::{Mutex, PoisonError};

use engine::base::{Bug, plant};
use sim::run::plan::Plan;
use sim::run::search::{cores, try_plan};

/// Where the search for each bug begins.
const BASES: [u64; 3] = [0, 1_000_000, 2_000_000];

/// Seeds within which each bug must show.
const SEEDS_MAX: u64 = 300;

/// A bug, the seeds that it took from one base, and what was seen.
struct Found {
    bug: Bug,
    seeds: Option<u64>,
    failure: String,
}

/// A failed write is swallowed only where one fails, and damage is taken for something else where there is some.
fn plan(bug: Bug, seed: u64) -> Plan {
    match bug {
        Bug::SwallowWriteError | Bug::TruncateDamage | Bug::ReadUnchecked => Plan::rough(seed),
        Bug::SkipExtentFlush | Bug::ResurrectRecycled => Plan::large(seed),
        Bug::TrimTooSoon => Plan::tight(seed),
        _ => Plan::of(seed),
    }
}

fn find(bug: Bug, base: u64) -> Found {
    plant(Some(bug));
    let shown =
        (0..SEEDS_MAX).find_map(|n| try_plan(&plan(bug, base + n)).err().map(|failure| (n + 1, failure)));
    plant(None);
    let (seeds, failure) = shown.map_or((None, String::new()), |(seeds, failure)| (Some(seeds), failure));
    Found { bug, seeds, failure }
}

#[test]
fn every_planted_bug_is_found() {
    // Assertions that fail are what is looked for: none of them is worth a line here.
    std::panic::set_hook(Box::new(|_| {}));
    let only = std::env::var("SIM_BUG").ok();
    let wanted = |bug: &&Bug| only.as_ref().is_none_or(|name| format!("{bug:?}") == *name);
    let pairs = Bug::ALL.iter().filter(wanted).flat_map(|bug| BASES.map(|base| (*bug, base)));
    let (pairs, found) = (Mutex::new(pairs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                loop {
                    let pair = pairs.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((bug, base)) = pair else { return };
                    let result = find(bug, base);
                    println!("{bug:?} from {base}: {:?}", result.seeds);
                    found.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    drop(std::panic::take_hook());
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("| planted bug | median seeds to find | most | as |\n|---|---|---|---|");
    let mut missed = Vec::new();
    for bug in Bug::ALL.iter().filter(wanted) {
        let mut of: Vec<&Found> = found.iter().filter(|f| f.bug == *bug).collect();
        of.sort_by_key(|f| f.seeds.unwrap_or(u64::MAX));
        let told = |f: &Found| f.seeds.map_or("never".to_owned(), |n| n.to_string());
        let (median, last) = (of[of.len() / 2], of[of.len() - 1]);
        let words: String = median.failure.lines().next().unwrap_or_default().chars().take(90).collect();
        println!("| {bug:?} | {} | {} | {words} |", told(median), told(last));
        if last.seeds.is_none() {
            missed.push(bug);
        }
    }
    assert!(Bug::ALL.len() >= 20, "too few bugs to prove anything");
    assert!(missed.is_empty(), "not found from every base within {SEEDS_MAX} seeds: {missed:?}");
}
