//! Changes of settings: one by one, the rest stays as it is (IncrementalAlterConfigs, KIP-339).

use std::str::FromStr;

use wire::describe_configs::RESOURCE_BROKER;
use wire::incremental_alter_configs::{
    self, OPERATION_APPEND, OPERATION_DELETE, OPERATION_SET, OPERATION_SUBTRACT,
};

use super::settings::Resource;
use crate::cli::cluster::{Cluster, refused};
use crate::load::client::ClientError;

/// `NAME=VALUE` of a topic that is created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Pair {
    pub(in crate::cli) name: String,
    pub(in crate::cli) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Pair, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Pair { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("{text:?} is not NAME=VALUE, such as retention.ms=3600000")),
        }
    }
}

/// A change: `NAME=VALUE`, `NAME+=WORD`, `NAME-=WORD`, or back to the default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Change {
    name: String,
    operation: i8,
    value: Option<String>,
}

impl Change {
    /// Back to the default.
    pub(in crate::cli) fn delete(name: &str) -> Change {
        Change { name: name.to_owned(), operation: OPERATION_DELETE, value: None }
    }

    /// Of which setting.
    pub(in crate::cli) fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Change, String> {
        let Pair { name, value } = text.parse()?;
        let (name, operation) = match (name.strip_suffix('+'), name.strip_suffix('-')) {
            (Some(name), _) => (name, OPERATION_APPEND),
            (_, Some(name)) => (name, OPERATION_SUBTRACT),
            _ => (name.as_str(), OPERATION_SET),
        };
        Ok(Change { name: name.to_owned(), operation, value: Some(value) })
    }
}

/// Makes the changes, all or none; with `dry_run` the broker only checks them.
pub(in crate::cli) fn apply(
    cluster: &mut Cluster,
    resource: &Resource,
    changes: &[Change],
    dry_run: bool,
) -> Result<(), ClientError> {
    let configs = changes.iter().map(|c| incremental_alter_configs::AlterableConfig {
        name: &c.name,
        config_operation: c.operation,
        value: c.value.as_deref(),
    });
    let one = incremental_alter_configs::Resource {
        resource_type: resource.kind,
        resource_name: &resource.name,
        configs: configs.collect(),
    };
    let request = incremental_alter_configs::Request { resources: vec![one], validate_only: dry_run };
    let node = resource.name.parse().ok().filter(|_| resource.kind == RESOURCE_BROKER);
    let client = match node {
        Some(node) => cluster.node(node)?,
        None => cluster.first(),
    };
    let answer: incremental_alter_configs::Response<'_> = client.call(&request)?;
    match answer.responses.into_iter().next() {
        Some(r) if r.error_code.is_err() => {
            let detail = r.error_message.map(std::borrow::Cow::into_owned);
            Err(refused(format!("alter {resource}"), r.error_code, detail))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_people_write_it() {
        let change = |name: &str, operation, value: &str| Change {
            name: name.into(),
            operation,
            value: Some(value.into()),
        };
        assert_eq!("retention.ms=5".parse(), Ok(change("retention.ms", OPERATION_SET, "5")));
        assert_eq!(
            "cleanup.policy+=compact".parse(),
            Ok(change("cleanup.policy", OPERATION_APPEND, "compact"))
        );
        assert_eq!(
            "cleanup.policy-=delete".parse(),
            Ok(change("cleanup.policy", OPERATION_SUBTRACT, "delete"))
        );
        assert_eq!("a=b=c".parse(), Ok(change("a", OPERATION_SET, "b=c")));
        assert!("retention.ms".parse::<Change>().is_err() && "=5".parse::<Change>().is_err());
    }
}
