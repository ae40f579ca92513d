//! The order of things: settle, check the disk, start the broker, drive, check, report, clean up.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::settle::{Settled, load_settings, settle};
use super::target::Target;
use super::watch::{Seen, watch};
use super::{BenchArgs, knobs, outcome};
use crate::cli::exit;
use crate::floors::usable_cpus;
use crate::load::{self, Outcome, clock};
use crate::report::data::{Origin, RunReport, Setting};
use crate::report::{self, calendar, json, machine};

/// Progress that nobody has looked at yet; a watcher that lags misses some.
const PROGRESS_QUEUE: usize = 64;

/// Runs a bench; returns its exit code.
///
/// # Errors
/// Whatever kept the load from starting, or the report from being written.
pub fn run(args: &BenchArgs) -> anyhow::Result<u8> {
    let file =
        args.workload.as_deref().map(knobs::read_workload).transpose().map_err(exit::Usage::because)?;
    let machine = machine::fingerprint(&args.data);
    let run_id = calendar::run_id(u64::try_from(clock::wall_ms()).unwrap_or(0), &machine.hardware_id);
    let mut settled = settle(&args.knobs, &file.unwrap_or_default(), format!("ringlog-bench-{run_id}"));
    if args.null {
        // It keeps nothing that could be read.
        settled.plan.mode = crate::load::plan::Mode::Produce;
        (settled.plan.consumers, settled.plan.read_back) = (0, false);
    }
    if args.no_read_back {
        settled.plan.read_back = false;
    }
    settled.plan.topic_configs.extend(topic_configs(args)?);
    let own = args.brokers.is_empty() && !args.null;
    if !own && args.knobs.disk_budget.is_none() {
        // It is not our disk.
        settled.plan.bytes_max = u64::MAX;
    }
    settled.plan.check().map_err(exit::Usage::because)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("perf/runs").join(&run_id));
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let stop = stop_on_signal()?;
    let cpus = usable_cpus();
    settled.plan.core = args.load_core.or_else(|| cpus.get(1).copied());
    let target = Target::start(args, &mut settled.plan, &run_id, &out)?;
    let address = settled.plan.brokers.join(",");
    let broker = target.facts(&address);
    header(&settled, &machine, &broker, settled.plan.core);

    let (outcome, seen) = drive(&settled, &target, &stop, args.json)?;
    let acks = super::settle::acks(settled.plan.acks);
    let durability = target.durability(&settled.plan, acks);
    let plan = &settled.plan;
    let report = RunReport {
        run_id,
        tool_version: env!("CARGO_PKG_VERSION").to_string(),
        workload: settled.name.clone(),
        started_unix_ms: u64::try_from(outcome.started_unix_ms).unwrap_or(0),
        duration: plan.duration,
        warm_up: outcome.warm_up.as_ref().map_or(plan.warm_up, |w| w.length),
        warm_up_windows: outcome::warm_up(&outcome),
        command_line: command_line(&settled, args),
        settings: settings(&settled, args),
        load: load_settings(plan),
        machine,
        durability,
        broker: report::data::BrokerFacts {
            cpu_seconds: seen.cpu_seconds,
            rss_bytes_max: seen.rss_bytes_max,
            ..broker
        },
        produced: outcome::produced(&outcome),
        consumed: outcome::consumed(&outcome, plan),
        latency: outcome::latency_set(&outcome.measured.latencies),
        intervals: outcome::intervals(&outcome.measured.intervals),
        check: outcome::data_check(&outcome),
        validity: outcome::validity(&outcome, plan),
        floors: None,
        share_of_floor: Vec::new(),
        partial: outcome.interrupted || outcome.failure.is_some(),
    };
    let stopped = target.stop(plan);
    report::write(&out, &report).with_context(|| format!("write the report to {}", out.display()))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json::Document::from(&report))?);
    } else {
        report::print_summary(&report);
        println!("report  {}", out.join("index.html").display());
    }
    let code = exit_code(&report, &outcome);
    match stopped {
        // The run has something worse to say already.
        Err(e) if code != 0 => eprintln!("ringlog: after the run: {e:#}"),
        stopped => stopped.context("after the run")?,
    }
    Ok(code)
}

/// The topic's settings that flags name.
fn topic_configs(args: &BenchArgs) -> Result<Vec<(String, String)>, exit::Usage> {
    let pair = |config: &String| match config.split_once('=') {
        Some((name, value)) => Ok((name.to_string(), value.to_string())),
        None => Err(exit::Usage::new(format!("--topic-config takes NAME=VALUE, not {config}"))),
    };
    args.topic_config.iter().map(pair).collect()
}

