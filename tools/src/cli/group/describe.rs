//! A group as a table or as JSON.

use serde_json::json;

use super::view::{Member, Row, View};
use crate::cli::output::{Look, print_json};
use crate::cli::table::table;

/// What is not known.
const NOTHING: &str = "-";

/// Prints groups.
pub(super) fn print(views: &[View], look: Look) {
    if look.is_json() {
        let groups: Vec<_> = views.iter().map(as_json).collect();
        print_json([("groups", groups.into())]);
        return;
    }
    for (i, view) in views.iter().enumerate() {
        if i > 0 {
            println!();
        }
        print_one(view);
    }
}

fn print_one(view: &View) {
    let assignor = if view.assignor.is_empty() { NOTHING } else { &view.assignor };
    let number = |n: Option<i64>| n.map_or(NOTHING.to_owned(), |n| n.to_string());
    println!(
        "{}  {} · {} · assignor {assignor} · coordinator {} at {} · {} members · lag {}{}",
        view.group,
        view.state,
        view.kind,
        view.coordinator,
        view.address,
        view.members.len(),
        number(view.lag()),
        view.lag_seconds().map(|s| format!(" ({s:.1} s)")).unwrap_or_default(),
    );
    let row = |row: &Row| {
        let member = row.member.map(|at| &view.members[at]);
        let word = |word: fn(&Member) -> &str| member.map_or(NOTHING, word).to_owned();
        vec![
            row.topic.clone(),
            row.partition.to_string(),
            number(row.committed),
            number(row.start),
            number(row.end),
            number(row.lag),
            row.lag_seconds.map_or(NOTHING.to_owned(), |s| format!("{s:.1}")),
            word(|m| &m.id),
            word(|m| &m.client_id),
            word(|m| &m.host),
        ]
    };
    let heads =
        ["TOPIC", "PARTITION", "COMMITTED", "START", "END", "LAG", "SECONDS", "MEMBER", "CLIENT", "HOST"];
    let rows: Vec<_> = view.rows.iter().map(row).collect();
    if !rows.is_empty() {
        print!("{}", table(&heads, &rows));
    }
    for idle in view.members.iter().filter(|m| m.parts.values().all(Vec::is_empty)) {
        println!("member {} ({} {}) has no partition", idle.id, idle.client_id, idle.host);
    }
}

fn as_json(view: &View) -> serde_json::Value {
    let partition = |row: &Row| {
        json!({"topic": row.topic, "partition": row.partition, "committed_offset": row.committed,
            "start_offset": row.start, "end_offset": row.end, "lag": row.lag, "lag_seconds": row.lag_seconds,
            "member": row.member.map(|at| &view.members[at].id)})
    };
    let member = |m: &Member| {
        let parts: serde_json::Map<_, _> =
            m.parts.iter().map(|(topic, list)| (topic.clone(), list.clone().into())).collect();
        json!({"id": m.id, "instance": m.instance, "client_id": m.client_id, "host": m.host,
            "partitions": parts})
    };
    json!({"group": view.group, "state": view.state, "type": view.kind, "assignor": view.assignor,
        "coordinator": view.coordinator, "lag": view.lag(), "lag_seconds": view.lag_seconds(),
        "members": view.members.iter().map(member).collect::<Vec<_>>(),
        "partitions": view.rows.iter().map(partition).collect::<Vec<_>>()})
}
