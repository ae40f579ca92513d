//! `ringlog report`: runs compared, the machine's noise measured, pages drawn again.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::exit;
use crate::compare::runs::{self, Side, SideError};
use crate::compare::{self, Question, noise, text};
use crate::report::{curve, page, stored};
use crate::versus;

const AFTER: &str = "\
Verdicts: faster, slower, no change found (with the smallest change that could have been seen). A change counts
when its 95 % interval excludes none and it lies beyond the machine's noise floor. Five pairs are needed.

Exit codes: 0 no regression · 3 the runs are unlike · 5 a data check failed · 6 too few pairs · 10 regression";

/// `ringlog report`
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    #[command(subcommand)]
    command: ReportCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum ReportCommand {
    /// Say whether B is faster or slower than A, and how sure that is
    #[command(after_help = AFTER)]
    Compare(CompareArgs),
    /// Measure the machine's own noise from ten or more equal runs, and keep it
    Noise(NoiseArgs),
    /// Draw the page of a run again from its data
    Page(PageArgs),
}

#[derive(Args, Clone, Debug)]
struct CompareArgs {
    /// What is compared with: a run folder, or a folder of run folders
    a: PathBuf,
    /// What is compared; runs are paired in order of time
    b: PathBuf,
    /// A metric that decides; may be repeated [default: throughput and produce_p99]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    metric: Vec<String>,
    /// Compare runs of unlike machines, loads or durability, or with failed data checks
    #[arg(long)]
    force: bool,
    /// Where the machines' noise floors are kept
    #[arg(long, value_name = "DIR", default_value = noise::STORE)]
    noise: PathBuf,
    /// Print the comparison as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the comparison as Markdown
    #[arg(long)]
    markdown: bool,
    /// Draw the comparison as one offline page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct NoiseArgs {
    /// A folder of runs of the same thing, one after the other
    dir: PathBuf,
    /// Where the machines' noise floors are kept
    #[arg(long, value_name = "DIR", default_value = noise::STORE)]
    store: PathBuf,
}

#[derive(Args, Clone, Debug)]
struct PageArgs {
    /// A folder with a report.json, a curve.json, or a versus.json and the slots below it
    dir: PathBuf,
}

/// Runs it; returns the exit code.
///
/// # Errors
/// Folders that are no runs, runs that must not be compared, files that cannot be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    match &args.command {
        ReportCommand::Compare(args) => run_compare(args),
        ReportCommand::Noise(args) => run_noise(args).map(|()| 0),
        ReportCommand::Page(args) => run_page(&args.dir).map(|()| 0),
    }
}

fn run_compare(args: &CompareArgs) -> anyhow::Result<u8> {
    let (a, b) = (side(&args.a)?, side(&args.b)?);
    let question =
        Question { metrics: args.metric.clone(), force: args.force, command_line: command_line(args) };
    let document = compare::answer(&a, &b, &args.noise, question)?;
    if let Some(file) = &args.html {
        std::fs::write(file, page::comparison(&document, &a, &b))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        text
    } else if args.markdown {
        text::markdown(&document)
    } else {
        text::terminal(&document)
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(document.exit_code())
}

fn command_line(args: &CompareArgs) -> String {
    let mut line = format!("ringlog report compare {} {}", args.a.display(), args.b.display());
    for name in &args.metric {
        line.push_str(&format!(" --metric {name}"));
    }
    if args.force {
        line.push_str(" --force");
    }
    if args.noise != Path::new(noise::STORE) {
        line.push_str(&format!(" --noise {}", args.noise.display()));
    }
    line
}

/// A folder without runs is the user's slip.
fn side(path: &Path) -> anyhow::Result<Side> {
    runs::read(path).map_err(|e| match e {
        SideError::NoRun { .. } | SideError::List { .. } => exit::Usage::because(e).into(),
        other => other.into(),
    })
}

fn run_noise(args: &NoiseArgs) -> anyhow::Result<()> {
    print!("{}", compare::keep_noise(&side(&args.dir)?, &args.store)?);
    Ok(())
}

fn run_page(dir: &Path) -> anyhow::Result<()> {
    let html = if dir.join("versus.json").is_file() {
        page::versus(&versus::document::read(dir)?, dir)
    } else if dir.join("curve.json").is_file() {
        page::curve(&curve::read(dir)?)
    } else {
        let run = stored::read(dir)?;
        page::page(&run.document, &run.latency, &run.intervals)
    };
    let file = dir.join("index.html");
    std::fs::write(&file, html).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}
