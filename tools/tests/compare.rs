//! `ringlog report compare` and `noise` on runs of known figures, through the real binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::Value;
use tools::report::data::{Interval, LatencySet, latency_histogram};
use tools::report::{self, RunReport, sample};

static SAMPLE: LazyLock<RunReport> = LazyLock::new(|| sample::run(7));

/// Samples per interval: enough for p99.9 of a run.
const SAMPLES: u64 = 6_000;
/// Microseconds from one run's start to the next one's.
const STEP_MS: u64 = 40_000;

/// Latencies spread evenly between 100 µs and 1.1 ms, times a factor.
fn samples(factor: f64) -> Histogram<u64> {
    let mut histogram = latency_histogram();
    for i in 0..SAMPLES {
        let ns = (100_000.0 + 1e6 * i as f64 / SAMPLES as f64) * factor;
        histogram.record(ns as u64).expect("in range");
    }
    histogram
}

/// The `position`th run of a day, whose latencies are the factor's.
fn a_run(position: u64, factor: f64) -> RunReport {
    let mut report = SAMPLE.clone();
    report.started_unix_ms += position * STEP_MS;
    report.run_id = format!("run-{position:02}");
    let latency = LatencySet { produce_response: Some(samples(factor)), ..LatencySet::default() };
    let cut = |second: u64| Interval {
        start: Duration::from_secs(second),
        latency: latency.clone(),
        ..SAMPLE.intervals[second as usize].clone()
    };
    report.intervals = (0..3).map(cut).collect();
    report.latency = LatencySet::default();
    for interval in &report.intervals {
        report.latency.add(&interval.latency);
    }
    report
}

/// A folder with one run per report.
fn folder(root: &Path, name: &str, reports: &[RunReport]) -> PathBuf {
    let dir = root.join(name);
    for report in reports {
        report::write(&dir.join(&report.run_id), report).expect("written");
    }
    dir
}

/// Two folders of runs that took turns, with these latency factors.
fn two_sides(root: &Path, a: &[f64], b: &[f64]) -> (PathBuf, PathBuf) {
    let of = |factors: &[f64], offset: u64| -> Vec<RunReport> {
        factors.iter().enumerate().map(|(i, factor)| a_run(2 * i as u64 + offset, *factor)).collect()
    };
    (folder(root, "a", &of(a, 0)), folder(root, "b", &of(b, 1)))
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }
}

fn ringlog(root: &Path, args: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .current_dir(root)
        .args(args)
        .output()
        .expect("the binary runs");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn compared(root: &Path, more: &[&str]) -> Said {
    let args: Vec<&str> = ["report", "compare", "a", "b"].iter().chain(more).copied().collect();
    ringlog(root, &args)
}

fn root() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary directory")
}

fn row<'a>(document: &'a Value, metric: &str) -> &'a Value {
    let rows = document["metrics"].as_array().expect("rows");
    rows.iter().find(|row| row["metric"] == metric).unwrap_or_else(|| panic!("no {metric}"))
}

/// Five runs that differ by a percent or so among themselves.
const STEADY: [f64; 5] = [1.0, 1.01, 0.99, 1.005, 0.995];

#[test]
fn a_slower_side_is_a_regression_with_exit_code_10() {
    let root = root();
    two_sides(root.path(), &STEADY, &STEADY.map(|factor| factor * 1.2));
    let said = compared(root.path(), &["--json"]);
    assert_eq!(said.code, Some(10), "{}", said.err);
    let document = said.json();
    let p99 = row(&document, "produce_p99");
    assert!((p99["median_ratio"].as_f64().expect("a ratio") - 1.2).abs() < 0.01, "{p99}");
    assert_eq!((&p99["finding"], &p99["primary"]), (&"slower".into(), &true.into()));
    assert_eq!(row(&document, "throughput")["finding"], "no_change");
    assert_eq!(document["interleaved"], true);
    let table = compared(root.path(), &[]);
    assert_eq!(table.code, Some(10));
    assert!(table.out.contains("VERDICT  ") && table.out.contains("SLOWER"), "{}", table.out);
    assert!(compared(root.path(), &["--metric", "throughput"]).code == Some(0), "latency was not asked for");
}

