//! JoinGroup (11).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use engine::group::{Answer, Ask, JoinAsk, MemberRef, Protocol};
use uuid::Uuid;
use wire::ErrorCode;
use wire::join_group::{Member, Request, Response};

use super::group;
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.protocols.len())?;
    let member = request.member_id.to_owned();
    let session = millis(request.session_timeout_ms);
    let ask = JoinAsk {
        who: MemberRef {
            group: request.group_id.to_owned(),
            generation: -1,
            member: member.clone(),
            instance: request.group_instance_id.map(str::to_owned),
        },
        fresh_id: Uuid::new_v4().to_string(),
        client_id: call.header.client_id.unwrap_or_default().to_owned(),
        client_host: call.client_host(),
        session,
        // Version 0 knows one time-out for both.
        rebalance: if version == 0 { session } else { millis(request.rebalance_timeout_ms) },
        protocol_type: request.protocol_type.to_owned(),
        protocols: request
            .protocols
            .iter()
            .map(|p| Protocol { name: p.name.to_owned(), metadata: Bytes::copy_from_slice(p.metadata) })
            .collect(),
        known_id_required: version >= 4,
        may_skip_assignment: version >= 9,
    };
    let joined = match group::ask(call.core, request.group_id, Ask::Join(ask)).await {
        Ok(Answer::Join(answer)) => answer.map_err(|(error, member)| (group::of_group(error), member)),
        Ok(other) => unreachable!("a join is answered with {other:?}"),
        Err(code) => Err((code, member)),
    };
    let no_protocol = if version >= 7 { None } else { Some(Cow::Borrowed("")) };
    let response = match joined {
        Ok(joined) => Response {
            generation_id: joined.generation,
            protocol_type: Some(Cow::Owned(joined.protocol_type)),
            protocol_name: Some(Cow::Owned(joined.protocol)),
            leader: Cow::Owned(joined.leader),
            skip_assignment: joined.skip_assignment,
            member_id: Cow::Owned(joined.member),
            members: joined
                .members
                .into_iter()
                .map(|m| Member {
                    member_id: Cow::Owned(m.id),
                    group_instance_id: m.instance.map(Cow::Owned),
                    metadata: Cow::Owned(m.metadata.to_vec()),
                })
                .collect(),
            ..Response::default()
        },
        Err((error_code, member)) => Response {
            error_code,
            protocol_name: no_protocol,
            member_id: Cow::Owned(member),
            ..Response::default()
        },
    };
    debug_assert!(response.error_code != ErrorCode::None || response.generation_id > 0);
    call.answer(&response);
    Ok(())
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
