//! What one group has of its own, over the broker's settings (KIP-848).

use std::collections::BTreeMap;
use std::time::Duration;

use super::alter::{self, AlterOp};
use super::broker::BrokerSettings;
use super::def::{self, ConfigError};
use super::describe::{Described, Source};
use super::group::ConsumerGroupSettings;
use super::inherit::{describe_one, inherited};

pub use super::group_defs::DEFS;

const SESSION: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";

/// What was set for a group, within the bounds that the broker has now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupOverrides {
    /// How long a member may be silent.
    pub session: Option<Duration>,
    /// What members are told.
    pub heartbeat: Option<Duration>,
}

/// Resolves what is stored of a group. It was checked when it was set; bounds that changed since hold.
#[must_use]
pub fn resolve(overrides: &BTreeMap<String, String>, settings: &ConsumerGroupSettings) -> GroupOverrides {
    let within = |name: &str, (min, max): (Duration, Duration)| {
        let ms = overrides.get(name)?.parse().ok()?;
        Some(Duration::from_millis(ms).clamp(min, max.max(min)))
    };
    GroupOverrides {
        session: within(SESSION, settings.session_bounds),
        heartbeat: within(HEARTBEAT, settings.heartbeat_bounds),
    }
}

/// Every setting of a group with its value and where that comes from, by name.
#[must_use]
pub fn describe(overrides: &BTreeMap<String, String>, broker: &BrokerSettings) -> Vec<Described> {
    let one = |def| describe_one(def, overrides.get(def.name), Source::GroupOverride, broker);
    DEFS.iter().map(one).collect()
}

/// Applies alterations to a group's overrides: the new overrides, checked as a whole.
///
/// # Errors
/// The first alteration that is refused; nothing is changed then.
pub fn alter(
    overrides: &BTreeMap<String, String>,
    ops: &[(String, AlterOp)],
    broker: &BrokerSettings,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let current =
        |def: &'static def::Def| overrides.get(def.name).cloned().unwrap_or_else(|| inherited(def, broker).0);
    let altered = alter::apply(overrides, ops, |name, value| def::find(DEFS, name, value), &current)?;
    let consumer = &broker.groups.consumer;
    let ms = |name: &str, inherited: Duration| {
        let set = altered.get(name).and_then(|value| value.parse().ok());
        set.map_or(inherited, Duration::from_millis)
    };
    let (session, heartbeat) = (ms(SESSION, consumer.session), ms(HEARTBEAT, consumer.heartbeat));
    let refuse = |name: &str, value: Duration, reason: String| {
        Err(ConfigError::new(name, &value.as_millis().to_string(), reason))
    };
    for (name, value, (min, max)) in
        [(HEARTBEAT, heartbeat, consumer.heartbeat_bounds), (SESSION, session, consumer.session_bounds)]
    {
        let setting =
            |bound: &str| format!("group.{}", name.replacen("consumer.", &format!("consumer.{bound}."), 1));
        if value < min {
            return refuse(name, value, format!("it must be greater than or equal to {}", setting("min")));
        }
        if value > max {
            return refuse(name, value, format!("it must be less than or equal to {}", setting("max")));
        }
    }
    if session <= heartbeat {
        return refuse(SESSION, session, format!("it must be greater than {HEARTBEAT}"));
    }
    Ok(altered)
}