#[test]
fn a_faster_side_is_no_regression_and_the_words_are_the_same_each_time() {
    let root = root();
    two_sides(root.path(), &STEADY, &STEADY.map(|factor| factor * 0.8));
    let said = compared(root.path(), &[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("FASTER"), "{}", said.out);
    assert_eq!(said.out, compared(root.path(), &[]).out);
    let markdown = compared(root.path(), &["--markdown"]).out;
    assert!(markdown.starts_with("**") && markdown.contains("| \\* produce p99 |"), "{markdown}");
}

#[test]
fn equal_sides_say_what_could_have_been_seen() {
    let root = root();
    two_sides(root.path(), &STEADY, &[1.01, 0.99, 1.0, 0.995, 1.005]);
    let said = compared(root.path(), &[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("no change found (could have seen 3.0 %)"), "{}", said.out);
    assert!(said.out.contains("none is stored for this machine"), "{}", said.out);
}

#[test]
fn too_few_pairs_get_no_verdict_and_exit_code_6() {
    let root = root();
    two_sides(root.path(), &STEADY[..4], &STEADY.map(|factor| factor * 3.0));
    let said = compared(root.path(), &[]);
    assert_eq!(said.code, Some(6), "{}", said.err);
    assert!(said.out.contains("no verdict: 4 of 5 pairs"), "{}", said.out);
    assert!(said.out.contains("1 run has no partner"), "{}", said.out);
    let single = ringlog(root.path(), &["report", "compare", "a/run-00", "b/run-01", "--json"]);
    assert_eq!((single.code, &single.json()["pairs"]), (Some(6), &1.into()), "{}", single.err);
}

#[test]
fn unlike_runs_are_refused_unless_forced() {
    type Change = fn(&mut RunReport);
    let changes: [(&str, Change); 4] = [
        ("the machines differ", |report| report.machine.hardware_id = "0000ffff".to_string()),
        ("the workloads differ", |report| report.workload = "another".to_string()),
        ("acknowledgements mean different things", |report| {
            report.durability = report::data::DurabilityMode::Unknown { acks: report::data::Acks::All };
        }),
        ("the load differs in batch_bytes", |report| report.load.batch_bytes *= 2),
    ];
    for (words, change) in changes {
        let root = root();
        let (_, b) = two_sides(root.path(), &STEADY, &STEADY);
        let mut odd = a_run(9, 1.0);
        change(&mut odd);
        report::write(&b.join("run-09"), &odd).expect("written");
        let said = compared(root.path(), &[]);
        assert_eq!(said.code, Some(3), "{words}: {}", said.err);
        assert!(said.err.contains(words) && said.out.is_empty(), "{words}: {}", said.err);
        let forced = compared(root.path(), &["--force"]);
        assert_eq!(forced.code, Some(0), "{words}: {}", forced.err);
        assert!(forced.out.contains("compared by force"), "{words}: {}", forced.out);
    }
}

#[test]
fn another_seed_is_the_same_load_and_settings_that_differ_are_listed() {
    let root = root();
    let (_, b) = two_sides(root.path(), &STEADY, &STEADY);
    let mut odd = a_run(9, 1.0);
    odd.load.seed += 1;
    odd.settings[0].value = "changed".to_string();
    report::write(&b.join("run-09"), &odd).expect("written");
    let said = compared(root.path(), &["--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let document = said.json();
    let differences = document["differences"].as_array().expect("a list");
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert_eq!(differences[0]["name"], odd.settings[0].name.as_str());
}

#[test]
fn a_failed_data_check_outranks_speed() {
    let root = root();
    let (_, b) = two_sides(root.path(), &STEADY, &STEADY.map(|factor| factor * 0.5));
    let mut broken = a_run(9, 0.5);
    broken.check.lost = 1;
    report::write(&b.join("run-09"), &broken).expect("written");
    let said = compared(root.path(), &[]);
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(said.err.contains("run-09 failed its data check"), "{}", said.err);
}

#[test]
fn an_invalid_run_is_kept_and_said() {
    let root = root();
    let (_, b) = two_sides(root.path(), &STEADY, &STEADY.map(|factor| factor * 5.0));
    let mut late = a_run(9, 5.0);
    late.validity.reasons.push("the rate was not reached".to_string());
    report::write(&b.join("run-09"), &late).expect("written");
    let said = compared(root.path(), &[]);
    assert_eq!(said.code, Some(10), "{}", said.err);
    assert!(said.out.contains("run run-09 is invalid: the rate was not reached; it is kept"), "{}", said.out);
}

#[test]
fn a_change_within_the_stored_noise_is_no_change() {
    let root = root();
    let noisy: Vec<RunReport> =
        (0..12).map(|i| a_run(i, if i % 2 == 0 { 1.0 } else { 1.0 + 0.03 * (i % 5) as f64 })).collect();
    folder(root.path(), "same", &noisy);
    let measured = ringlog(root.path(), &["report", "noise", "same"]);
    assert_eq!(measured.code, Some(0), "{}", measured.err);
    let hardware_id = &SAMPLE.machine.hardware_id;
    let file = root.path().join("perf/noise").join(format!("{hardware_id}.json"));
    let stored: Value = serde_json::from_str(&fs::read_to_string(&file).expect("kept")).expect("JSON");
    let floor = stored["entries"][0]["floors"]["produce_p99"].as_f64().expect("a floor");
    assert!(floor > 0.03 && floor < 0.13, "{floor}");
    assert_eq!(ringlog(root.path(), &["report", "noise", "same"]).code, Some(0));
    let again: Value = serde_json::from_str(&fs::read_to_string(&file).expect("kept")).expect("JSON");
    assert_eq!(stored, again, "the same runs replace their own entry");

    two_sides(root.path(), &STEADY, &STEADY.map(|factor| factor * 1.025));
    assert_eq!(compared(root.path(), &["--noise", "elsewhere"]).code, Some(10), "without the floor");
    let said = compared(root.path(), &[]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(said.out.contains("12 equal runs of this workload"), "{}", said.out);
}

#[test]
fn noise_needs_ten_equal_runs() {
    let root = root();
    two_sides(root.path(), &STEADY, &STEADY);
    let said = ringlog(root.path(), &["report", "noise", "a"]);
    assert_eq!(said.code, Some(6));
    assert!(said.err.contains("holds 5 valid runs; a noise floor needs 10"), "{}", said.err);
}

#[test]
fn histograms_of_a_side_are_merged_and_never_averaged() {
    let root = root();
    let slow = [1.0, 1.0, 1.0, 1.0, 30.0];
    two_sides(root.path(), &slow, &STEADY);
    let document = compared(root.path(), &["--json"]).json();
    let mut merged = latency_histogram();
    for factor in slow {
        let three = samples(factor);
        (0..3).for_each(|_| merged.add(&three).expect("it grows"));
    }
    let response = &document["a"]["merged"]["response_us"];
    assert_eq!(response["count"], 5 * 3 * SAMPLES);
    assert_eq!(response["p99"].as_f64(), Some(merged.value_at_quantile(0.99) as f64 / 1e3));
}

#[test]
fn runs_that_did_not_take_turns_are_named() {
    let root = root();
    let first: Vec<RunReport> = (0..5).map(|i| a_run(i, 1.0)).collect();
    let second: Vec<RunReport> = (5..10).map(|i| a_run(i, 1.0)).collect();
    folder(root.path(), "a", &first);
    folder(root.path(), "b", &second);
    let said = compared(root.path(), &[]);
    assert!(said.out.contains("NOT interleaved"), "{}", said.out);
}

#[test]
fn slips_of_the_user_have_exit_code_2() {
    let root = root();
    two_sides(root.path(), &STEADY, &STEADY);
    fs::create_dir(root.path().join("empty")).expect("a folder");
    for (args, words) in [
        (vec!["report", "compare", "a", "empty"], "holds no run"),
        (vec!["report", "compare", "a", "nowhere"], "cannot list nowhere"),
        (
            vec!["report", "compare", "a", "b", "--metric", "p42"],
            "there is no metric `p42`; there are throughput",
        ),
    ] {
        let said = ringlog(root.path(), &args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.err);
        assert!(said.err.contains(words), "{}", said.err);
    }
    let unmeasured = compared(root.path(), &["--metric", "fetch_p99"]);
    assert_eq!(unmeasured.code, Some(6), "{}", unmeasured.err);
    assert!(unmeasured.out.contains("measured by neither"), "{}", unmeasured.out);
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let root = root();
    let (a, _) = two_sides(root.path(), &STEADY, &STEADY);
    let log = a.join("run-00/latency.hlog");
    let text = fs::read_to_string(&log).expect("a log");
    let shorter: Vec<&str> = text.lines().collect();
    fs::write(&log, shorter[..shorter.len() - 1].join("\n") + "\n").expect("written");
    let said = compared(root.path(), &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("latency.hlog holds 12000 samples of produce.response"), "{}", said.err);
    fs::write(&log, text.replace("HIST", "HISt")).expect("written");
    let said = compared(root.path(), &[]);
    assert!(said.code == Some(1) && said.err.contains("is not an interval histogram"), "{}", said.err);
}

#[test]
fn a_page_is_drawn_again_from_its_data() {
    let root = root();
    let (a, _) = two_sides(root.path(), &STEADY, &STEADY);
    let file = a.join("run-00/index.html");
    let drawn = fs::read_to_string(&file).expect("a page");
    fs::remove_file(&file).expect("removed");
    let said = ringlog(root.path(), &["report", "page", "a/run-00"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(fs::read_to_string(&file).expect("a page"), drawn);
}

/// Every `<data data-key="…" value="…">` of a page.
fn figures(page: &str) -> Vec<(String, String)> {
    let quoted = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("{name}=\"")).expect("the attribute is there");
        rest.split('"').next().expect("it is closed").to_string()
    };
    page.split("<data ")
        .skip(1)
        .map(|element| (quoted(element, "data-key"), quoted(element, "value")))
        .collect()
}

#[test]
fn figures_on_the_page_of_a_comparison_equal_its_json() {
    let root = root();
    two_sides(root.path(), &STEADY, &STEADY.map(|factor| factor * 0.8));
    let said = compared(root.path(), &["--json", "--html", "page.html"]);
    let document = said.json();
    let page = fs::read_to_string(root.path().join("page.html")).expect("a page");
    let figures = figures(&page);
    for (key, value) in &figures {
        let expected = document.pointer(&format!("/{}", key.replace('.', "/")));
        assert_eq!(&expected.unwrap_or_else(|| panic!("{key}")).to_string(), value, "{key}");
    }
    let rows = document["metrics"].as_array().expect("rows").len();
    for name in ["a", "b", "median_ratio", "low", "high"] {
        let shown = |index: usize| figures.iter().any(|(key, _)| *key == format!("metrics.{index}.{name}"));
        assert!((0..rows).all(shown), "{name} of each metric is on the page");
    }
    assert!(page.contains(">FASTER<") && page.contains("class=\"heat ") && page.contains("s1 single"));
}

#[test]
fn the_page_of_a_comparison_is_offline_small_and_escaped() {
    const HOSTILE: &str = "<img src=x onerror=alert(1)>";
    let root = root();
    let reports = |offset: u64| -> Vec<RunReport> {
        (0..30)
            .map(|i| {
                let mut report = a_run(2 * i + offset, 1.0 + 0.01 * i as f64);
                report.workload = HOSTILE.to_string();
                report.broker.name = HOSTILE.to_string();
                report.settings[0].value = format!("{HOSTILE}{offset}");
                report.validity.reasons.push(HOSTILE.to_string());
                report
            })
            .collect()
    };
    folder(root.path(), "a", &reports(0));
    folder(root.path(), "b", &reports(1));
    let said = compared(root.path(), &["--html", "page.html"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let page = fs::read_to_string(root.path().join("page.html")).expect("a page");
    assert!(page.len() <= report::page::PAGE_BYTES_MAX, "{} bytes", page.len());
    assert!(!page.contains("<img") && page.matches("&lt;img").count() > 60);
    for forbidden in ["http:", "https:", "<script", "<iframe", "@import", "url(", "javascript:"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}
