//! `ringlog bench`: a load on a broker, its data checked, its figures written down.
//!
//! | file | what |
//! |---|---|
//! | `knobs` | what a user may turn: flags and workload files, defined once |
//! | `workload` | workload files |
//! | `omb`, `properties` | workload and driver files of the OpenMessaging Benchmark |
//! | `quantity` | times, sizes and words as people write them |
//! | `settle` | knobs → plan, with the origin of every value |
//! | `disk` | what a run writes, and whether it fits |
//! | `device` | what the disk did meanwhile, by the kernel's counters |
//! | `target` | the broker under load: a child of ours, the null broker, or somebody's |
//! | `child` | a broker of our own as a second process |
//! | `host` | CPU time that others used meanwhile, or that the machine's host took |
//! | `profile` | `perf` beside the broker |
//! | `watch` | the live line, and the broker's CPU and memory while the load runs |
//! | `outcome` | what the load measured → the report |
//! | `session` | one broker under one load or several, cleaned up after |
//! | `slo` | limits on figures |
//! | `sweep`, `limit` | several rates: the highest under a limit, and latency against load |
//! | `words` | a bench in words: header, settings, the command that repeats it |
//! | `run` | one load: the order of things |
//! | `marks` | when the broker rolled segments, took checkpoints, …, while the window was measured |
//! | `noise` | equal runs: the machine's A/A noise floor |
//! | `floors` | what the machine can do without a broker |
//! | `around` | the floors and the generator's ceiling right before and after a run |
//! | `self_check` | a broker that is stopped: the lab proves itself |
//!
//! Invariants: nothing starts before the disk plan fits; a run that was interrupted still reports,
//! marked partial; data of a broker of our own is gone afterwards, whatever happened, unless
//! `--keep-data` says otherwise.

mod around;
pub mod child;
mod device;
pub mod disk;
pub mod floors;
mod host;
pub mod knobs;
pub mod limit;
mod marks;
pub mod noise;
pub mod omb;
mod outcome;
mod profile;
mod properties;
pub mod quantity;
mod run;
pub mod self_check;
mod session;
pub mod settle;
pub mod slo;
mod stages;
pub mod sweep;
mod target;
mod watch;
mod words;
pub mod workload;

use std::path::PathBuf;

use crate::versus::{self, VersusArgs};

pub(crate) use around::generator_ceiling;
pub use run::run;
pub(crate) use session::stop_on_signal;
pub(crate) use target::{all_cpus, expand as cpus};

/// `ringlog bench`: a load, or a question of the lab's own.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    /// The lab's own questions; without one, the load.
    #[command(subcommand)]
    pub question: Option<Question>,
    /// The load.
    #[command(flatten)]
    pub args: BenchArgs,
}

/// What else a bench can be asked.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Question {
    /// The same load on a broker that keeps nothing: the generator's own ceiling
    Null(Box<BenchArgs>),
    /// The highest rate that keeps a limit on latency, by bisection
    Search(Box<sweep::SearchArgs>),
    /// Latency against load: a run at each of several rates
    Curve(Box<sweep::CurveArgs>),
    /// The same load ten times over: how far equal runs lie apart here, kept for comparisons
    #[command(visible_alias = "aa")]
    Noise(Box<noise::NoiseArgs>),
    /// What this disk, loopback and processor can do by themselves: what bounds any broker here
    Floors(floors::FloorsArgs),
    /// Ringlog and another broker under the same load on the same cores, in turns
    Versus(Box<VersusArgs>),
    /// Stop a broker under load: do the percentiles say what arithmetic demands?
    SelfCheck(self_check::SelfCheckArgs),
}

/// Answers a bench; returns its exit code.
///
/// # Errors
/// Whatever kept it from starting, or its report from being written.
pub fn answer(bench: &Bench) -> anyhow::Result<u8> {
    match &bench.question {
        None if workload::asks_for_search(&bench.args)? => sweep::search_for(&bench.args),
        None => run(&bench.args),
        Some(Question::Search(args)) => sweep::search(args),
        Some(Question::Curve(args)) => sweep::curve(args),
        Some(Question::Noise(args)) => noise::run(args),
        Some(Question::Floors(args)) => floors::run(args),
        Some(Question::Versus(args)) => versus::run(args),
        Some(Question::SelfCheck(args)) => self_check::run(args),
        Some(Question::Null(args)) => run(&BenchArgs { null: true, ..(**args).clone() }),
    }
}

/// A load and where it goes.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct BenchArgs {
    /// What is sent.
    #[command(flatten)]
    pub knobs: knobs::Knobs,
    /// A workload file: TOML, its keys are the flags of this command; or YAML of the OpenMessaging Benchmark
    #[arg(long, value_name = "FILE")]
    pub workload: Option<PathBuf>,
    /// With a workload of the OpenMessaging Benchmark: its Kafka driver file
    #[arg(long, value_name = "FILE", requires = "workload")]
    pub driver: Option<PathBuf>,
    /// Brokers to put under load, instead of one of our own; any that speaks the Kafka protocol
    #[arg(long, short, value_name = "HOST:PORT", visible_alias = "bootstrap-server", value_delimiter = ',')]
    pub brokers: Vec<String>,
    /// Process of these brokers, if it runs here: the report then has its CPU and memory
    #[arg(long, value_name = "PID", requires = "brokers")]
    pub broker_pid: Option<u32>,
    /// What the report calls these brokers [default: unknown]
    #[arg(long, value_name = "NAME", requires = "brokers")]
    pub broker_name: Option<String>,
    /// These brokers acknowledge only what is on the device; the report says so, and takes your word for it
    #[arg(long, requires = "brokers")]
    pub broker_flushes: bool,
    /// Put a broker that keeps nothing under load: the generator's own ceiling
    #[arg(long, conflicts_with = "brokers")]
    pub null: bool,
    /// Measure what bounds this load right before and after it, and the generator's own ceiling; or
    /// take floors.json of the same machine
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub floors: Option<Option<PathBuf>>,
    /// The generator's ceiling is what this run is measured against: do not mark the run for being near it
    #[arg(long, requires = "floors")]
    pub share_of_limit: bool,
    /// Sample where the broker's CPU time goes meanwhile, with `perf`; the figures are the profiler's too then
    #[arg(long, conflicts_with = "null")]
    pub profile: bool,
    /// Where the report goes [default: perf/runs/DATE-ID]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Print report.json instead of the table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Where our own broker keeps its data while the run lasts; on a real disk
    #[arg(long, value_name = "DIR", default_value = "perf/data", help_heading = "Our own broker")]
    pub data: PathBuf,
    /// Leave that data there afterwards
    #[arg(long, help_heading = "Our own broker")]
    pub keep_data: bool,
    /// CPUs of our own broker [default: the first that we may use]
    #[arg(long, value_name = "LIST", help_heading = "Our own broker")]
    pub broker_cores: Option<String>,
    /// A setting of our own broker, under Kafka's name or ours; may be repeated
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Our own broker")]
    pub set: Vec<String>,
    /// CPU of the generator [default: the second that we may use]
    #[arg(long, value_name = "CPU", help_heading = "Generator")]
    pub load_core: Option<usize>,
    /// Leave the generator to the scheduler, and give a broker of our own every CPU: what a machine does that nobody arranged
    #[arg(long, conflicts_with = "load_core", help_heading = "Generator")]
    pub unpinned: bool,
    /// In mode produce: do not read everything back afterwards
    #[arg(long, help_heading = "Generator")]
    pub no_read_back: bool,
}
