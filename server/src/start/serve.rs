//! What every core does from its start to its end.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use engine::base::{CoreId, TopicId};
use engine::broker::{CoreState, ScrubLimits, Shard, ShardSettings, SpaceLimits};
use engine::config::{BrokerSettings, CleanerSettings, Listener};
use engine::io::READERS_SHARE;
use engine::metadata::Image;
use glommio::Task;
use store::{DiskSettings, GlommioDisk};

use super::boot::{Booted, Origin, boot, full};
use super::descriptors::Descriptors;
use super::error::StartError;
use super::memory::Sizes;
use super::stage::{Stage, Stages};
use crate::admin::Board;
use crate::config::Config;
use crate::kafka::Handler;
use crate::net::{Admission, Door, Net, NetSettings};
use crate::runtime::{Buffers, Counters, LastWrite, LeaseBudget, StageClocks, TightCores, clock};
use crate::shard::{Apply, Control, Core, CoreDirect, LagTimes, Node, Parts, PostOffice};

/// How often the metrics page is brought up to date.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);

/// How often the free space of the disk is read.
const LOOK_AT_SPACE: Duration = Duration::from_millis(250);

/// How often retention looks whether it is due …
const HOUSEKEEP_LOOK: Duration = Duration::from_secs(1);
/// … and how often it is at least while the disk is nearly full.
const HOUSEKEEP_SHORT: Duration = Duration::from_secs(5);

/// How long a core that ends waits for what it lent.
const LOANS_WAIT: Duration = Duration::from_secs(2);

/// What all cores are started with.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) sizes: Sizes,
    pub(super) cores: u16,
    pub(super) advertised: Vec<Listener>,
    pub(super) direct: Option<CoreDirect>,
    pub(super) data: PathBuf,
    pub(super) admission: Arc<Admission>,
    /// How many connections and files there may be.
    pub(super) descriptors: Descriptors,
    pub(super) stages: Arc<Stages>,
    pub(super) board: Arc<Board>,
    pub(super) tight_cores: TightCores,
    pub(super) writes: LastWrite,
}

/// What one core is started with.
pub(super) struct CoreParts {
    pub(super) id: CoreId,
    pub(super) office: PostOffice,
    pub(super) doors: Vec<Door>,
    pub(super) shared: Arc<Shared>,
    pub(super) report: mpsc::Sender<Result<(), StartError>>,
}

/// Core 0: boots, gives the others what they need, and serves.
pub(super) async fn first(
    parts: CoreParts,
    origin: Origin,
    others: mpsc::Sender<Booted>,
) -> Result<(), String> {
    let report = parts.report.clone();
    let result = async {
        let disk = open_disk(&parts.shared).await?;
        let here = boot(&parts.shared, origin, &disk).await?;
        let (node, image) = (here.booted.node.clone(), here.booted.image.clone());
        let _ = others.send(here.booted);
        let serving = up(parts, disk, node, image, here.state, Some(Control::new(here.log))).await?;
        glommio::spawn_local(bury(serving.core.clone(), here.deleted)).detach();
        Ok(serving)
    };
    ended(result.await, &report).await
}

/// Any other core.
pub(super) async fn further(
    parts: CoreParts,
    node: Arc<Node>,
    image: Image,
    state: CoreState,
) -> Result<(), String> {
    let report = parts.report.clone();
    let result = async {
        let disk = open_disk(&parts.shared).await?;
        up(parts, disk, node, image, state, None).await
    };
    ended(result.await, &report).await
}

async fn ended(
    up: Result<Serving, StartError>,
    report: &mpsc::Sender<Result<(), StartError>>,
) -> Result<(), String> {
    match up {
        Ok(serving) => {
            let _ = report.send(Ok(()));
            serving.until_stopped().await
        }
        Err(error) => {
            let message = error.to_string();
            let _ = report.send(Err(error));
            Err(message)
        }
    }
}

async fn open_disk(shared: &Shared) -> Result<GlommioDisk, StartError> {
    let settings = DiskSettings { files_max: shared.descriptors.files_per_core, ..DiskSettings::default() };
    GlommioDisk::open(shared.data.clone(), settings)
        .await
        .map_err(|e| StartError::failed(format!("the data directory {}: {e}", shared.data.display())))
}

/// A core that serves.
struct Serving {
    core: Rc<Core>,
    net: Rc<Net>,
    shared: Arc<Shared>,
    doors: Vec<Task<()>>,
    jobs: Vec<Task<()>>,
}

