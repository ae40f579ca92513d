//! Who may import whom: the import table of the design as data, and its check.

use crate::source::Source;

/// A place in the house and the top-level modules of its own crate that it may name.
struct Row {
    module: &'static str,
    may_import: &'static [&'static str],
}

const fn row(module: &'static str, may_import: &'static [&'static str]) -> Row {
    Row { module, may_import }
}

/// `engine/src`, layer by layer; members of one layer never name each other unless a row says so.
const ENGINE: &[Row] = &[
    // 0
    row("base", &[]),
    row("io", &["base"]),
    // 1
    row("record", &["base", "io"]),
    row("config", &["base", "io", "record"]),
    row("metadata", &["base", "io", "record", "config"]),
    // 2
    row("log", &["base", "io", "record", "config", "metadata"]),
    row("journal", &["base", "io", "record", "config", "metadata"]),
    // 3
    row("replica", &["base", "io", "record", "config", "metadata", "log", "journal"]),
    row("quorum", &["base", "io", "record", "config", "metadata", "log", "journal"]),
    row("purgatory", &["base", "io", "record", "config", "metadata", "log", "journal"]),
    row("fetch", &["base", "io", "record", "config", "metadata", "log", "journal"]),
    // 4
    row("coordinator", &["base", "io", "record", "config", "metadata"]),
    row("group", &["base", "io", "record", "config", "metadata", "coordinator"]),
    row("txn", &["base", "io", "record", "config", "metadata", "coordinator"]),
    row("controller", &["base", "io", "record", "config", "metadata"]),
    row("security", &["base", "io", "record", "config", "metadata"]),
    row("quota", &["base", "io", "record", "config", "metadata"]),
    // 5
    row(
        "broker",
        &[
            "base",
            "io",
            "record",
            "config",
            "metadata",
            "log",
            "journal",
            "replica",
            "quorum",
            "purgatory",
            "fetch",
            "coordinator",
            "group",
            "txn",
            "controller",
            "security",
            "quota",
        ],
    ),
];

/// `server/src`: `net` knows frames and not Kafka, the doors know `shard`, only `start` joins them.
const SERVER: &[Row] = &[
    row("limits", &[]),
    row("config", &["limits"]),
    row("runtime", &["limits", "config"]),
    row("net", &["limits", "config", "runtime"]),
    row("shard", &["limits", "config", "runtime"]),
    row("kafka", &["limits", "config", "runtime", "shard"]),
    row("peer", &["limits", "config", "runtime", "shard"]),
    row("remote", &["limits", "config", "runtime", "shard"]),
    row("admin", &["limits", "config", "runtime", "shard"]),
    row("start", &["limits", "config", "runtime", "net", "shard", "kafka", "peer", "remote", "admin"]),
];

/// A piece of the house and the pieces of one other crate of ours that it may name.
struct Outward {
    /// Paths that begin so are meant.
    under: &'static str,
    crate_name: &'static str,
    may_name: &'static [&'static str],
}

const OUTWARD: &[Outward] = &[
    Outward {
        under: "engine/store/src/",
        crate_name: "engine",
        may_name: &["base", "io", "record", "log", "journal"],
    },
    Outward { under: "tools/src/load/", crate_name: "engine", may_name: &["base", "record"] },
    Outward { under: "tools/src/load/", crate_name: "server", may_name: &[] },
    Outward { under: "tools/src/load/", crate_name: "store", may_name: &[] },
    // The generator may use its own crate only below itself: what it reports with is handed to it.
    Outward { under: "tools/src/load/", crate_name: "crate", may_name: &["load"] },
    // API message types stop at `server::{kafka, peer}`: the network knows frames alone.
    Outward { under: "server/src/net/", crate_name: "engine", may_name: &["base"] },
    Outward { under: "server/src/net/", crate_name: "wire", may_name: &["frame", "header"] },
    Outward { under: "server/src/net/", crate_name: "store", may_name: &[] },
];

