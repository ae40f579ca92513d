//! The command line: one binary, its subcommands, their exit codes.
//!
//! Results go to standard output, everything else to standard error, so that output can be piped.
//! Errors are one sentence with the way out; their codes are in [`exit`].

pub mod clock;
mod cluster;
pub mod config;
mod connect;
pub mod consume;
pub mod doctor;
pub mod exit;
mod format;
pub mod group;
mod moment;
mod offsets;
mod output;
pub mod produce;
pub mod reference;
pub mod report;
pub mod serve;
mod table;
pub mod topic;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand, ValueEnum};
use signal_hook::consts::SIGPIPE;
use tracing_subscriber::EnvFilter;

use crate::bench::{self, Bench};
use crate::log::{self, LogArgs};

const EXAMPLES: &str = "\
Examples:
  ringlog                                       our own broker under a real load: table and report
  ringlog bench --depth 1 --producers 1         one request at a time: the floor of latency
  ringlog bench --brokers kafka:9092            the same load on any broker
  ringlog bench versus kafka --quick            Apache Kafka under the same load, in turns with ours
  ringlog bench floors                          what this machine can do without any
  ringlog bench self-check                      does the lab see a stop as long as it was?
  ringlog report compare base/ new/             faster, slower, or no change found
  ringlog serve --data /var/lib/ringlog         a broker on port 9092
  ringlog produce -b localhost:9092 -t orders   standard input, line by line
  ringlog group describe payments               members, offsets, lag in records and in seconds
  ringlog config set topic/orders retention.ms=3600000
  ringlog clock accept                          the clock is right although it jumped: delete by it
  ringlog completions bash                      for the shell; also zsh, fish, elvish, powershell
  ringlog doctor                                what this machine lacks, and the fix

Exit codes: 0 done · 1 failed · 2 usage · 3 precondition · 4 no connection · 5 data check · 6 invalid run · 10 regression · 99 limit not held · 130 interrupted";

/// A Kafka-compatible broker that acknowledges only what is on disk, its load generator and its tools.
#[derive(Parser, Clone, Debug)]
#[command(name = "ringlog", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// How the log on standard error looks [default: pretty on a terminal, else json]
    #[arg(long, global = true, value_enum, help_heading = "Global")]
    pub log_format: Option<LogFormat>,
    /// What to do; nothing means `bench`
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines: one object a line.
    Json,
}

/// What the binary can do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Run a broker
    Serve(serve::ServeArgs),
    /// Put a load on a broker (one of our own, or any), check every record, write a report
    Bench(Box<Bench>),
    /// Compare runs, measure the machine's noise, draw pages again
    Report(report::ReportArgs),
    /// Create, list, describe, alter and delete topics
    Topic(topic::TopicArgs),
    /// List, describe, reset and delete consumer groups
    Group(group::GroupArgs),
    /// List, describe, set and delete settings of topics and brokers
    Config(config::ConfigArgs),
    /// Send standard input to a topic, line by line
    Produce(produce::ProduceArgs),
    /// Print a topic's records
    Consume(consume::ConsumeArgs),
    /// Show whether a running broker believes its wall clock, and accept it after a jump
    Clock(clock::ClockArgs),
    /// Look into a data directory offline
    Log(LogArgs),
    /// Say what this machine lacks for a fast and safe broker, and the fix
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell
    Completions(reference::CompletionsArgs),
    /// Print the manual page, or write one for each command
    Man(reference::ManArgs),
}

impl Command {
    /// Whether nothing is left to do when nobody reads what it prints.
    fn ends_with_its_reader(&self) -> bool {
        matches!(
            self,
            Command::Topic(_)
                | Command::Group(_)
                | Command::Config(_)
                | Command::Clock(_)
                | Command::Report(_)
                | Command::Doctor(_)
                | Command::Completions(_)
                | Command::Man(_)
        )
    }
}

/// Parses the command line and runs what it asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.log_format);
    if cli.command.as_ref().is_some_and(Command::ends_with_its_reader) {
        // Without it, printing for a reader that has gone is a panic. Consumers mind it themselves: they commit.
        let always = Arc::new(AtomicBool::new(true));
        if let Err(error) = signal_hook::flag::register_conditional_default(SIGPIPE, always) {
            eprintln!("ringlog: cannot watch for SIGPIPE: {error}");
        }
    }
    match run(cli.command) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("ringlog: {e:#}");
            ExitCode::from(exit::code(&e))
        }
    }
}

fn run(command: Option<Command>) -> anyhow::Result<ExitCode> {
    match command {
        None => bench_default(),
        Some(Command::Serve(args)) => serve::run(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Bench(bench)) => bench::answer(&bench).map(ExitCode::from),
        Some(Command::Report(args)) => report::run(&args).map(ExitCode::from),
        Some(Command::Topic(args)) => topic::run(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Group(args)) => group::run(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Config(args)) => config::run(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Produce(args)) => {
            let sent = produce::run(&args)?;
            eprintln!("{sent} records sent");
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Consume(args)) => consume::run(&args).map(ExitCode::from),
        Some(Command::Clock(args)) => clock::run(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Log(args)) => log::run(args),
        Some(Command::Doctor(args)) => doctor::run(&args).map(ExitCode::from),
        Some(Command::Completions(args)) => reference::completions(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Man(args)) => reference::man(&args).map(|()| ExitCode::SUCCESS),
    }
}

/// `ringlog` alone is `ringlog bench`, defaults and all.
fn bench_default() -> anyhow::Result<ExitCode> {
    match Cli::parse_from(["ringlog", "bench"]).command {
        Some(Command::Bench(bench)) => bench::answer(&bench).map(ExitCode::from),
        _ => unreachable!("`bench` is the command that was parsed"),
    }
}

/// Log lines go to standard error; `RUST_LOG` chooses them, `info` unless it says otherwise.
fn start_log(format: Option<LogFormat>) {
    let terminal = std::io::stderr().is_terminal();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let format = format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    // Only a second start could fail, and there is one.
    let _ = match format {
        LogFormat::Pretty => builder.with_ansi(terminal).compact().try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
