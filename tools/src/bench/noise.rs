//! `ringlog bench noise`: one load again and again, each time on a new broker of our own, and how far these equal runs come
//! to lie apart: the A/A noise floor, below which no comparison on this machine finds anything.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::quantity::Span;
use super::session::Session;
use super::{BenchArgs, run::exit_code};
use crate::cli::exit;
use crate::compare::noise::STORE;
use crate::compare::{self, runs};
use crate::report::data::RunReport;
use crate::report::json::Document;
use crate::report::{self, units};
use crate::versus::quiet::Watch;

/// Between two runs: dirty memory below this, a disk at rest and the space back.
const DIRTY_MAX: u64 = 16 << 20;

/// `ringlog bench noise`
#[derive(clap::Args, Clone, Debug)]
pub struct NoiseArgs {
    /// The load.
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Equal runs; an interval needs ten
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(10..=1000), help_heading = "Noise")]
    pub runs: u32,
    /// The disk is waited for at most this long between two runs
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Noise")]
    pub quiet_max: Span,
    /// Where the machines' noise floors are kept
    #[arg(long, value_name = "DIR", default_value = STORE, help_heading = "Noise")]
    pub store: PathBuf,
}

/// Measures and keeps the noise floor of this load; returns the exit code.
///
/// # Errors
/// Whatever kept a load from starting, or too few of the runs from being valid.
pub fn run(args: &NoiseArgs) -> anyhow::Result<u8> {
    if args.bench.floors.is_some() {
        bail!(exit::Usage::new("--floors belongs to one run, not to many equal ones"));
    }
    let data = &args.bench.data;
    std::fs::create_dir_all(data).with_context(|| format!("create {}", data.display()))?;
    let mut session = Session::open(&args.bench)?;
    let mut watch = Watch::new(data, DIRTY_MAX, args.quiet_max.0);
    for number in 1..=args.runs {
        let waited = watch.await_space();
        watch.wait(waited);
        let settled = session.settle(&args.bench.knobs, Some(number as usize))?;
        session.start(&settled)?;
        if number == 1 {
            session.header(&settled);
        }
        let name = format!("{number:02}");
        let measured = session.measure(settled, format!("{}-{name}", session.run_id()));
        session.pause().context("after a run")?;
        let (report, outcome) = measured?;
        let dir = session.out().join(&name);
        report::write(&dir, &report).with_context(|| format!("write the report to {}", dir.display()))?;
        eprintln!("run     {name} of {}   {}", args.runs, line(&report));
        match exit_code(&report, &outcome) {
            // A run that is not valid does not count; whether enough are is seen at the end.
            0 | exit::INVALID | exit::SLO => {}
            code => return Ok(code),
        }
    }
    session.stop().context("after the last run")?;
    print!("{}", compare::keep_noise(&runs::read(session.out())?, &args.store)?);
    println!("runs    {}", session.out().display());
    Ok(0)
}

fn line(report: &RunReport) -> String {
    let document = Document::from(report);
    let ms =
        |us: Option<f64>| us.map_or_else(|| "-".to_string(), |us| units::milliseconds((us * 1e3) as u64));
    let latency = document.produce.response_us.or(document.fetch_us);
    let [p50, _, p99, p999, _] = latency.map(|l| l.ladder()).unwrap_or_default().map(ms);
    let moved = document.throughput_read.filter(|_| document.throughput.records == 0);
    format!(
        "{:>9.1} MB/s   p50 {p50:>7}  p99 {p99:>7}  p99.9 {p999:>7} ms   {}",
        moved.unwrap_or(document.throughput).mb_per_s,
        report.verdict().word()
    )
}
