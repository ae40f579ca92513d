//! A broker's settings: command line over environment over `--set` over file over defaults, and
//! above them what was altered while brokers ran.

use std::collections::BTreeMap;
use std::time::Duration;

use super::alter::{self, AlterOp};
use super::cleaner::CleanerSettings;
use super::def::{self, ConfigError, Def, list_items};
use super::describe::{Described, DescribedSynonym};
use super::group::{Assignor, ConsumerGroupSettings, GroupSettings, Migration};
use super::listener::{self, Listener};
use super::topic::{self, TopicSettings};
use crate::base::NodeId;

pub use super::broker_defs::DEFS;

/// Where a broker's value comes from; later ones win.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File,
    /// `--set name=value`.
    Set,
    /// The environment.
    Env,
    /// A flag of its own on the command line.
    Flag,
    /// Altered for all brokers while they ran.
    DynamicDefault,
    /// Altered for this broker while it ran.
    DynamicBroker,
}

/// A value and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// The value, checked.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

/// The settings of one origin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer {
    /// Who set them.
    pub origin: Origin,
    /// Kafka's names and the values.
    pub values: BTreeMap<String, String>,
}

/// A broker's settings, resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerSettings {
    /// Every value that was set, strongest origin first.
    given: BTreeMap<&'static str, Vec<Given>>,
    /// `node.id`.
    pub node_id: NodeId,
    /// `listeners`: at least one, names differ.
    pub listeners: Vec<Listener>,
    /// One for each listener, in their order; a port may be 0 where the listener's is. See
    /// [`BrokerSettings::advertise`].
    pub advertised: Vec<Listener>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `log.dirs`: the data directory.
    pub data_dir: String,
    /// `num.partitions`, at least 1.
    pub num_partitions: i32,
    /// `default.replication.factor`, at least 1.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `socket.request.max.bytes`.
    pub socket_request_bytes_max: u32,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: u32,
    /// `connections.max.idle.ms`; `None` never closes.
    pub connections_idle_ms_max: Option<u64>,
    /// `max.connections`.
    pub connections_max: u32,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: u32,
    /// `max.incremental.fetch.session.cache.slots`, for all cores together.
    pub fetch_session_slots: u32,
    /// `log.scrub.io.max.bytes.per.second`: of the whole broker; 0 is no scrub.
    pub scrub_bytes_per_second: u64,
    /// `log.scrub.interval.ms`.
    pub scrub_interval_ms: u64,
    /// `log.retention.check.interval.ms`, at least 1.
    pub retention_check_interval_ms: u64,
    /// `producer.id.expiration.ms`, at least 1.
    pub producer_id_expiration_ms: u64,
    /// `ringlog.disk.floor.bytes`: `None` follows the size of the file system.
    pub disk_floor_bytes: Option<u64>,
    /// `ringlog.disk.ballast.bytes`.
    pub disk_ballast_bytes: u64,
    /// Settings of log compaction, for all cores together.
    pub cleaner: CleanerSettings,
    /// Settings of consumer groups.
    pub groups: GroupSettings,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        BrokerSettings::parse(&[]).expect("the defaults pass their own checks")
    }
}

impl BrokerSettings {
    /// Resolves what was set at start.
    ///
    /// # Errors
    /// The first setting that is unknown or refused, a topic default that no topic could have
    /// included.
    pub fn parse(layers: &[Layer]) -> Result<BrokerSettings, ConfigError> {
        let mut given: BTreeMap<&'static str, Vec<Given>> = BTreeMap::new();
        for layer in layers {
            for (name, value) in &layer.values {
                let def = def::find(DEFS, name, value)?;
                let value = value.trim().to_owned();
                def.check(&value)?;
                given.entry(def.name).or_default().push(Given { value, origin: layer.origin });
            }
        }
        BrokerSettings::resolve(given)
    }

    /// These settings with others above them that were altered while brokers ran: for all
    /// brokers, and for this one.
    ///
    /// # Errors
    /// As [`BrokerSettings::parse`].
    pub fn with_dynamic(
        &self,
        all: &BTreeMap<String, String>,
        this: &BTreeMap<String, String>,
    ) -> Result<BrokerSettings, ConfigError> {
        let mut given = self.given.clone();
        for list in given.values_mut() {
            list.retain(|g| g.origin < Origin::DynamicDefault);
        }
        for (origin, values) in [(Origin::DynamicDefault, all), (Origin::DynamicBroker, this)] {
            for (name, value) in values {
                let def = def::find(DEFS, name, value)?;
                def.check(value)?;
                given.entry(def.name).or_default().push(Given { value: value.clone(), origin });
            }
        }
        given.retain(|_, list| !list.is_empty());
        BrokerSettings::resolve(given)
    }

