//! AlterReplicaLogDirs (34): every replica lies in the one data directory, and can only stay there.

use std::borrow::Cow;

use wire::ErrorCode;
use wire::alter_replica_log_dirs::{PartitionResult, Request, Response, TopicResult};

use super::named;
use super::served::{Call, Refused};

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.dirs.iter().flat_map(|dir| &dir.topics).map(|t| t.partitions.len()))?;
    let catalog = call.core.catalog();
    let ours = &call.core.node.data_dir;
    let results = request.dirs.iter().flat_map(|dir| {
        let catalog = &catalog;
        dir.topics.iter().map(move |topic| TopicResult {
            topic_name: Cow::Borrowed(topic.name),
            partitions: topic
                .partitions
                .iter()
                .map(|&partition_index| {
                    let error_code = if dir.path != ours {
                        ErrorCode::LogDirNotFound
                    } else {
                        named::find(catalog, topic.name, partition_index).err().unwrap_or_default()
                    };
                    PartitionResult { partition_index, error_code }
                })
                .collect(),
        })
    });
    call.answer(&Response { results: results.collect(), ..Response::default() });
    Ok(())
}
