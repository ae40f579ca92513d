//! DescribeConfigs (32): every setting with its value, where that comes from, and what it does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use engine::config::{Described, own_group, topic};
use engine::controller::check_topic_name;
use engine::metadata::ConfigResource;
use wire::ErrorCode;
use wire::describe_configs::{
    Config, RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_GROUP, RESOURCE_TOPIC, Request, Resource,
    ResourceResult, Response, Synonym,
};

use super::config_resource::{check_broker, unsupported};
use super::errors::Fault;
use super::served::{Call, Refused};
use crate::limits::DESCRIBED_PER_REQUEST_MAX;
use crate::shard::{Catalog, Core};

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above(DESCRIBED_PER_REQUEST_MAX, request.resources.len())?;
    let catalog = call.core.catalog();
    let results = request.resources.iter().map(|r| describe(call.core, &catalog, &request, r)).collect();
    call.answer(&Response { results, ..Response::default() });
    Ok(())
}

fn describe(
    core: &Core,
    catalog: &Catalog,
    request: &Request<'_>,
    asked: &Resource<'_>,
) -> ResourceResult<'static> {
    let mut result = ResourceResult {
        resource_type: asked.resource_type,
        resource_name: Cow::Owned(asked.resource_name.to_owned()),
        ..ResourceResult::default()
    };
    match settings(core, catalog, asked) {
        Ok(described) => {
            let wanted = |d: &Described| match &asked.configuration_keys {
                None => true,
                // Some clients send an empty list for all.
                Some(keys) => keys.is_empty() || keys.contains(&d.name),
            };
            result.configs = described.into_iter().filter(wanted).map(|d| config(d, request)).collect();
        }
        Err((code, message)) => {
            result.error_code = code;
            result.error_message = Some(Cow::Owned(message));
        }
    }
    result
}

fn settings(core: &Core, catalog: &Catalog, asked: &Resource<'_>) -> Result<Vec<Described>, Fault> {
    let name = asked.resource_name;
    match asked.resource_type {
        RESOURCE_TOPIC => {
            check_topic_name(name).map_err(|e| (ErrorCode::InvalidTopicException, e.message))?;
            match catalog.topic(name) {
                Some(entry) => Ok(topic::describe(&entry.topic.configs, catalog.broker())),
                None => Err((ErrorCode::UnknownTopicOrPartition, format!("no topic {name:.249}"))),
            }
        }
        RESOURCE_BROKER if name.is_empty() => Ok(of_all_brokers(core, catalog)),
        RESOURCE_BROKER => check_broker(name, &core.node).map(|_| catalog.broker().describe()),
        // What this broker logs is decided at its start.
        RESOURCE_BROKER_LOGGER => check_broker(name, &core.node).map(|_| Vec::new()),
        RESOURCE_GROUP if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "Group name must not be empty".to_owned()))
        }
        // Whether there is such a group or not, as Kafka.
        RESOURCE_GROUP => {
            let nothing = BTreeMap::new();
            let own = catalog.image().group_configs().get(name).unwrap_or(&nothing);
            Ok(own_group::describe(own, catalog.broker()))
        }
        other => Err(unsupported(other)),
    }
}

/// What was set for all brokers while they ran, and nothing else.
fn of_all_brokers(core: &Core, catalog: &Catalog) -> Vec<Described> {
    let nothing = BTreeMap::new();
    let set = catalog.image().configs(ConfigResource::AllBrokers).unwrap_or(&nothing);
    let Ok(settings) = core.node.settings.with_dynamic(set, &nothing) else { return Vec::new() };
    settings.describe().into_iter().filter(|d| set.contains_key(d.name)).collect()
}

fn config(described: Described, request: &Request<'_>) -> Config<'static> {
    let synonyms = if request.include_synonyms { described.synonyms } else { Vec::new() };
    Config {
        name: Cow::Borrowed(described.name),
        value: described.value.map(Cow::Owned),
        read_only: described.read_only,
        config_source: described.source as i8,
        is_sensitive: described.sensitive,
        synonyms: synonyms
            .into_iter()
            .map(|s| Synonym {
                name: Cow::Borrowed(s.name),
                value: s.value.map(Cow::Owned),
                source: s.source as i8,
            })
            .collect(),
        config_type: described.value_type as i8,
        documentation: request.include_documentation.then_some(Cow::Owned(described.documentation)),
    }
}