    /// As [`BrokerSettings::with_dynamic`], of settings that were stored by other rules: each that does not
    /// pass any more, by itself or beside those that do, is passed over and told.
    #[must_use]
    pub fn with_stored(
        &self,
        all: &BTreeMap<String, String>,
        this: &BTreeMap<String, String>,
    ) -> (BrokerSettings, Vec<ConfigError>) {
        if let Ok(settings) = self.with_dynamic(all, this) {
            return (settings, Vec::new());
        }
        let mut held = [BTreeMap::new(), BTreeMap::new()];
        let mut settings = self.clone();
        let mut left: Vec<(usize, &String, &String)> = [all, this]
            .into_iter()
            .enumerate()
            .flat_map(|(i, m)| m.iter().map(move |(n, v)| (i, n, v)))
            .collect();
        // One may need another that comes later, as a value does its new maximum.
        loop {
            let (before, mut ignored) = (left.len(), Vec::new());
            left.retain(|&(level, name, value)| {
                held[level].insert(name.clone(), value.clone());
                match self.with_dynamic(&held[0], &held[1]) {
                    Ok(better) => {
                        settings = better;
                        false
                    }
                    Err(error) => {
                        held[level].remove(name);
                        ignored.push(error);
                        true
                    }
                }
            });
            if left.len() == before {
                return (settings, ignored);
            }
        }
    }

    /// Applies alterations to the dynamic settings of one level (all brokers, or this one): that
    /// level's new overrides, checked.
    ///
    /// # Errors
    /// The first alteration that is refused; nothing is changed then.
    pub fn alter(
        &self,
        overrides: &BTreeMap<String, String>,
        ops: &[(String, AlterOp)],
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        let current = |def: &'static Def| self.given(def.name).map_or_else(String::new, |g| g.value.clone());
        let find = |name: &str, value: &str| def::find(DEFS, name, value);
        let altered = alter::apply(overrides, ops, find, &current)?;
        self.with_dynamic(&BTreeMap::new(), &altered)?;
        Ok(altered)
    }

