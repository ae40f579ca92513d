//! How results look: a table for people, or one JSON object with stable keys for programs.
//! `tools/README.md` lists the keys.

use std::io::{BufRead, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::{Map, Value};

use super::exit::Usage;

/// The version of the JSON that `--format json` prints: raised when a key goes or changes its meaning.
const SCHEMA_VERSION: u32 = 1;

/// How results look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Look {
    /// A table.
    Text,
    /// One object with stable keys.
    Json,
}

impl Look {
    /// Whether programs read it.
    pub(super) fn is_json(self) -> bool {
        self == Look::Json
    }
}

/// The flag, for every command that prints results.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Output {
    /// How results look
    #[arg(long, value_enum, default_value = "text", global = true, help_heading = "Global")]
    pub(super) format: Look,
}

/// Prints one object, its schema's version first.
pub(super) fn print_json<const N: usize>(fields: [(&str, Value); N]) {
    let mut object = Map::new();
    object.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
    object.extend(fields.into_iter().map(|(key, value)| (key.to_owned(), value)));
    println!("{}", Value::Object(object));
}

/// Asks before something is lost. `what` is what would be done, as in "delete topic orders".
pub(super) fn confirm(what: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Usage::new("deleting takes --yes where nobody can be asked").into());
    }
    eprint!("{what}? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { anyhow::bail!("nothing was deleted") }
}
