//! What a setting is.

use super::{VALUE_BYTES_MAX, suggest};

/// A refused setting: which, what was asked, why not.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid value {value:?} for {name}: {reason}")]
pub struct ConfigError {
    /// The setting, as it was spelled.
    pub name: String,
    /// The value that was asked for.
    pub value: String,
    /// Why it cannot be, and what can.
    pub reason: String,
}

impl ConfigError {
    pub(super) fn new(name: &str, value: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError { name: name.to_owned(), value: value.to_owned(), reason: reason.into() }
    }
}

/// The type that DescribeConfigs names, with Kafka's number for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "Kafka's own names")]
#[repr(i8)]
pub enum ValueType {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
}

/// A setting's type and range.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A 16-bit number within a closed range.
    Short(i16, i16),
    /// A 32-bit number within a closed range.
    Int(i32, i32),
    /// A 64-bit number within a closed range.
    Long(i64, i64),
    /// A finite number within a closed range.
    Double(f64, f64),
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Comma-separated words; only these, unless the slice is empty.
    List(&'static [&'static str]),
}

impl Kind {
    /// The type as DescribeConfigs names it.
    #[must_use]
    pub fn value_type(self) -> ValueType {
        match self {
            Kind::Bool => ValueType::Boolean,
            Kind::Short(..) => ValueType::Short,
            Kind::Int(..) => ValueType::Int,
            Kind::Long(..) => ValueType::Long,
            Kind::Double(..) => ValueType::Double,
            Kind::Text | Kind::Choice(_) => ValueType::String,
            Kind::List(_) => ValueType::List,
        }
    }

    /// The range in words, empty where anything goes.
    #[must_use]
    pub fn range(self) -> String {
        fn numbers(lo: i64, hi: i64, max: i64) -> String {
            if hi == max { format!("at least {lo}") } else { format!("{lo} to {hi}") }
        }
        match self {
            Kind::Bool => "true or false".into(),
            Kind::Short(lo, hi) => numbers(lo.into(), hi.into(), i16::MAX.into()),
            Kind::Int(lo, hi) => numbers(lo.into(), hi.into(), i32::MAX.into()),
            Kind::Long(lo, hi) => numbers(lo, hi, i64::MAX),
            Kind::Double(lo, hi) => format!("{lo} to {hi}"),
            Kind::Text | Kind::List([]) => String::new(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::List(words) => format!("a list of {}", words.join(", ")),
        }
    }

    fn check(self, value: &str) -> Result<(), String> {
        let numeric = |lo: i64, hi: i64| match value.parse::<i64>() {
            Ok(n) if (lo..=hi).contains(&n) => Ok(()),
            Ok(_) => Err(format!("it must be {}", self.range())),
            Err(_) => Err(format!("not a whole number; it must be {}", self.range())),
        };
        match self {
            Kind::Bool if matches!(value.to_ascii_lowercase().as_str(), "true" | "false") => Ok(()),
            Kind::Bool => Err("it must be true or false".into()),
            Kind::Short(lo, hi) => numeric(lo.into(), hi.into()),
            Kind::Int(lo, hi) => numeric(lo.into(), hi.into()),
            Kind::Long(lo, hi) => numeric(lo, hi),
            Kind::Double(lo, hi) => match value.parse::<f64>() {
                Ok(n) if n >= lo && n <= hi => Ok(()),
                _ => Err(format!("it must be a number from {lo} to {hi}")),
            },
            Kind::Text | Kind::List([]) => Ok(()),
            Kind::Choice(words) if words.contains(&value) => Ok(()),
            Kind::Choice(_) => Err(format!("it must be {}", self.range())),
            Kind::List(words) => match list_items(value).find(|w| !words.contains(w)) {
                None => Ok(()),
                Some(word) => Err(format!("{word:?} is unknown; it must be {}", self.range())),
            },
        }
    }
}

/// The words of a comma-separated list, trimmed, without empty ones.
pub(super) fn list_items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|w| !w.is_empty())
}

/// What a setting does here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// What its documentation says.
    Works,
    /// It is kept and reported, and changes nothing; the text says why.
    NoEffect(&'static str),
    /// Kafka itself dropped it; old tools still send it. Kept, reported only where set.
    Dropped,
}

/// A broker setting that gives a topic setting its default, and what to multiply it with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Synonym {
    /// The broker setting's name.
    pub name: &'static str,
    /// Topic value = broker value × this (hours to milliseconds); negative values are not scaled.
    pub scale: i64,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Def {
    /// Kafka's name.
    pub name: &'static str,
    /// Type and range.
    pub kind: Kind,
    /// The value where nobody sets one; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// For the documentation page and DescribeConfigs.
    pub doc: &'static str,
    /// What it does here.
    pub support: Support,
    /// A topic setting's broker-wide names, strongest first.
    pub synonyms: &'static [Synonym],
    /// Whether it can be altered while the broker runs.
    pub dynamic: bool,
    /// Whether its value must never be shown.
    pub sensitive: bool,
    /// A rule beyond type and range: the reason for a refusal.
    pub refusal: Option<fn(&str) -> Option<&'static str>>,
}

impl Def {
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        doc: &'static str,
    ) -> Def {
        Def {
            name,
            kind,
            default,
            doc,
            support: Support::Works,
            synonyms: &[],
            dynamic: true,
            sensitive: false,
            refusal: None,
        }
    }

    pub(super) const fn support(mut self, support: Support) -> Def {
        self.support = support;
        self
    }

    /// Kept and reported without effect, and so never altered while the broker runs.
    pub(super) const fn unused(self, why: Support) -> Def {
        self.support(why).fixed()
    }

    pub(super) const fn synonyms(mut self, synonyms: &'static [Synonym]) -> Def {
        self.synonyms = synonyms;
        self
    }

    pub(super) const fn fixed(mut self) -> Def {
        self.dynamic = false;
        self
    }

    pub(super) const fn refuse(mut self, refusal: fn(&str) -> Option<&'static str>) -> Def {
        self.refusal = Some(refusal);
        self
    }

    /// Checks a value against type, range and rule.
    ///
    /// # Errors
    /// Names this setting, the value and the reason.
    pub fn check(&self, value: &str) -> Result<(), ConfigError> {
        self.check_length(value)?;
        self.kind.check(value).map_err(|reason| ConfigError::new(self.name, value, reason))?;
        match self.refusal.and_then(|refusal| refusal(value)) {
            None => Ok(()),
            Some(reason) => Err(ConfigError::new(self.name, value, reason)),
        }
    }

    /// Refuses a value that is too long to keep.
    pub(super) fn check_length(&self, value: &str) -> Result<(), ConfigError> {
        if value.len() <= VALUE_BYTES_MAX {
            return Ok(());
        }
        let start: String = value.chars().take(32).collect();
        let reason = format!("{} bytes are more than the {VALUE_BYTES_MAX} allowed", value.len());
        Err(ConfigError::new(self.name, &format!("{start}…"), reason))
    }
}

/// The definition of `name`.
///
/// # Errors
/// An unknown name, with the nearest known one as a suggestion.
pub(super) fn find(defs: &'static [Def], name: &str, value: &str) -> Result<&'static Def, ConfigError> {
    defs.iter().find(|d| d.name == name).ok_or_else(|| {
        let reason = match suggest::nearest(name, defs.iter().map(|d| d.name)) {
            Some(near) => format!("unknown setting; did you mean {near}?"),
            None => "unknown setting".to_owned(),
        };
        ConfigError::new(name, value, reason)
    })
}
