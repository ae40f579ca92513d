//! UnregisterBroker (64): a cluster's only broker cannot be forgotten, and there is no other.

use engine::base::NodeId;
use wire::ErrorCode;
use wire::unregister_broker::{Request, Response};

use super::served::{Call, Refused};

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request = call.decode()?;
    let id = request.broker_id;
    let (error_code, message) = match call.core.catalog().image().broker(NodeId(id)) {
        Some(_) => (ErrorCode::InvalidRequest, format!("broker {id} is running and cannot be unregistered")),
        None => (ErrorCode::BrokerIdNotRegistered, format!("there is no broker {id}")),
    };
    call.answer(&Response { error_code, error_message: Some(message.into()), ..Response::default() });
    Ok(())
}
