//! InitProducerId (22): an id for an idempotent producer. With a transactional id the answer is final:
//! there are no transactions yet.

use wire::ErrorCode;
use wire::init_producer_id::{Request, Response};

use super::errors;
use super::served::{Call, Refused};

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    let refused = |error_code| Response { error_code, producer_epoch: -1, ..Response::default() };
    let response = if request.transactional_id.is_some() {
        refused(ErrorCode::TransactionalIdAuthorizationFailed)
    } else if (request.producer_id == -1) != (request.producer_epoch == -1) {
        refused(ErrorCode::InvalidRequest)
    } else {
        // Whatever id it says it has: without a transactional id nothing tells that it is the client's own,
        // and some send 0 for none.
        match call.core.producer_id().await {
            Ok(producer_id) => Response { producer_id, producer_epoch: 0, ..Response::default() },
            Err(error) => refused(errors::of_control(&error).0),
        }
    };
    call.answer(&response);
    Ok(())
}
