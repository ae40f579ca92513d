//! `ringlog clock`: whether a running broker believes its wall clock, and the word that it is right.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Deserialize;

use super::output::{Output, print_json};
use crate::admin;
use crate::report::calendar::utc;

/// `ringlog clock`
#[derive(Args, Clone, Debug)]
pub struct ClockArgs {
    #[command(subcommand)]
    command: Option<ClockCommand>,
    /// The broker's admin endpoint (`admin.listen`)
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9644", global = true)]
    admin: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Subcommand, Clone, Debug)]
enum ClockCommand {
    /// Say that the wall clock is right although it jumped: what is too old by it is deleted
    Accept,
}

/// A core's line of the endpoint.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase")]
struct Judged {
    held: bool,
    ahead_ms: i64,
    wall_ms: u64,
    believed_ms: u64,
    steady_in_ms: u64,
}

/// Runs the command.
pub fn run(args: &ClockArgs) -> anyhow::Result<()> {
    let body = match args.command {
        None => admin::get(&args.admin, "/clock")?,
        Some(ClockCommand::Accept) => admin::post(&args.admin, "/clock/accept")?,
    };
    let cores: Vec<Judged> = body
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} answered what is no judgement of a clock", args.admin))?;
    // All cores look at the same clocks; one that looked a moment earlier may not know yet.
    let worst = cores.iter().max_by_key(|core| (core.held, core.ahead_ms));
    let worst = worst.with_context(|| format!("{} has no cores yet: ask again", args.admin))?;
    if args.output.format.is_json() {
        print_json([
            ("held", worst.held.into()),
            ("ahead_ms", worst.ahead_ms.into()),
            ("wall_ms", worst.wall_ms.into()),
            ("believed_ms", worst.believed_ms.into()),
            ("steady_in_ms", worst.steady_in_ms.into()),
        ]);
    } else {
        print!("{}", text(worst));
    }
    Ok(())
}

fn text(judged: &Judged) -> String {
    let (wall, believed) = (utc(judged.wall_ms), utc(judged.believed_ms));
    if !judged.held {
        return format!("The wall clock is believed: {wall}\n");
    }
    format!(
        "HELD: the wall clock jumped {} ahead\n\
         it says    {wall}\n\
         age is by  {believed}\n\
         Nothing is deleted for its age by the jump. If the clock is right: `ringlog clock accept`.\n\
         If it is not, set it right. If it stays as it is, it is believed in {}.\n",
        span(judged.ahead_ms.unsigned_abs()),
        span(judged.steady_in_ms),
    )
}

/// Days and hours, or hours and minutes.
fn span(ms: u64) -> String {
    let minutes = Duration::from_millis(ms).as_secs() / 60;
    match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_told_with_both_times_and_the_ways_out() {
        let wall_ms = 1_763_870_400_000;
        let ahead_ms = 10 * 86_400_000 + 3_600_000;
        let jumped = Judged {
            held: true,
            ahead_ms,
            wall_ms,
            believed_ms: wall_ms - ahead_ms as u64,
            steady_in_ms: 86_399_000,
        };
        let said = text(&jumped);
        for part in
            ["jumped 10 d 1 h ahead", "23 November 2025, 04:00", "13 November 2025, 03:00", "23 h 59 min"]
        {
            assert!(said.contains(part), "{said} has no {part}");
        }
        assert_eq!(
            text(&Judged { held: false, ..jumped }),
            "The wall clock is believed: 23 November 2025, 04:00:00 UTC\n"
        );
    }
}
