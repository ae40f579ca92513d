//! FindCoordinator (10): this broker coordinates every group. Transactions are refused for good, so
//! that no client waits for its time-out.

use std::borrow::Cow;

use wire::ErrorCode;
use wire::find_coordinator::{Coordinator, KEY_GROUP, KEY_TRANSACTION, Request, Response};

use super::group;
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;

/// What stands where there is no node.
const NO_NODE: i32 = -1;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.coordinator_keys.len())?;
    let found = match request.key_type {
        KEY_GROUP => match group::create_offsets_topic(call.core).await {
            Ok(()) => Ok(()),
            Err(code) => Err((code, "the offsets topic could not be created")),
        },
        KEY_TRANSACTION => {
            Err((ErrorCode::TransactionalIdAuthorizationFailed, "transactions are not supported yet"))
        }
        _ => Err((ErrorCode::InvalidRequest, "unknown type of coordinator")),
    };
    let one = |key: &str| coordinator(&call, key, found);
    let response = if version >= 4 {
        let coordinators = request.coordinator_keys.iter().map(|key| one(key)).collect();
        Response { coordinators, ..Response::default() }
    } else {
        let one = one(request.key);
        Response {
            error_code: one.error_code,
            error_message: one.error_message,
            node_id: one.node_id,
            host: one.host,
            port: one.port,
            ..Response::default()
        }
    };
    call.answer(&response);
    Ok(())
}

fn coordinator(
    call: &Call<'_>,
    key: &str,
    found: Result<(), (ErrorCode, &'static str)>,
) -> Coordinator<'static> {
    let nowhere = |error_code, message: &'static str| Coordinator {
        key: Cow::Owned(key.to_owned()),
        node_id: NO_NODE,
        port: NO_NODE,
        error_code,
        error_message: Some(Cow::Borrowed(message)),
        ..Coordinator::default()
    };
    if let Err((code, message)) = found {
        return nowhere(code, message);
    }
    let Ok(seat) = group::seat_of(call.core, key) else {
        return nowhere(ErrorCode::CoordinatorNotAvailable, "the offsets topic is not there");
    };
    let view = call.view();
    let nodes = view.nodes(call.core.catalog().image());
    match nodes.into_iter().find(|node| node.id == view.core(seat.core)) {
        Some(node) => Coordinator {
            key: Cow::Owned(key.to_owned()),
            node_id: node.id,
            host: Cow::Owned(node.host),
            port: i32::from(node.port),
            ..Coordinator::default()
        },
        None => nowhere(ErrorCode::CoordinatorNotAvailable, "this broker is not registered yet"),
    }
}
