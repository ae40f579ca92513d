//! DescribeLogDirs (35): the one data directory, what each partition takes there, and its volume.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use engine::base::{CoreId, PartitionKey};
use wire::ErrorCode;
use wire::describe_log_dirs::{DirPartition, DirTopic, LogDir, Request, Response};

use super::served::{Call, Refused};
use crate::shard::{Catalog, Core};

/// Where a partition's line stands: topic and partition.
type Line = (usize, usize);

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.topics.iter().flatten().map(|t| t.partitions.len()))?;
    let catalog = call.core.catalog();
    let mut topics: Vec<DirTopic<'_>> = Vec::new();
    let mut per_core: BTreeMap<CoreId, Vec<(PartitionKey, Line)>> = BTreeMap::new();
    match &request.topics {
        None => {
            for topic in catalog.image().topics() {
                let all = 0..topic.partitions.len() as i32;
                add(call.core, &catalog, &topic.name, all, &mut topics, &mut per_core);
            }
        }
        Some(asked) => {
            for topic in asked {
                let some = topic.partitions.iter().copied();
                add(call.core, &catalog, topic.topic, some, &mut topics, &mut per_core);
            }
        }
    }
    let mut offline = false;
    for core in (0..call.core.node.cores).map(CoreId) {
        let lines = per_core.remove(&core).unwrap_or_default();
        let (sizes, failed) = call.core.call(core, move |core| async move { measure(&core, &lines) }).await;
        for ((topic, partition), bytes) in sizes {
            topics[topic].partitions[partition].partition_size = bytes as i64;
        }
        offline |= failed;
    }
    let directory = &call.core.node.data_dir;
    let (total_bytes, usable_bytes) = volume(Path::new(directory));
    let log_dir = Cow::Borrowed(directory.as_str());
    let result = if offline {
        LogDir { error_code: ErrorCode::KafkaStorageError, log_dir, ..LogDir::default() }
    } else {
        topics.retain(|t| !t.partitions.is_empty());
        LogDir { log_dir, topics, total_bytes, usable_bytes, ..LogDir::default() }
    };
    call.answer(&Response { results: vec![result], ..Response::default() });
    Ok(())
}

/// Adds the lines of a topic's partitions; those that do not exist have none.
fn add(
    core: &Core,
    catalog: &Catalog,
    name: &str,
    indexes: impl Iterator<Item = i32>,
    topics: &mut Vec<DirTopic<'_>>,
    per_core: &mut BTreeMap<CoreId, Vec<(PartitionKey, Line)>>,
) {
    let Some(entry) = catalog.topic(name) else { return };
    let mut partitions = Vec::new();
    for index in indexes {
        let Some(state) = usize::try_from(index).ok().and_then(|i| entry.topic.partitions.get(i)) else {
            continue;
        };
        let key = PartitionKey { topic: entry.topic.id, index };
        per_core.entry(core.node.core_of(state)).or_default().push((key, (topics.len(), partitions.len())));
        partitions.push(DirPartition { partition_index: index, ..DirPartition::default() });
    }
    topics.push(DirTopic { name: Cow::Owned(name.to_owned()), partitions });
}

/// The sizes of partitions on this core, and whether its journal failed. A partition that was deleted
/// meanwhile takes nothing.
fn measure(core: &Core, lines: &[(PartitionKey, Line)]) -> (Vec<(Line, u64)>, bool) {
    let sizes = lines.iter().map(|&(key, line)| (line, core.shard.log_bytes(key).unwrap_or(0))).collect();
    (sizes, core.shard.is_offline())
}

/// Bytes of the volume that a directory is on, and those free for this process; −1 where they are unknown.
fn volume(directory: &Path) -> (i64, i64) {
    // Answered from the mounted file system's memory: no transfer, so no core waits for a disk.
    let Ok(stat) = rustix::fs::statvfs(directory) else { return (-1, -1) };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX);
    (bytes(stat.f_blocks), bytes(stat.f_bavail))
}
