//! What the config APIs share: whose settings a client means, and how alterations are made.

use std::rc::Rc;

use engine::base::NodeId;
use engine::controller::{AlterConfigs, AlterTarget, Alteration, Context, alter_configs};
use wire::ErrorCode;
use wire::describe_configs::{RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_GROUP, RESOURCE_TOPIC};

use super::errors::{self, Fault};
use crate::shard::{Core, Node};

/// Whose settings are to be altered.
pub(super) fn target(resource_type: i8, name: &str, this: &Node) -> Result<AlterTarget, Fault> {
    match resource_type {
        RESOURCE_TOPIC => Ok(AlterTarget::Topic(name.to_owned())),
        RESOURCE_BROKER if name.is_empty() => Ok(AlterTarget::AllBrokers),
        RESOURCE_BROKER => check_broker(name, this).map(AlterTarget::Broker),
        RESOURCE_GROUP => Ok(AlterTarget::Group(name.to_owned())),
        RESOURCE_BROKER_LOGGER => {
            check_broker(name, this)?;
            Err((ErrorCode::InvalidConfig, "this broker has no loggers that could be set".to_owned()))
        }
        other => Err(unsupported(other)),
    }
}

/// A broker's id, which must be this one's.
pub(super) fn check_broker(name: &str, this: &Node) -> Result<NodeId, Fault> {
    let message = match name.parse::<i32>() {
        Ok(id) if this.is_named_by(id) => return Ok(this.id),
        Ok(id) => format!("Unexpected broker id, expected {}, but received {id}", this.id.0),
        Err(_) => format!("Node id must be an integer, but it is: {name:.32}"),
    };
    Err((ErrorCode::InvalidRequest, message))
}

pub(super) fn unsupported(resource_type: i8) -> Fault {
    (ErrorCode::InvalidRequest, format!("resources of type {resource_type} have no settings here"))
}

/// Makes alterations, or says whether they could be: an outcome for each, also for those that were
/// refused before.
pub(super) async fn alter(
    core: &Rc<Core>,
    asked: Vec<Result<(AlterTarget, Alteration), Fault>>,
    validate_only: bool,
) -> Vec<Result<(), Fault>> {
    let good: Vec<AlterConfigs> = asked
        .iter()
        .filter_map(|a| a.as_ref().ok())
        .map(|(target, alteration)| AlterConfigs { target: target.clone(), alteration: alteration.clone() })
        .collect();
    let (cores, count) = (core.node.cores, good.len());
    let change = core.change(move |catalog| {
        let context = Context { image: catalog.image(), settings: catalog.broker(), cores };
        let decision = alter_configs(context, &good, validate_only);
        (decision.records, decision.replies)
    });
    let decided: Vec<Result<(), Fault>> = match change.await {
        Ok(replies) => {
            replies.into_iter().map(|r| r.map_err(|e| (errors::of_refusal(&e), e.message))).collect()
        }
        Err(error) => vec![Err(errors::of_control(&error)); count],
    };
    let mut decided = decided.into_iter();
    let outcome = |a: Result<_, Fault>| {
        a.and_then(|_| decided.next().expect("one reply for each that was well formed"))
    };
    asked.into_iter().map(outcome).collect()
}
