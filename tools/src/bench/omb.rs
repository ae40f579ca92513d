//! Workload and driver files of the OpenMessaging Benchmark, taken as they are.
//!
//! What can be honoured becomes knobs. What cannot is refused in one sentence, or, where no figure depends on it, noted.
//! OMB's own example files are the measure: they are accepted unchanged.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use engine::record::Codec;
use serde::Deserialize;

use super::knobs::Knobs;
use super::properties;
use super::quantity::{Bytes, CodecWord, Share, SizeRange, Span};
use super::workload::nearest;
use crate::load::plan::{KeySpread, Mode, StartAt};

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Keys that OMB's key distributors choose from.
const KEYS: u64 = 10_000;

/// A rate from which on OMB's workloads mean *as fast as possible*: `max-rate-*.yaml` say 10,000,000.
const UNTHROTTLED: f64 = 10_000_000.0;

/// What an OMB workload and driver ask for.
#[derive(Clone, Debug, Default)]
pub struct Omb {
    /// The load.
    pub knobs: Knobs,
    /// `producerRate: 0`: the highest sustainable rate is to be found.
    pub search: bool,
    /// What was read otherwise than written, a sentence each.
    pub notes: Vec<String>,
}

/// A workload file, with OMB's names and defaults.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
struct Workload {
    name: Option<String>,
    topics: u32,
    partitions_per_topic: u32,
    #[serde(default)]
    key_distributor: KeyDistributor,
    message_size: u64,
    #[serde(default)]
    use_randomized_payloads: bool,
    #[serde(default)]
    random_bytes_ratio: f64,
    payload_file: Option<PathBuf>,
    subscriptions_per_topic: u32,
    producers_per_topic: u32,
    consumer_per_subscription: u32,
    producer_rate: f64,
    #[serde(default, rename = "consumerBacklogSizeGB")]
    consumer_backlog_size_gb: u64,
    backlog_drain_ratio: Option<f64>,
    test_duration_minutes: u64,
    #[serde(default = "one")]
    warmup_duration_minutes: u64,
}

/// Every key of a workload file; of these we need no more than to know them.
const WORKLOAD_KEYS: [&str; 19] = [
    "name",
    "topics",
    "partitionsPerTopic",
    "keyDistributor",
    "messageSize",
    "useRandomizedPayloads",
    "randomBytesRatio",
    "randomizedPayloadPoolSize",
    "payloadFile",
    "subscriptionsPerTopic",
    "producersPerTopic",
    "consumerPerSubscription",
    "producerRate",
    "consumerBacklogSizeGB",
    "backlogDrainRatio",
    "testDurationMinutes",
    "warmupDurationMinutes",
    "logIntervalMillis",
    "topicSuffix",
];

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum KeyDistributor {
    #[default]
    NoKey,
    KeyRoundRobin,
    RandomNano,
}

/// A driver file of OMB's Kafka driver.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct Driver {
    driver_class: String,
    replication_factor: Option<i16>,
    topic_config: String,
    common_config: String,
    producer_config: String,
    consumer_config: String,
}

const DRIVER_KEYS: [&str; 10] = [
    "name",
    "driverClass",
    "replicationFactor",
    "reset",
    "topicConfig",
    "commonConfig",
    "producerConfig",
    "consumerConfig",
    "zoneAwareWorkers",
    "configTopics",
];

fn one() -> u64 {
    1
}

/// Whether a path is a file of OMB's rather than one of ours.
#[must_use]
pub fn is_omb(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml")
}

