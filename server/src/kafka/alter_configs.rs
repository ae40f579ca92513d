//! AlterConfigs (33): replaces all settings of a resource. Those that are not named go back to what they
//! inherit.

use std::borrow::Cow;

use engine::controller::{AlterTarget, Alteration};
use wire::ErrorCode;
use wire::alter_configs::{Config, Request, Resource, ResourceResult, Response};

use super::config_resource::{alter, target};
use super::errors::{Fault, told};
use super::served::{Call, Refused};
use crate::shard::Node;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above_items(request.resources.iter().map(|r| r.configs.len()))?;
    let this = &call.core.node;
    let asked = request.resources.iter().map(|r| wanted(r, this)).collect();
    let outcomes = alter(call.core, asked, request.validate_only).await;
    let responses =
        request.resources.iter().zip(outcomes).map(|(resource, outcome)| result(resource, outcome)).collect();
    call.answer(&Response { responses, ..Response::default() });
    Ok(())
}

fn wanted(resource: &Resource<'_>, this: &Node) -> Result<(AlterTarget, Alteration), Fault> {
    let target = target(resource.resource_type, resource.resource_name, this)?;
    let values = resource.configs.iter().map(value).collect::<Result<_, _>>()?;
    Ok((target, Alteration::All(values)))
}

fn value(config: &Config<'_>) -> Result<(String, String), Fault> {
    match config.value {
        Some(value) => Ok((config.name.to_owned(), value.to_owned())),
        None => {
            let message = format!("Null value not supported for : {:.249}", config.name);
            Err((ErrorCode::InvalidRequest, message))
        }
    }
}

fn result<'a>(resource: &Resource<'a>, outcome: Result<(), Fault>) -> ResourceResult<'a> {
    let (error_code, error_message) = told(outcome);
    ResourceResult {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: Cow::Borrowed(resource.resource_name),
    }
}
