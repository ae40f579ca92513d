//! DeleteGroups (42): empty groups only, with everything that they committed.

use std::borrow::Cow;

use engine::group::{Answer, Ask};
use wire::delete_groups::{GroupResult, Request, Response};

use super::group;
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.groups_names.len())?;
    let mut results = Vec::with_capacity(request.groups_names.len());
    for name in &request.groups_names {
        let error_code = match group::ask(call.core, name, Ask::Delete { group: (*name).to_owned() }).await {
            Ok(Answer::Delete(result)) => group::code(result),
            Ok(other) => unreachable!("a deletion is answered with {other:?}"),
            Err(code) => code,
        };
        // Kafka has a text for groups that live elsewhere alone.
        results.push(GroupResult { group_id: Cow::Borrowed(name), error_code, error_message: None });
    }
    call.answer(&Response { results, ..Response::default() });
    Ok(())
}
