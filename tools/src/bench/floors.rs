//! `ringlog bench floors`: what this machine can do, without a broker.

use std::path::PathBuf;

use anyhow::Context;

use super::disk;
use super::quantity::Bytes;
use crate::cli::exit;
use crate::floors::{self, Budget, Cores, Session};
use crate::report::data::{Floors, FloorsSource};
use crate::report::{machine, units};

/// `ringlog bench floors`
#[derive(clap::Args, Clone, Debug)]
pub struct FloorsArgs {
    /// Where the files go while it lasts; on the disk that the broker would use
    #[arg(long, value_name = "DIR", default_value = "perf/data")]
    pub data: PathBuf,
    /// Print the floors as JSON instead of the table
    #[arg(long)]
    pub json: bool,
    /// Write floors.json there as well
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// CPU of whatever stands for the broker [default: the first that we may use]
    #[arg(long, value_name = "CPU")]
    pub server_core: Option<usize>,
    /// CPU of whatever stands for the generator [default: the second that we may use]
    #[arg(long, value_name = "CPU")]
    pub client_core: Option<usize>,
    /// Records per second of the durable echo in an open loop
    #[arg(long, value_name = "N", default_value_t = 20_000.0)]
    pub rate: f64,
    /// Bytes of its records
    #[arg(long, value_name = "SIZE", default_value = "1KiB")]
    pub record_size: Bytes,
    /// As short as possible: for a look, not for a claim
    #[arg(long)]
    pub quick: bool,
}

/// Measures every floor once.
///
/// # Errors
/// No room, no direct I/O, or whatever the system says.
pub fn run(args: &FloorsArgs) -> anyhow::Result<u8> {
    if !(args.rate.is_finite() && args.rate > 0.0) {
        return Err(exit::Usage::new("--rate must be a positive number of records per second").into());
    }
    let usable = floors::usable_cpus();
    let cores = Cores {
        server: args.server_core.or_else(|| usable.first().copied()),
        client: args.client_core.or_else(|| usable.get(1).or(usable.first()).copied()),
    };
    let budget = if args.quick { Budget::quick() } else { Budget::alone() };
    let specs = floors::all(args.rate, usize::try_from(args.record_size.0)?);
    let begun = measure_into(&args.data, specs, cores, budget)?;
    let mut session = begun;
    session.pass(&mut tell).context("measure the floors")?;
    let measured = session.finish(FloorsSource::Alone);
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
        let path = out.join("floors.json");
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&measured)?))
            .with_context(|| format!("write {}", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        print(args, &measured, cores);
    }
    Ok(0)
}

/// Checks the disk, then prepares a session below `data`.
fn measure_into(
    data: &std::path::Path,
    specs: Vec<floors::Spec>,
    cores: Cores,
    budget: Budget,
) -> anyhow::Result<Session> {
    std::fs::create_dir_all(data).with_context(|| format!("create {}", data.display()))?;
    disk::check(data, floors::disk_bytes(&specs, budget, 1))?;
    Session::prepare(data, specs, cores, budget)
        .with_context(|| format!("prepare direct I/O below {}", data.display()))
}

/// What is measured now, on standard error.
fn tell(label: &str) {
    eprintln!("floor   {label}");
}

fn print(args: &FloorsArgs, measured: &Floors, cores: Cores) {
    let machine = machine::fingerprint(&args.data);
    println!("{}", machine_line(&machine));
    let core = |core: Option<usize>| core.map_or_else(|| "any core".to_string(), |c| format!("core {c}"));
    println!(
        "sides   server on {} · client on {} · measured in {:.0} s",
        core(cores.server),
        core(cores.client),
        measured.seconds
    );
    print!("{}", floors::table(measured));
}

/// The machine in one line, as above every table.
pub(super) fn machine_line(machine: &crate::report::data::MachineFingerprint) -> String {
    format!(
        "host    {} × {} · {} · {} · {} {} · hw-id {}",
        machine.cores,
        machine.cpu_model,
        units::bytes(machine.memory_bytes),
        machine.kernel,
        machine.filesystem,
        machine.device,
        machine.hardware_id
    )
}
