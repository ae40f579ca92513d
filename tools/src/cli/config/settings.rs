//! Resources and their settings, as DescribeConfigs tells them.

use std::fmt;
use std::str::FromStr;

use wire::describe_configs::{
    self, RESOURCE_BROKER, RESOURCE_GROUP, RESOURCE_TOPIC, SOURCE_DEFAULT, SOURCE_DYNAMIC_BROKER,
    SOURCE_DYNAMIC_DEFAULT_BROKER, SOURCE_GROUP, SOURCE_STATIC_BROKER, SOURCE_TOPIC,
};
use wire::{ApiKey, list_config_resources};

use crate::cli::cluster::{Cluster, refused};
use crate::load::client::ClientError;

/// Resources in one request: each answer is some thousand bytes.
const RESOURCES_PER_REQUEST: usize = 200;

/// `topic/NAME`, `group/ID`, `broker/ID`, or `broker`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Resource {
    /// One of the `RESOURCE_` constants of [`wire::describe_configs`].
    pub(in crate::cli) kind: i8,
    /// Empty: all brokers.
    pub(in crate::cli) name: String,
}

impl FromStr for Resource {
    type Err = String;

    fn from_str(text: &str) -> Result<Resource, String> {
        let (kind, name) = text.split_once('/').unwrap_or((text, ""));
        let kind = match kind {
            "topic" | "topics" if !name.is_empty() => Some(RESOURCE_TOPIC),
            "group" | "groups" if !name.is_empty() => Some(RESOURCE_GROUP),
            "broker" | "brokers" if name.is_empty() || name.parse::<i32>().is_ok() => Some(RESOURCE_BROKER),
            _ => None,
        };
        let kind =
            kind.ok_or_else(|| format!("{text:?} is not topic/NAME, group/ID, broker/ID or broker"))?;
        Ok(Resource { kind, name: name.to_owned() })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(kind_name(self.kind))?;
        if self.name.is_empty() { Ok(()) } else { write!(f, "/{}", self.name) }
    }
}

/// A setting as the broker tells it.
pub(in crate::cli) struct Setting {
    pub(in crate::cli) name: String,
    /// None where it is withheld, or where there is none.
    pub(in crate::cli) value: Option<String>,
    /// One of the `SOURCE_` constants of [`wire::describe_configs`].
    pub(in crate::cli) source: i8,
    pub(in crate::cli) read_only: bool,
    pub(in crate::cli) sensitive: bool,
    /// A [`describe_configs::ConfigType`].
    pub(in crate::cli) kind: i8,
    pub(in crate::cli) doc: Option<String>,
}

/// The settings of each resource, or those of these names. A named broker is asked itself: only it knows
/// what it was started with.
pub(in crate::cli) fn settings(
    cluster: &mut Cluster,
    resources: &[Resource],
    names: Option<&[String]>,
    docs: bool,
) -> Result<Vec<(Resource, Vec<Setting>)>, ClientError> {
    let mut found = Vec::with_capacity(resources.len());
    let (brokers, others): (Vec<_>, Vec<_>) =
        resources.iter().partition(|r| r.kind == RESOURCE_BROKER && !r.name.is_empty());
    for chunk in others.chunks(RESOURCES_PER_REQUEST) {
        found.extend(ask(cluster, None, chunk, names, docs)?);
    }
    for broker in brokers {
        let node = broker.name.parse().ok();
        found.extend(ask(cluster, node, &[broker], names, docs)?);
    }
    Ok(found)
}

