//! `ringlog bench versus ringlog`: the lab's self-check. Two equal brokers, a tiny load, the whole chain.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// One tiny row, rules that end at once, and a goal that two equal brokers cannot reach.
const LAB: &str = r#"
[rule]
window = "250ms"
tolerance = 0.5
warm-max = "2s"
quiet-max = "1s"
dirty-max = "64MiB"
slot-bytes = "1GiB"
goals-against = "ringlog"

[figure.throughput]
label = "throughput"
unit = "MB/s"
better = "higher"
path = "throughput.mb_per_s"

[[row]]
name = "tiny"
title = "The same beside the same"
workload = "tiny"
theirs = "flushed"
quick = true
figures = ["throughput"]
[[row.goal]]
text = "not to be had"
figure = "throughput"
better-by = 1000

[[row]]
name = "relaxed"
title = "Flushed beside relaxed"
workload = "tiny"
figures = ["throughput"]
[row.beside]
mode = "relaxed"
[[row.goal]]
text = "not to be had"
figure = "throughput"
better-by = 1000
"#;

const WORKLOAD: &str = "mode = 'produce'\npartitions = 2\nproducers = 1\nrate = 500\nrecord-size = '1KiB'\n";

fn lab(dir: &Path) {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf/peers/ringlog.toml");
    for folder in ["lab/peers", "lab/workloads"] {
        fs::create_dir_all(dir.join(folder)).expect("a folder");
    }
    fs::copy(peers, dir.join("lab/peers/ringlog.toml")).expect("our own description");
    fs::write(dir.join("lab/versus.toml"), LAB).expect("the rows");
    fs::write(dir.join("lab/workloads/tiny.toml"), WORKLOAD).expect("the workload");
}

fn versus(dir: &Path, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["bench", "versus", "ringlog", "--pairs", "2", "--duration", "1s"])
        .args(args)
        .arg("--lab")
        .arg(dir.join("lab"))
        .arg("--data")
        .arg(dir.join("data"))
        .arg("--out")
        .arg(dir.join("out"))
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    output
}

fn document(dir: &Path) -> serde_json::Value {
    let text = fs::read_to_string(dir.join("out/versus.json")).expect("versus.json");
    serde_json::from_str(&text).expect("json")
}

#[test]
fn equal_brokers_take_turns_and_a_finished_row_is_kept() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let dir = place.path();
    lab(dir);
    versus(dir, &["--quick"]);
    let first = document(dir);
    let row = &first["rows"][0];
    let order: Vec<&str> = row["slots"]
        .as_array()
        .expect("slots")
        .iter()
        .map(|slot| slot["side"].as_str().expect("a side"))
        .collect();
    assert_eq!(order, ["ours", "theirs", "theirs", "ours"]);
    for slot in row["slots"].as_array().expect("slots") {
        assert!(slot["values"]["throughput"].as_f64().is_some_and(|mb| mb > 0.0), "{slot}");
        assert!(slot["warm_up"]["windows"].as_array().is_some_and(|windows| !windows.is_empty()), "{slot}");
        let folder = dir.join("out").join(slot["folder"].as_str().expect("a folder"));
        for file in ["report.json", "latency.hlog"] {
            assert!(folder.join(file).is_file(), "{}: {file}", folder.display());
        }
        let report = fs::read_to_string(folder.join("report.json")).expect("a report");
        let report: serde_json::Value = serde_json::from_str(&report).expect("json");
        assert!(report["broker"]["cpu_seconds"].is_f64(), "its broker's process was watched");
    }
    let ratio = &row["results"][0]["times_better"];
    assert_eq!((&ratio["pairs"], &ratio["left_out"]), (&2.into(), &0.into()), "{ratio}");
    assert_eq!(row["goals"][0]["verdict"], "not_measured", "two pairs judge nothing");
    assert_eq!(first["brokers"].as_array().map(Vec::len), Some(2));
    assert!(
        fs::read_to_string(dir.join("out/table.md")).expect("the table").contains("The same beside the same")
    );
    assert_eq!(fs::read_dir(dir.join("data/versus")).expect("data").count(), 0, "their data is gone");

    versus(dir, &["--full"]);
    let second = document(dir);
    for key in ["slots", "results", "started_unix_ms"] {
        assert_eq!(second["rows"][0][key], first["rows"][0][key], "the finished row was not measured again");
    }
    assert_eq!(first["rows"][0]["unpinned"], serde_json::json!([]), "--quick has no run without pinning");
    for row in second["rows"].as_array().expect("rows") {
        let free = row["unpinned"].as_array().expect("slots");
        let sides: Vec<&str> = free.iter().filter_map(|slot| slot["side"].as_str()).collect();
        assert_eq!(sides, ["ours", "theirs"], "{}", row["name"]);
        let folder = dir.join("out").join(free[0]["folder"].as_str().expect("a folder"));
        let report = fs::read_to_string(folder.join("report.json")).expect("a report");
        assert!(
            report.contains("--unpinned") && !report.contains("\"load.core\""),
            "the generator has no CPU"
        );
    }
    assert_eq!(second["rows"][1]["theirs"]["mode"], "relaxed");
    assert_eq!(second["rows"][1]["slots"].as_array().map(Vec::len), Some(4));
}

#[test]
fn rows_with_a_load_in_common_share_its_slots() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let dir = place.path();
    lab(dir);
    versus(dir, &["--row", "tiny", "--row", "relaxed"]);
    let document = document(dir);
    let [tiny, relaxed] = [0, 1].map(|row| document["rows"][row]["slots"].as_array().expect("slots").clone());
    let folders = |slots: &[serde_json::Value], side: &str| -> Vec<String> {
        let of = slots.iter().filter(|slot| slot["side"] == side);
        of.map(|slot| slot["folder"].as_str().expect("a folder").to_string()).collect()
    };
    assert_eq!(folders(&tiny, "ours"), ["tiny/01-ours", "tiny/02-ours"]);
    assert_eq!(folders(&relaxed, "ours"), folders(&tiny, "ours"), "our load ran once for both rows");
    assert_eq!(folders(&relaxed, "theirs"), ["relaxed/01-theirs", "relaxed/02-theirs"]);
    let ours =
        |pair: u64| tiny.iter().find(|slot| slot["side"] == "ours" && slot["pair"] == pair).expect("a slot");
    let settled = ours(1)["verdict"] == "valid" && ours(1)["warm_up"]["end"] == "agreed";
    assert_eq!(
        ours(2)["warm_up"]["before"].is_object(),
        settled,
        "held against the one before, if that had settled"
    );
    let measured = tiny[0]["time"]["measured_s"].as_f64().expect("its window");
    assert!(measured > 0.0 && relaxed[0]["time"]["warm_s"].is_f64(), "each slot says where its time went");
}
