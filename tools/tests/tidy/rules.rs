//! The rules that are about one file at a time: its size, its door, and what it may not say.

use crate::source::Source;

/// Lines a file may have.
pub(crate) const LINES_MAX: usize = 600;

/// Folders whose code decides and never acts.
const PURE: &[&str] = &["engine/src/", "engine/wire/src/"];

/// What reaches for a clock, a file, a socket, a thread, the runtime or chance. Addresses of `std::net` are words.
const ACTS: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::time::Instant",
    "std::fs",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::process",
    "std::env",
    "glommio",
    "tokio",
    "rustix",
    "libc",
    "rand",
    "getrandom",
    "new_v4",
    "now_v7",
];

/// Sequential jobs over `engine::io::Disk`, which may be `async` because the simulator can still run them.
const JOBS: &[&str] = &["engine/src/io/", "engine/src/broker/", "engine/src/metadata/"];

/// The only homes of `unsafe`. A counting allocator, which only measures, may stand in `benches`.
const UNSAFE_HOMES: &[&str] = &["engine/store/src/", "server/src/net/", "benches/"];

/// What unfinished work leaves behind, in code.
const UNFINISHED: &[&str] = &["#[ignore", "todo!", "unimplemented!", "dbg!"];

/// Everything a single file does wrong.
pub(crate) fn check_file(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if source.is_rust() {
        size(source, &mut found);
        purity(source, &mut found);
        unsafety(source, &mut found);
        unfinished(source, &mut found);
    }
    planted(source, &mut found);
    places(source, &mut found);
    found
}

fn size(source: &Source, found: &mut Vec<String>) {
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        found.push(format!("{}: {lines} lines, at most {LINES_MAX}", source.path));
    }
}

fn purity(source: &Source, found: &mut Vec<String>) {
    if source.is_test() || !PURE.iter().any(|folder| source.path.starts_with(folder)) {
        return;
    }
    for word in ACTS {
        for line in source.lines_with(word) {
            found.push(format!("{}:{line}: `{word}` in code that only decides", source.path));
        }
    }
    // `use std::{fs, thread}` says the same in other words.
    for (line, name) in source.names_below("std") {
        if matches!(name.as_str(), "fs" | "thread" | "process" | "env") {
            found.push(format!("{}:{line}: `std::{name}` in code that only decides", source.path));
        }
    }
    if !JOBS.iter().any(|folder| source.path.starts_with(folder)) {
        for line in source.lines_with("async") {
            found.push(format!("{}:{line}: `async` outside the jobs over `engine::io::Disk`", source.path));
        }
    }
}

fn unsafety(source: &Source, found: &mut Vec<String>) {
    if !UNSAFE_HOMES.iter().any(|folder| source.path.starts_with(folder)) {
        for line in source.lines_with("unsafe") {
            found.push(format!("{}:{line}: `unsafe` outside store and server::net", source.path));
        }
    }
}

fn unfinished(source: &Source, found: &mut Vec<String>) {
    for word in UNFINISHED {
        for line in source.lines_with(word) {
            found.push(format!("{}:{line}: `{word}`", source.path));
        }
    }
    let name = source.path.rsplit('/').next().unwrap_or_default();
    if matches!(name, "utils.rs" | "util.rs" | "helpers.rs" | "misc.rs") {
        found.push(format!("{}: a file is one noun", source.path));
    }
}

/// Bugs on purpose are for the simulator alone: no other crate may ask for them, and it not by itself.
fn planted(source: &Source, found: &mut Vec<String>) {
    if !source.path.ends_with("Cargo.toml") || source.path == "engine/Cargo.toml" {
        return;
    }
    for (number, line) in source.text.lines().enumerate() {
        let allowed = source.path == "engine/sim/Cargo.toml"
            && (line.starts_with('#') || line.trim() == "planted = [\"engine/planted\"]");
        if line.contains("planted") && !allowed {
            found.push(format!("{}:{}: bugs on purpose outside the simulator", source.path, number + 1));
        }
    }
}

/// No place of one machine, and no registry's address: a clone works anywhere.
fn places(source: &Source, found: &mut Vec<String>) {
    // Cargo writes its registry into the lock file itself.
    if source.path == "Cargo.lock" || source.path.ends_with("/Cargo.lock") || source.path.ends_with("uv.lock")
    {
        return;
    }
    // Spelt apart so that this list does not find itself.
    let banned = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/tmp/", "wt"),
        concat!("/tmp/", "tgt"),
        concat!("/tmp/", "h/"),
        concat!("py", "pi.org"),
        concat!("pythonhosted", ".org"),
        concat!("repo1", ".maven"),
        concat!("repo", ".maven"),
        concat!("registry", ".npmjs"),
        concat!("proxy", ".golang.org"),
        concat!("static", ".crates.io"),
        concat!("index", ".crates.io"),
        concat!("deb", ".debian.org"),
    ];
    for (number, line) in source.text.lines().enumerate() {
        for place in banned.iter().filter(|place| line.contains(**place)) {
            found.push(format!("{}:{}: names the place `{place}`", source.path, number + 1));
        }
    }
}

/// Every folder of source opens with a file that says what it is.
pub(crate) fn check_doors(sources: &[Source]) -> Vec<String> {
    let mut folders: Vec<&str> = sources
        .iter()
        .filter(|s| s.is_rust() && s.path.contains("src/"))
        .filter_map(|s| s.path.rsplit_once('/').map(|(folder, _)| folder))
        // Each file in `src/bin` is a program with a door of its own.
        .filter(|folder| !folder.ends_with("/bin"))
        .collect();
    folders.dedup();
    let mut found = Vec::new();
    for folder in folders {
        let doors: Vec<&Source> = ["mod.rs", "lib.rs", "main.rs"]
            .iter()
            .filter_map(|door| sources.iter().find(|s| s.path == format!("{folder}/{door}")))
            .collect();
        if doors.is_empty() {
            found.push(format!("{folder}: no mod.rs says what this folder is"));
        }
        for door in doors.iter().filter(|door| !door.text.starts_with("//!")) {
            found.push(format!("{}: does not open with `//!`", door.path));
        }
    }
    found
}
