//! A bench in words: what is about to happen, every setting, and the command that repeats it.

use super::BenchArgs;
use super::quantity::Share;
use super::settle::{Settled, load_settings};
use crate::floors::usable_cpus;
use crate::load::plan::Pace;
use crate::report;
use crate::report::data::{BrokerFacts, MachineFingerprint, Origin, Setting};

/// What is about to happen, on standard error.
pub(super) fn header(settled: &Settled, machine: &MachineFingerprint, broker: &BrokerFacts) {
    let plan = &settled.plan;
    eprintln!("ringlog {}  bench \"{}\"", env!("CARGO_PKG_VERSION"), settled.name);
    eprintln!("{}", super::floors::machine_line(machine));
    let cores = broker.cores.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let place = broker.pid.map(|pid| format!(" · pid {pid} on core {cores}")).unwrap_or_default();
    let generator = settled.plan.core.map(|core| format!(" · generator on core {core}")).unwrap_or_default();
    eprintln!("broker  {} at {}{place}{generator}", broker.name, broker.address);
    eprintln!(
        "load    {} · {} · {} partitions · {} producers · {} consumers · acks={} · warm-up {}",
        pace_label(settled),
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

fn pace_label(settled: &Settled) -> String {
    let plan = &settled.plan;
    let load = load_settings(plan);
    match (plan.pace, load.rate_plan) {
        _ if !plan.mode.produces() => plan.mode.to_string(),
        (Pace::OfMax { share, .. }, _) => {
            format!("open loop at {} of the maximum, which is found first", Share(share))
        }
        (_, Some(stages)) => format!("open loop, {stages}"),
        _ => load.arrivals.label(),
    }
}

/// All settings in effect, those of our broker included.
pub(super) fn settings(settled: &Settled, args: &BenchArgs) -> Vec<Setting> {
    let mut all = settled.settings.clone();
    let derived =
        |name: &str, value: String| Setting { name: name.to_string(), value, origin: Origin::Derived };
    all.push(derived("load.brokers", settled.plan.brokers.join(",")));
    if let Some(core) = settled.plan.core {
        all.push(derived("load.core", core.to_string()));
    }
    for set in &args.set {
        let (name, value) = set.split_once('=').unwrap_or((set, ""));
        all.push(Setting { name: name.to_string(), value: value.to_string(), origin: Origin::Set });
    }
    all
}

/// The command that repeats the run, every knob spelled out.
pub(super) fn command_line(settled: &Settled, args: &BenchArgs) -> String {
    let mut line = "ringlog bench".to_string();
    for setting in &settled.settings {
        let name = setting.name.trim_start_matches("load.");
        // A new run has a topic and a plan of its own.
        if name != "topic" && setting.origin != Origin::Derived {
            line.push_str(&format!(" --{name} {}", quoted(&setting.value)));
        }
    }
    if args.null {
        line.push_str(" --null");
    }
    if let Some(floors) = &args.floors {
        line.push_str(" --floors");
        if let Some(file) = floors {
            line.push_str(&format!(" {}", quoted(&file.to_string_lossy())));
        }
    }
    if args.share_of_limit {
        line.push_str(" --share-of-limit");
    }
    if args.unpinned {
        line.push_str(" --unpinned");
    }
    if let Some(cores) = &args.broker_cores {
        line.push_str(&format!(" --broker-cores {cores}"));
    }
    if let Some(core) = args.load_core {
        line.push_str(&format!(" --load-core {core}"));
    }
    for broker in &args.brokers {
        line.push_str(&format!(" --brokers {broker}"));
    }
    for set in &args.set {
        line.push_str(&format!(" --set {set}"));
    }
    line
}

/// A value as a shell takes it.
pub(super) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/=%+".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_string()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}