/// Our crates: folder, name, and the crates of ours that it may depend on.
const CRATES: &[(&str, &str, &[&str])] = &[
    ("engine/wire", "wire", &[]),
    ("engine", "engine", &["wire"]),
    ("engine/store", "store", &["engine"]),
    ("engine/sim", "sim", &["engine", "wire"]),
    ("server", "server", &["engine", "wire", "store"]),
    ("tools", "tools", &["engine", "wire", "store", "sim", "server"]),
    ("benches", "benches", &["engine", "wire", "store", "sim", "server", "tools"]),
];

/// The only crates that know the runtime.
const ON_GLOMMIO: &[&str] = &["store", "server"];

/// Every edge between modules that the tables do not hold.
pub(crate) fn check_modules(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (crate_src, table) in [("engine/src", ENGINE), ("server/src", SERVER)] {
        for source in sources.iter().filter(|s| s.is_rust() && !s.is_test()) {
            let Some(module) = source.module_in(crate_src) else { continue };
            let Some(row) = table.iter().find(|row| row.module == module) else {
                found.push(format!("{}: `{module}` has no row in the import table", source.path));
                continue;
            };
            for (line, name) in source.names_in_crate(crate_src) {
                let known = table.iter().any(|row| row.module == name);
                if known && name != module && !row.may_import.contains(&name.as_str()) {
                    found.push(format!("{}:{line}: `{module}` may not import `{name}`", source.path));
                }
            }
        }
    }
    found
}

/// Every edge from a piece of the house to a piece of another crate that the table does not hold.
pub(crate) fn check_outward(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for rule in OUTWARD {
        for source in sources.iter().filter(|s| s.is_rust() && s.path.starts_with(rule.under) && !s.is_test())
        {
            for (line, name) in source.names_below(rule.crate_name) {
                if !rule.may_name.contains(&name.as_str()) {
                    let Outward { under, crate_name, .. } = rule;
                    found
                        .push(format!("{}:{line}: {under} may not name `{crate_name}::{name}`", source.path));
                }
            }
        }
    }
    found
}

/// Every dependency between our crates, or on glommio, that the table does not hold. Development
/// dependencies may point anywhere but at the runtime.
pub(crate) fn check_crates(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|s| s.path.ends_with("/Cargo.toml")) {
        let folder = source.path.trim_end_matches("/Cargo.toml");
        // A crate outside the workspace (fuzz targets) is nobody's dependency.
        if source.text.contains("[workspace]") {
            continue;
        }
        let Some((_, name, may)) = CRATES.iter().find(|(at, ..)| *at == folder) else {
            found.push(format!("{}: a crate without a row in the crate table", source.path));
            continue;
        };
        for (section, dependency) in dependencies(&source.text) {
            let ours = CRATES.iter().any(|(_, other, _)| *other == dependency);
            if ours && section != "dev-dependencies" && !may.contains(&dependency.as_str()) {
                found.push(format!("{}: `{name}` may not depend on `{dependency}`", source.path));
            }
            if dependency == "glommio" && !ON_GLOMMIO.contains(name) {
                found.push(format!("{}: only store and server depend on glommio", source.path));
            }
            if dependency == "kafka-protocol" && section != "dev-dependencies" {
                found.push(format!(
                    "{}: kafka-protocol is an oracle for tests, never a dependency",
                    source.path
                ));
            }
        }
    }
    found
}

/// (section, crate) of every dependency line of a manifest.
fn dependencies(manifest: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.rsplit('.').next().unwrap_or_default().to_owned();
            // `[dependencies.name]` is a section of its own.
            if let Some((_, dependency)) = name.rsplit_once("dependencies.") {
                found.push((
                    name.trim_end_matches(dependency).trim_end_matches('.').to_owned(),
                    dependency.to_owned(),
                ));
            }
            continue;
        }
        let dependency: String =
            line.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
        if section.ends_with("dependencies") && !dependency.is_empty() {
            found.push((section.clone(), dependency));
        }
    }
    found
}
