//! `engine/docs/semantics.md` says which tests hold what clients rely on: each item has a row, and the
//! tests that a row names exist. A row without a test says why.

use crate::source::Source;

/// The page.
pub(crate) const PAGE: &str = "engine/docs/semantics.md";

/// Items that the page has.
pub(crate) const ITEMS: usize = 36;

/// What is wrong with the page, if these files have it.
pub(crate) fn check(sources: &[Source]) -> Vec<String> {
    let Some(page) = sources.iter().find(|s| s.path == PAGE) else { return Vec::new() };
    let mut found = Vec::new();
    let mut next = 1;
    for row in page.text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, held_by] = cells[..] else {
            found.push(format!("{PAGE}: a row of {} cells: {row}", cells.len()));
            continue;
        };
        let Ok(number) = number.parse::<usize>() else { continue };
        if number != next {
            found.push(format!("{PAGE}: item {number} where {next} is due"));
        }
        next = number + 1;
        check_item(number, held_by, sources, &mut found);
    }
    if next != ITEMS + 1 {
        found.push(format!("{PAGE}: ends before item {ITEMS}"));
    }
    found
}

fn check_item(number: usize, held_by: &str, sources: &[Source], found: &mut Vec<String>) {
    let mut file: Option<&Source> = None;
    let mut tests = 0;
    // What stands between backticks: a file, and the tests in it.
    for name in held_by.split('`').skip(1).step_by(2) {
        if name.ends_with(".rs") {
            file = sources.iter().find(|s| s.path == name);
            if file.is_none() {
                found.push(format!("{PAGE}: item {number}: no file {name}"));
            }
            continue;
        }
        tests += 1;
        if !file.is_some_and(|f| has_test(f, name)) {
            found.push(format!("{PAGE}: item {number}: no test {name} in the file before it"));
        }
    }
    if tests == 0 && !held_by.starts_with("not yet: ") && !held_by.starts_with("does not apply: ") {
        found.push(format!("{PAGE}: item {number} names no test and no reason"));
    }
}

fn has_test(file: &Source, name: &str) -> bool {
    let mut is_test = false;
    for line in file.code.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if is_test && !line.starts_with("#[") {
            if line.strip_prefix("fn ").and_then(|l| l.strip_prefix(name)).is_some_and(|l| l.starts_with('('))
            {
                return true;
            }
            is_test = false;
        }
    }
    false
}
