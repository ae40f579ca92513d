//! IncrementalAlterConfigs (44): SET, DELETE, APPEND, SUBTRACT.

use std::borrow::Cow;

use engine::base::NodeId;
use engine::config::AlterOp;
use engine::controller::{AlterConfigs, AlterTarget, Context, alter_configs};
use wire::ErrorCode;
use wire::describe_configs::{RESOURCE_BROKER, RESOURCE_TOPIC};
use wire::incremental_alter_configs::{
    AlterableConfig, OPERATION_APPEND, OPERATION_DELETE, OPERATION_SET, OPERATION_SUBTRACT, Request,
    Resource, ResourceResult, Response,
};

use super::errors;
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;

type Outcome = Result<(), (ErrorCode, String)>;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.resources.len())?;
    let asked: Vec<Result<AlterConfigs, (ErrorCode, String)>> =
        request.resources.iter().map(target).collect();
    let good: Vec<AlterConfigs> = asked.iter().filter_map(|a| a.as_ref().ok().cloned()).collect();
    let (cores, validate_only) = (call.core.node.cores, request.validate_only);
    let change = call.core.change(move |catalog| {
        let context = Context { image: catalog.image(), settings: catalog.broker(), cores };
        let decision = alter_configs(context, &good, validate_only);
        (decision.records, decision.replies)
    });
    let mut decided = match change.await {
        Ok(replies) => {
            replies.into_iter().map(|r| r.map_err(|e| (errors::of_refusal(&e), e.message))).collect()
        }
        Err(error) => vec![Err(errors::of_control(&error)); asked.len()],
    }
    .into_iter();
    let outcomes = asked.into_iter().map(|a| match a {
        Ok(_) => decided.next().expect("one reply for each that was well formed"),
        Err(refused) => Err(refused),
    });
    let responses =
        request.resources.iter().zip(outcomes).map(|(resource, outcome)| result(resource, outcome)).collect();
    call.answer(&Response { responses, ..Response::default() });
    Ok(())
}

fn target(resource: &Resource<'_>) -> Result<AlterConfigs, (ErrorCode, String)> {
    let name = resource.resource_name;
    let target = match resource.resource_type {
        RESOURCE_TOPIC => AlterTarget::Topic(name.to_owned()),
        RESOURCE_BROKER if name.is_empty() => AlterTarget::AllBrokers,
        RESOURCE_BROKER => match name.parse() {
            Ok(id) => AlterTarget::Broker(NodeId(id)),
            Err(_) => return Err((ErrorCode::InvalidRequest, format!("{name:.32?} is not a broker id"))),
        },
        other => {
            return Err((
                ErrorCode::InvalidRequest,
                format!("resources of type {other} have no settings here"),
            ));
        }
    };
    let ops = resource.configs.iter().map(op).collect::<Result<_, _>>()?;
    Ok(AlterConfigs { target, ops })
}

fn op(config: &AlterableConfig<'_>) -> Result<(String, AlterOp), (ErrorCode, String)> {
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

fn result(resource: &Resource<'_>, outcome: Outcome) -> ResourceResult<'static> {
    let (error_code, error_message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err((code, message)) => (code, Some(Cow::Owned(message))),
    };
    ResourceResult {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: Cow::Owned(resource.resource_name.to_owned()),
    }
}
