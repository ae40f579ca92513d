//! The structure test: the house plan as rules that fail the build. Every rule is shown a planted
//! violation first, so that a rule that cannot fail does not pass for one that holds.

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/semantics.rs"]
mod semantics;
#[path = "tidy/source.rs"]
mod source;

use source::Source;

/// Everything that is wrong with a repository of these files.
fn check(sources: &[Source]) -> Vec<String> {
    let mut found = layers::check_modules(sources);
    found.extend(layers::check_outward(sources));
    found.extend(layers::check_crates(sources));
    found.extend(rules::check_doors(sources));
    found.extend(semantics::check(sources));
    found.extend(sources.iter().flat_map(rules::check_file));
    found
}

/// What the rules say about one file, its folder's door given.
fn said(path: &str, text: &str) -> Vec<String> {
    let mut sources = vec![Source::new(path, text)];
    if let Some((folder, name)) = path.rsplit_once('/')
        && path.ends_with(".rs")
        && !matches!(name, "mod.rs" | "lib.rs" | "main.rs")
    {
        sources.push(Source::new(&format!("{folder}/mod.rs"), "//! A folder.\n"));
    }
    check(&sources)
}

#[track_caller]
fn refused(path: &str, text: &str, because: &str) {
    let found = said(path, text);
    assert!(found.iter().any(|f| f.contains(because)), "{path}: {text:?} gave {found:?}, not `{because}`");
}

#[track_caller]
fn allowed(path: &str, text: &str) {
    assert_eq!(said(path, text), Vec::<String>::new(), "{path}: {text:?}");
}

#[test]
fn the_repository_is_tidy() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tools has a parent");
    let sources = source::read_all(root);
    let rust = sources.iter().filter(|s| s.is_rust()).count();
    assert!(rust > 20, "only {rust} Rust files found: the walk is broken");
    assert!(sources.iter().any(|s| s.path == semantics::PAGE), "the page of semantics is there");
    let found = check(&sources);
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

#[test]
fn an_import_against_the_layers_is_refused() {
    refused("engine/src/record/walk.rs", "use crate::log::Log;", "`record` may not import `log`");
    refused("engine/src/base/ids.rs", "use crate::io::FileId;", "`base` may not import `io`");
    refused(
        "engine/src/log/index.rs",
        "use crate::{base::Offset, journal::Frame};",
        "`log` may not import `journal`",
    );
    refused(
        "engine/src/fetch/session.rs",
        "fn f() { crate::purgatory::wait() }",
        "`fetch` may not import `purgatory`",
    );
    refused("engine/src/log/index.rs", "use super::super::broker::Shard;", "`log` may not import `broker`");
    refused("engine/src/log/mod.rs", "//! x\nuse super::broker::Shard;", "`log` may not import `broker`");
    refused("engine/src/group/classic.rs", "use crate::log::Log;", "`group` may not import `log`");
    refused("server/src/net/send.rs", "use crate::kafka::produce;", "`net` may not import `kafka`");
    refused("server/src/shard/place.rs", "use crate::kafka::Route;", "`shard` may not import `kafka`");
    refused("server/src/kafka/produce.rs", "use crate::net::Connection;", "`kafka` may not import `net`");
    refused("engine/src/attic/mod.rs", "//! x", "`attic` has no row");
    allowed("engine/src/log/index.rs", "use crate::{base::Offset, io::{FileId, Disk}, record::Header};");
    allowed("engine/src/log/index.rs", "use super::segment::Segment; use crate::log::names;");
    allowed("engine/src/log/index.rs", "// use crate::broker::Shard;\nconst A: &str = \"crate::broker::x\";");
    allowed("engine/src/log/index.rs", "#[cfg(test)]\nmod tests { use crate::broker::Shard; }");
}

#[test]
fn an_import_of_another_crates_insides_is_refused() {
    refused("engine/store/src/file.rs", "use engine::broker::Shard;", "may not name `engine::broker`");
    refused("tools/src/load/client.rs", "use engine::log::Log;", "may not name `engine::log`");
    refused("tools/src/load/client.rs", "use server::start;", "may not name `server::start`");
    refused("tools/src/load/client.rs", "use crate::bench::Plan;", "may not name `crate::bench`");
    refused("server/src/net/conn.rs", "use wire::produce::ProduceRequest;", "may not name `wire::produce`");
    allowed("tools/src/load/client.rs", "use engine::record::Builder; use wire::produce::Request;");
    allowed("engine/store/src/file.rs", "use engine::{base::Offset, io::Disk, journal::Frame};");
}

#[test]
fn a_dependency_against_the_crate_table_is_refused() {
    refused("engine/Cargo.toml", "[dependencies]\nstore.workspace = true\n", "may not depend on `store`");
    refused(
        "engine/wire/Cargo.toml",
        "[dependencies]\nengine = { path = \"..\" }\n",
        "may not depend on `engine`",
    );
    refused("engine/wire/Cargo.toml", "[dependencies.engine]\npath = \"..\"\n", "may not depend on `engine`");
    refused("tools/Cargo.toml", "[dependencies]\nglommio.workspace = true\n", "only store and server");
    refused("engine/Cargo.toml", "[dev-dependencies]\nglommio = \"0.9\"\n", "only store and server");
    refused("server/Cargo.toml", "[dependencies]\nkafka-protocol = \"0.18\"\n", "oracle");
    refused("attic/Cargo.toml", "[dependencies]\n", "without a row");
    allowed("engine/wire/Cargo.toml", "[dev-dependencies]\nkafka-protocol.workspace = true\n");
    allowed("engine/store/Cargo.toml", "[dependencies]\nengine.workspace = true\nglommio.workspace = true\n");
}

