//! Limits on figures: `produce.response_us.p99 < 3ms`. A limit that does not hold is exit code 99.
//!
//! A figure is named by its path in `report.json`; its name says its unit, so the limit is written in any unit of that kind.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::quantity::{Bytes, Share, Span};
use super::workload::nearest;
use crate::report::data::SloResult;
use crate::report::json::Document;

/// Every key of a report: the list that its schema is tested against.
const KEYS: &str = include_str!("../../tests/data/report_keys.txt");

/// How a figure must stand to its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// Longer signs first: `<` begins `<=`.
const ORDERS: [(&str, Order); 4] =
    [("<=", Order::AtMost), (">=", Order::AtLeast), ("<", Order::Below), (">", Order::Above)];

/// One limit.
#[derive(Clone, PartialEq, Debug)]
pub struct Slo {
    key: String,
    order: Order,
    /// In the unit of the key.
    limit: f64,
    /// The limit as written.
    text: String,
}

/// What a figure counts in, as its path says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Microseconds,
    Milliseconds,
    Seconds,
    Bytes,
    Share,
    Number,
}

impl Unit {
    fn of(key: &str) -> Unit {
        let says = |end: &str| key.split('.').any(|part| part.ends_with(end) && !part.ends_with("_per_s"));
        match () {
            () if key.ends_with(".count") => Unit::Number,
            () if says("_us") => Unit::Microseconds,
            () if says("_ms") => Unit::Milliseconds,
            () if says("_s") || says("_seconds") => Unit::Seconds,
            () if says("bytes") || says("bytes_max") => Unit::Bytes,
            () if says("share") => Unit::Share,
            () => Unit::Number,
        }
    }

    fn read(self, text: &str) -> Result<f64, String> {
        let seconds = || text.parse::<Span>().map(|span| span.0.as_secs_f64());
        match self {
            Unit::Microseconds => seconds().map(|s| s * 1e6),
            Unit::Milliseconds => seconds().map(|s| s * 1e3),
            Unit::Seconds => seconds(),
            Unit::Bytes => text.parse::<Bytes>().map(|bytes| bytes.0 as f64),
            Unit::Share => text.parse::<Share>().map(|share| share.0),
            Unit::Number => text.replace('_', "").parse().map_err(|_| format!("{text:?} is not a number")),
        }
    }
}

impl Slo {
    /// A limit such as `< 3ms` on the figure `key`.
    fn new(key: &str, limit: &str) -> Result<Slo, String> {
        let (key, text) = (key.trim(), limit.trim());
        if !figures().any(|figure| figure == key) {
            let near = nearest(key, figures());
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(format!("{key} is no figure of report.json{hint}"));
        }
        let found = ORDERS.iter().find_map(|(sign, order)| Some((*order, text.strip_prefix(sign)?)));
        let (order, value) = found.ok_or_else(|| format!("{text:?} is not a limit; write \"< 3ms\""))?;
        let limit = Unit::of(key).read(value.trim())?;
        Ok(Slo { key: key.to_string(), order, limit, text: text.to_string() })
    }

    /// The path of its figure.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    fn judge(&self, document: &Value) -> SloResult {
        let value = document.pointer(&format!("/{}", self.key.replace('.', "/"))).and_then(Value::as_f64);
        let holds = |value: f64| match self.order {
            Order::Below => value < self.limit,
            Order::AtMost => value <= self.limit,
            Order::Above => value > self.limit,
            Order::AtLeast => value >= self.limit,
        };
        let (key, limit) = (self.key.clone(), self.text.clone());
        SloResult { key, limit, value, held: value.is_some_and(holds) }
    }
}

/// What became of each limit.
pub(super) fn judge(slos: &[Slo], document: &Document) -> Vec<SloResult> {
    let document = serde_json::to_value(document).unwrap_or_default();
    slos.iter().map(|slo| slo.judge(&document)).collect()
}

/// `produce.response_us.p99 < 3ms`, as on the command line.
impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Slo, String> {
        let at = text.find(['<', '>']);
        let at =
            at.ok_or_else(|| format!("{text:?} is not a limit; write \"produce.response_us.p99 < 3ms\""))?;
        Slo::new(&text[..at], &text[at..])
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.text)
    }
}

/// In a workload file limits are a table, in order of their keys.
pub(super) fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Slo>, D::Error> {
    let limits = std::collections::BTreeMap::<String, String>::deserialize(deserializer)?;
    limits.iter().map(|(key, limit)| Slo::new(key, limit).map_err(serde::de::Error::custom)).collect()
}

/// The paths of everything in a report that has no parts and is not in a list.
fn figures() -> impl Iterator<Item = &'static str> {
    let whole =
        |key: &str| KEYS.lines().any(|k| k.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
    KEYS.lines().filter(move |key| !key.contains("[]") && !whole(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn held(limit: &str) -> bool {
        let document = Document::from(&sample::run(1));
        judge(&[limit.parse().expect("a limit")], &document)[0].held
    }

    #[test]
    fn limits_are_held_against_the_report_in_the_unit_of_their_figure() {
        let document = Document::from(&sample::run(1));
        let p99_us = document.produce.response_us.and_then(|p| p.p99).expect("it is carried");
        assert!(held(&format!("produce.response_us.p99 <= {}us", p99_us.ceil())));
        assert!(!held(&format!("produce.response_us.p99 < {}us", p99_us.floor())));
        assert!(held(&format!("produce.response_us.p99 > {}ms", (p99_us - 1.0) / 1e3)));
        assert!(held("throughput.records_per_s >= 1") && held("validity.late_share < 5%"));
        assert!(held("check.lost <= 0"));
    }

    #[test]
    fn a_figure_that_does_not_exist_is_refused_with_the_one_that_was_meant() {
        let refused = |text: &str| text.parse::<Slo>().expect_err("a typo");
        assert!(refused("produce.response_us.p90.9 < 3ms").contains("did you mean produce.response_us.p9"));
        assert!(refused("produce.response_us.p99 < soon").contains("not a time"));
        assert!(refused("produce.response_us.p99 = 3ms").contains("is not a limit"));
    }
}
