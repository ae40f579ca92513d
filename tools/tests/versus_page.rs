//! The page of two brokers in turns: its figures are those of `versus.json`, and it stays offline and small.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use tools::report::data::{Interval, LatencySet, latency_histogram};
use tools::report::{RunReport, page, sample};
use tools::versus::{Document, sample as versus};

static SAMPLE: LazyLock<RunReport> = LazyLock::new(|| sample::run(7));

/// A short run whose latencies are spread between 100 µs and 1.1 ms, times a factor.
fn a_run(position: u64, slowness: f64) -> RunReport {
    let mut report = SAMPLE.clone();
    report.run_id = format!("run-{position}");
    let mut histogram = latency_histogram();
    for i in 0..3_000 {
        histogram.record(((100_000.0 + 1e6 * f64::from(i) / 3e3) * slowness) as u64).expect("in range");
    }
    report.latency = LatencySet { produce_response: Some(histogram), ..LatencySet::default() };
    let first = report.intervals[0].clone();
    report.intervals = vec![Interval { start: Duration::ZERO, latency: report.latency.clone(), ..first }];
    report
}

/// The document in a folder of its own, changed, and the page that the binary draws from it.
fn drawn(change: impl FnOnce(&mut Document)) -> (tempfile::TempDir, Value, String) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut document = versus::write(dir.path(), a_run).expect("written");
    change(&mut document);
    let text = serde_json::to_string(&document).expect("JSON");
    fs::write(dir.path().join("versus.json"), &text).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["report", "page"])
        .arg(dir.path())
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(dir.path().join("index.html")).expect("a page");
    (dir, serde_json::from_str(&text).expect("JSON"), page)
}

#[test]
fn figures_on_the_page_equal_versus_json() {
    let (_dir, document, page) = drawn(|_| {});
    let mut keys = Vec::new();
    for element in page.split("<data data-key=\"").skip(1) {
        let (key, rest) = element.split_once("\" value=\"").expect("a value");
        let value = rest.split('"').next().expect("it is closed");
        let expected = document.pointer(&format!("/{}", key.replace('.', "/")));
        assert_eq!(expected.unwrap_or_else(|| panic!("{key}")).to_string(), value, "{key}");
        keys.push(key);
    }
    for name in ["ours", "theirs", "times_better.median_ratio", "times_better.low", "times_better.high"] {
        for result in 0..2 {
            let key = format!("rows.0.results.{result}.{name}");
            assert!(keys.contains(&key.as_str()), "{key} is not on the page");
        }
    }
}

#[test]
fn a_row_shows_slots_curves_warm_ups_goals_and_notes() {
    let (_dir, _, page) = drawn(|_| {});
    assert!(page.contains("1 of 2 goals reached") && page.contains(">MISSED<"));
    assert!(page.contains("it has no mode that flushes"));
    assert!(page.contains("pair 5") && page.contains("MB/s while warming up"));
    assert_eq!(page.matches("s1 single").count() + page.matches("s3 single").count(), 10, "a line per slot");
    assert!(page.contains("the planned rate was not held") && page.contains("tried 2 times"));
}

#[test]
fn a_slot_whose_files_are_gone_is_named_and_not_drawn() {
    let (dir, document, _) = drawn(|_| {});
    let folder = document["rows"][0]["slots"][0]["folder"].as_str().expect("a folder");
    fs::remove_file(dir.path().join(folder).join("latency.hlog")).expect("removed");
    let page = page::versus(&serde_json::from_value(document.clone()).expect("a document"), dir.path());
    assert!(page.contains("could not be read") && page.contains(folder));
    assert_eq!(page.matches("s1 single").count() + page.matches("s3 single").count(), 9);
}

#[test]
fn many_hostile_rows_stay_offline_small_and_escaped() {
    const HOSTILE: &str = "<img src=x onerror=alert(1)>";
    let (_dir, _, page) = drawn(|document| {
        let mut row = document.rows[0].clone();
        for text in [&mut row.name, &mut row.title, &mut row.about, &mut row.command, &mut row.ours.mode] {
            *text = HOSTILE.repeat(100);
        }
        row.slots.iter_mut().for_each(|slot| slot.notes = vec![HOSTILE.repeat(100); 100]);
        row.results = vec![row.results[0].clone(); 100];
        document.rows = vec![row; 100];
        document.brokers[0].title = HOSTILE.to_string();
        document.command_line = HOSTILE.to_string();
    });
    assert!(page.len() <= page::PAGE_BYTES_MAX, "{} bytes", page.len());
    assert!(!page.contains("<img") && page.contains("&lt;img"));
    for forbidden in ["http:", "https:", "<script", "<iframe", "@import", "url(", "javascript:"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}
