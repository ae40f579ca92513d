//! DescribeCluster (60): the brokers.

use std::borrow::Cow;

use wire::ErrorCode;
use wire::describe_cluster::{Broker, ENDPOINT_BROKER, ENDPOINT_CONTROLLER, Request, Response};

use super::served::{Call, Refused};

/// Kafka's operations on a cluster, a bit for each: create, alter, describe, cluster action, describe and
/// alter configs, idempotent write. While there is no authorizer all of them are allowed.
const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request = call.decode()?;
    let catalog = call.core.catalog();
    let mut response = Response {
        endpoint_type: request.endpoint_type,
        cluster_id: Cow::Owned(call.core.node.cluster_name()),
        controller_id: call.view().controller(),
        ..Response::default()
    };
    if request.endpoint_type == ENDPOINT_BROKER {
        response.brokers = call
            .view()
            .nodes(catalog.image())
            .into_iter()
            .map(|b| Broker {
                broker_id: b.id,
                host: b.host.into(),
                port: b.port.into(),
                rack: b.rack.map(Cow::Owned),
                // A broker that serves is not fenced, and there is no other.
                is_fenced: false,
            })
            .collect();
        if request.include_cluster_authorized_operations {
            response.cluster_authorized_operations = CLUSTER_OPERATIONS;
        }
    } else if request.endpoint_type == ENDPOINT_CONTROLLER {
        response.error_code = ErrorCode::MismatchedEndpointType;
        response.error_message = Some("a broker was asked for the controllers".into());
    } else {
        response.error_code = ErrorCode::UnsupportedEndpointType;
        response.error_message = Some(format!("no endpoint is of type {}", request.endpoint_type).into());
    }
    call.answer(&response);
    Ok(())
}
