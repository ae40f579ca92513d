//! Alterations: SET, DELETE, APPEND, SUBTRACT (IncrementalAlterConfigs).

use std::collections::{BTreeMap, BTreeSet};

use super::def::{ConfigError, Def, Kind, list_items};

/// What to do with one setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AlterOp {
    /// Override it.
    Set(String),
    /// Go back to what it inherits.
    Delete,
    /// Add words to a list.
    Append(String),
    /// Take words from a list.
    Subtract(String),
}

impl AlterOp {
    fn value(&self) -> &str {
        match self {
            AlterOp::Set(v) | AlterOp::Append(v) | AlterOp::Subtract(v) => v,
            AlterOp::Delete => "",
        }
    }
}

/// Applies `ops` in order to a copy of `overrides`. `current` is a setting's value in force where
/// no override holds it: what APPEND and SUBTRACT start from.
pub(super) fn apply(
    overrides: &BTreeMap<String, String>,
    ops: &[(String, AlterOp)],
    find: impl Fn(&str, &str) -> Result<&'static Def, ConfigError>,
    current: &dyn Fn(&'static Def) -> String,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut out = overrides.clone();
    for (name, op) in ops {
        let def = find(name, op.value())?;
        if !def.dynamic {
            return Err(ConfigError::new(name, op.value(), "it is read-only while the broker runs"));
        }
        // Before any work on it: a list of a request's length is compared word by word.
        def.check_length(op.value())?;
        let base = || out.get(name).cloned().unwrap_or_else(|| current(def));
        let is_list = matches!(def.kind, Kind::List(_));
        let value = match op {
            AlterOp::Set(value) => value.trim().to_owned(),
            AlterOp::Delete => {
                out.remove(name);
                continue;
            }
            AlterOp::Append(_) | AlterOp::Subtract(_) if !is_list => {
                let reason = "only a list can be appended to or subtracted from";
                return Err(ConfigError::new(name, op.value(), reason));
            }
            AlterOp::Append(words) => {
                let base = base();
                let mut list: Vec<&str> = list_items(&base).collect();
                let mut held: BTreeSet<&str> = list.iter().copied().collect();
                list.extend(list_items(words).filter(|word| held.insert(word)));
                list.join(",")
            }
            AlterOp::Subtract(words) => {
                let base = base();
                let gone: BTreeSet<&str> = list_items(words).collect();
                list_items(&base).filter(|w| !gone.contains(w)).collect::<Vec<_>>().join(",")
            }
        };
        def.check(&value)?;
        out.insert(name.clone(), value);
    }
    Ok(out)
}
