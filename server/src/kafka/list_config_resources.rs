//! ListConfigResources (74): what has settings. Up to version 0 that was only asked of metrics
//! subscriptions, of which there are none.

use std::borrow::Cow;

use wire::ErrorCode;
use wire::describe_configs::{
    RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP, RESOURCE_TOPIC,
};
use wire::list_config_resources::{ConfigResource, Request, Response};

use super::served::{Call, Refused};

/// Every type that version 1 may ask for.
const KNOWN: [i8; 5] =
    [RESOURCE_TOPIC, RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP];

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request = call.decode()?;
    let known: &[i8] = if version == 0 { &[RESOURCE_CLIENT_METRICS] } else { &KNOWN };
    if request.resource_types.iter().any(|t| !known.contains(t)) {
        call.answer(&Response { error_code: ErrorCode::UnsupportedVersion, ..Response::default() });
        return Ok(());
    }
    let wanted = |t: i8| {
        known.contains(&t) && (request.resource_types.is_empty() || request.resource_types.contains(&t))
    };
    let catalog = call.core.catalog();
    let mut config_resources = Vec::new();
    let mut list = |resource_type: i8, names: Vec<String>| {
        let resource = |name| ConfigResource { resource_name: Cow::Owned(name), resource_type };
        config_resources.extend(names.into_iter().map(resource));
    };
    // There are no metrics subscriptions.
    if wanted(RESOURCE_GROUP) {
        list(RESOURCE_GROUP, catalog.image().group_configs().keys().cloned().collect());
    }
    for resource_type in [RESOURCE_BROKER_LOGGER, RESOURCE_BROKER].into_iter().filter(|&t| wanted(t)) {
        list(resource_type, catalog.image().brokers().map(|(id, _)| id.0.to_string()).collect());
    }
    if wanted(RESOURCE_TOPIC) {
        list(RESOURCE_TOPIC, catalog.image().topics().map(|t| t.name.clone()).collect());
    }
    call.answer(&Response { config_resources, ..Response::default() });
    Ok(())
}
