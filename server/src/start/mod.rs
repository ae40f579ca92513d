//! Starting and stopping a broker: the only place that joins network, Kafka and shards.
//!
//! | file | what |
//! |---|---|
//! | `descriptors` | how many files and connections may be open |
//! | `error` | why a broker does not start, with the exit code |
//! | `doors` | the ports: every listener on every core |
//! | `node_file` | `node.json` and the mark of a clean stop |
//! | `memory` | how much memory the process may have, and what of its sizes that leaves |
//! | `boot` | what core 0 does before anybody serves: metadata, recovery |
//! | `serve` | what every core does from then on |
//! | `stage` | how the process tells its cores to stop, and learns that they did |
//!
//! Order: preconditions, ports, the directory's lock, metadata, recovery, one executor per core, and
//! only then the first connection. Stopping: no new requests, answers in flight, connections closed on
//! every core, and only then the shards, because a core may read what another lends it.

mod boot;
mod descriptors;
mod doors;
mod error;
mod memory;
mod node_file;
mod serve;
mod stage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use engine::base::CoreId;
use engine::config::Listener;
use store::data_dir::{DataDir, DirectIo, drop_ballast, probe_direct_io, space};
use store::runtime::{Cpu, Executor, ExecutorSettings};

pub use error::StartError;

use crate::admin::{self, Board};
use crate::config::Config;
use crate::net::{Admission, Door};
use crate::runtime::{LastWrite, TightCores, clock};
use crate::shard::PostOffice;
use boot::{Booted, Origin};
use descriptors::Descriptors;
use doors::Doors;
use serve::{CoreParts, Shared};
use stage::{Stage, Stages};

/// How long a broker that did not get up waits for its cores to end.
const GIVE_UP: Duration = Duration::from_secs(30);

/// A broker that serves.
#[derive(Debug)]
pub struct Running {
    stages: Arc<Stages>,
    cores: Vec<Executor<Result<(), String>>>,
    advertised: Vec<Listener>,
    bound: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    data: PathBuf,
    stop: Duration,
    _lock: DataDir,
}

impl Running {
    /// `host:port` of the first listener, as clients are told.
    #[must_use]
    pub fn brokers(&self) -> String {
        let first = &self.advertised[0];
        format!("{}:{}", first.host, first.port)
    }

    /// The addresses that are listened on.
    #[must_use]
    pub fn bound(&self) -> &[SocketAddr] {
        &self.bound
    }

    /// The address of the admin endpoint, if it has one.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Stops: no new requests, answers for those in flight, everything acknowledged in its segment,
    /// files cut to their length.
    ///
    /// # Errors
    /// What a core could not finish. Acknowledged records are safe in the journals all the same.
    pub fn stop(self) -> Result<(), StartError> {
        let cores = self.cores.len();
        self.stages.set(Stage::Drain);
        self.stages.until_drained(cores, self.stop + GIVE_UP);
        self.stages.set(Stage::Close);
        let mut result = Ok(());
        for core in self.cores {
            let ended = core.join().unwrap_or_else(|_| Err("a core panicked".to_owned()));
            if let Err(message) = ended {
                result = Err(StartError::failed(message));
            }
        }
        if result.is_ok() {
            node_file::mark_clean(&self.data)?;
        }
        result
    }
}

/// Starts a broker. When this returns, it serves.
///
/// # Errors
/// [`StartError`], each one sentence with its fix.
pub fn start(mut config: Config) -> Result<Running, StartError> {
    let _first_reading = clock::now();
    let data = PathBuf::from(&config.broker.data_dir);
    let lock = DataDir::lock(&data)?;
    let data =
        data.canonicalize().map_err(|e| StartError::precondition(format!("{}: {e}", data.display())))?;
    make_room(&data, &config)?;
    match probe_direct_io(&data) {
        Ok(DirectIo::Supported) => {}
        Ok(DirectIo::InMemory) => {
            tracing::warn!("the data directory lies in memory (tmpfs): nothing survives a power cut");
        }
        Ok(DirectIo::Unsupported) => {
            return Err(StartError::precondition(format!(
                "the file system of {} does not take direct I/O: choose a directory on ext4 or XFS",
                data.display()
            )));
        }
        Err(e) => {
            return Err(StartError::precondition(format!("the data directory {}: {e}", data.display())));
        }
    }
    let cpus = cpus(&config)?;
    let cores = cpus.len();
    let sizes = memory::fit(&mut config, cores, memory::limit().unwrap_or(u64::MAX))?;
    sizes.cut.iter().for_each(|cut| tracing::warn!("{cut}"));
    let descriptors = Descriptors::of_process(cores)?;
    let Doors { bound, advertised, direct, per_core } = doors::open(&config, cores as u16)?;
    let origin = node_file::open(&data, config.broker.node_id)?;

    let connections = (config.broker.connections_max as usize).min(descriptors.connections);
    let admission = Admission::new(connections, config.broker.connections_per_ip_max as usize);
    let stages = Arc::new(Stages::default());
    let board = Arc::new(Board::new(cores));
    let shared = Arc::new(Shared {
        config,
        sizes,
        cores: cores as u16,
        advertised: advertised.clone(),
        direct,
        data: data.clone(),
        admission: Arc::new(admission),
        descriptors,
        stages: stages.clone(),
        board: board.clone(),
        tight_cores: TightCores::default(),
        writes: LastWrite::default(),
    });
    let cores = start_cores(&shared, origin, &cpus, per_core)?;
    let listen = |addr| admin::listen(addr, board).map_err(|e| StartError::port("admin.listen", addr, &e));
    let admin = shared.config.admin.map(listen).transpose()?;
    Ok(Running { stages, cores, advertised, bound, admin, data, stop: shared.config.stop, _lock: lock })
}