fn ask(
    cluster: &mut Cluster,
    node: Option<i32>,
    resources: &[&Resource],
    names: Option<&[String]>,
    docs: bool,
) -> Result<Vec<(Resource, Vec<Setting>)>, ClientError> {
    let names: Option<Vec<&str>> = names.map(|names| names.iter().map(String::as_str).collect());
    let resources = resources.iter().map(|r| describe_configs::Resource {
        resource_type: r.kind,
        resource_name: &r.name,
        configuration_keys: names.clone(),
    });
    let request = describe_configs::Request {
        resources: resources.collect(),
        include_documentation: docs,
        ..describe_configs::Request::default()
    };
    let client = match node {
        Some(node) => cluster.node(node)?,
        None => cluster.first(),
    };
    let answer: describe_configs::Response<'_> = client.call(&request)?;
    let mut found = Vec::with_capacity(answer.results.len());
    for result in answer.results {
        let resource = Resource { kind: result.resource_type, name: result.resource_name.into_owned() };
        if result.error_code.is_err() {
            let detail = result.error_message.map(std::borrow::Cow::into_owned);
            return Err(refused(format!("describe {resource}"), result.error_code, detail));
        }
        let one = |c: describe_configs::Config<'_>| Setting {
            name: c.name.into_owned(),
            value: c.value.map(std::borrow::Cow::into_owned),
            source: c.config_source,
            read_only: c.read_only,
            sensitive: c.is_sensitive,
            kind: c.config_type,
            doc: c.documentation.map(std::borrow::Cow::into_owned),
        };
        let mut settings: Vec<Setting> = result.configs.into_iter().map(one).collect();
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        found.push((resource, settings));
    }
    Ok(found)
}

/// Groups that have settings of their own; none where the broker does not tell.
pub(in crate::cli) fn groups(cluster: &mut Cluster) -> Result<Vec<Resource>, ClientError> {
    let client = cluster.first();
    // Version 0 is about something else.
    if client.versions().of(ApiKey::ListConfigResources).is_none_or(|version| version < 1) {
        return Ok(Vec::new());
    }
    let request = list_config_resources::Request { resource_types: vec![RESOURCE_GROUP] };
    let answer: list_config_resources::Response<'_> = client.call(&request)?;
    if answer.error_code.is_err() {
        return Err(refused("list groups with settings".to_owned(), answer.error_code, None));
    }
    let one = |r: list_config_resources::ConfigResource<'_>| Resource {
        kind: r.resource_type,
        name: r.resource_name.into_owned(),
    };
    Ok(answer.config_resources.into_iter().map(one).collect())
}

/// Whether somebody set it on this very resource, at run time.
pub(in crate::cli) fn is_set(resource: &Resource, setting: &Setting) -> bool {
    match resource.kind {
        RESOURCE_TOPIC => setting.source == SOURCE_TOPIC,
        RESOURCE_GROUP => setting.source == SOURCE_GROUP,
        _ if resource.name.is_empty() => setting.source == SOURCE_DYNAMIC_DEFAULT_BROKER,
        _ => setting.source == SOURCE_DYNAMIC_BROKER,
    }
}

/// The word for a kind of resource.
pub(in crate::cli) fn kind_name(kind: i8) -> &'static str {
    match kind {
        RESOURCE_TOPIC => "topic",
        RESOURCE_BROKER => "broker",
        RESOURCE_GROUP => "group",
        _ => "other",
    }
}

/// The word for a source, as in Kafka's AdminClient.
pub(in crate::cli) fn source_name(source: i8) -> &'static str {
    match source {
        SOURCE_TOPIC => "topic",
        SOURCE_GROUP => "group",
        SOURCE_DYNAMIC_BROKER => "dynamic-broker",
        SOURCE_DYNAMIC_DEFAULT_BROKER => "dynamic-default-broker",
        SOURCE_STATIC_BROKER => "static-broker",
        SOURCE_DEFAULT => "default",
        _ => "unknown",
    }
}

/// The word for a [`describe_configs::ConfigType`].
pub(in crate::cli) fn type_name(kind: i8) -> &'static str {
    match kind {
        1 => "boolean",
        2 => "string",
        3 => "int",
        4 => "short",
        5 => "long",
        6 => "double",
        7 => "list",
        8 => "class",
        9 => "password",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_read_as_people_write_it() {
        for (text, kind, name) in [
            ("topic/orders", RESOURCE_TOPIC, "orders"),
            ("group/shop/eu", RESOURCE_GROUP, "shop/eu"),
            ("broker/1", RESOURCE_BROKER, "1"),
            ("broker", RESOURCE_BROKER, ""),
        ] {
            let resource = Resource { kind, name: name.to_owned() };
            assert_eq!(text.parse(), Ok(resource.clone()), "{text}");
            assert_eq!(resource.to_string(), text);
        }
        for bad in ["", "topic", "topic/", "broker/one", "group/", "user/u"] {
            assert!(bad.parse::<Resource>().is_err(), "{bad}");
        }
    }
}
