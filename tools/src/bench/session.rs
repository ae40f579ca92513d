//! One broker under one load or several: started once, measured as often as asked, cleaned up after.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::knobs::Knobs;
use super::profile::Profiler;
use super::quantity::Span;
use super::settle::{Settled, load_settings, settle};
use super::target::Target;
use super::watch::{Seen, Wanted, watch};
use super::{BenchArgs, outcome, slo, words, workload};
use crate::cli::exit;
use crate::floors::usable_cpus;
use crate::load::null::KEEP_BYTES_MAX;
use crate::load::plan::Payload;
use crate::load::warm::WarmWindow;
use crate::load::{self, Outcome, clock};
use crate::report::data::{BrokerFacts, MachineFingerprint, RunReport};
use crate::report::json::Document;
use crate::report::{calendar, machine};

/// Progress that nobody has looked at yet; a watcher that lags misses some.
const PROGRESS_QUEUE: usize = 64;

/// The largest file that fills values.
const PAYLOAD_FILE_BYTES_MAX: u64 = 64 << 20;

/// A bench from its first to its last broker process.
#[derive(Debug)]
pub(super) struct Session {
    /// With the settings of the workload's own broker among `set`.
    args: BenchArgs,
    file: Knobs,
    machine: MachineFingerprint,
    run_id: String,
    out: PathBuf,
    stop: Arc<AtomicBool>,
    target: Option<Target>,
    broker: BrokerFacts,
    brokers: Vec<String>,
    profiler: Option<Profiler>,
}

impl Session {
    /// Reads the workload and makes the report's folder.
    pub(super) fn open(args: &BenchArgs) -> anyhow::Result<Session> {
        let mut args = args.clone();
        let file = workload::of(&args)?;
        let sets: Vec<String> = file.broker_config.iter().map(ToString::to_string).collect();
        if args.brokers.is_empty() && !args.null {
            args.set.splice(0..0, sets);
        } else if !sets.is_empty() {
            eprintln!("note    for brokers of our own only, and not set here: {}", sets.join(" "));
        }
        let machine = machine::fingerprint(&args.data);
        let run_id = calendar::run_id(u64::try_from(clock::wall_ms()).unwrap_or(0), &machine.hardware_id);
        let out = args.out.clone().unwrap_or_else(|| PathBuf::from("perf/runs").join(&run_id));
        std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        let profiler = args.profile.then(|| Profiler::new(&out)).transpose()?;
        let (brokers, broker) = (args.brokers.clone(), BrokerFacts::foreign(""));
        Ok(Session {
            args,
            file,
            machine,
            run_id,
            out,
            stop: stop_on_signal()?,
            target: None,
            broker,
            brokers,
            profiler,
        })
    }

    /// Settles one load on a topic of its own; `step` tells the topics of one session apart.
    pub(super) fn settle(&self, knobs: &Knobs, step: Option<usize>) -> anyhow::Result<Settled> {
        let step = step.map(|n| format!("-{n}")).unwrap_or_default();
        // Two runs may begin in the same second.
        let topic = format!("ringlog-bench-{}-{}{step}", self.run_id, std::process::id());
        let mut settled = settle(knobs, &self.file, topic);
        let plan = &mut settled.plan;
        if self.args.null {
            // What it keeps is bounded and has no disk: nothing is read that came long ago.
            (plan.read_back, plan.catch_up) = (false, 0);
            plan.preload_bytes =
                if plan.mode.produces() { 0 } else { plan.preload_bytes.min(KEEP_BYTES_MAX / 2) };
            if knobs.bytes.is_none() && self.file.bytes.is_none() {
                plan.bytes_max = u64::MAX;
            }
        }
        plan.read_back &= !self.args.no_read_back;
        let second = || usable_cpus().get(1).copied().filter(|_| !self.args.unpinned);
        plan.core = self.args.load_core.or_else(second);
        plan.brokers.clone_from(&self.brokers);
        if let Some(file) = &settled.payload_file {
            plan.payload = payload(file)?;
        }
        if let (Some(file), Some(rule)) = (&settled.warm_like, &mut plan.warm_rule) {
            rule.before = Some(measured_before(file)?);
        }
        plan.check().map_err(exit::Usage::because)?;
        Ok(settled)
    }

    /// Sets window and warm-up where neither flags nor the workload do.
    pub(super) fn default_times(&self, knobs: &mut Knobs, window: Duration, warm_up: Duration) {
        knobs.duration = knobs.duration.or(self.file.duration).or(Some(Span(window)));
        knobs.warmup = knobs.warmup.or(self.file.warmup).or(Some(Span(warm_up)));
    }

    /// Starts the broker, if it is ours; `settled` is the largest load that it will get.
    pub(super) fn start(&mut self, settled: &Settled) -> anyhow::Result<()> {
        let target = Target::start(&self.args, &settled.plan, &self.run_id, &self.out)?;
        self.brokers = target.addresses(&self.args);
        self.broker = target.facts(&self.brokers.join(","));
        self.target = Some(target);
        Ok(())
    }

    /// Says what is about to happen, on standard error.
    pub(super) fn header(&self, settled: &Settled) {
        words::header(settled, &self.machine, &self.broker);
    }

    /// Where the report goes.
    pub(super) fn out(&self) -> &Path {
        &self.out
    }

