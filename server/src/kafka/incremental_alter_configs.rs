//! IncrementalAlterConfigs (44): SET, DELETE, APPEND, SUBTRACT.

use std::borrow::Cow;

use engine::config::AlterOp;
use engine::controller::{AlterTarget, Alteration};
use wire::ErrorCode;
use wire::incremental_alter_configs::{
    AlterableConfig, OPERATION_APPEND, OPERATION_DELETE, OPERATION_SET, OPERATION_SUBTRACT, Request,
    Resource, ResourceResult, Response,
};

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
    let ops = resource.configs.iter().map(op).collect::<Result<_, _>>()?;
    Ok((target, Alteration::Some(ops)))
}

fn op(config: &AlterableConfig<'_>) -> Result<(String, AlterOp), Fault> {
    let value = || {
        let text = config.value.map(str::to_owned);
        text.ok_or_else(|| (ErrorCode::InvalidRequest, format!("{:.249} has no value", config.name)))
    };
    let op = match config.config_operation {
        OPERATION_SET => AlterOp::Set(value()?),
        OPERATION_DELETE => AlterOp::Delete,
        OPERATION_APPEND => AlterOp::Append(value()?),
        OPERATION_SUBTRACT => AlterOp::Subtract(value()?),
        other => return Err((ErrorCode::InvalidRequest, format!("unknown operation {other}"))),
    };
    Ok((config.name.to_owned(), op))
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
