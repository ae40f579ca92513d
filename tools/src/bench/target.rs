//! The broker under load.

use std::path::{Path, PathBuf};

use anyhow::Context;
use server::config::{Config, Sources};
use wire::ErrorCode;

use super::BenchArgs;
use super::child::{Broker, Usage};
use super::marks::Marking;
use super::stages::{self, Look};
use super::{around, disk};
use crate::floors::usable_cpus;
use crate::load::client::{Client, ClientError};
use crate::load::null::NullBroker;
use crate::load::plan::Plan;
use crate::load::setup::{delete_topic, topic_configs};
use crate::report::data::{Acks, BrokerFacts, BufferMode, DurabilityMode};

/// A broker under load.
#[derive(Debug)]
pub(super) enum Target {
    /// A process of our own, its CPUs and its data.
    Own { broker: Broker, cores: Vec<u32>, pool_bytes: Option<u64>, data: DataDir },
    /// The generator's ceiling.
    Null(NullBroker),
    /// Somebody's; its process, if it runs here, its name, and whether it is said to flush before it acknowledges.
    Foreign { pid: Option<u32>, name: Option<String>, flushes: bool },
}

/// A directory that goes away with its value.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    keep: bool,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is not worth failing a finished run for; it is in perf/data.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl Target {
    /// Makes a broker ready that can take this plan. `run_id` names its data.
    pub(super) fn start(args: &BenchArgs, plan: &Plan, run_id: &str, out: &Path) -> anyhow::Result<Target> {
        if !args.brokers.is_empty() {
            let (pid, name) = (args.broker_pid, args.broker_name.clone());
            return Ok(Target::Foreign { pid, name, flushes: args.broker_flushes });
        }
        if args.null {
            let null = NullBroker::launch(around::null_options(plan, around::cores(args, plan)))
                .context("start the null broker")?;
            return Ok(Target::Null(null));
        }
        let path = args.data.join(run_id);
        std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        let data = DataDir { path, keep: args.keep_data };
        disk::check(&data.path, disk::disk_bytes(plan, &args.set))?;
        let cores = match &args.broker_cores {
            Some(cores) => cores.clone(),
            None if args.unpinned => all_cpus(),
            None => usable_cpus().first().copied().unwrap_or(0).to_string(),
        };
        let broker = Broker::start(&data.path, &cores, &args.set, &out.join("broker.log"))?;
        let cores = expand(&cores);
        let pool_bytes = pool_bytes(&args.set, cores.len());
        Ok(Target::Own { broker, cores, pool_bytes, data })
    }

    /// Where it listens.
    pub(super) fn addresses(&self, args: &BenchArgs) -> Vec<String> {
        match self {
            Target::Own { broker, .. } => vec![broker.address.clone()],
            Target::Null(null) => vec![null.address()],
            Target::Foreign { .. } => args.brokers.clone(),
        }
    }

    /// Its process, if it runs here and is another than this one.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Target::Own { broker, .. } => Some(broker.pid()),
            Target::Foreign { pid, .. } => *pid,
            Target::Null(_) => None,
        }
    }

    /// What it used so far; `None` if nobody can see it.
    pub(super) fn usage(&self) -> Option<Usage> {
        match self {
            Target::Own { broker, .. } => Some(broker.usage()),
            Target::Foreign { pid, .. } => pid.map(Usage::of),
            Target::Null(_) => None,
        }
    }

    /// What its own clocks say so far; `None` of a broker that is not ours, or does not answer.
    pub(super) fn look(&self) -> Option<Look> {
        let Target::Own { broker, .. } = self else { return None };
        stages::look(broker.admin.as_deref()?).inspect_err(|e| eprintln!("ringlog: {e:#}")).ok()
    }

    /// Watches what it does from now on; `None` of a broker that has no counters of ours.
    pub(super) fn mark(&self) -> Option<Marking> {
        let Target::Own { broker, .. } = self else { return None };
        Marking::start(broker.admin.as_deref()?)
    }

    /// What is known of it.
    pub(super) fn facts(&self, address: &str) -> BrokerFacts {
        let unknown = BrokerFacts::foreign(address);
        match self {
            Target::Own { broker, cores, pool_bytes, .. } => BrokerFacts {
                name: format!("ringlog {}", env!("CARGO_PKG_VERSION")),
                pid: Some(broker.pid()),
                cores: cores.clone(),
                buffers: buffers(broker),
                pool_bytes: *pool_bytes,
                ready_ms: Some(broker.ready.as_secs_f64() * 1e3),
                ..unknown
            },
            Target::Null(null) => {
                let name = "null broker (keeps nothing)".to_string();
                BrokerFacts { name, ..BrokerFacts::foreign(null.address()) }
            }
            Target::Foreign { pid, name, .. } => {
                BrokerFacts { pid: *pid, name: name.clone().unwrap_or(unknown.name), ..unknown }
            }
        }
    }

    /// What an acknowledgement means there, as the topic's effective settings say. Asked before the
    /// topic goes.
    pub(super) fn durability(&self, plan: &Plan, acks: Acks) -> DurabilityMode {
        let flush = || -> Result<(i64, i64), ClientError> {
            let mut client = Client::connect_any(&plan.brokers)?;
            let found = topic_configs(&mut client, &plan.topic, &["flush.messages", "flush.ms"])?;
            let number = |name: &str| found.get(name).and_then(|v| v.parse().ok()).unwrap_or(i64::MAX);
            Ok((number("flush.messages"), number("flush.ms")))
        };
        match self {
            Target::Own { .. } => match flush() {
                Ok((messages, ms)) if messages > 1 && ms != 0 => {
                    DurabilityMode::Relaxed { acks, flush_messages: messages, flush_ms: ms }
                }
                Ok(_) => DurabilityMode::Flushed { acks },
                Err(_) => DurabilityMode::Unknown { acks },
            },
            Target::Foreign { flushes: true, .. } => DurabilityMode::Flushed { acks },
            Target::Null(_) | Target::Foreign { .. } => DurabilityMode::Unknown { acks },
        }
    }

    /// Deletes the topic of a load that is over. A broker that is gone has none.
    pub(super) fn forget(&self, plan: &Plan) -> anyhow::Result<()> {
        let left = || format!("topic {} is left behind", plan.topic);
        match Client::connect_any(&plan.brokers).and_then(|mut client| delete_topic(&mut client, &plan.topic))
        {
            Err(ClientError::Refused { code: ErrorCode::UnknownTopicOrPartition, .. }) => Ok(()),
            // Our own broker's data goes with it.
            Err(e) if matches!(self, Target::Foreign { .. }) => Err(e).with_context(left),
            _ => Ok(()),
        }
    }

    /// Ends it: our broker stops and its data goes.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        match self {
            Target::Own { broker, data, .. } => {
                let stopped = broker.stop();
                drop(data);
                stopped
            }
            Target::Null(_) | Target::Foreign { .. } => Ok(()),
        }
    }
}

/// Every CPU that we may use, as a list.
pub(crate) fn all_cpus() -> String {
    usable_cpus().iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// The CPUs of a list such as `0,2-3`.
pub(crate) fn expand(list: &str) -> Vec<u32> {
    let range = |item: &str| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse::<u32>().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// The memory that a broker of ours has for I/O, as it works it out itself.
fn pool_bytes(sets: &[String], cores: usize) -> Option<u64> {
    let config = Config::load(&Sources { set: sets.to_vec(), ..Sources::default() }).ok()?;
    Some((config.pool_bytes_per_core(cores) * cores) as u64)
}

/// What the broker said of its buffers when it started.
fn buffers(broker: &Broker) -> BufferMode {
    const UNREGISTERED: &str = "too low to register the I/O buffers";
    if broker.said().contains(UNREGISTERED) { BufferMode::Unregistered } else { BufferMode::Registered }
}
