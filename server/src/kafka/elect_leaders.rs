//! ElectLeaders (43): on one node every partition is led by its only replica, so nothing is elected.

use std::borrow::Cow;

use wire::ErrorCode;
use wire::elect_leaders::{PartitionResult, Request, Response, TopicResult};

use super::named;
use super::served::{Call, Refused};

/// The kinds of election: preferred and unclean.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.topic_partitions.iter().flatten().map(|t| t.partitions.len()))?;
    let catalog = call.core.catalog();
    let mut response = Response::default();
    if !ELECTION_TYPES.contains(&request.election_type) {
        response.error_code = ErrorCode::InvalidRequest;
        call.answer(&response);
        return Ok(());
    }
    let result = |topic: &str, index| {
        let code = match named::find(&catalog, topic, index) {
            Ok((_, state)) if state.leader.is_some() => ErrorCode::ElectionNotNeeded,
            Ok(_) => ErrorCode::EligibleLeadersNotAvailable,
            Err(code) => code,
        };
        PartitionResult { partition_id: index, error_code: code, error_message: None }
    };
    // Asked for all partitions, those that need no election are not named: here, none is.
    let named = request.topic_partitions.iter().flatten();
    response.replica_election_results = named
        .map(|t| TopicResult {
            topic: Cow::Borrowed(t.topic),
            partition_result: t.partitions.iter().map(|&index| result(t.topic, index)).collect(),
        })
        .collect();
    call.answer(&response);
    Ok(())
}