/// Gives the ballast up if the disk is nearly full: starting and recovering need a little space.
fn make_room(data: &Path, config: &Config) -> Result<(), StartError> {
    let failed = |e| StartError::precondition(format!("the data directory {}: {e}", data.display()));
    let disk = space(data).map_err(failed)?;
    if !serve::space_limits(&config.broker, 1).starts_light(disk) {
        return Ok(());
    }
    let ballast = drop_ballast(data).map_err(failed)?;
    tracing::warn!(
        free = disk.free,
        ballast,
        "the disk is nearly full: the ballast is given up for the start"
    );
    Ok(())
}

/// Starts core 0, which recovers, and then the others. Returns when all of them serve.
fn start_cores(
    shared: &Arc<Shared>,
    origin: Origin,
    cpus: &[Cpu],
    doors: Vec<Vec<Door>>,
) -> Result<Vec<Executor<Result<(), String>>>, StartError> {
    let (report, reports) = mpsc::channel::<Result<(), StartError>>();
    let (boot, booted) = mpsc::channel::<Booted>();
    let mut parts =
        PostOffice::join(shared.cores).into_iter().zip(doors).enumerate().map(|(id, (office, doors))| {
            CoreParts { id: CoreId(id as u16), office, doors, shared: shared.clone(), report: report.clone() }
        });
    let mut cores = Vec::with_capacity(cpus.len());
    let zero = parts.next().expect("a broker has at least one core");
    let result = (|| {
        cores.push(launch(shared, 0, cpus[0], move || serve::first(zero, origin, boot))?);
        let Ok(booted) = booted.recv() else {
            return Err(reports.recv().ok().and_then(Result::err).unwrap_or_else(StartError::silent));
        };
        for (part, state) in parts.by_ref().zip(booted.others) {
            let (id, node, image) = (usize::from(part.id.0), booted.node.clone(), booted.image.clone());
            cores.push(launch(shared, id, cpus[id], move || serve::further(part, node, image, state))?);
        }
        for _ in 0..shared.cores {
            reports.recv().unwrap_or_else(|_| Err(StartError::silent()))?;
        }
        Ok(())
    })();
    if let Err(error) = result {
        shared.stages.set(Stage::Abort);
        for core in cores {
            let _ = core.join();
        }
        return Err(error);
    }
    if cores.iter().any(|c| !c.started().registered) {
        tracing::warn!(
            "the limit on locked memory is too low to register the I/O buffers: transfers cost a little more; \
             raise it with `ulimit -l` to three times memory.pool_bytes"
        );
    }
    Ok(cores)
}

fn launch<G, F>(
    shared: &Shared,
    id: usize,
    cpu: Cpu,
    main: G,
) -> Result<Executor<Result<(), String>>, StartError>
where
    G: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<(), String>> + 'static,
{
    let settings = ExecutorSettings {
        name: format!("core-{id}"),
        cpu,
        pool_bytes: shared.config.pool_bytes_per_core(usize::from(shared.cores)),
        ..ExecutorSettings::default()
    };
    Ok(store::runtime::start(settings, main)?)
}

/// Runs a broker until a signal: prints one line when it serves, and returns after a clean stop. A
/// second signal ends the process at once; nothing acknowledged is lost by that.
///
/// # Errors
/// [`StartError`]; see [`StartError::exit_code`].
pub fn run(config: Config) -> Result<(), StartError> {
    use std::io::Write;
    let mut signals =
        signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])
            .map_err(|e| StartError::failed(format!("signals cannot be handled: {e}")))?;
    let began = Instant::now();
    keep_pages_small();
    let running = start(config)?;
    tracing::info!(
        brokers = running.brokers(),
        cores = running.cores.len(),
        took_ms = began.elapsed().as_millis() as u64,
        "serving"
    );
    let mut stdout = std::io::stdout();
    // A closed stdout is no reason to stop serving.
    let admin = running.admin().map(|at| format!(" ADMIN={at}")).unwrap_or_default();
    let _ = writeln!(stdout, "ready BROKERS={}{admin}", running.brokers()).and_then(|()| stdout.flush());
    signals.forever().next();
    tracing::info!("stopping");
    std::thread::spawn(move || {
        signals.forever().next();
        tracing::warn!("stopping at once: the journals are replayed at the next start");
        std::process::exit(130);
    });
    running.stop()
}

/// The heap of a broker is small beside its pool: huge pages would make a third of it air (measured
/// 91 against 75 MiB resident when idle). A kernel that cannot say so keeps its ways.
fn keep_pages_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay");
    }
}

fn cpus(config: &Config) -> Result<Vec<Cpu>, StartError> {
    if !config.cpus.is_empty() {
        return Ok(config.cpus.iter().map(|&cpu| Cpu::Pinned(cpu)).collect());
    }
    let set = rustix::thread::sched_getaffinity(None)
        .map_err(|e| StartError::failed(format!("the CPUs of this process are unknown: {e}")))?;
    let cpus: Vec<Cpu> =
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).map(Cpu::Pinned).collect();
    Ok(if cpus.is_empty() { vec![Cpu::Unbound] } else { cpus })
}