/// Reads a workload and, if there is one, a driver. `own` says that they meet a broker of our own, a single one.
///
/// # Errors
/// The first thing in them that cannot be honoured.
pub fn read(workload: &Path, driver: Option<&Path>, own: bool) -> anyhow::Result<Omb> {
    let place = |path: &Path| path.display().to_string();
    let text = text(workload)?;
    let mut omb = Omb::default();
    let parsed: Workload = parse(&text, &WORKLOAD_KEYS).with_context(|| place(workload))?;
    omb.take_workload(&parsed, workload).with_context(|| place(workload))?;
    if let Some(path) = driver {
        let parsed: Driver = parse(&self::text(path)?, &DRIVER_KEYS).with_context(|| place(path))?;
        omb.take_driver(&parsed, own).with_context(|| place(path))?;
    }
    let compressed = omb.knobs.compression.is_some_and(|codec| codec.0 != Codec::None);
    if compressed && parsed.payload_file.is_some() && omb.knobs.payload_file.is_none() {
        bail!(
            "{}: the payload file is not there, and how far it compresses decides the figures",
            place(workload)
        );
    }
    Ok(omb)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let length = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if length > FILE_BYTES_MAX {
        bail!("{} has {length} bytes; a file of OMB's has at most {FILE_BYTES_MAX}", path.display());
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads YAML whose keys are all among `keys`.
fn parse<T: serde::de::DeserializeOwned>(text: &str, keys: &[&str]) -> anyhow::Result<T> {
    let value: serde_json::Value = serde_saphyr::from_str(text)?;
    let fields = value.as_object().context("it is not a list of keys and values")?;
    if let Some(key) = fields.keys().find(|key| !keys.contains(&key.as_str())) {
        match nearest(key, keys.iter().copied()) {
            Some(near) => bail!("unknown key {key}; did you mean {near}?"),
            None => bail!("OMB has no key {key}"),
        }
    }
    Ok(serde_json::from_value(value)?)
}

impl Omb {
    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn take_workload(&mut self, w: &Workload, path: &Path) -> anyhow::Result<()> {
        if w.producers_per_topic == 0 || w.topics == 0 || w.partitions_per_topic == 0 {
            bail!("a load needs at least one topic, partition and producer");
        }
        let minutes = |n: u64| Some(Span(Duration::from_secs(n.saturating_mul(60))));
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let all = |n: u32| (n as usize).saturating_mul(w.topics as usize);
        let groups = w.subscriptions_per_topic as usize;
        let reads = groups > 0 && w.consumer_per_subscription > 0;
        self.knobs = Knobs {
            name: w.name.clone().or(stem),
            mode: Some(if reads { Mode::Both } else { Mode::Produce }),
            partitions: Some(all(w.partitions_per_topic)),
            producers: Some(all(w.producers_per_topic)),
            consumers: reads.then(|| all(w.consumer_per_subscription)),
            groups: reads.then_some(groups),
            record_size: Some(SizeRange { min: w.message_size, max: w.message_size }),
            duration: minutes(w.test_duration_minutes),
            warmup: minutes(w.warmup_duration_minutes),
            ..Knobs::default()
        };
        if w.topics > 1 {
            self.note(format!(
                "{} topics of {} partitions are loaded as one topic of {}",
                w.topics,
                w.partitions_per_topic,
                all(w.partitions_per_topic)
            ));
        }
        self.take_rate(w);
        self.take_payload(w, path);
        if w.consumer_backlog_size_gb > 0 {
            if !reads {
                bail!("consumerBacklogSizeGB without consumers: nobody would drain it");
            }
            // OMB's GB are 2^30.
            self.knobs.preload = Some(Bytes(w.consumer_backlog_size_gb.saturating_mul(1 << 30)));
            self.knobs.start_at = Some(StartAt::Start);
            self.note("the backlog is written as fast as possible before the load, not at its rate beside paused consumers");
            if w.backlog_drain_ratio.is_some_and(|ratio| ratio < 1.0) {
                self.note(
                    "backlogDrainRatio is left aside: the load lasts testDurationMinutes, drained or not",
                );
            }
        }
        Ok(())
    }

    fn take_rate(&mut self, w: &Workload) {
        let unthrottled = w.producer_rate >= UNTHROTTLED;
        if unthrottled {
            self.knobs.depth = Some(5);
            self.note(format!("producerRate {} means as fast as possible: a closed loop", w.producer_rate));
        } else if w.producer_rate == 0.0 {
            self.search = true;
        } else {
            self.knobs.rate = Some(w.producer_rate);
        }
        match w.key_distributor {
            KeyDistributor::NoKey => {}
            KeyDistributor::RandomNano => self.knobs.keys = Some(KEYS),
            KeyDistributor::KeyRoundRobin => {
                self.knobs.keys = Some(KEYS);
                if unthrottled {
                    self.note("a closed loop fills partitions in turn and draws each one's keys at random");
                } else {
                    self.knobs.key_spread = Some(KeySpread::RoundRobin);
                }
            }
        }
    }

    fn take_payload(&mut self, w: &Workload, path: &Path) {
        if w.use_randomized_payloads {
            self.knobs.random_share = Some(Share(w.random_bytes_ratio.clamp(0.0, 1.0)));
        } else if let Some(file) = &w.payload_file {
            // OMB runs above `workloads/`, beside which `payload/` lies.
            let folders = path.ancestors().skip(1).take(3).chain([Path::new("")]);
            match folders.map(|folder| folder.join(file)).find(|path| path.is_file()) {
                Some(found) => self.knobs.payload_file = Some(found.to_string_lossy().into_owned()),
                None => self.note(format!("payload file {} is not there: random bytes", file.display())),
            }
        }
    }

    fn take_driver(&mut self, d: &Driver, own: bool) -> anyhow::Result<()> {
        if !d.driver_class.ends_with(".KafkaBenchmarkDriver") {
            bail!(
                "driverClass {} is not OMB's Kafka driver; only that protocol is spoken here",
                d.driver_class
            );
        }
        match d.replication_factor {
            Some(n) if own && n > 1 => {
                self.note(format!("replicationFactor {n} needs {n} brokers and ours is one: 1"))
            }
            n => self.knobs.replication_factor = n,
        }
        for (name, value) in properties::read(&d.topic_config) {
            if own && name == "min.insync.replicas" {
                self.note(format!("min.insync.replicas={value} needs more brokers than our one: left out"));
            } else {
                self.knobs.topic_config.push(super::quantity::Pair { name, value });
            }
        }
        let mut aside = Vec::new();
        for (text, role) in [
            (&d.common_config, properties::Role::Common),
            (&d.producer_config, properties::Role::Producer),
            (&d.consumer_config, properties::Role::Consumer),
        ] {
            for (name, value) in properties::read(text) {
                if !properties::take(&mut self.knobs, role, &name, &value)? {
                    aside.push(format!("{name}={value}"));
                }
            }
        }
        if !aside.is_empty() {
            self.note(format!("left aside, as they are about another client or place: {}", aside.join(" ")));
        }
        if self.knobs.compression.is_some_and(|CodecWord(codec)| codec == Codec::None) {
            self.knobs.compression = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::settle::settle;
    use crate::load::plan::{Acks, Pace, Plan};

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/omb").join(name)
    }

    fn plan(omb: &Omb) -> Plan {
        let plan = settle(&Knobs::default(), &omb.knobs, String::new()).plan;
        assert_eq!(plan.check(), Ok(()));
        plan
    }

    #[test]
    fn a_backlog_and_a_driver_are_taken_as_they_are() {
        let driver = file("driver-kafka/kafka-latency.yaml");
        let omb = read(&file("workloads/backlog.yaml"), Some(&driver), true).expect("OMB's files");
        let p = plan(&omb);
        assert!(matches!(p.pace, Pace::Open { records_per_s: 50_000.0, .. }), "{:?}", p.pace);
        assert_eq!((p.partitions, p.producers, p.consumers, p.groups), (16, 1, 1, 2));
        assert_eq!((p.preload_bytes, p.start_at), (100 << 30, StartAt::Start));
        assert_eq!((p.keys, p.key_spread), (10_000, KeySpread::RoundRobin));
        assert_eq!((p.acks, p.codec, p.batch_bytes, p.depth), (Acks::All, Codec::Lz4, 131_072, 3));
        assert_eq!((p.linger, p.warm_up), (Duration::from_millis(1), Duration::from_secs(60)));
        assert_eq!((p.fetch_bytes, p.replication, p.duration.as_secs()), (10_485_760, -1, 300));
        let configs: Vec<String> = p.topic_configs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(configs, ["flush.messages=1", "flush.ms=0"]);
        assert!(omb.knobs.payload_file.is_some_and(|file| file.ends_with("payload-1Kb.data")));
        let notes = omb.notes.join("\n");
        for said in ["replicationFactor 3", "min.insync.replicas=2", "bootstrap.servers", "auto.offset.reset"]
        {
            assert!(notes.contains(said), "{said} in {notes}");
        }
        let foreign = read(&file("workloads/backlog.yaml"), Some(&driver), false).expect("OMB's files");
        assert_eq!(foreign.knobs.replication_factor, Some(3));
        assert!(foreign.knobs.topic_config.iter().any(|pair| pair.name == "min.insync.replicas"));
    }

    #[test]
    fn as_fast_as_possible_is_a_closed_loop_and_many_topics_are_one() {
        let omb = read(&file("workloads/max-rate.yaml"), None, true).expect("OMB's file");
        let p = plan(&omb);
        assert_eq!((p.pace, p.partitions, p.producers, p.consumers), (Pace::Closed, 10, 10, 10));
        assert_eq!(omb.knobs.random_share, Some(Share(0.5)));
        assert_eq!(omb.notes.len(), 2, "{:?}", omb.notes);
        assert!(read(&file("workloads/search.yaml"), None, true).expect("OMB's file").search);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_in_one_sentence() {
        let dir = tempfile::tempdir().expect("a directory");
        let (workload, driver) = (dir.path().join("w.yaml"), dir.path().join("d.yaml"));
        let base = std::fs::read_to_string(file("workloads/search.yaml")).expect("a file");
        let kafka = "driverClass: io.openmessaging.benchmark.driver.kafka.KafkaBenchmarkDriver\n";
        let refused = |more: &str, of_driver: &str| {
            std::fs::write(&workload, format!("{base}{more}")).expect("written");
            std::fs::write(&driver, of_driver).expect("written");
            let error = read(&workload, Some(&driver), true).expect_err("it cannot be honoured");
            let text = format!("{error:#}");
            assert!(!text.contains('\n'), "{text}");
            text
        };
        assert!(refused("partitonsPerTopic: 3\n", kafka).contains("did you mean partitionsPerTopic?"));
        assert!(refused("", "driverClass: io.x.PulsarBenchmarkDriver\n").contains("PulsarBenchmarkDriver"));
        let producer = |setting: &str| refused("", &format!("{kafka}producerConfig: |\n  {setting}\n"));
        assert!(producer("transactional.id=a").contains("no transactions"));
        assert!(producer("security.protocol=SASL_SSL").contains("plain text"));
        assert!(producer("acks=two").contains("acks=two"));
    }
}