    /// The name of the session.
    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Carries out one load and forgets its topic, whatever came of it.
    pub(super) fn measure(
        &self,
        mut settled: Settled,
        run_id: String,
    ) -> anyhow::Result<(RunReport, Outcome)> {
        let target = self.target.as_ref().expect("the session was started");
        settled.plan.brokers.clone_from(&self.brokers);
        let driven = self.drive(&settled, target);
        let acks = super::settle::acks(settled.plan.acks);
        let durability = target.durability(&settled.plan, acks);
        let forgotten = target.forget(&settled.plan);
        let (outcome, seen) = driven?;
        forgotten?;
        settled.plan.pace = outcome.pace;
        let plan = &settled.plan;
        let mut report = RunReport {
            run_id,
            tool_version: env!("CARGO_PKG_VERSION").to_string(),
            workload: settled.name.clone(),
            started_unix_ms: u64::try_from(outcome.started_unix_ms).unwrap_or(0),
            duration: plan.duration,
            warm_up: outcome.warm_up.as_ref().map_or(plan.warm_up, |w| w.length),
            warm_up_windows: outcome::warm_up(&outcome, plan),
            command_line: words::command_line(&settled, &self.args),
            settings: words::settings(&settled, &self.args),
            load: crate::report::data::LoadSettings {
                max_records_per_s: outcome.max_records_per_s,
                ..load_settings(plan)
            },
            machine: self.machine.clone(),
            durability,
            broker: BrokerFacts {
                cpu_seconds: seen.cpu_seconds,
                rss_bytes_max: seen.rss_bytes_max,
                stages: seen.stages,
                ..self.broker.clone()
            },
            produced: outcome::produced(&outcome),
            consumed: outcome::consumed(&outcome, plan),
            caught_up: outcome::caught_up(&outcome, plan),
            setup: outcome::setup(&outcome),
            slo: Vec::new(),
            latency: outcome::latency_set(&outcome.measured.latencies),
            intervals: outcome::intervals(&outcome.measured.intervals),
            check: outcome::data_check(&outcome),
            validity: outcome::validity(&outcome, plan, seen.others),
            floors: None,
            share_of_floor: Vec::new(),
            profile: seen.profile,
            disk: seen.disk.map(|disk| disk.beside(outcome.measured.counts.bytes_in)),
            partial: outcome.interrupted || outcome.failure.is_some(),
        };
        report.slo = slo::judge(&settled.slos, &Document::from(&report));
        Ok((report, outcome))
    }

    /// Drives the load on a thread of its own, while this one watches.
    fn drive(&self, settled: &Settled, target: &Target) -> anyhow::Result<(Outcome, Seen)> {
        let (send, receive) = sync_channel(PROGRESS_QUEUE);
        let (plan, stop) = (settled.plan.clone(), Arc::clone(&self.stop));
        let generator = std::thread::Builder::new().name("load".to_string()).spawn(move || {
            load::run(&plan, &stop, &mut |progress| {
                let _ = send.try_send(load::Progress {
                    phase: progress.phase,
                    elapsed: progress.elapsed,
                    length: progress.length,
                    since: progress.since,
                    counts: progress.counts,
                    response: progress.response.clone(),
                    lag_records: progress.lag_records,
                });
            })
        })?;
        let profiler = self.profiler.as_ref();
        let seen = watch(&receive, target, Wanted { data: &self.args.data, profiler, quiet: self.args.json });
        let outcome = generator.join().map_err(|_| anyhow::anyhow!("the generator panicked"))??;
        Ok((outcome, seen))
    }

    /// Stops the broker, if it is ours, and takes its data away; another may be started.
    pub(super) fn pause(&mut self) -> anyhow::Result<()> {
        self.target.take().map_or(Ok(()), Target::stop)
    }

    /// Stops the broker, if it is ours, and takes its data away, for good.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        let stopped = self.pause();
        // From here on a second signal is the first.
        self.stop.store(true, Ordering::Relaxed);
        stopped
    }
}

fn payload(file: &Path) -> anyhow::Result<Payload> {
    let refuse = |what: String| exit::Usage::new(format!("payload file {}: {what}", file.display()));
    let length = std::fs::metadata(file).map_err(|e| refuse(e.to_string()))?.len();
    if !(1..=PAYLOAD_FILE_BYTES_MAX).contains(&length) {
        return Err(refuse(format!("it has {length} bytes, not 1 to {PAYLOAD_FILE_BYTES_MAX}")).into());
    }
    Ok(Payload::Bytes(std::fs::read(file).map_err(|e| refuse(e.to_string()))?.into()))
}

/// What a run that is over did in its window.
fn measured_before(file: &Path) -> anyhow::Result<WarmWindow> {
    let refuse = |what: String| exit::Usage::new(format!("--warmup-like {}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| refuse(e.to_string()))?;
    let report: Document = serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))?;
    let (made, read) = (&report.throughput, report.throughput_read.as_ref());
    let length = read.map_or(made.wall_s, |read| read.wall_s.max(made.wall_s));
    Ok(WarmWindow {
        start: Duration::ZERO,
        length: Duration::try_from_secs_f64(length).map_err(|e| refuse(e.to_string()))?,
        records: made.records + read.map_or(0, |read| read.records),
        bytes: made.bytes + read.map_or(0, |read| read.bytes),
        p50_ns: report.produce.response_us.and_then(|us| us.p50).map(|us| (us * 1e3) as u64),
    })
}

/// Ctrl-C and SIGTERM end the load early and in order; a second one ends the process.
pub(crate) fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(exit::INTERRUPTED);
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
