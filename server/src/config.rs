//! Settings: where they come from and which one wins.
//!
//! | origin | spelled | wins over |
//! |---|---|---|
//! | flag | `--listen`, `--data`, `--cores` | all below |
//! | environment | `RINGLOG_SECTION__KEY`; `RINGLOG_KAFKA__NUM_PARTITIONS` is `num.partitions` | `--set`, file |
//! | `--set` | `--set num.partitions=4`, `--set memory.pool_bytes=67108864` | file |
//! | file | TOML: sections of our own, and Kafka's names in `[kafka]` | defaults |
//!
//! Kafka's names are defined in `engine::config`; [`OWN`] defines ours. An unknown name is an error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use engine::config::broker::Origin;
use engine::config::{BrokerSettings, Layer};

/// A setting that is unknown or cannot be: one sentence.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A setting of our own: name, default, what it does.
#[derive(Clone, Copy, Debug)]
pub struct OwnDef {
    /// `section.key`.
    pub name: &'static str,
    /// What it is unless set.
    pub default: &'static str,
    /// For help and documentation.
    pub doc: &'static str,
}

const fn own(name: &'static str, default: &'static str, doc: &'static str) -> OwnDef {
    OwnDef { name, default, doc }
}

/// Every setting that Kafka has no name for.
pub const OWN: &[OwnDef] = &[
    own("server.cores", "all", "CPUs to run on, one executor each: `all`, or a list such as `0,2-3`."),
    own(
        "server.read_only",
        "false",
        "Whether to serve only what is there: the journals are recovered, then appends, deletes, retention and every \
         change of the cluster are refused or left alone. For saving data from a disk that is not trusted any more.",
    ),
    own("server.stop_ms", "10000", "How long a stop waits for requests in flight, ms."),
    own(
        "server.tick_ms",
        "50",
        "How often ages are looked at (flush.ms, segment.ms, producer expiry), ms, 1 to 1000.",
    ),
    own(
        "memory.pool_bytes",
        "0",
        "I/O memory of the whole broker, bytes. 0 is 64 MiB up to two cores and 32 MiB for each further one.",
    ),
    own(
        "net.receive_bytes",
        "0",
        "Memory for requests being received, and about as much for answers not read yet, whole broker, bytes. 0 is 16 MiB \
         up to two cores and 8 MiB for each further one. A core takes one request above its share at a time.",
    ),
    own("net.first_frame_ms", "60000", "How long a new connection may take to send its first request, ms."),
    own("net.frame_ms", "30000", "How long a request may take to arrive, plus a second per MiB, ms."),
    own("net.send_stall_ms", "30000", "How long a client may leave its replies unread, ms."),
    own(
        "net.core_direct",
        "",
        "Name of a listener through which clients see a node for each core, at ports counted up from the listener's, \
         so that they connect to the core that owns a partition; empty is none.",
    ),
    own("journal.file_bytes", "67108864", "Size of a journal file, bytes."),
    own("journal.first_file_bytes", "8388608", "Size of the first journal file of a core, bytes."),
    own("journal.files", "4", "Journal files of a core at most, 2 or more."),
    own("admin.listen", "", "Address of the metrics page (`127.0.0.1:9644`); empty is off."),
];

/// Where settings are read from.
#[derive(Clone, Default, Debug)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// `name=value`, as given to `--set`, in order.
    pub set: Vec<String>,
    /// The environment; names that do not begin with `RINGLOG_` are left alone.
    pub env: Vec<(String, String)>,
    /// Flags of their own, by the setting that they stand for: `listeners`, `log.dirs`, `server.cores`.
    pub flags: Vec<(String, String)>,
}

