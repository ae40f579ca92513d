//! One load on one broker: `ringlog bench` as a process of its own, so that each slot begins with a fresh generator and
//! can be repeated by hand with the command in its report.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::lab::Rule;
use crate::bench::generator_ceiling;
use crate::bench::quantity::{Bytes, Span};
use crate::cli::{Cli, Command};

/// How often a slot is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What a slot may take beyond its warm-up and window before it is ended: a topic's creation, preload and deletion.
const OVERTIME: Duration = Duration::from_secs(600);

/// Load before the first warm-up window may end the warm-up; without a rule, the whole warm-up.
const WARM_UP_MIN: Duration = Duration::from_secs(1);

/// One load.
#[derive(Debug)]
pub(super) struct Load<'a> {
    pub(super) workload: PathBuf,
    pub(super) flags: &'a [String],
    /// Settings of the topic.
    pub(super) topic: Vec<(String, String)>,
    pub(super) duration: Duration,
    /// The rule by which it warms up; `None`: not at all.
    pub(super) warm: Option<&'a Rule>,
    /// A report of the same load on the same broker, which had settled: its window counts as the one before the first.
    pub(super) like: Option<&'a Path>,
    /// Bytes that it may write.
    pub(super) bytes: u64,
    pub(super) address: String,
    pub(super) pid: u32,
    /// The broker's name in the report.
    pub(super) name: String,
    /// Whether it acknowledges only what is on the device.
    pub(super) flushes: bool,
    /// CPU of the generator; `None`: wherever it is put.
    pub(super) core: Option<usize>,
    /// Where our brokers have their data, and floors are measured.
    pub(super) data: &'a Path,
    pub(super) broker_cores: &'a str,
}

impl Load<'_> {
    fn arguments(&self) -> Vec<String> {
        let mut all: Vec<String> = vec!["bench".into()];
        let mut flag = |name: &str, value: String| all.extend([format!("--{name}"), value]);
        flag("workload", self.workload.display().to_string());
        flag("brokers", self.address.clone());
        flag("broker-pid", self.pid.to_string());
        flag("broker-name", self.name.clone());
        flag("broker-cores", self.broker_cores.to_string());
        flag("data", self.data.display().to_string());
        flag("duration", Span(self.duration).to_string());
        flag("disk-budget", Bytes(self.bytes).to_string());
        match self.warm {
            Some(rule) => {
                flag("warmup", Span(WARM_UP_MIN).to_string());
                flag("warmup-tolerance", rule.tolerance.to_string());
                flag("warmup-window", rule.window.to_string());
                flag("warmup-max", rule.warm_max.to_string());
                if let Some(report) = self.like {
                    flag("warmup-like", report.display().to_string());
                }
            }
            None => flag("warmup", "0s".to_string()),
        }
        for (name, value) in &self.topic {
            flag("topic-config", format!("{name}={value}"));
        }
        match self.core {
            Some(core) => all.extend(["--load-core".to_string(), core.to_string()]),
            None => all.push("--unpinned".to_string()),
        }
        if self.flushes {
            all.push("--broker-flushes".to_string());
        }
        all.extend(["--no-read-back".to_string(), "--json".to_string()]);
        all.extend(self.flags.iter().cloned());
        all
    }

    /// What its generator reaches on a broker that keeps nothing, 10^6 bytes a second.
    pub(super) fn ceiling(&self) -> anyhow::Result<f64> {
        let line = std::iter::once("ringlog".to_string()).chain(self.arguments());
        match Cli::try_parse_from(line)?.command {
            Some(Command::Bench(bench)) => generator_ceiling(&bench.args),
            _ => bail!("a slot is a bench"),
        }
    }

    /// Runs it into `out` and returns its `report.json`. A run that was invalid is a result; one without a report is not.
    pub(super) fn run(&self, out: &Path, stop: &AtomicBool) -> anyhow::Result<Value> {
        std::fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
        let log = File::create(out.join("bench.log"))?;
        let mut child = std::process::Command::new(std::env::current_exe().context("find this binary")?)
            .args(self.arguments())
            .arg("--out")
            .arg(out)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start the load")?;
        let warm = self.warm.map_or(Duration::ZERO, |rule| rule.warm_max.0);
        let deadline = Instant::now() + self.duration + warm + OVERTIME;
        let mut told = false;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if !told && (stop.load(Ordering::Relaxed) || Instant::now() > deadline) {
                // It ends in order, as for a Ctrl-C.
                told = true;
                if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
            std::thread::sleep(LOOK);
        };
        if told && !stop.load(Ordering::Relaxed) {
            bail!("the load did not end within its time");
        }
        let text = std::fs::read_to_string(out.join("report.json")).map_err(|_| {
            let said = std::fs::read_to_string(out.join("bench.log")).unwrap_or_default();
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
            anyhow::anyhow!("the load ended with {status} and no report; it said: {last}")
        })?;
        serde_json::from_str(&text).context("read the load's report")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slots_command_is_one_that_the_bench_takes() {
        let rule = Rule {
            window: Span(Duration::from_secs(5)),
            tolerance: 0.05,
            warm_max: Span(Duration::from_secs(90)),
            quiet_max: Span(Duration::from_secs(1)),
            dirty_max: Bytes(1),
            goals_against: String::new(),
            slot_bytes: Bytes(1 << 30),
        };
        let load = Load {
            workload: PathBuf::from("w.toml"),
            flags: &["--consumers".to_string(), "1".to_string()],
            topic: vec![("flush.messages".to_string(), "1".to_string())],
            duration: Duration::from_millis(1500),
            warm: Some(&rule),
            like: Some(Path::new("earlier/report.json")),
            bytes: 3 << 30,
            address: "127.0.0.1:9".to_string(),
            pid: 7,
            name: "Some Broker 1.0".to_string(),
            flushes: true,
            core: Some(1),
            data: Path::new("d"),
            broker_cores: "0",
        };
        let parsed = |load: &Load<'_>| {
            let line = std::iter::once("ringlog".to_string()).chain(load.arguments());
            let cli = Cli::try_parse_from(line).expect("it parses");
            let Some(Command::Bench(bench)) = cli.command else { panic!("it is a bench") };
            bench
        };
        let bench = parsed(&load);
        assert_eq!((bench.args.load_core, bench.args.unpinned), (Some(1), false));
        assert_eq!(bench.args.knobs.warmup_like.as_deref(), Some("earlier/report.json"));
        let free = parsed(&Load { core: None, flags: &[], ..load });
        assert_eq!((free.args.load_core, free.args.unpinned), (None, true));
        assert_eq!(bench.args.broker_pid, Some(7));
        assert_eq!(bench.args.knobs.duration, Some(Span(Duration::from_millis(1500))));
        assert_eq!(bench.args.knobs.warmup_max, Some(Span(Duration::from_secs(90))));
    }
}
