//! Which partitions a command is about.

use std::str::FromStr;

use crate::cli::cluster::{Cluster, Place};
use crate::cli::exit::Usage;

/// `orders`, all of its partitions, or `orders:0,2`, these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Scope {
    topic: String,
    partitions: Vec<i32>,
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Scope, String> {
        let (topic, partitions) = match text.split_once(':') {
            None => (text, Vec::new()),
            Some((topic, list)) => {
                let numbers: Result<Vec<i32>, _> = list.split(',').map(str::parse).collect();
                let numbers = numbers.ok().filter(|list| list.iter().all(|n| *n >= 0));
                let says = || format!("{text:?}: partitions are numbers, as in {topic}:0,2");
                (topic, numbers.ok_or_else(says)?)
            }
        };
        if topic.is_empty() {
            return Err("a topic has a name".to_owned());
        }
        Ok(Scope { topic: topic.to_owned(), partitions })
    }
}

/// The partitions that `scopes` name. All of them exist.
pub(super) fn places(cluster: &mut Cluster, scopes: &[Scope]) -> anyhow::Result<Vec<Place>> {
    let names: Vec<String> = scopes.iter().map(|s| s.topic.clone()).collect();
    let topics = cluster.existing(&names)?;
    let mut places = Vec::new();
    for scope in scopes {
        let Some(topic) = topics.iter().find(|t| t.name == scope.topic) else { continue };
        let all: Vec<i32> = topic.partitions.iter().map(|p| p.index).collect();
        let wanted = if scope.partitions.is_empty() { &all } else { &scope.partitions };
        if let Some(none) = wanted.iter().find(|p| !all.contains(p)) {
            return Err(Usage::no_partition(&topic.name, all.len(), *none).into());
        }
        places.extend(wanted.iter().map(|p| (topic.name.clone(), *p)));
    }
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_topic_or_some_of_its_partitions() {
        let scope =
            |topic: &str, partitions: &[i32]| Scope { topic: topic.into(), partitions: partitions.into() };
        assert_eq!("orders".parse(), Ok(scope("orders", &[])));
        assert_eq!("orders:0,2".parse(), Ok(scope("orders", &[0, 2])));
        for bad in ["", ":1", "orders:", "orders:a", "orders:-1"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }
}