#[test]
fn bugs_on_purpose_outside_the_simulator_are_refused() {
    let because = "bugs on purpose";
    let manifest = |line: &str| format!("[dependencies]\n{line}\n");
    refused(
        "server/Cargo.toml",
        &manifest("engine = { workspace = true, features = [\"planted\"] }"),
        because,
    );
    refused("tools/Cargo.toml", "[features]\nplanted = [\"sim/planted\"]\n", because);
    refused("engine/sim/Cargo.toml", "[features]\ndefault = [\"planted\"]\n", because);
    allowed("engine/sim/Cargo.toml", "[features]\nplanted = [\"engine/planted\"]\n");
}

#[test]
fn a_file_over_its_size_is_refused() {
    refused("engine/src/log/index.rs", &"\n".repeat(rules::LINES_MAX + 1), "601 lines");
    allowed("engine/src/log/index.rs", &"\n".repeat(rules::LINES_MAX));
}

#[test]
fn a_folder_without_its_door_is_refused() {
    let alone = [Source::new("engine/src/log/index.rs", "")];
    assert!(check(&alone).iter().any(|f| f.contains("engine/src/log: no mod.rs")));
    refused("engine/src/log/mod.rs", "mod index;\n", "does not open with");
    allowed("engine/src/log/mod.rs", "//! One partition's log.\nmod index;\n");
}

#[test]
fn acting_where_only_deciding_is_allowed_is_refused() {
    let file = "engine/src/log/index.rs";
    for line in [
        "let t = std::time::Instant::now();",
        "let t = Instant::now();",
        "use std::time::SystemTime;",
        "use std::fs::File;",
        "use std::{cell::Cell, fs};",
        "std::thread::yield_now();",
        "use std::net::TcpStream;",
        "use glommio::io::DmaFile;",
        "let n: u8 = rand::random();",
        "let id = uuid::Uuid::new_v4();",
    ] {
        refused(file, line, "only decides");
        refused("engine/wire/src/frame.rs", line, "only decides");
    }
    refused(file, "async fn f() {}", "`async` outside");
    allowed("engine/src/broker/commit.rs", "async fn f() {}");
    allowed("engine/store/src/file.rs", "use std::fs::File;");
    allowed(
        file,
        "let operand = brand; let x = \"std::fs\"; let l: &'static str = r#\"SystemTime\"#; // async",
    );
}

#[test]
fn unsafe_outside_its_homes_is_refused() {
    refused("engine/src/log/index.rs", "fn f() { unsafe { g() } }", "`unsafe` outside");
    refused("server/src/shard/mail.rs", "unsafe impl Send for X {}", "`unsafe` outside");
    refused("tools/tests/x.rs", "unsafe fn f() {}", "`unsafe` outside");
    allowed("engine/store/src/pool.rs", "fn f() { unsafe { g() } }");
    allowed("server/src/net/send.rs", "fn f() { unsafe { g() } }");
    allowed("tools/src/cli/mod.rs", "//! x\n#![deny(unsafe_code)]\nlet unsafe_count = '\"'; // unsafe");
}

#[test]
fn unfinished_work_is_refused() {
    for line in ["#[ignore]", "#[ignore = \"slow\"]", "todo!()", "unimplemented!()", "dbg!(x)"] {
        refused("tools/src/cli/topic.rs", line, &line[..4]);
    }
    refused("tools/src/cli/utils.rs", "", "one noun");
}

#[test]
fn a_place_of_one_machine_or_a_registry_is_refused() {
    refused(".ci/run", concat!("cd /wo", "rk/main"), "names the place");
    refused("README.md", concat!("see /ro", "ot/.cargo"), "names the place");
    refused("server/tests/clients/run", concat!("curl https://py", "pi.org/simple"), "names the place");
    allowed(".ci/run", "cd \"$(dirname \"$0\")/..\"");
}

#[test]
fn a_semantics_page_that_names_no_test_or_one_that_is_gone_is_refused() {
    let test = Source::new("server/tests/a.rs", "#[test]\nfn holds() {}\nfn helps() {}\n");
    let page = |held_by: &str| {
        let rows: String =
            (1..=semantics::ITEMS).map(|n| format!("| {n} | something | {held_by} |\n")).collect();
        let page = Source::new(semantics::PAGE, &format!("| item | what | held by |\n|---|---|---|\n{rows}"));
        semantics::check(&[page, test.clone()])
    };
    assert_eq!(page("`server/tests/a.rs`: `holds`"), Vec::<String>::new());
    assert_eq!(page("not yet: nobody needs it"), Vec::<String>::new());
    for (held_by, because) in [
        ("", "names no test"),
        ("`server/tests/a.rs`", "names no test"),
        ("`server/tests/a.rs`: `helps`", "no test helps"),
        ("`server/tests/a.rs`: `hold`", "no test hold"),
        ("`server/tests/b.rs`: `holds`", "no file"),
        ("soon | later", "cells"),
    ] {
        let found = page(held_by);
        assert!(found.iter().any(|f| f.contains(because)), "{held_by:?} gave {found:?}");
    }
    let short = Source::new(semantics::PAGE, "| 1 | something | not yet: why |\n| 3 | x | not yet: why |\n");
    let found = semantics::check(&[short]);
    assert!(found.iter().any(|f| f.contains("2 is due")) && found.iter().any(|f| f.contains("ends before")));
}
