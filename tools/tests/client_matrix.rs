//! The README's table of clients is what `server/tests/clients/matrix/results.json` says: the last kept run of
//! real clients against a real broker. `UPDATE_DOCS=1 cargo test -p tools --test client_matrix` writes it anew.

use std::path::Path;

use serde_json::Value;

const BEGIN: &str = "<!-- the matrix begins: server/tests/clients/run matrix -->\n";
const END: &str = "<!-- the matrix ends -->";

/// The clients, one row each and one column a scenario; the tools, one row a scenario; then why a cell is not plainly green.
fn page(results: &Value) -> String {
    let clients = results["clients"].as_object().expect("clients by name");
    let heading = |scenario: &Value| text(&results["headings"][text(scenario)]).to_owned();
    // Who does other scenarios than the first client has a table of its own.
    let columns = &clients.values().next().expect("a client")["scenarios"];
    let (mut page, mut tools, mut notes) = (String::new(), String::new(), Vec::new());
    let headings: Vec<String> = list(columns).iter().map(heading).collect();
    page += &format!("| client | version | run | {} |\n", headings.join(" | "));
    page += &format!("|{}\n", "---|".repeat(3 + headings.len()));
    for (client, row) in clients {
        let (language, version, date) = (text(&row["language"]), text(&row["version"]), text(&row["date"]));
        let signs: Vec<&str> = list(&row["scenarios"]).iter().map(|s| sign(&row["cells"][text(s)])).collect();
        if row["scenarios"] == *columns {
            page += &format!("| {client} ({language}) | {version} | {date} | {} |\n", signs.join(" | "));
        } else {
            tools += &format!("\n| {client} {version}, run {date} | |\n|---|---|\n");
            for (scenario, sign) in list(&row["scenarios"]).iter().zip(&signs) {
                tools += &format!("| {} | {sign} |\n", heading(scenario));
            }
        }
        for (scenario, sign) in list(&row["scenarios"]).iter().zip(&signs) {
            if let Some(why) = row["cells"][text(scenario)]["why"].as_str() {
                notes.push(format!("- {sign} {client}, {}: {}", heading(scenario), why.replace('|', "\\|")));
            }
        }
    }
    let notes = notes.join("\n");
    format!("{page}{tools}\n<details><summary>Every cell with a remark</summary>\n\n{notes}\n\n</details>\n")
}

fn sign(cell: &Value) -> &'static str {
    match cell["is"].as_str() {
        Some("ok") => "✅",
        Some("n/a") => "–",
        Some("FAILED") => "❌",
        _ => "not run",
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// What stands between the two marks, and where.
fn between(page: &str) -> std::ops::Range<usize> {
    let begin = page.find(BEGIN).expect("the mark of the beginning") + BEGIN.len();
    begin..begin + page[begin..].find(END).expect("the mark of the end")
}

#[test]
fn the_readme_shows_the_kept_run_of_the_clients() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tools has a parent");
    let kept =
        std::fs::read_to_string(root.join("server/tests/clients/matrix/results.json")).expect("the results");
    let wanted = page(&serde_json::from_str(&kept).expect("JSON"));
    let path = root.join("README.md");
    let mut page = std::fs::read_to_string(&path).expect("the README");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        page.replace_range(between(&page), &wanted);
        std::fs::write(&path, &page).expect("a writable README");
    }
    assert!(
        page[between(&page)] == wanted,
        "the README's matrix is stale: run UPDATE_DOCS=1 cargo test -p tools --test client_matrix"
    );
}

#[test]
fn a_cell_that_changed_changes_the_table() {
    let row = |scenario: &str, is: &str| {
        serde_json::json!({"language": "C", "version": "1", "date": "2026-01-01", "scenarios": [scenario],
                           "cells": {scenario: {"is": is, "why": "a | b"}}})
    };
    let results = |is: &str| {
        serde_json::json!({"headings": {"restart": "a restart", "topics": "kafka-topics"},
                           "clients": {"kcat": row("restart", is), "tools": row("topics", is)}})
    };
    let (green, red) = (page(&results("ok")), page(&results("FAILED")));
    assert!(green.contains("| kcat (C) | 1 | 2026-01-01 | ✅ |"), "{green}");
    assert!(red.contains("| kcat (C) | 1 | 2026-01-01 | ❌ |"), "{red}");
    assert!(red.contains("- ❌ kcat, a restart: a \\| b"), "{red}");
    assert!(red.contains("| kafka-topics | ❌ |"), "{red}");
}
