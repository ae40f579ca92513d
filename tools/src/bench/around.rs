//! Around a run (`--floors`): the floors that bound its figures, right before and right after it, and
//! the generator's own ceiling for the same load.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;

use super::{BenchArgs, disk, settle, workload};
use crate::cli::exit::Usage;
use crate::floors::{self, Budget, Cores, Session, usable_cpus};
use crate::load::null::{KEEP_BYTES_MAX, NullBroker, Options};
use crate::load::plan::{Acks, KeySpread, Pace, Plan};
use crate::load::{self, recorder::Counts};
use crate::report::data::{Floors, FloorsSource, GENERATOR_SHARE_MAX, RunReport};
use crate::report::floors::rounded;

/// Passes over the floors: before and after.
const PASSES: u64 = 2;

/// Load before the ceiling counts.
const CEILING_WARM_UP: Duration = Duration::from_millis(500);

/// How long the ceiling is measured.
const CEILING_WINDOW: Duration = Duration::from_secs(2);

/// How long a broker may tidy up after the load before the floors are measured beside it.
const SETTLE: Duration = Duration::from_secs(2);

/// What `--floors` asks for.
#[derive(Debug)]
pub(super) enum Around {
    /// Nothing.
    Nothing,
    /// Floors that somebody measured.
    File(Floors),
    /// Floors of this very time.
    Measured { session: Box<Session>, ceiling_mb_per_s: Option<f64> },
}

/// The CPUs of broker and generator in this run.
pub(super) fn cores(args: &BenchArgs, plan: &Plan) -> Cores {
    let first = |list: &String| list.split([',', '-']).next().and_then(|cpu| cpu.trim().parse().ok());
    let server = args.broker_cores.as_ref().and_then(first).or_else(|| usable_cpus().first().copied());
    Cores { server, client: plan.core }
}

/// How the null broker runs under this plan.
pub(super) fn null_options(plan: &Plan, cores: Cores) -> Options {
    Options { keep: plan.mode.fetches(), core: cores.server, spin: cores.are_two() }
}

impl Around {
    /// The first pass, and the generator's ceiling, before a broker is there.
    pub(super) fn before(args: &BenchArgs, plan: &Plan) -> anyhow::Result<Around> {
        let Some(from) = &args.floors else { return Ok(Around::Nothing) };
        if let Some(file) = from {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read floors {}", file.display()))?;
            let floors: Floors =
                serde_json::from_str(&text).with_context(|| format!("floors {}", file.display()))?;
            return Ok(Around::File(Floors { source: FloorsSource::File, ..floors }));
        }
        let cores = cores(args, plan);
        let (specs, budget) = (floors::for_load(plan), Budget::around_a_run());
        std::fs::create_dir_all(&args.data).with_context(|| format!("create {}", args.data.display()))?;
        disk::check(&args.data, floors::disk_bytes(&specs, budget, PASSES))?;
        let session = Session::prepare(&args.data, specs, cores, budget)
            .with_context(|| format!("prepare direct I/O below {}", args.data.display()))?;
        let mut session = Box::new(session);
        session.pass(&mut |label| eprintln!("floor   {label}")).context("measure the floors")?;
        let ceiling_mb_per_s = if args.null { None } else { Some(ceiling(plan, cores)?) };
        Ok(Around::Measured { session, ceiling_mb_per_s })
    }

    /// The second pass, while the broker is there but idle; what came of both goes into the report.
    pub(super) fn after(self, args: &BenchArgs, report: &mut RunReport) -> anyhow::Result<()> {
        let floors = match self {
            Around::Nothing => return Ok(()),
            Around::File(floors) => floors,
            Around::Measured { mut session, ceiling_mb_per_s } => {
                std::thread::sleep(SETTLE);
                session
                    .pass(&mut |label| eprintln!("floor   {label}"))
                    .context("measure the floors again")?;
                if let Some(ceiling) = ceiling_mb_per_s.filter(|ceiling| *ceiling > 0.0) {
                    let moved = report.consumed.filter(|_| report.produced.records == 0);
                    let share = rounded(moved.unwrap_or(report.produced).mb_per_s() / ceiling);
                    report.validity.generator_ceiling_mb_per_s = Some(rounded(ceiling));
                    report.validity.generator_ceiling_share = Some(share);
                    report.validity.generator_bound = share >= GENERATOR_SHARE_MAX && !args.share_of_limit;
                }
                session.finish(FloorsSource::AroundTheRun)
            }
        };
        report.share_of_floor = floors::shares(report, &floors);
        report.floors = Some(floors);
        Ok(())
    }
}

/// What the generator reaches with the load of these arguments on a broker that keeps nothing, 10^6 bytes of keys and
/// values a second, on the CPUs that they name.
///
/// # Errors
/// A load that is not one, or cannot be run.
pub(crate) fn generator_ceiling(args: &BenchArgs) -> anyhow::Result<f64> {
    let file = workload::of(args)?;
    let plan = settle::settle(&args.knobs, &file, "ringlog-ceiling".to_string()).plan;
    let plan = Plan { core: args.load_core, ..plan };
    plan.check().map_err(Usage::because)?;
    ceiling(&plan, cores(args, &plan))
}

/// What the generator reaches with this load on a broker that keeps nothing, 10^6 bytes per second.
/// An open loop is closed for it: the question is what could be sent, not what is.
fn ceiling(plan: &Plan, cores: Cores) -> anyhow::Result<f64> {
    let null = NullBroker::launch(null_options(plan, cores)).context("start the null broker")?;
    let plan = Plan {
        brokers: vec![null.address()],
        topic_configs: Vec::new(),
        pace: Pace::Closed,
        acks: if plan.acks == Acks::None { Acks::Leader } else { plan.acks },
        warm_up: CEILING_WARM_UP,
        warm_rule: None,
        stages: Vec::new(),
        batch_records: 1,
        key_spread: KeySpread::Uniform,
        catch_up: 0,
        duration: CEILING_WINDOW,
        interval: CEILING_WINDOW,
        bytes_max: u64::MAX,
        preload_bytes: if plan.mode.produces() { 0 } else { plan.preload_bytes.min(KEEP_BYTES_MAX / 2) },
        read_back: false,
        ..plan.clone()
    };
    eprintln!("ceiling the same load on a broker that keeps nothing");
    let generator = std::thread::Builder::new()
        .name("load".to_string())
        .spawn(move || (load::run(&plan, &AtomicBool::new(false), &mut |_| {}), plan.mode))?;
    let (outcome, mode) = generator.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?;
    let measured = outcome.context("measure the generator's ceiling")?.measured;
    let Counts { bytes_in, bytes_out, .. } = measured.counts;
    let bytes = if mode.produces() { bytes_in } else { bytes_out };
    Ok(bytes as f64 / measured.wall.as_secs_f64().max(1e-9) / 1e6)
}
