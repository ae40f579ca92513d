//! `ringlog log` with JSON output, run in the test's own process.

use clap::Parser;
use serde_json::Value;
use tools::log::{LogArgs, run_to};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
}

/// Runs it: the damages it counts, and the lines.
pub(crate) fn ringlog(arguments: &[&str]) -> (u64, Vec<Value>) {
    let cli = Cli::parse_from(["log"].iter().chain(arguments).chain(&["--json"]));
    let mut out = Vec::new();
    let damages = run_to(&cli.log, &mut out).expect("readable files");
    let text = String::from_utf8(out).expect("text");
    (damages, text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}
