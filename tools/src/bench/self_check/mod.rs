//! `ringlog bench self-check`: the lab proves itself before it judges others. A broker of our own is
//! stopped (SIGSTOP) in the middle of an open loop at a fixed rate; the percentiles must be those
//! that rate, window and the measured length of the stop demand. Beside them stands what tools that
//! average percentiles, and tools that count from the actual send, would have said of the same run.

mod arithmetic;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::child::Broker;
use super::knobs::Knobs;
use super::quantity::{Bytes, SizeRange, Span};
use super::{disk, settle};
use crate::cli::exit;
use crate::floors::usable_cpus;
use crate::load::plan::{Arrivals, Mode};
use crate::load::{self, Outcome, Phase};
use crate::report::units;
use arithmetic::{Row, TOLERANCE, demanded, elsewhere_max_us};

/// Intervals as tools that average have them.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a stopped process may take to stand still.
const STANDSTILL_MAX: Duration = Duration::from_secs(5);

/// Percentiles that are checked.
const PERCENTILES: [(&str, f64); 2] = [("p99", 0.99), ("p99.9", 0.999)];

/// Bytes of a record: the load is about time, not about bytes.
const RECORD_BYTES: u64 = 100;

/// Large enough for what is due while the broker stands still, so that it is caught up at once.
const BATCH_BYTES: u64 = 512 << 10;

/// `ringlog bench self-check`
#[derive(clap::Args, Clone, Debug)]
pub struct SelfCheckArgs {
    /// Records per second, evenly spaced
    #[arg(long, value_name = "N", default_value_t = 10_000.0)]
    pub rate: f64,
    /// Length of the measured window
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub duration: Span,
    /// How long the broker stands still in it
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub stop: Span,
    /// Where the broker keeps its data while it lasts
    #[arg(long, value_name = "DIR", default_value = "perf/data")]
    pub data: PathBuf,
    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,
}

/// What was found.
#[derive(Debug, serde::Serialize)]
struct Proof {
    records_per_s: f64,
    window_s: f64,
    /// From the broker's standstill to SIGCONT, as it really was.
    stop_s: f64,
    samples: u64,
    rows: Vec<Row>,
    /// The largest response time.
    max_us: f64,
    /// The largest outside the stop: the machine's own noise.
    elsewhere_max_us: f64,
    /// Every row is within the tolerance.
    holds: bool,
}

/// Stops a broker and looks at what the lab says of it.
///
/// # Errors
/// Whatever kept the run from being carried out.
pub fn run(args: &SelfCheckArgs) -> anyhow::Result<u8> {
    let (window, stop) = (args.duration.0, args.stop.0);
    for (name, q) in PERCENTILES {
        if demanded(q, window, stop).is_none() {
            let least = window.mul_f64(1.0 - q);
            let reason =
                format!("a stop of {stop:?} does not show at {name} of {window:?}: it takes {least:?}");
            return Err(exit::Usage::new(reason).into());
        }
    }
    if stop > window / 3 {
        return Err(exit::Usage::new("--stop may be a third of --duration at most").into());
    }
    let (outcome, stopped) = observe(args)?;
    if let Some(failure) = &outcome.failure {
        eprintln!("ringlog: the run broke: {failure}");
        return Ok(exit::of_load(failure));
    }
    if outcome.interrupted {
        return Ok(exit::INTERRUPTED);
    }
    let rows: Vec<Row> = PERCENTILES
        .into_iter()
        .filter_map(|(name, q)| Some(Row::of((name, q), &outcome, demanded(q, window, stopped)?)))
        .collect();
    let response = outcome.measured.latencies.of(load::recorder::Clock::Response);
    let proof = Proof {
        records_per_s: args.rate,
        window_s: window.as_secs_f64(),
        stop_s: stopped.as_secs_f64(),
        samples: response.len(),
        max_us: response.max() as f64 / 1e3,
        elsewhere_max_us: elsewhere_max_us(&outcome),
        holds: rows.len() == PERCENTILES.len() && rows.iter().all(Row::holds),
        rows,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&proof)?);
    } else {
        print(&proof);
    }
    Ok(if proof.holds { 0 } else { exit::FAILED })
}

