//! `ringlog bench versus NAME`: Ringlog and another broker under the same load on the same cores, in turns.
//!
//! | file | what |
//! |---|---|
//! | `lab` | the rules, figures and rows of `perf/versus.toml` |
//! | `peer` | a broker as data: `perf/peers/NAME.toml` |
//! | `process` | a broker as a process: fetched, started, pinned, stopped and continued |
//! | `quiet` | waiting until the disk has nothing left to do |
//! | `slot` | one load on one broker: an ordinary `ringlog bench` and its folder |
//! | `footprint` | one slot of the row that asks what a broker costs at rest |
//! | `house` | both brokers: started, warmed, one awake at a time |
//! | `chain` | rows that share a load, as one walk |
//! | `row` | the slots of a walk, each row's in the order A B B A, and what came of them |
//! | `figures` | values out of reports, pairs, goals |
//! | `document` | `versus.json` |
//! | `sample` | a made-up document, to test and to look at |
//! | `table` | what is printed and what the README shows |
//! | `run` | the order of things |
//!
//! Invariants: both brokers have the same CPUs, the same generator and the same disk, and the one that is not under load
//! is stopped and has no clients; nothing counts before two successive windows of the same load agree; between slots the
//! topic is gone and the disk quiet, or the slot says that it was not; every wait has a named bound and is recorded; a
//! row that is finished is never measured again into the same folder; what a goal asks is data, never code.

mod chain;
pub mod document;
mod figures;
mod footprint;
mod house;
mod lab;
mod peer;
mod process;
pub mod quiet;
mod row;
mod run;
pub mod sample;
mod slot;
mod table;

use std::path::PathBuf;

pub use document::{
    Document, GoalDocument, GoalVerdict, ResultDocument, RowDocument, SCHEMA_VERSION, SlotDocument, SlotTime,
};
pub use run::{Interrupted, run};

use crate::bench::quantity::Span;

/// `ringlog bench versus`
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Rows are those of perf/versus.toml, brokers those of perf/peers. A folder given with --out again \
                        continues: rows that are finished there are kept."
)]
pub struct VersusArgs {
    /// The broker to run beside ours: a file of perf/peers without its ending
    #[arg(value_name = "NAME")]
    pub peer: String,
    /// One row in under ten minutes; what is meant without --full and --row
    #[arg(long, conflicts_with_all = ["full", "row"])]
    pub quick: bool,
    /// Every row; prints first how many hours that takes
    #[arg(long, conflicts_with = "row")]
    pub full: bool,
    /// A row of perf/versus.toml; may be repeated
    #[arg(long, value_name = "NAME")]
    pub row: Vec<String>,
    /// Where everything goes [default: perf/runs/versus-NAME-DATE-ID]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Pairs of slots in a row; an interval needs five
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pairs: u32,
    /// After the pairs, one run of each side in which nothing is pinned: the broker has every CPU; --full does it too
    #[arg(long)]
    pub unpinned: bool,
    /// The measured window of a slot [default: 30s, with --quick 10s]
    #[arg(long, value_name = "TIME")]
    pub duration: Option<Span>,
    /// Where both brokers keep their data meanwhile; on a real disk
    #[arg(long, value_name = "DIR", default_value = "perf/data")]
    pub data: PathBuf,
    /// Where versus.toml, peers and workloads are
    #[arg(long, value_name = "DIR", default_value = "perf")]
    pub lab: PathBuf,
    /// CPUs of the broker under load
    #[arg(long, value_name = "LIST", default_value = "0")]
    pub broker_cores: String,
    /// CPU of the generator
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    pub load_core: usize,
    /// The generator is wherever the scheduler puts it: for brokers on every CPU, which share them with it
    #[arg(long, conflicts_with = "load_core")]
    pub load_free: bool,
}

impl VersusArgs {
    /// CPU of the generator; `None`: wherever it is put.
    fn generator_core(&self) -> Option<usize> {
        (!self.load_free).then_some(self.load_core)
    }
}
