//! FindCoordinator (10): nobody coordinates yet. Groups may come (a client tries again); transactions
//! are refused for good, so that no client waits for its time-out.

use std::borrow::Cow;

use wire::ErrorCode;
use wire::find_coordinator::{Coordinator, KEY_GROUP, KEY_TRANSACTION, Request, Response};

use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;

/// What stands where there is no node.
const NO_NODE: i32 = -1;

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.coordinator_keys.len())?;
    let (error_code, message) = match request.key_type {
        KEY_GROUP => (ErrorCode::CoordinatorNotAvailable, "consumer groups are not supported yet"),
        KEY_TRANSACTION => {
            (ErrorCode::TransactionalIdAuthorizationFailed, "transactions are not supported yet")
        }
        _ => (ErrorCode::InvalidRequest, "unknown type of coordinator"),
    };
    let error_message = Some(Cow::Borrowed(message));
    let response = if version >= 4 {
        let coordinator = |key: &&'_ str| Coordinator {
            key: Cow::Owned((*key).to_owned()),
            node_id: NO_NODE,
            port: NO_NODE,
            error_code,
            error_message: error_message.clone(),
            ..Coordinator::default()
        };
        Response {
            coordinators: request.coordinator_keys.iter().map(coordinator).collect(),
            ..Response::default()
        }
    } else {
        Response { error_code, error_message, node_id: NO_NODE, port: NO_NODE, ..Response::default() }
    };
    call.answer(&response);
    Ok(())
}
