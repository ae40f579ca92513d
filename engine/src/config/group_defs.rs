//! The table of group settings.

use super::def::{Def, Kind, Synonym};

fn refuse_interval(value: &str) -> Option<&'static str> {
    (value != "0").then_some("a group is assigned anew at once; only 0 is supported")
}

/// Every setting of a group, by name. Those of share groups and streams groups are not there, as such
/// groups are not.
pub static DEFS: &[Def] = &[
    Def::new(
        "consumer.assignment.interval.ms",
        Kind::Int(0, i32::MAX),
        Some("0"),
        "How long a group of the new protocol waits between two assignments, ms.",
    )
    .refuse(refuse_interval),
    Def::new(
        "consumer.heartbeat.interval.ms",
        Kind::Int(1, i32::MAX),
        Some("5000"),
        "How often members of the group are told to call in the new group protocol, ms. Between \
         group.consumer.min.heartbeat.interval.ms and group.consumer.max.heartbeat.interval.ms.",
    )
    .synonyms(&[Synonym { name: "group.consumer.heartbeat.interval.ms", scale: 1 }]),
    Def::new(
        "consumer.session.timeout.ms",
        Kind::Int(1, i32::MAX),
        Some("45000"),
        "How long a member of the group may be silent in the new group protocol, ms. Between \
         group.consumer.min.session.timeout.ms and group.consumer.max.session.timeout.ms.",
    )
    .synonyms(&[Synonym { name: "group.consumer.session.timeout.ms", scale: 1 }]),
];
