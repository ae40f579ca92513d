//! SyncGroup (14).

use std::borrow::Cow;

use bytes::Bytes;
use engine::group::{Answer, Ask, MemberRef, SyncAsk};
use wire::sync_group::{Request, Response};

use super::group;
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.assignments.len())?;
    let ask = SyncAsk {
        who: MemberRef {
            group: request.group_id.to_owned(),
            generation: request.generation_id,
            member: request.member_id.to_owned(),
            instance: request.group_instance_id.map(str::to_owned),
        },
        protocol_type: request.protocol_type.map(str::to_owned),
        protocol: request.protocol_name.map(str::to_owned),
        assignments: request
            .assignments
            .iter()
            .map(|a| (a.member_id.to_owned(), Bytes::copy_from_slice(a.assignment)))
            .collect(),
    };
    let synced = match group::ask(call.core, request.group_id, Ask::Sync(ask)).await {
        Ok(Answer::Sync(answer)) => answer.map_err(group::of_group),
        Ok(other) => unreachable!("a sync is answered with {other:?}"),
        Err(code) => Err(code),
    };
    let response = match synced {
        Ok(synced) => Response {
            protocol_type: Some(Cow::Owned(synced.protocol_type)),
            protocol_name: Some(Cow::Owned(synced.protocol)),
            assignment: Cow::Owned(synced.assignment.to_vec()),
            ..Response::default()
        },
        Err(error_code) => Response { error_code, ..Response::default() },
    };
    call.answer(&response);
    Ok(())
}
