//! Workload files: the knobs as TOML, or as OMB's YAML.

use std::path::Path;

use anyhow::{Context, bail};
use clap::{Args, Command};

use super::knobs::Knobs;
use super::{BenchArgs, omb};
use crate::cli::exit::Usage;

/// Keys of a file that are no flags.
const FILE_ONLY: [&str; 3] = ["name", "about", "broker-config"];

/// The keys that say when records are sent.
const PACES: [&str; 4] = ["rate", "mb-rate", "rate-of-max", "rate-plan"];

/// How alike two names are, 0 to 1, so that one may be meant by the other.
const ALIKE: f64 = 0.75;

/// Reads a workload file.
///
/// # Errors
/// What is wrong with it, as a sentence for the user ([`Usage`]).
pub fn read(path: &Path) -> anyhow::Result<Knobs> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read workload {}", path.display()))
        .map_err(Usage::because)?;
    let mut knobs =
        parse(&text).with_context(|| format!("workload {}", path.display())).map_err(Usage::because)?;
    if knobs.name.is_none() {
        knobs.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    }
    Ok(knobs)
}

/// Reads the workload of a bench, whichever kind of file it is, and says what was read otherwise than written.
pub(super) fn of(args: &BenchArgs) -> anyhow::Result<Knobs> {
    match (&args.workload, &args.driver) {
        (None, _) => Ok(Knobs::default()),
        (Some(path), driver) if omb::is_omb(path) => {
            let omb = omb::read(path, driver.as_deref(), args.brokers.is_empty()).map_err(Usage::because)?;
            omb.notes.iter().for_each(|note| eprintln!("note    {note}"));
            Ok(omb.knobs)
        }
        (Some(_), Some(driver)) => {
            bail!(Usage::new(format!("driver {} needs a workload of OMB's (YAML)", driver.display())))
        }
        (Some(path), None) => read(path),
    }
}

/// Whether a workload of OMB's asks for the highest sustainable rate, and no flag for another.
pub(super) fn asks_for_search(args: &BenchArgs) -> anyhow::Result<bool> {
    let Some(path) = args.workload.as_deref().filter(|path| omb::is_omb(path)) else { return Ok(false) };
    let k = &args.knobs;
    let paced = k.rate.is_some()
        || k.mb_rate.is_some()
        || k.rate_of_max.is_some()
        || k.rate_plan.is_some()
        || k.depth.is_some();
    let omb = omb::read(path, args.driver.as_deref(), args.brokers.is_empty()).map_err(Usage::because)?;
    Ok(omb.search && !paced)
}

/// Reads the text of a workload file.
pub fn parse(text: &str) -> anyhow::Result<Knobs> {
    let table: toml::Table = text.parse()?;
    let known = keys();
    if let Some(key) = table.keys().find(|key| !known.contains(key)) {
        match nearest(key, known.iter().map(String::as_str)) {
            Some(near) => bail!("unknown key {key}; did you mean {near}?"),
            None => bail!("unknown key {key}; `ringlog bench --help` lists the flags that are its keys"),
        }
    }
    let paces: Vec<&str> = PACES.into_iter().filter(|key| table.contains_key(*key)).collect();
    if let [one, another, ..] = paces[..] {
        bail!("{one} and {another} are two ways to say when records are sent; keep one");
    }
    Ok(toml::from_str(text)?)
}

/// Every key that a workload file may have.
#[must_use]
pub fn keys() -> Vec<String> {
    let command = Knobs::augment_args(Command::new("workload"));
    let flags = command.get_arguments().flat_map(|arg| {
        let others = arg.get_visible_aliases().unwrap_or_default();
        arg.get_long().into_iter().chain(others.into_iter().filter(|alias| *alias == "disk-budget"))
    });
    flags.chain(FILE_ONLY).map(str::to_string).collect()
}

/// The name that was probably meant.
pub(super) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
        let refused = |text: &str| parse(text).expect_err("a typo").to_string();
        assert_eq!(refused("record-sise = 5"), "unknown key record-sise; did you mean record-size?");
        assert_eq!(
            refused("[topic-confg]\n\"flush.ms\" = 1"),
            "unknown key topic-confg; did you mean topic-config?"
        );
        assert!(refused("zzzz = 1").contains("--help"));
        assert!(refused("rate = 1\nmb-rate = 1").contains("rate and mb-rate"));
        assert!(refused("partitions = 'many'").contains("partitions"));
    }

    #[test]
    fn settings_of_topic_and_broker_are_tables() {
        let knobs = parse(
            "[topic-config]\n'retention.bytes' = 1000\n'cleanup.policy' = 'delete'\n[broker-config]\n'a.b' = true",
        );
        let knobs = knobs.expect("a workload");
        let text: Vec<String> =
            knobs.topic_config.iter().chain(&knobs.broker_config).map(ToString::to_string).collect();
        assert_eq!(text, ["cleanup.policy=delete", "retention.bytes=1000", "a.b=true"]);
    }
}