async fn up(
    parts: CoreParts,
    disk: GlommioDisk,
    node: Arc<Node>,
    image: Image,
    state: CoreState,
    control: Option<Control>,
) -> Result<Serving, StartError> {
    let shared = parts.shared;
    let config = &shared.config;
    let pool = engine::io::Disk::pool_size(&disk);
    let shard =
        Shard::open(disk, state, shard_settings(config, shared.cores), clock::now()).await.map_err(|e| {
            let failed = || StartError::failed(format!("the journal of core {}: {e}", parts.id.0));
            full(&shared, &e).unwrap_or_else(failed)
        })?;
    // Nobody is served before it is known whether there is space.
    shard
        .read_space(clock::now())
        .await
        .map_err(|e| StartError::failed(format!("the data directory {}: {e}", shared.data.display())))?;
    let counters = Rc::new(Counters::default());
    let clocks = Rc::new(StageClocks::default());
    let buffers = Rc::new(Buffers::new(config.receive_bytes_per_core(usize::from(shared.cores))));
    let leases = LeaseBudget::new(pool / READERS_SHARE, shared.tight_cores.clone());
    let net = Net::new(
        net_settings(&shared),
        buffers.clone(),
        leases.clone(),
        counters.clone(),
        clocks.clone(),
        shared.admission.clone(),
    );
    let apply = applier(&shared, shard.clone());
    let core = Core::new(Parts {
        id: parts.id,
        node,
        shard,
        counters,
        clocks,
        buffers,
        leases,
        control,
        image,
        apply,
    });
    parts.office.open(&core);
    core.seat_groups();
    let jobs = start_jobs(&core, &net, &shared);
    let mut doors = Vec::new();
    for (listener, door) in parts.doors.into_iter().enumerate() {
        let task = net
            .listen(door, listener, Handler::new(core.clone()))
            .map_err(|e| StartError::failed(format!("core {} cannot listen: {e}", core.id.0)))?;
        doors.push(task);
    }
    Ok(Serving { core, net, shared, doors, jobs })
}

/// Every broker setting that can be altered while the broker runs, except for the defaults of topics:
/// those follow with their topics.
fn applier(shared: &Arc<Shared>, shard: Shard<GlommioDisk>) -> Apply {
    let (admission, possible) = (shared.admission.clone(), shared.descriptors.connections);
    let (cores, dedupe_bytes_max) = (shared.cores, shared.sizes.dedupe_bytes_max);
    Box::new(move |settings| {
        let connections = (settings.connections_max as usize).min(possible);
        admission.limit(connections, settings.connections_per_ip_max as usize);
        shard.set_producer_expiration(settings.producer_id_expiration_ms);
        shard.set_space_limits(space_limits(settings, cores));
        let dedupe_bytes = settings.cleaner.dedupe_bytes.min(dedupe_bytes_max);
        shard.set_cleaner(CleanerSettings { dedupe_bytes, ..settings.cleaner }.share(cores));
        shard.set_scrub(scrub_limits(settings, cores));
    })
}

fn start_jobs(core: &Rc<Core>, net: &Rc<Net>, shared: &Arc<Shared>) -> Vec<Task<()>> {
    let (commits, writer, cleaner) = (core.shard.clone(), core.shard.clone(), core.shard.clone());
    let mut jobs = vec![
        glommio::spawn_local(async move { commits.run_commits().await }),
        glommio::spawn_local(async move { writer.run_writer().await }),
        glommio::spawn_local(async move { cleaner.run_cleaner().await }),
        glommio::spawn_local(core.clone().run_acks()),
        glommio::spawn_local(core.clone().run_group_clock()),
        glommio::spawn_local(tick(core.clone(), shared.config.tick, shared.writes.clone())),
        glommio::spawn_local(housekeep(core.clone())),
        glommio::spawn_local(watch_space(core.clone())),
        glommio::spawn_local(net.clone().run_sweep()),
    ];
    if shared.config.admin.is_some() {
        jobs.push(glommio::spawn_local(publish(core.clone(), net.clone(), shared.board.clone())));
    }
    jobs
}

/// What the last broker here left of deleted topics.
async fn bury(core: Rc<Core>, deleted: Vec<TopicId>) {
    if let Err(error) = core.shard.bury_topics(&deleted).await {
        tracing::warn!(%error, "what is left of deleted topics stays until the next start");
    }
}

