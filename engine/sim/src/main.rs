//! `ringlog-sim`: runs seeds for as long as one likes, and makes small what fails.
//!
//! ```text
//! cargo run --release -p sim -- --for 1h              seeds 0, 1, 2 … on all cores
//! cargo run --release -p sim -- --seed 42 --trace     one of them, told as it happens
//! cargo run --release -p sim -- --seed 42 --keep 3-7,9    only those of its acts
//! cargo run --release -p sim -- --seed 42 --every-step    its first acts, stopped at each step of the disk
//! ```

use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use sim::run::keep::Keep;
use sim::run::plan::Plan;
use sim::run::search::{cores, search, stop_everywhere, try_plan};
use sim::run::shrink::{kind, shrink};

/// Simulated machines that crash: every seed is one, and the same for ever.
#[derive(Parser, Debug)]
#[command(name = "ringlog-sim", version)]
struct Args {
    /// Run this many seeds
    #[arg(long, default_value_t = 1_000, conflicts_with = "time")]
    seeds: u64,
    /// Run seeds for so long: 90s, 15m, 8h
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    /// The first seed, or with --trace or --keep the only one
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run only these acts of the seed, as a failure names them: calm,3-7,9!
    #[arg(long, value_name = "ACTS")]
    keep: Option<Keep>,
    /// On disks that fail, hang, fill and rot
    #[arg(long)]
    rough: bool,
    /// Stop the load of the seed, and its recovery, before and after every step that changes the disk
    #[arg(long, conflicts_with_all = ["rough", "keep", "trace"])]
    every_step: bool,
    /// Go on behind a seed that fails, and list them all; needs a build that unwinds (`--profile fuzz`)
    #[arg(long, conflicts_with_all = ["every_step", "keep", "trace"])]
    all: bool,
    /// Tell what happens in the seed as it happens
    #[arg(long)]
    trace: bool,
    /// Threads
    #[arg(long, default_value_t = cores())]
    jobs: usize,
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no time"))?;
    match unit {
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3_600)),
        _ => Err(format!("`{text}`: a time ends with s, m or h")),
    }
}

/// The plan of a seed, in rough weather or fair.
fn plan(seed: u64, rough: bool) -> Plan {
    if rough { Plan::rough(seed) } else { Plan::of(seed) }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.trace || args.keep.is_some() {
        return one(&args);
    }
    if args.every_step {
        return every_step(args.seed);
    }
    many(&args)
}

/// One load and its recovery, stopped before and after each of their steps.
fn every_step(seed: u64) -> ExitCode {
    let (story, failure) = stop_everywhere(seed, |plan| {
        let outcome = sim::run::run(plan, None, false);
        outcome.failure.map_or(Ok(outcome.story), Err)
    });
    println!("seed {seed}: {story}");
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("FAILED {failure}");
            ExitCode::FAILURE
        }
    }
}

/// One seed in this process. An assertion that fails ends it as a failure does.
fn one(args: &Args) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        println!("FAILED panic: {}", told(panic));
        std::process::exit(1);
    }));
    let outcome = sim::run::run(&plan(args.seed, args.rough), args.keep.as_ref(), args.trace);
    println!("seed {} · hash {:016x} · {}", args.seed, outcome.hash, outcome.story);
    match outcome.failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("FAILED {failure}");
            ExitCode::FAILURE
        }
    }
}

fn told(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let text = panic.payload_as_str().unwrap_or("?");
    panic.location().map_or_else(|| text.to_owned(), |at| format!("{text} at {at}"))
}

thread_local! {
    /// The seed that this thread runs.
    static SEED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Only the first failure is made small.
static FAILED: AtomicBool = AtomicBool::new(false);

fn many(args: &Args) -> ExitCode {
    let (rough, all) = (args.rough, args.all);
    // A release build ends with its first panic: what has to be told is told before.
    std::panic::set_hook(Box::new(move |panic| {
        if all {
            return;
        }
        if !FAILED.swap(true, Ordering::SeqCst) {
            tell(SEED.get(), rough, &format!("panic: {}", told(panic)));
            std::process::exit(1);
        }
        // Another thread tells its failure, and then ends all.
        loop {
            std::thread::park();
        }
    }));
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let began = *BEGAN.get_or_init(Instant::now);
    let last = if args.time.is_some() { u64::MAX } else { args.seed.saturating_add(args.seeds) };
    let in_time = || args.time.is_none_or(|time| began.elapsed() < time);
    let goes_on = || in_time() && !FAILED.load(Ordering::SeqCst);
    let (story, runs, failures) = search(args.seed..last, args.jobs, goes_on, |seed| {
        if all {
            return try_plan(&plan(seed, rough));
        }
        SEED.set(seed);
        let outcome = sim::run::run(&plan(seed, rough), None, false);
        if let Some(failure) = outcome.failure
            && !FAILED.swap(true, Ordering::SeqCst)
        {
            tell(seed, rough, &failure);
            std::process::exit(1);
        }
        Ok(outcome.story)
    });
    let seconds = began.elapsed().as_secs_f64();
    println!("{runs} seeds in {seconds:.1} s on {} threads: {story}", args.jobs);
    println!("rare ways: {}", story.fired);
    let busy = cpu_seconds().unwrap_or(seconds * args.jobs as f64);
    let rate = story.crashes as f64 / busy;
    println!("{rate:.0} cycles/s per core: {} crashes and recoveries in {busy:.2} s of CPU", story.crashes);
    for (seed, failure) in &failures {
        println!("seed {seed} FAILED: {failure}");
    }
    if !failures.is_empty() {
        return ExitCode::FAILURE;
    }
    let missing = story.missing(runs, rough);
    if missing.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("FAILED: runs in which too little happened: {}", missing.join(", "));
    ExitCode::FAILURE
}

/// CPU time that this process has used, as Linux counts it in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before it may hold anything, a closing parenthesis too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// Tells a failure: the seed, the acts that it needs, what they do, and how to see it again. The smaller
/// runs are processes of their own, so that an assertion that ends one is a verdict like any other.
fn tell(seed: u64, rough: bool, failure: &str) {
    println!("seed {seed} FAILED: {failure}");
    let plan = plan(seed, rough);
    let acts = plan.ops.len();
    let flag = if rough { "--rough " } else { "" };
    let program = std::env::current_exe().expect("a program knows where it is");
    let replay = |keep: &Keep| {
        let mut command = Command::new(&program);
        command.args(["--seed", &seed.to_string(), "--keep", &keep.to_string()]).stderr(Stdio::null());
        if rough {
            command.arg("--rough");
        }
        command
    };
    let failed = |keep: &Keep| -> Option<String> {
        let output = replay(keep).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find_map(|line| line.strip_prefix("FAILED ")).map(str::to_owned)
    };
    let wanted = kind(failure);
    let kept =
        shrink(acts, |act| plan.is_crash(act), |keep| failed(keep).is_some_and(|f| kind(&f) == wanted));
    println!("{} of its {acts} acts are enough:", kept.acts.len());
    if let Ok(output) = replay(&kept).arg("--trace").output() {
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
    println!("again: cargo run --release -p sim -- {flag}--seed {seed} --keep {kept} --trace");
}
