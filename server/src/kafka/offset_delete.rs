//! OffsetDelete (47): offsets of topics that the group does not read any more (KIP-496).

use std::borrow::Cow;

use engine::controller::TOPIC_NAME_BYTES_MAX;
use engine::group::{Answer, Ask};
use wire::ErrorCode;
use wire::offset_delete::{PartitionResult, Request, Response, TopicResult};

use super::group;
use super::served::{Call, Refused};

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.topics.iter().map(|t| t.partitions.len()))?;
    let partitions: Vec<(String, i32)> = request
        .topics
        .iter()
        .flat_map(|t| {
            // No topic has a longer name: nothing was ever committed under it.
            let name = Some(t.name).filter(|n| n.len() <= TOPIC_NAME_BYTES_MAX).unwrap_or_default();
            t.partitions.iter().map(move |p| (name.to_owned(), p.partition_index))
        })
        .collect();
    let ask = Ask::DeleteOffsets { group: request.group_id.to_owned(), partitions };
    let results = match group::ask(call.core, request.group_id, ask).await {
        Ok(Answer::DeleteOffsets(results)) => results.map_err(group::of_group),
        Ok(other) => unreachable!("a deletion is answered with {other:?}"),
        Err(code) => Err(code),
    };
    let response = match results {
        Err(error_code) => Response { error_code, ..Response::default() },
        Ok(results) => {
            let mut codes = results.into_iter().map(group::code);
            let topics = request.topics.iter().map(|t| TopicResult {
                name: Cow::Borrowed(t.name),
                partitions: t
                    .partitions
                    .iter()
                    .map(|p| PartitionResult {
                        partition_index: p.partition_index,
                        error_code: codes.next().unwrap_or(ErrorCode::UnknownServerError),
                    })
                    .collect(),
            });
            Response { topics: topics.collect(), ..Response::default() }
        }
    };
    call.answer(&response);
    Ok(())
}
