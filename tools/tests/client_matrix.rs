//! The README's table of clients is what `server/tests/clients/matrix/results.json` says: the last kept run of
//! real clients against a real broker. `UPDATE_DOCS=1 cargo test -p tools --test client_matrix` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

const BEGIN: &str = "<!-- the matrix begins: server/tests/clients/run matrix -->\n";
const END: &str = "<!-- the matrix ends -->";

/// One row a client, one column a scenario, and below it why a cell is not green.
fn table(results: &Value) -> String {
    let scenarios: Vec<(&str, &str)> =
        list(&results["scenarios"]).iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    let mut page = String::from("| client | version | run |");
    for (_, heading) in &scenarios {
        write!(page, " {heading} |").expect("a string takes it");
    }
    write!(page, "\n|{}\n", "---|".repeat(3 + scenarios.len())).expect("a string takes it");
    let mut notes = Vec::new();
    let clients = results["clients"].as_object().expect("clients by name");
    for (client, row) in clients {
        let (language, version) = (text(&row["language"]), text(&row["version"]));
        write!(page, "| {client} ({language}) | {version} | {} |", text(&row["date"]))
            .expect("a string takes it");
        for (scenario, heading) in &scenarios {
            let cell = &row["cells"][scenario];
            let sign = match cell["is"].as_str() {
                Some("ok") => "✅",
                Some("n/a") => "–",
                Some("FAILED") => "❌",
                _ => "not run",
            };
            write!(page, " {sign} |").expect("a string takes it");
            if let Some(why) = cell["why"].as_str() {
                notes.push(format!("- {sign} {client}, {heading}: {}", why.replace('|', "\\|")));
            }
        }
        page.push('\n');
    }
    format!(
        "{page}\n<details><summary>Every cell with a remark</summary>\n\n{}\n\n</details>\n",
        notes.join("\n")
    )
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
    let wanted = table(&serde_json::from_str(&kept).expect("JSON"));
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
    let results = |is: &str| {
        serde_json::json!({
            "scenarios": [["restart", "restart"]],
            "clients": {"kcat": {"language": "C", "version": "1", "date": "2026-01-01",
                                 "cells": {"restart": {"is": is, "why": "a | b"}}}}
        })
    };
    let (green, red) = (table(&results("ok")), table(&results("FAILED")));
    assert!(green.contains("| kcat (C) | 1 | 2026-01-01 | ✅ |"), "{green}");
    assert!(red.contains("| kcat (C) | 1 | 2026-01-01 | ❌ |"), "{red}");
    assert!(red.contains("- ❌ kcat, restart: a \\| b"), "{red}");
}