async fn tick(core: Rc<Core>, every: Duration, writes: LastWrite) {
    let mut durable = core.shard.durable();
    loop {
        glommio::timer::sleep(every).await;
        let now = clock::now();
        if std::mem::replace(&mut durable, core.shard.durable()) != durable {
            writes.note(now.mono);
        }
        core.shard.set_quiet(writes.is_quiet(now.mono));
        core.shard.slept(store::clock::asleep());
        core.shard.tick(now);
    }
}

async fn housekeep(core: Rc<Core>) {
    let mut last = clock::now().mono;
    loop {
        let every = Duration::from_millis(core.catalog().broker().retention_check_interval_ms);
        glommio::timer::sleep(every.min(HOUSEKEEP_LOOK)).await;
        let short = core.shard.is_tight_of_space();
        let due = if short { every.min(HOUSEKEEP_SHORT) } else { every };
        let now = clock::now();
        if now.mono.since(last) >= due {
            core.shard.housekeep(now).await;
            last = now.mono;
        }
    }
}

async fn watch_space(core: Rc<Core>) {
    loop {
        if let Err(error) = core.shard.look_at_space(clock::now()).await {
            tracing::warn!(core = core.id.0, %error, "the disk's space");
        }
        if let Err(error) = core.shard.remember_time(clock::now()).await {
            tracing::warn!(core = core.id.0, %error, "the time was not written down");
        }
        glommio::timer::sleep(LOOK_AT_SPACE).await;
    }
}

async fn publish(core: Rc<Core>, net: Rc<Net>, board: Arc<Board>) {
    let mut times = LagTimes::default();
    loop {
        let word = board.clock_word(&core);
        if word.is_some() {
            core.shard.accept_clock(clock::now());
        }
        board.publish(&core, net.connections());
        if let Some(word) = word {
            board.heed_clock_word(&core, word);
        }
        if let Some(question) = board.lag_question(&core) {
            let lag = core.group_lag(&mut times).await;
            board.answer_lag(&core, question, lag);
        }
        glommio::timer::sleep(PUBLISH_EVERY).await;
    }
}

impl Serving {
    async fn until_stopped(self) -> Result<(), String> {
        let Serving { core, net, shared, doors, jobs } = self;
        let stages = &shared.stages;
        stages.reached(Stage::Drain).await;
        for door in doors {
            door.cancel().await;
        }
        net.drain();
        core.stop_waiting();
        net.drained(clock::now().mono.after(shared.config.stop)).await;
        stages.drained();
        stages.reached(Stage::Close).await;
        let give_up = clock::now().mono.after(LOANS_WAIT);
        while !core.loans.is_empty() && clock::now().mono < give_up {
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
        let closed = core.shard.close(clock::now()).await;
        for job in jobs {
            job.cancel().await;
        }
        closed.map_err(|e| format!("core {} did not close cleanly: {e}", core.id.0))
    }
}

/// How full the disk may get.
pub(super) fn space_limits(settings: &BrokerSettings, cores: u16) -> SpaceLimits {
    SpaceLimits { floor: settings.disk_floor_bytes, ballast: settings.disk_ballast_bytes, shards: cores }
}

/// One core's share of the scrub.
fn scrub_limits(settings: &BrokerSettings, cores: u16) -> ScrubLimits {
    ScrubLimits {
        bytes_per_second: settings.scrub_bytes_per_second.div_ceil(u64::from(cores)),
        interval_ms: settings.scrub_interval_ms,
    }
}

fn shard_settings(config: &Config, cores: u16) -> ShardSettings {
    let scrub = scrub_limits(&config.broker, cores);
    ShardSettings {
        journal_bytes: config.journal_bytes,
        journal_bytes_first: config.journal_bytes_first,
        journal_files: config.journal_files,
        producer_expiration_ms: config.broker.producer_id_expiration_ms,
        scrub_bytes_per_second: scrub.bytes_per_second,
        read_only: config.read_only,
        scrub_interval_ms: scrub.interval_ms,
        space: space_limits(&config.broker, cores),
        clock_synchronised: store::clock::is_synchronised(),
        ..ShardSettings::default()
    }
}

fn net_settings(shared: &Shared) -> NetSettings {
    let config = &shared.config;
    NetSettings {
        request_bytes_max: shared.sizes.request_bytes_max,
        idle: config.broker.connections_idle_ms_max.map(Duration::from_millis),
        first_frame: config.first_frame,
        frame: config.frame,
        send_stall: config.send_stall,
    }
}
