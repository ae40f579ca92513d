//! DescribeCluster (60): the brokers.

use std::borrow::Cow;

use wire::ErrorCode;
use wire::describe_cluster::{Broker, ENDPOINT_BROKER, Request, Response};

use super::served::{Call, Refused};

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request = call.decode()?;
    let catalog = call.core.catalog();
    let mut response = Response {
        endpoint_type: request.endpoint_type,
        cluster_id: Cow::Owned(call.core.node.cluster_name()),
        controller_id: call.core.node.id.0,
        ..Response::default()
    };
    if request.endpoint_type == ENDPOINT_BROKER {
        let brokers = call.core.node.brokers(catalog.image(), call.session.listener);
        response.brokers = brokers
            .into_iter()
            .map(|b| Broker {
                broker_id: b.id.0,
                host: b.host.into(),
                port: b.port.into(),
                rack: b.rack.map(Cow::Owned),
            })
            .collect();
    } else {
        response.error_code = ErrorCode::UnsupportedEndpointType;
        response.error_message = Some("only brokers can be described".into());
    }
    call.answer(&response);
    Ok(())
}
