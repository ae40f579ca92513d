//! `ringlog log`: reading a data directory offline, without a broker.
//!
//! Everything is opened read-only, through plain files; decisions about formats are the engine's.
//! `dump` shows what a file says, as `kafka-dump-log` does or as one JSON object a line. `verify`
//! checks every byte that a checkpoint or the journal vouches for, and Kafka's own directories too.
//! `damage` lists what a broker found damaged and fenced, from its directory or from the running broker.
//! `seal` is the one that writes: it drains the journals of a broker that crashed.
//!
//! Exit codes: 0 sound, 5 damage found.

mod batches;
mod checkpoints;
mod damage;
mod dump;
mod indexes;
mod journals;
mod lines;
mod seal;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use lines::Lines;

/// The exit code that says "damage found".
pub const EXIT_DAMAGE: u8 = 5;

/// `ringlog log …`
#[derive(clap::Args, Clone, Debug)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum LogCommand {
    /// Show what files of a data directory say: segments, indexes, snapshots, epochs, journals, checkpoints
    Dump(DumpArgs),
    /// Check every checksum and index entry of a data directory, or of one partition's directory
    Verify(VerifyArgs),
    /// List the damage that a broker has found: ranges that are kept, fenced and read around
    Damage(damage::DamageArgs),
    /// Drain the journals of a crashed broker into their segments, as a clean stop would have
    Seal(seal::SealArgs),
}

/// `ringlog log dump`
#[derive(clap::Args, Clone, Debug)]
pub struct DumpArgs {
    /// Files, or directories whose files are shown
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Show each record of a batch, not only the batch
    #[arg(long, visible_alias = "deep-iteration")]
    records: bool,
    /// Show keys and values too (implies --records)
    #[arg(long, visible_alias = "print-data-log")]
    data: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// `ringlog log verify`
#[derive(clap::Args, Clone, Debug)]
pub struct VerifyArgs {
    /// A data directory (of a broker that is stopped), or the directory of one partition
    path: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs the command, writing to standard output.
///
/// # Errors
/// A file that cannot be read, or standard output closed early.
pub fn run(args: LogArgs) -> anyhow::Result<ExitCode> {
    let damages = run_to(&args, std::io::stdout().lock())?;
    Ok(if damages == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DAMAGE) })
}

/// Runs the command, writing to `to`. Returns how many damages were found.
///
/// # Errors
/// As [`run`].
pub fn run_to(args: &LogArgs, to: impl Write) -> anyhow::Result<u64> {
    match &args.command {
        LogCommand::Dump(args) => {
            let mut out = Lines::new(to, args.json);
            let damages = dump::dump(args, &mut out)?;
            out.finish()?;
            Ok(damages)
        }
        LogCommand::Verify(args) => {
            let mut out = Lines::new(to, args.json);
            let report = verify::verify(&args.path, &mut out)?;
            report.print(&mut out)?;
            out.finish()?;
            Ok(report.damages)
        }
        LogCommand::Damage(args) => {
            let mut out = Lines::new(to, args.json);
            let damages = damage::damage(args, &mut out)?;
            out.finish()?;
            Ok(damages)
        }
        LogCommand::Seal(args) => {
            let cores = seal::seal(args)?;
            let mut out = Lines::new(to, false);
            out.line("sealed", "sealed: every journal is in its segments", &[("cores", cores.into())])?;
            out.finish()?;
            Ok(0)
        }
    }
}