/// A broker's settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Those that Kafka has a name for.
    pub broker: BrokerSettings,
    /// CPUs, one executor each; empty stands for all that this process may use.
    pub cpus: Vec<usize>,
    /// See [`OWN`], `server.read_only`.
    pub read_only: bool,
    /// See [`OWN`], `server.stop_ms`.
    pub stop: Duration,
    /// See [`OWN`], `server.tick_ms`.
    pub tick: Duration,
    /// See [`OWN`], `memory.pool_bytes`; 0 is the default for the number of cores.
    pub pool_bytes: usize,
    /// See [`OWN`], `net.receive_bytes`; 0 is the default for the number of cores.
    pub receive_bytes: usize,
    /// See [`OWN`], `net.first_frame_ms`.
    pub first_frame: Duration,
    /// See [`OWN`], `net.frame_ms`.
    pub frame: Duration,
    /// See [`OWN`], `net.send_stall_ms`.
    pub send_stall: Duration,
    /// See [`OWN`], `net.core_direct`: the name of one of the listeners, upper-case, or empty.
    pub core_direct: String,
    /// See [`OWN`], `journal.file_bytes`.
    pub journal_bytes: u64,
    /// See [`OWN`], `journal.first_file_bytes`.
    pub journal_bytes_first: u64,
    /// See [`OWN`], `journal.files`.
    pub journal_files: usize,
    /// See [`OWN`], `admin.listen`.
    pub admin: Option<SocketAddr>,
}

impl Default for Config {
    fn default() -> Config {
        Config::load(&Sources::default()).expect("the defaults pass their own checks")
    }
}

const PREFIX: &str = "RINGLOG_";

/// Variables that begin with our prefix and belong to the tool, not to the broker.
const NOT_OURS: &[&str] = &["RINGLOG_LOG", "RINGLOG_BROKERS"];

impl Config {
    /// Reads every source.
    ///
    /// # Errors
    /// The first setting that is unknown or refused.
    pub fn load(sources: &Sources) -> Result<Config, Refused> {
        let mut flat: Vec<(Origin, String, String)> = Vec::new();
        if let Some(path) = &sources.file {
            for (name, value) in read_file(path)? {
                flat.push((Origin::File, name, value));
            }
        }
        for item in &sources.set {
            let (name, value) = item
                .split_once('=')
                .ok_or_else(|| Refused(format!("--set {item:?} has no value: write --set name=value")))?;
            flat.push((Origin::Set, name.trim().to_owned(), value.to_owned()));
        }
        for (name, value) in &sources.env {
            if let Some(rest) = name.strip_prefix(PREFIX)
                && !NOT_OURS.contains(&name.as_str())
            {
                flat.push((Origin::Env, from_env(name, rest)?, value.clone()));
            }
        }
        flat.extend(sources.flags.iter().map(|(n, v)| (Origin::Flag, n.clone(), v.clone())));

        let mut own: BTreeMap<&'static str, String> =
            OWN.iter().map(|d| (d.name, d.default.to_owned())).collect();
        let mut layers: Vec<Layer> = Vec::new();
        for (origin, name, value) in flat {
            if let Some(def) = OWN.iter().find(|d| d.name == name) {
                // Weakest origin first: the last one stays.
                own.insert(def.name, value.trim().to_owned());
                continue;
            }
            let name = name.strip_prefix("kafka.").map_or(name.clone(), str::to_owned);
            refuse_unknown_of_ours(&name)?;
            match layers.last_mut() {
                Some(layer) if layer.origin == origin => drop(layer.values.insert(name, value)),
                _ => layers.push(Layer { origin, values: BTreeMap::from([(name, value)]) }),
            }
        }
        let broker = BrokerSettings::parse(&layers).map_err(|e| Refused(e.to_string()))?;
        Config::resolve(broker, &own)
    }

