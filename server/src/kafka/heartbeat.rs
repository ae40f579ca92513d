//! Heartbeat (12).

use engine::group::{Answer, Ask, MemberRef};
use wire::heartbeat::{Request, Response};

use super::group;
use super::served::{Call, Refused};

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    let who = MemberRef {
        group: request.group_id.to_owned(),
        generation: request.generation_id,
        member: request.member_id.to_owned(),
        instance: request.group_instance_id.map(str::to_owned),
    };
    let error_code = match group::ask(call.core, request.group_id, Ask::Heartbeat(who)).await {
        Ok(Answer::Heartbeat(result)) => group::code(result),
        Ok(other) => unreachable!("a heartbeat is answered with {other:?}"),
        Err(code) => code,
    };
    call.answer(&Response { error_code, ..Response::default() });
    Ok(())
}
