//! A broker as data: how to fetch, start, recognise as ready and stop it, and in which modes of durability it is
//! measured.
//!
//! In commands, files and variables these words are replaced:
//!
//! | word | by |
//! |---|---|
//! | `{here}` | the folder of the description |
//! | `{home}` | where the fetched packages are; kept between runs |
//! | `{run}` | a folder for the files of this start; gone afterwards |
//! | `{data}` | an empty folder for its data; gone afterwards |
//! | `{port}`, `{port2}`, `{port3}` | free ports of the loopback |
//! | `{cores}` | the CPUs that it is pinned to |
//! | `{ringlog}` | this binary |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use crate::bench::quantity::Span;

/// A description.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Peer {
    /// The name of the file; filled on reading.
    #[serde(skip)]
    pub(super) name: String,
    /// Its folder; filled on reading.
    #[serde(skip)]
    pub(super) here: PathBuf,
    pub(super) title: String,
    pub(super) version: String,
    /// What a reader of the report should know of it.
    #[serde(default)]
    pub(super) about: String,
    /// Programs that must be on the path.
    #[serde(default)]
    pub(super) needs: Vec<String>,
    pub(super) fetch: Option<Fetch>,
    pub(super) start: Start,
    #[serde(default)]
    pub(super) warm: Warm,
    /// Settings of every topic.
    #[serde(default)]
    pub(super) topic: BTreeMap<String, String>,
    pub(super) mode: Vec<Mode>,
}

/// Where its packages come from.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Fetch {
    /// Commands, one after the other.
    pub(super) steps: Vec<Vec<String>>,
    /// A file below `{home}` that is there when they have been run.
    pub(super) proof: String,
}

/// How it starts.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Start {
    /// Files written to `{run}` before: name there → file beside the description, its words replaced.
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    /// Commands run before, on the empty data folder.
    #[serde(default)]
    pub(super) prepare: Vec<Vec<String>>,
    pub(super) command: Vec<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// How long until it must answer Metadata with a broker.
    pub(super) ready_within: Span,
    /// How long it may take to end after SIGTERM.
    pub(super) stop_within: Span,
}

/// What it needs after its start before any slot counts, beside what every slot does.
#[derive(Deserialize, Debug, Clone, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Warm {
    /// Seconds of saturating load at least; zero for none.
    pub(super) at_least: Option<Span>,
    /// And at most.
    pub(super) at_most: Option<Span>,
}

/// What an acknowledgement of it means.
#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Mode {
    pub(super) name: String,
    /// Whether an acknowledged record is on the device.
    pub(super) flushed: bool,
    /// The same in words.
    pub(super) meaning: String,
    /// Settings of the topic that make it so.
    #[serde(default)]
    pub(super) topic: BTreeMap<String, String>,
}

impl Peer {
    /// Reads `DIR/NAME.toml`.
    pub(super) fn read(dir: &Path, name: &str) -> anyhow::Result<Peer> {
        let path = dir.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("there is no broker {name}: cannot read {}; there are {}", path.display(), known(dir))
        })?;
        let mut peer: Peer = toml::from_str(&text).with_context(|| path.display().to_string())?;
        anyhow::ensure!(!peer.start.command.is_empty(), "{}: an empty command", path.display());
        peer.name = name.to_string();
        // Its commands run in another folder.
        peer.here = std::path::absolute(dir)?;
        Ok(peer)
    }

    /// The mode of that name, or the first that is `flushed` or `unflushed`.
    pub(super) fn mode(&self, word: &str) -> Option<&Mode> {
        self.mode.iter().find(|mode| mode.name == word).or_else(|| match word {
            "flushed" => self.mode.iter().find(|mode| mode.flushed),
            "unflushed" => self.mode.iter().find(|mode| !mode.flushed),
            _ => None,
        })
    }
}

fn known(dir: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(dir) else { return "none".to_string() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut names: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names.join(", ")
}

/// Words and what they stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(Vec<(&'static str, String)>);

impl Words {
    pub(super) fn set(&mut self, word: &'static str, value: impl Into<String>) {
        self.0.push((word, value.into()));
    }

    /// `text` with every word replaced.
    pub(super) fn fill(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_string(), |text, (word, value)| text.replace(&format!("{{{word}}}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptions_of_the_repository_are_sound() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf/peers");
        for name in known(&dir).split(", ") {
            let peer = Peer::read(&dir, name).expect(name);
            for file in peer.start.files.values() {
                assert!(dir.join(file).is_file(), "{name}: {file}");
            }
            assert!(peer.mode("unflushed").or(peer.mode("flushed")).is_some(), "{name} has a mode");
        }
        let ringlog = Peer::read(&dir, "ringlog").expect("our own");
        assert!(ringlog.mode("flushed").is_some_and(|mode| mode.flushed));
        assert!(ringlog.mode("relaxed").is_some_and(|mode| !mode.flushed));
        let error = Peer::read(&dir, "nobody").expect_err("no file").to_string();
        assert!(error.contains("kafka, ") && error.contains("ringlog"), "{error}");
    }

    #[test]
    fn words_are_replaced_wherever_they_stand() {
        let mut words = Words::default();
        words.set("home", "/h");
        words.set("port", "9");
        assert_eq!(
            words.fill("-cp {home}/lib/* tcp://x:{port} {port}{unknown}"),
            "-cp /h/lib/* tcp://x:9 9{unknown}"
        );
    }
}