/// The run, and how long the broker really stood still.
fn observe(args: &SelfCheckArgs) -> anyhow::Result<(Outcome, Duration)> {
    let knobs = Knobs {
        mode: Some(Mode::Produce),
        rate: Some(args.rate),
        arrivals: Some(Arrivals::Fixed),
        duration: Some(args.duration),
        warmup: Some(Span(Duration::from_secs(1))),
        record_size: Some(SizeRange { min: RECORD_BYTES, max: RECORD_BYTES }),
        batch_size: Some(Bytes(BATCH_BYTES)),
        partitions: Some(4),
        producers: Some(4),
        ..Knobs::default()
    };
    let mut plan = settle::settle(&knobs, &Knobs::default(), "ringlog-self-check".to_string()).plan;
    plan.interval = INTERVAL;
    plan.check().map_err(exit::Usage::because)?;
    let cpus = usable_cpus();
    plan.core = cpus.get(1).copied();
    std::fs::create_dir_all(&args.data).with_context(|| format!("create {}", args.data.display()))?;
    let place = Place(args.data.join(format!("self-check-{}", std::process::id())));
    std::fs::create_dir_all(&place.0).with_context(|| format!("create {}", place.0.display()))?;
    disk::check(&place.0, disk::disk_bytes(&plan, &[]))?;
    let core = cpus.first().copied().unwrap_or(0).to_string();
    let broker = Broker::start(&place.0.join("data"), &core, &[], &place.0.join("broker.log"))?;
    plan.brokers = vec![broker.address.clone()];
    let pid = i32::try_from(broker.pid()).ok().and_then(Pid::from_raw).context("a process id")?;

    let stop = super::session::stop_on_signal()?;
    let (begun, begins) = channel();
    let (planned, generator_stop) = (plan.clone(), Arc::clone(&stop));
    let generator = std::thread::Builder::new().name("load".to_string()).spawn(move || {
        let mut begun = Some(begun);
        load::run(&planned, &generator_stop, &mut |progress| {
            if progress.phase == Phase::Measure
                && let Some(begun) = begun.take()
            {
                let _ = begun.send(());
            }
        })
    })?;
    let stopped = match begins.recv() {
        Ok(()) => {
            // In the middle, so that nothing of it falls out of the window.
            std::thread::sleep(plan.duration / 3);
            Some(stand_still(pid, args.stop.0)?)
        }
        // The generator ended before; it says why.
        Err(_) => None,
    };
    let outcome = generator.join().map_err(|_| anyhow::anyhow!("the generator panicked"))??;
    broker.stop().context("after the run")?;
    Ok((outcome, stopped.unwrap_or_default()))
}

/// Stops the process for that long; returns how long it really stood still.
fn stand_still(pid: Pid, length: Duration) -> anyhow::Result<Duration> {
    kill_process(pid, Signal::STOP).context("stop the broker")?;
    let asked = Instant::now();
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stands = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
    while !stands() {
        ensure!(asked.elapsed() < STANDSTILL_MAX, "the broker was stopped but does not stand still");
        std::hint::spin_loop();
    }
    let begun = Instant::now();
    std::thread::sleep(length);
    let stopped = begun.elapsed();
    kill_process(pid, Signal::CONT).context("let the broker go on")?;
    Ok(stopped)
}

/// A directory that goes away with its value.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        // What cannot be removed is not worth failing a finished check for.
        let _ = std::fs::remove_dir_all(path);
    }
}

fn print(proof: &Proof) {
    let ms = |us: f64| units::milliseconds((us * 1e3) as u64);
    println!(
        "stop    {:.3} s within {:.0} s at {} records/s, evenly spaced · {} samples",
        proof.stop_s,
        proof.window_s,
        units::grouped(proof.records_per_s as u64),
        units::grouped(proof.samples)
    );
    println!(
        "{:8}{:>10}{:>12}{:>9}{:>12}{:>13}",
        "(ms)", "demanded", "lab", "error", "averaged", "actual send"
    );
    for row in &proof.rows {
        println!(
            "{:8}{:>10}{:>12}{:>8.2}%{:>12}{:>13}",
            row.percentile,
            ms(row.demanded_us),
            ms(row.planned_send_us),
            row.error * 100.0,
            ms(row.averaged_us),
            ms(row.actual_send_us)
        );
    }
    println!(" demanded     by arithmetic: stop - (1 - q) x window, from the stop as it really was");
    println!(" lab          from the planned send, every sample in one histogram");
    println!(
        " averaged     the mean of each second's percentile: the one bad second disappears among the good"
    );
    println!(
        " actual send  from when the request left: what was due meanwhile but never sent does not count"
    );
    println!(" largest response {} ms, outside the stop {} ms", ms(proof.max_us), ms(proof.elsewhere_max_us));
    let least = proof.rows.iter().map(|row| row.demanded_us).fold(f64::MAX, f64::min);
    if !proof.holds && proof.elsewhere_max_us > TOLERANCE * least {
        println!(
            " the machine itself was that late outside the stop: something else had it; check again alone"
        );
    }
    let verdict = if proof.holds { "HOLDS" } else { "DOES NOT HOLD" };
    println!(" {verdict}: the lab must be within {:.0} % of arithmetic", TOLERANCE * 100.0);
}
