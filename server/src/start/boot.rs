//! What core 0 does before anybody serves: metadata, then recovery.

use std::sync::Arc;

use engine::base::TopicId;
use engine::broker::{CoreState, RecoveryError, RecoveryReport, recover};
use engine::config::BrokerSettings;
use engine::controller::{Context, Start, start_records};
use engine::io::{DiskError, DiskFault};
use engine::metadata::{Broker, Endpoint, Image, MetadataLog, MetadataRecord};
use uuid::Uuid;

use super::error::StartError;
use super::serve::Shared;
use crate::runtime::clock;
use crate::shard::{Catalog, Disk, Node};

/// Records of a start that go into one append of the metadata log: about 60 bytes each.
const RECORDS_PER_APPEND: usize = 8192;

/// What the data directory says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) cluster: Uuid,
    /// The data directory's own id.
    pub(super) directory: Uuid,
    /// Whether the last broker here did not stop cleanly.
    pub(super) unclean: bool,
}

/// What the other cores need.
pub(super) struct Booted {
    pub(super) node: Arc<Node>,
    pub(super) image: Image,
    pub(super) others: Vec<CoreState>,
}

/// What core 0 needs.
pub(super) struct BootedHere {
    pub(super) booted: Booted,
    pub(super) state: CoreState,
    pub(super) log: MetadataLog<Disk>,
    /// Topics that are deleted, and whose files may be there still.
    pub(super) deleted: Vec<TopicId>,
}

/// Opens the metadata, says that this broker starts, and recovers every journal.
pub(super) async fn boot(shared: &Shared, origin: Origin, disk: &Disk) -> Result<BootedHere, StartError> {
    let failed = |what: &str, e: &dyn std::fmt::Display| StartError::failed(format!("{what}: {e}"));
    let (mut log, image) = MetadataLog::open(disk.clone()).await.map_err(|e| failed("the metadata", &e))?;
    let deleted = log.take_deleted();
    let settings = settings_of(&shared.config.broker, &image);
    let start = Start {
        cluster: origin.cluster,
        broker: Broker { rack: settings.rack.clone(), endpoints: endpoints(shared) },
        unclean: origin.unclean,
    };
    let context = Context { image: &image, settings: &settings, cores: shared.cores };
    let records: Vec<MetadataRecord> = start_records(context, &start);
    for records in records.chunks(RECORDS_PER_APPEND) {
        log.append(records).await.map_err(|e| failed("the metadata", &e))?;
    }
    let image = log.image().clone();
    let node = Arc::new(Node {
        cluster: image.cluster().expect("the first start creates the cluster"),
        id: shared.config.broker.node_id,
        data_dir: shared.data.to_string_lossy().into_owned(),
        directory: origin.directory,
        advertised: shared.advertised.clone(),
        direct: shared.direct.clone(),
        settings: shared.config.broker.clone(),
        cores: shared.cores,
        read_only: shared.config.read_only,
    });
    let hosted = Catalog::new(image.clone(), &node).hosted(&node);
    let recovered = recover(disk, &hosted, shared.cores, clock::now()).await.map_err(|e| match e {
        RecoveryError::Disk(e) => {
            full(shared, &e).unwrap_or_else(|| failed("the recovery of the journals", &e))
        }
        refused => StartError::precondition(format!("the data directory: {refused}")),
    })?;
    tell(&recovered.report);
    let mut states = recovered.cores.into_iter();
    let state = states.next().expect("recovery gives a state for each core");
    Ok(BootedHere { booted: Booted { node, image, others: states.collect() }, state, log, deleted })
}

/// What to do if the disk had no space for something.
pub(super) fn full(shared: &Shared, error: &DiskError) -> Option<StartError> {
    (error.fault == DiskFault::NoSpace).then(|| {
        StartError::failed(format!(
            "the disk of {} is full ({error}): remove something else from it, {} MiB to be sure, and start again; \
             nothing that was acknowledged is lost",
            shared.data.display(),
            (shared.config.journal_bytes * shared.config.journal_files as u64 * u64::from(shared.cores)) >> 20,
        ))
    })
}

/// The settings with those altered at run time.
fn settings_of(broker: &BrokerSettings, image: &Image) -> BrokerSettings {
    use engine::metadata::ConfigResource;
    let none = std::collections::BTreeMap::new();
    let all = image.configs(ConfigResource::AllBrokers).unwrap_or(&none);
    let this = image.configs(ConfigResource::Broker(broker.node_id)).unwrap_or(&none);
    broker.with_stored(all, this).0
}

fn endpoints(shared: &Shared) -> Vec<Endpoint> {
    let endpoint =
        |l: &engine::config::Listener| Endpoint { name: l.name.clone(), host: l.host.clone(), port: l.port };
    shared.advertised.iter().map(endpoint).collect()
}

fn tell(report: &RecoveryReport) {
    if report.frames > 0 {
        tracing::info!(
            journals = report.journals,
            frames = report.frames,
            batches = report.batches,
            bytes = report.bytes,
            extents = report.extents,
            extents_torn = report.extents_torn,
            torn = report.torn,
            "recovered"
        );
    }
    if report.journals_kept > 0 {
        tracing::warn!(
            files = report.journals_kept,
            "journal files are kept aside for what earlier starts found damaged or unreadable: `ringlog log damage` lists them"
        );
    }
    if report.frames_damaged > 0 || !report.partitions_damaged.is_empty() {
        tracing::error!(
            frames = report.frames_damaged,
            partitions = ?report.partitions_damaged,
            "damage found: these partitions are fenced, their bytes kept"
        );
    }
}