/// What a finished run exits with. Broken data outranks everything; a broken connection outranks a late generator.
fn exit_code(report: &RunReport, outcome: &Outcome) -> u8 {
    let verdict = report.verdict().exit_code();
    match &outcome.failure {
        _ if verdict == exit::DATA_CHECK => verdict,
        Some(failure) => exit::of_load(failure),
        None if outcome.interrupted => exit::INTERRUPTED,
        None => verdict,
    }
}

/// Ctrl-C and SIGTERM end the load early and in order; a second one ends the process.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(exit::INTERRUPTED);
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Drives the load on a thread of its own, while this one watches.
fn drive(
    settled: &Settled,
    target: &Target,
    stop: &Arc<AtomicBool>,
    quiet: bool,
) -> anyhow::Result<(Outcome, Seen)> {
    let (send, receive) = sync_channel(PROGRESS_QUEUE);
    let (plan, stop) = (settled.plan.clone(), Arc::clone(stop));
    let generator = std::thread::Builder::new().name("load".to_string()).spawn(move || {
        let outcome = load::run(&plan, &stop, &mut |progress| {
            let _ = send.try_send(load::Progress {
                phase: progress.phase,
                elapsed: progress.elapsed,
                length: progress.length,
                since: progress.since,
                counts: progress.counts,
                response: progress.response.clone(),
                lag_records: progress.lag_records,
            });
        });
        stop.store(true, Ordering::Relaxed);
        outcome
    })?;
    let seen = watch(&receive, target, quiet);
    let outcome = generator.join().map_err(|_| anyhow::anyhow!("the generator panicked"))??;
    Ok((outcome, seen))
}

/// What is about to happen, on standard error.
fn header(
    settled: &Settled,
    machine: &report::data::MachineFingerprint,
    broker: &report::data::BrokerFacts,
    load_core: Option<usize>,
) {
    let plan = &settled.plan;
    eprintln!("ringlog {}  bench \"{}\"", env!("CARGO_PKG_VERSION"), settled.name);
    eprintln!("{}", super::floors::machine_line(machine));
    let cores = broker.cores.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let place = broker.pid.map(|pid| format!(" · pid {pid} on core {cores}")).unwrap_or_default();
    let generator = load_core.map(|core| format!(" · generator on core {core}")).unwrap_or_default();
    eprintln!("broker  {} at {}{place}{generator}", broker.name, broker.address);
    eprintln!(
        "load    {} · {} · {} partitions · {} producers · {} consumers · acks={} · warm-up {}",
        if plan.mode.produces() { load_settings(plan).arrivals.label() } else { plan.mode.to_string() },
        report::units::bytes(plan.sizes.mean() as u64),
        plan.partitions,
        plan.producers,
        plan.consumers,
        super::quantity::AcksWord(plan.acks),
        super::quantity::Span(plan.warm_up),
    );
    if usable_cpus().len() < 2 {
        eprintln!("note    one CPU for broker and generator: these are smoke figures");
    }
}

/// All settings in effect, those of our broker included.
fn settings(settled: &Settled, args: &BenchArgs) -> Vec<Setting> {
    let mut all = settled.settings.clone();
    let derived =
        |name: &str, value: String| Setting { name: name.to_string(), value, origin: Origin::Derived };
    all.push(derived("load.brokers", settled.plan.brokers.join(",")));
    if let Some(core) = settled.plan.core {
        all.push(derived("load.core", core.to_string()));
    }
    for (name, value) in &settled.plan.topic_configs {
        all.push(Setting { name: format!("topic.{name}"), value: value.clone(), origin: Origin::Flag });
    }
    for set in &args.set {
        let (name, value) = set.split_once('=').unwrap_or((set, ""));
        all.push(Setting { name: name.to_string(), value: value.to_string(), origin: Origin::Set });
    }
    all
}

/// The command that repeats the run, every knob spelled out.
fn command_line(settled: &Settled, args: &BenchArgs) -> String {
    let mut line = "ringlog bench".to_string();
    for setting in &settled.settings {
        let name = setting.name.trim_start_matches("load.");
        // A new run has a topic and a plan of its own.
        if name != "topic" && setting.origin != Origin::Derived {
            line.push_str(&format!(" --{name} {}", setting.value));
        }
    }
    if args.null {
        line.push_str(" --null");
    }
    for config in &args.topic_config {
        line.push_str(&format!(" --topic-config {config}"));
    }
    for broker in &args.brokers {
        line.push_str(&format!(" --brokers {broker}"));
    }
    for set in &args.set {
        line.push_str(&format!(" --set {set}"));
    }
    line
}