    fn resolve(broker: BrokerSettings, own: &BTreeMap<&'static str, String>) -> Result<Config, Refused> {
        let number = |name: &str, lo: u64, hi: u64| -> Result<u64, Refused> {
            let value = &own[name];
            value.parse().ok().filter(|n| (lo..=hi).contains(n)).ok_or_else(|| {
                Refused(format!("invalid value {value:?} for {name}: it must be {lo} to {hi}"))
            })
        };
        const MIB: u64 = 1024 * 1024;
        let ms = |name: &str| number(name, 1, 86_400_000).map(Duration::from_millis);
        let admin = match own["admin.listen"].as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                Refused(format!("invalid value {text:?} for admin.listen: write ADDRESS:PORT"))
            })?),
        };
        let journal_bytes = number("journal.file_bytes", MIB, 1 << 40)?;
        Ok(Config {
            broker,
            cpus: parse_cpus(&own["server.cores"])?,
            read_only: match own["server.read_only"].as_str() {
                "true" => true,
                "false" => false,
                text => {
                    let reason = format!("invalid value {text:?} for server.read_only: write true or false");
                    return Err(Refused(reason));
                }
            },
            stop: ms("server.stop_ms")?,
            tick: number("server.tick_ms", 1, 1000).map(Duration::from_millis)?,
            pool_bytes: match number("memory.pool_bytes", 0, 1 << 40)? {
                0 => 0,
                n => n.max(4 * MIB) as usize,
            },
            receive_bytes: match number("net.receive_bytes", 0, 1 << 40)? {
                0 => 0,
                n => n.max(MIB) as usize,
            },
            first_frame: ms("net.first_frame_ms")?,
            frame: ms("net.frame_ms")?,
            send_stall: ms("net.send_stall_ms")?,
            core_direct: own["net.core_direct"].to_ascii_uppercase(),
            journal_bytes,
            journal_bytes_first: number("journal.first_file_bytes", MIB, journal_bytes)?,
            journal_files: number("journal.files", 2, 1024)? as usize,
            admin,
        })
    }

    /// I/O memory of each of `cores` executors, bytes.
    #[must_use]
    pub fn pool_bytes_per_core(&self, cores: usize) -> usize {
        const MIB: usize = 1024 * 1024;
        match self.pool_bytes {
            0 => (64 * MIB / cores).max(32 * MIB),
            total => total / cores,
        }
    }

    /// Memory of each of `cores` executors for requests being received, bytes.
    #[must_use]
    pub fn receive_bytes_per_core(&self, cores: usize) -> usize {
        const MIB: usize = 1024 * 1024;
        match self.receive_bytes {
            0 => (16 * MIB / cores).max(8 * MIB),
            total => total / cores,
        }
    }
}

fn parse_cpus(text: &str) -> Result<Vec<usize>, Refused> {
    const CPUS_MAX: usize = 1024;
    if text == "all" {
        return Ok(Vec::new());
    }
    let bad = || Refused(format!("invalid value {text:?} for server.cores: write all, or 0,2-3"));
    let mut cpus = Vec::new();
    for item in text.split(',') {
        let (lo, hi) = item.split_once('-').unwrap_or((item, item));
        let lo: usize = lo.trim().parse().map_err(|_| bad())?;
        let hi: usize = hi.trim().parse().map_err(|_| bad())?;
        if lo > hi || hi >= CPUS_MAX {
            return Err(bad());
        }
        for cpu in lo..=hi {
            if cpus.contains(&cpu) {
                return Err(bad());
            }
            cpus.push(cpu);
        }
    }
    Ok(cpus)
}

/// `MEMORY__POOL_BYTES` is `memory.pool_bytes`; in Kafka's section underscores are its dots.
fn from_env(whole: &str, rest: &str) -> Result<String, Refused> {
    let Some((section, key)) = rest.split_once("__") else {
        return Err(Refused(format!("unknown variable {whole}: write RINGLOG_SECTION__KEY")));
    };
    let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
    Ok(if section == "kafka" { key.replace('_', ".") } else { format!("{section}.{key}") })
}

fn refuse_unknown_of_ours(name: &str) -> Result<(), Refused> {
    let section = |n: &str| n.split_once('.').map(|(s, _)| s.to_owned());
    let wanted = section(name);
    let near: Vec<&str> = OWN.iter().map(|d| d.name).filter(|n| section(n) == wanted).collect();
    if near.is_empty() {
        return Ok(());
    }
    Err(Refused(format!("unknown setting {name}; did you mean one of {}?", near.join(", "))))
}

fn read_file(path: &std::path::Path) -> Result<Vec<(String, String)>, Refused> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Refused(format!("the configuration file {shown} cannot be read: {e}")))?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        Refused(format!("the configuration file {shown} is not TOML: {}", e.message()))
    })?;
    let mut out = Vec::new();
    for (section, value) in table {
        let toml::Value::Table(keys) = value else {
            return Err(Refused(format!(
                "{section} in {shown} stands outside a section: Kafka's settings belong under [kafka]"
            )));
        };
        flatten(&section, keys, &mut out)?;
    }
    Ok(out)
}