    /// The value in force under Kafka's name and where it comes from; `None` where it is null.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<Given> {
        if let Some(given) = self.given.get(name).and_then(|list| list.first()) {
            return Some(given.clone());
        }
        let def = DEFS.iter().find(|d| d.name == name)?;
        def.default.map(|value| Given { value: value.to_owned(), origin: Origin::Default })
    }

    /// What a topic without overrides has.
    #[must_use]
    pub fn topic_defaults(&self) -> TopicSettings {
        topic::parse(&BTreeMap::new(), self).expect("checked when these settings were resolved")
    }

    /// Every setting with its value and where that comes from, by name.
    #[must_use]
    pub fn describe(&self) -> Vec<Described> {
        DEFS.iter()
            .map(|def| {
                let default =
                    def.default.map(|value| Given { value: value.to_owned(), origin: Origin::Default });
                let set = self.given.get(def.name).into_iter().flatten().cloned();
                let synonyms: Vec<DescribedSynonym> = set
                    .chain(default)
                    .map(|g| DescribedSynonym {
                        name: def.name,
                        value: Some(g.value),
                        source: g.origin.into(),
                    })
                    .collect();
                let given = self.given(def.name);
                let source = given.as_ref().map_or(Origin::Default, |g| g.origin).into();
                Described::of(def, given.map(|g| g.value), source, !def.dynamic, synonyms)
            })
            .collect()
    }

    /// What clients are told, once the listeners' ports are known: `bound` holds the port of each
    /// listener, in order.
    ///
    /// # Panics
    /// If there are not as many ports as listeners.
    #[must_use]
    pub fn advertise(&self, bound: &[u16]) -> Vec<Listener> {
        assert_eq!(bound.len(), self.advertised.len(), "one port for each listener");
        let with_port = |(listener, &port): (&Listener, &u16)| match listener.port {
            0 => Listener { port, ..listener.clone() },
            _ => listener.clone(),
        };
        self.advertised.iter().zip(bound).map(with_port).collect()
    }

    fn resolve(mut given: BTreeMap<&'static str, Vec<Given>>) -> Result<BrokerSettings, ConfigError> {
        for list in given.values_mut() {
            // Stable, so that of two layers with one origin the later wins.
            list.reverse();
            list.sort_by_key(|g| std::cmp::Reverse(g.origin));
        }
        let text = |name: &str| -> Option<&str> {
            let set = given.get(name).and_then(|list| list.first()).map(|g| g.value.as_str());
            set.or_else(|| DEFS.iter().find(|d| d.name == name).expect("a name of our own table").default)
        };
        let long = |name: &str| -> i64 {
            text(name).and_then(|v| v.parse().ok()).expect("checked by its definition")
        };
        let double = |name: &str| -> f64 {
            text(name).and_then(|v| v.parse().ok()).expect("checked by its definition")
        };
        let int = |name: &str| u32::try_from(long(name)).expect("checked by its definition");
        let ms =
            |name: &str| Duration::from_millis(u64::try_from(long(name)).expect("checked by its definition"));
        let bool = |name: &str| text(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));

        let listeners = listener::parse_listeners(text("listeners").unwrap_or_default())?;
        let map = text("listener.security.protocol.map").unwrap_or_default();
        listener::check_protocols(&listeners, map)?;
        let advertised = listener::parse_advertised(text("advertised.listeners"), &listeners)?;
        for (name, min, max) in [
            (
                "group.consumer.session.timeout.ms",
                "group.consumer.min.session.timeout.ms",
                "group.consumer.max.session.timeout.ms",
            ),
            (
                "group.consumer.heartbeat.interval.ms",
                "group.consumer.min.heartbeat.interval.ms",
                "group.consumer.max.heartbeat.interval.ms",
            ),
        ] {
            let value = long(name);
            if !(long(min)..=long(max)).contains(&value) {
                let reason = format!("it must lie between {min} and {max}");
                return Err(ConfigError::new(name, &value.to_string(), reason));
            }
        }
        let heartbeat = "group.consumer.heartbeat.interval.ms";
        if long(heartbeat) >= long("group.consumer.session.timeout.ms") {
            let reason = "it must be less than group.consumer.session.timeout.ms";
            return Err(ConfigError::new(heartbeat, &long(heartbeat).to_string(), reason));
        }
        let settings = BrokerSettings {
            node_id: NodeId(int("node.id") as i32),
            listeners,
            advertised,
            rack: text("broker.rack").filter(|r| !r.is_empty()).map(str::to_owned),
            data_dir: text("log.dirs").unwrap_or_default().to_owned(),
            num_partitions: int("num.partitions") as i32,
            default_replication_factor: long("default.replication.factor") as i16,
            auto_create_topics: bool("auto.create.topics.enable"),
            delete_topics: bool("delete.topic.enable"),
            socket_request_bytes_max: int("socket.request.max.bytes"),
            fetch_bytes_max: int("fetch.max.bytes"),
            connections_idle_ms_max: u64::try_from(long("connections.max.idle.ms")).ok(),
            connections_max: int("max.connections"),
            connections_per_ip_max: int("max.connections.per.ip"),
            fetch_session_slots: int("max.incremental.fetch.session.cache.slots"),
            scrub_bytes_per_second: long("log.scrub.io.max.bytes.per.second") as u64,
            scrub_interval_ms: long("log.scrub.interval.ms") as u64,
            retention_check_interval_ms: long("log.retention.check.interval.ms") as u64,
            producer_id_expiration_ms: int("producer.id.expiration.ms").into(),
            disk_floor_bytes: u64::try_from(long("ringlog.disk.floor.bytes")).ok(),
            disk_ballast_bytes: long("ringlog.disk.ballast.bytes") as u64,
            cleaner: CleanerSettings {
                enabled: bool("log.cleaner.enable"),
                dedupe_bytes: long("log.cleaner.dedupe.buffer.size") as u64,
                load_ppm: (double("log.cleaner.io.buffer.load.factor") * 1e6) as u32,
                // Above what a u64 holds this is u64::MAX, which is no limit.
                io_bytes_per_second: double("log.cleaner.io.max.bytes.per.second") as u64,
                backoff: ms("log.cleaner.backoff.ms"),
            },
            groups: GroupSettings {
                initial_rebalance_delay: ms("group.initial.rebalance.delay.ms"),
                session_timeout_min: ms("group.min.session.timeout.ms"),
                session_timeout_max: ms("group.max.session.timeout.ms"),
                members_max: int("group.max.size") as usize,
                offsets_retention: Duration::from_secs(u64::from(int("offsets.retention.minutes")) * 60),
                metadata_bytes_max: int("offset.metadata.max.bytes") as usize,
                offsets_partitions: int("offsets.topic.num.partitions") as i32,
                offsets_replication: long("offsets.topic.replication.factor") as i16,
                offsets_segment_bytes: int("offsets.topic.segment.bytes") as i32,
                retention_check_interval: ms("offsets.retention.check.interval.ms"),
                consumer: ConsumerGroupSettings {
                    session: ms("group.consumer.session.timeout.ms"),
                    session_bounds: (
                        ms("group.consumer.min.session.timeout.ms"),
                        ms("group.consumer.max.session.timeout.ms"),
                    ),
                    heartbeat: ms("group.consumer.heartbeat.interval.ms"),
                    heartbeat_bounds: (
                        ms("group.consumer.min.heartbeat.interval.ms"),
                        ms("group.consumer.max.heartbeat.interval.ms"),
                    ),
                    members_max: int("group.consumer.max.size") as usize,
                    assignors: list_items(text("group.consumer.assignors").unwrap_or_default())
                        .filter_map(Assignor::named)
                        .collect(),
                    migration: Migration::named(text("group.consumer.migration.policy").unwrap_or_default()),
                    overrides: BTreeMap::new(),
                },
            },
            given,
        };
        topic::parse(&BTreeMap::new(), &settings)?;
        Ok(settings)
    }
}
