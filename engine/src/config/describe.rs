//! Settings as DescribeConfigs tells them.

use super::broker::Origin;
use super::def::{Def, Support, ValueType};

/// Where a value comes from, with Kafka's number for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum Source {
    /// The topic's own override.
    TopicOverride = 1,
    /// Set for this broker while it ran.
    DynamicBroker = 2,
    /// Set for all brokers while they ran.
    DynamicDefault = 3,
    /// Set at the broker's start.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
    /// The group's own override.
    GroupOverride = 8,
}

impl From<Origin> for Source {
    fn from(origin: Origin) -> Source {
        match origin {
            Origin::Default => Source::Default,
            Origin::File | Origin::Set | Origin::Env | Origin::Flag => Source::StaticBroker,
            Origin::DynamicDefault => Source::DynamicDefault,
            Origin::DynamicBroker => Source::DynamicBroker,
        }
    }
}

/// A name under which a value is, or would be, inherited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedSynonym {
    /// The name at that level.
    pub name: &'static str,
    /// The value there.
    pub value: Option<String>,
    /// The level.
    pub source: Source,
}

/// One setting, described.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// Kafka's name.
    pub name: &'static str,
    /// The value in force; `None` is null, or not to be shown.
    pub value: Option<String>,
    /// Where it comes from; [`Source::Default`] is what older versions call `is_default`.
    pub source: Source,
    /// Whether it cannot be altered while the broker runs.
    pub read_only: bool,
    /// Whether its value is withheld.
    pub sensitive: bool,
    /// Its type.
    pub value_type: ValueType,
    /// The levels it passes through, strongest first.
    pub synonyms: Vec<DescribedSynonym>,
    /// What it does.
    pub documentation: String,
}

impl Described {
    pub(super) fn of(
        def: &'static Def,
        value: Option<String>,
        source: Source,
        read_only: bool,
        mut synonyms: Vec<DescribedSynonym>,
    ) -> Described {
        if def.sensitive {
            synonyms.iter_mut().for_each(|s| s.value = None);
        }
        Described {
            name: def.name,
            value: value.filter(|_| !def.sensitive),
            source,
            read_only,
            sensitive: def.sensitive,
            value_type: def.kind.value_type(),
            synonyms,
            documentation: documentation(def),
        }
    }

    /// Whether nobody set it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.source == Source::Default
    }
}

/// A definition's text, with what it does not do.
pub(super) fn documentation(def: &Def) -> String {
    match def.support {
        Support::Works => def.doc.to_owned(),
        Support::NoEffect(why) => format!("{} Kept and reported, without effect: {why}.", def.doc),
        Support::Dropped => format!("{} Kafka dropped it; accepted from old tools, without effect.", def.doc),
    }
}
