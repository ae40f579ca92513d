//! How a topic's or a group's setting gets its value: its own, the broker's under another name, Kafka's.

use super::broker::{BrokerSettings, Origin};
use super::def::Def;
use super::describe::{Described, DescribedSynonym, Source};

/// What a topic or group without an override has: the value, and the broker setting that gave it.
pub(super) fn inherited(def: &Def, broker: &BrokerSettings) -> (String, Option<&'static str>) {
    for synonym in def.synonyms {
        if let Some(given) = broker.given(synonym.name).filter(|g| g.origin != Origin::Default) {
            return (scaled(&given.value, synonym.scale), Some(synonym.name));
        }
    }
    (def.default.unwrap_or_default().to_owned(), None)
}

/// A broker's value in the setting's unit. Negative values mean "none" in any unit.
fn scaled(value: &str, scale: i64) -> String {
    match value.parse::<i64>() {
        Ok(n) if scale != 1 && n >= 0 => n.saturating_mul(scale).to_string(),
        _ => value.to_owned(),
    }
}

/// A setting with its value, of its own or inherited, and where that comes from.
pub(super) fn describe_one(
    def: &'static Def,
    set: Option<&String>,
    own: Source,
    broker: &BrokerSettings,
) -> Described {
    let mut synonyms = Vec::new();
    if let Some(value) = set {
        synonyms.push(DescribedSynonym { name: def.name, value: Some(value.clone()), source: own });
    }
    for synonym in def.synonyms {
        if let Some(given) = broker.given(synonym.name) {
            synonyms.push(DescribedSynonym {
                name: synonym.name,
                value: Some(given.value.clone()),
                source: given.origin.into(),
            });
        }
    }
    let (value, from) = match set {
        Some(value) => (Some(value.clone()), own),
        None => {
            let (value, synonym) = inherited(def, broker);
            let source = synonym.and_then(|name| broker.given(name)).map(|g| g.origin.into());
            (def.default.is_some().then_some(value), source.unwrap_or(Source::Default))
        }
    };
    Described::of(def, value, from, false, synonyms)
}
