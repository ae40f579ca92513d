//! LeaveGroup (13).

use std::borrow::Cow;

use engine::group::{Answer, Ask, Leaver};
use wire::ErrorCode;
use wire::leave_group::{MemberResult, Request, Response};

use super::group;
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.members.len())?;
    let members = if version <= 2 {
        vec![Leaver { member: request.member_id.to_owned(), instance: None }]
    } else {
        let leaver = |m: &wire::leave_group::Member<'_>| Leaver {
            member: m.member_id.to_owned(),
            instance: m.group_instance_id.map(str::to_owned),
        };
        request.members.iter().map(leaver).collect()
    };
    let ask = Ask::Leave { group: request.group_id.to_owned(), members };
    let left = match group::ask(call.core, request.group_id, ask).await {
        Ok(Answer::Leave(answer)) => answer.map_err(group::of_group),
        Ok(other) => unreachable!("a leave is answered with {other:?}"),
        Err(code) => Err(code),
    };
    let response = match left {
        Err(error_code) => Response { error_code, ..Response::default() },
        // One member, one error: that of the whole.
        Ok(left) if version <= 2 => {
            let error_code = left.first().map_or(ErrorCode::None, |l| group::code(l.result));
            Response { error_code, ..Response::default() }
        }
        Ok(left) => Response {
            members: left
                .into_iter()
                .map(|l| MemberResult {
                    error_code: group::code(l.result),
                    member_id: Cow::Owned(l.member),
                    group_instance_id: l.instance.map(Cow::Owned),
                })
                .collect(),
            ..Response::default()
        },
    };
    call.answer(&response);
    Ok(())
}