fn flatten(prefix: &str, table: toml::Table, out: &mut Vec<(String, String)>) -> Result<(), Refused> {
    for (key, value) in table {
        let name = format!("{prefix}.{key}");
        let scalar = |v: &toml::Value| match v {
            toml::Value::String(s) => Some(s.clone()),
            toml::Value::Integer(n) => Some(n.to_string()),
            toml::Value::Float(n) => Some(n.to_string()),
            toml::Value::Boolean(b) => Some(b.to_string()),
            _ => None,
        };
        match value {
            // Kafka's names have dots, which TOML reads as tables unless they are quoted.
            toml::Value::Table(inner) => flatten(&name, inner, out)?,
            toml::Value::Array(items) => {
                let items: Option<Vec<String>> = items.iter().map(scalar).collect();
                let items = items.ok_or_else(|| Refused(format!("{name} must be a list of words")))?;
                out.push((name, items.join(",")));
            }
            other => {
                let text = scalar(&other).ok_or_else(|| Refused(format!("{name} cannot be a date")))?;
                out.push((name, text));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        file: &str,
        set: &[&str],
        env: &[(&str, &str)],
        flags: &[(&str, &str)],
    ) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ringlog.toml");
        std::fs::write(&path, file).unwrap();
        let pair = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        Config::load(&Sources {
            file: Some(path),
            set: set.iter().map(|s| (*s).to_owned()).collect(),
            env: env.iter().map(pair).collect(),
            flags: flags.iter().map(pair).collect(),
        })
        .map_err(|e| e.to_string())
    }

    #[test]
    fn flag_beats_environment_beats_set_beats_file() {
        let file = "[kafka]\nnum.partitions = 2\n\"node.id\" = 2\nauto.create.topics.enable = false\n[journal]\nfiles = 5\n";
        let set = ["num.partitions=3", "node.id=3", "log.dirs=set", "journal.files=6"];
        let env = [("RINGLOG_KAFKA__NODE_ID", "4"), ("RINGLOG_KAFKA__LOG_DIRS", "env"), ("HOME", "/")];
        let config = load(file, &set, &env, &[("log.dirs", "flag")]).unwrap();
        assert!(!config.broker.auto_create_topics);
        assert_eq!(config.broker.num_partitions, 3);
        assert_eq!(config.broker.node_id.0, 4);
        assert_eq!(config.broker.data_dir, "flag");
        assert_eq!(config.journal_files, 6);
    }

    #[test]
    fn an_unknown_name_is_refused_with_a_suggestion() {
        let error = load("[kafka]\nnum.partition = 2\n", &[], &[], &[]).unwrap_err();
        assert!(error.contains("num.partitions"), "{error}");
        let error = load("[memory]\npool = 2\n", &[], &[], &[]).unwrap_err();
        assert!(error.contains("memory.pool_bytes"), "{error}");
        let error = load("num_partitions = 2\n", &[], &[], &[]).unwrap_err();
        assert!(error.contains("[kafka]"), "{error}");
        assert!(load("", &[], &[("RINGLOG_NODE_ID", "1")], &[]).is_err());
    }

    #[test]
    fn cores_are_a_list_of_numbers_and_ranges() {
        let cpus = |text: &str| load("", &[], &[], &[("server.cores", text)]).map(|c| c.cpus);
        assert_eq!(cpus("0,2-4").unwrap(), [0, 2, 3, 4]);
        assert_eq!(cpus("all").unwrap(), [0usize; 0]);
        for bad in ["", "a", "3-1", "1,1", "99999"] {
            assert!(cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_is_64_mib_up_to_two_cores_and_32_for_each_further_one() {
        let config = Config::default();
        let mib = |cores| config.pool_bytes_per_core(cores) * cores / (1024 * 1024);
        assert_eq!([mib(1), mib(2), mib(4)], [64, 64, 128]);
    }
}
