//! The files that a run leaves behind: they agree with each other, stay offline and within their
//! size, and other tools can read them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;
use tools::report::data::{
    BrokerFacts, DataCheck, Interval, LatencySet, Origin, Setting, Verdict, latency_histogram,
};
use tools::report::json::Document;
use tools::report::{self, RunReport, page, sample, summary};

static SAMPLE: LazyLock<RunReport> = LazyLock::new(|| sample::run(7));

fn written(report: &RunReport) -> (tempfile::TempDir, Value, String) {
    let dir = tempfile::tempdir().expect("temporary directory");
    report::write(dir.path(), report).expect("the report is written");
    let document = serde_json::from_str(&read(dir.path(), "report.json")).expect("report.json is JSON");
    let page = read(dir.path(), "index.html");
    (dir, document, page)
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Every `<data data-key="…" value="…">…</data>` of the page.
fn figures(page: &str) -> Vec<(String, String, String)> {
    let quoted = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("{name}=\"")).expect("the attribute is there");
        rest.split('"').next().expect("it is closed").to_string()
    };
    page.split("<data ")
        .skip(1)
        .map(|element| {
            let (head, rest) = element.split_once('>').expect("the tag is closed");
            let shown = rest.split('<').next().expect("the element is closed").to_string();
            (quoted(head, "data-key"), quoted(head, "value"), shown)
        })
        .collect()
}

/// Paths of all keys, with `[]` for the elements of an array.
fn key_paths(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                out.insert(path.clone());
                key_paths(field, &path, out);
            }
        }
        Value::Array(elements) => {
            elements.iter().for_each(|element| key_paths(element, &format!("{at}[]"), out))
        }
        _ => {}
    }
}

#[test]
fn figures_on_the_page_equal_report_json() {
    let (_dir, document, page) = written(&SAMPLE);
    let figures = figures(&page);
    for (key, value, shown) in &figures {
        let expected = document.pointer(&format!("/{}", key.replace('.', "/")));
        let expected = expected.unwrap_or_else(|| panic!("{key} is not in report.json"));
        assert_eq!(&expected.to_string(), value, "{key}");
        assert!(!shown.is_empty(), "{key} shows nothing");
    }
    let keys: BTreeSet<&str> = figures.iter().map(|(key, ..)| key.as_str()).collect();
    for operation in ["produce.response_us", "produce.service_us", "end_to_end_us"] {
        for figure in ["p50", "p90", "p99", "p999", "p9999", "max", "mean", "count"] {
            let key = format!("{operation}.{figure}");
            assert!(keys.contains(key.as_str()), "{key} is not on the page");
        }
    }
    for key in [
        "floors.rows.0.value",
        "share_of_floor.0.share",
        "broker.stages.time_us.0.p99",
        "broker.stages.flush_bytes.p50",
        "broker.stages.cores.0.busy_share",
    ] {
        assert!(keys.contains(key), "{key} is not on the page");
    }
    for key in ["throughput.mb_per_s", "throughput.records_per_s", "throughput_read.mib_per_s", "check.lost"]
    {
        assert!(keys.contains(key), "{key} is not on the page");
    }
}

#[test]
fn report_json_round_trips() {
    let document = Document::from(&*SAMPLE);
    let text = serde_json::to_string(&document).expect("it serialises");
    let back: Document = serde_json::from_str(&text).expect("it is read back");
    assert_eq!(serde_json::to_string(&back).expect("it serialises"), text);
    assert_eq!(back.verdict, Verdict::Valid);
    assert_eq!(back.check, document.check);
}

#[test]
fn the_schema_has_exactly_these_keys() {
    let (_dir, document, _) = written(&SAMPLE);
    let mut keys = BTreeSet::new();
    key_paths(&document, "", &mut keys);
    let found: Vec<&str> = keys.iter().map(String::as_str).collect();
    let golden: Vec<&str> = include_str!("data/report_keys.txt").lines().collect();
    assert_eq!(
        found, golden,
        "a change of keys is a change of schema: raise its version, describe it, then the golden file"
    );
}

#[test]
fn every_key_is_described() {
    let schema = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf/report-schema.md"))
        .expect("perf/report-schema.md");
    for path in include_str!("data/report_keys.txt").lines() {
        let name = path.rsplit('.').next().expect("a name");
        assert!(schema.contains(&format!("`{name}`")), "{path} is not described");
    }
}

#[test]
fn throughput_is_bytes_over_wall_clock() {
    let (_dir, document, _) = written(&SAMPLE);
    let number = |key: &str| document["throughput"][key].as_f64().expect("a number");
    assert!((number("mb_per_s") - number("bytes") / number("wall_s") / 1e6).abs() < 1e-9);
    assert!((number("mib_per_s") - number("bytes") / number("wall_s") / 1_048_576.0).abs() < 1e-9);
    assert!((number("records_per_s") - number("records") / number("wall_s")).abs() < 1e-6);
}

#[test]
fn the_interval_log_holds_every_sample() {
    let report = SAMPLE.clone();
    let (dir, ..) = written(&report);
    let log = read(dir.path(), "latency.hlog");
    assert!(log.contains("#[Histogram log format version 1.3]\n"));
    let mut sums = LatencySet::default();
    let mut starts = 0;
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        match entry.expect("every line is read") {
            LogEntry::Interval(interval) => {
                let packed = base64::engine::general_purpose::STANDARD.decode(interval.encoded_histogram());
                let histogram: Histogram<u64> = Deserializer::new()
                    .deserialize(&mut Cursor::new(packed.expect("base64")))
                    .expect("a V2 histogram");
                assert!(
                    (interval.max() - histogram.max() as f64 / 1e6).abs() < 0.001,
                    "max is in milliseconds"
                );
                let set = match &*interval.tag().expect("a tag") {
                    "produce.response" => {
                        LatencySet { produce_response: Some(histogram), ..LatencySet::default() }
                    }
                    "produce.service" => {
                        LatencySet { produce_service: Some(histogram), ..LatencySet::default() }
                    }
                    "end_to_end" => LatencySet { end_to_end: Some(histogram), ..LatencySet::default() },
                    "fetch" => LatencySet { fetch: Some(histogram), ..LatencySet::default() },
                    other => panic!("tag {other}"),
                };
                sums.add(&set);
            }
            LogEntry::StartTime(time) | LogEntry::BaseTime(time) => {
                assert_eq!(time, Duration::from_millis(report.started_unix_ms));
                starts += 1;
            }
        }
    }
    assert_eq!(starts, 2);
    assert_eq!(sums.produce_response, report.latency.produce_response);
    assert_eq!(sums.produce_service, report.latency.produce_service);
    assert_eq!(sums.end_to_end, report.latency.end_to_end);
    assert_eq!(sums.fetch, report.latency.fetch);
}

#[test]
fn percentile_text_ends_at_the_largest_sample() {
    let report = SAMPLE.clone();
    let (dir, ..) = written(&report);
    let histogram = report.latency.produce_response.as_ref().expect("samples");
    let text = read(dir.path(), "produce.response.hgrm");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip(2)
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let last = rows.last().expect("rows");
    assert_eq!(last[1..], ["1.000000000000", histogram.len().to_string().as_str()]);
    assert!(rows[..rows.len() - 1].iter().all(|row| row.len() == 4));
    assert!(text.contains(&format!("Total count    = {:12}]", histogram.len())));
}

#[test]
fn the_page_needs_no_network_and_no_scripts() {
    let (_dir, _, page) = written(&SAMPLE);
    for forbidden in
        ["http:", "https:", "<script", "<iframe", "<object", "src=", "@import", "url(", "javascript:"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert_eq!(page.matches("<link").count(), page.matches("href=\"data:,\"").count());
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
}

#[test]
fn a_long_run_with_many_settings_stays_below_two_megabytes() {
    let mut report = SAMPLE.clone();
    let cuts = report.intervals.clone();
    let at = |i: u64| Interval { start: Duration::from_secs(i), ..cuts[(i * 7 % 30) as usize].clone() };
    report.intervals = (0..1_000).map(at).collect();
    report.settings = (0..5_000)
        .map(|i| Setting {
            name: format!("name.{i}.").repeat(80),
            value: "<&>".repeat(900),
            origin: Origin::Set,
        })
        .collect();
    report.command_line = "--flag '<&>' ".repeat(9_000);
    report.validity.reasons = vec!["\"late\"".repeat(1_000); 500];
    let (_dir, document, page) = written(&report);
    assert!(page.len() <= page::PAGE_BYTES_MAX, "{} bytes", page.len());
    assert_eq!(document["intervals"].as_array().map(Vec::len), Some(1_000), "report.json keeps all");
}

#[test]
fn strings_from_outside_are_escaped() {
    const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&";
    let mut report = SAMPLE.clone();
    for text in [
        &mut report.run_id,
        &mut report.tool_version,
        &mut report.workload,
        &mut report.command_line,
        &mut report.load.compression,
        &mut report.broker.name,
        &mut report.broker.address,
        &mut report.machine.hardware_id,
        &mut report.machine.cpu_model,
        &mut report.machine.kernel,
        &mut report.machine.os,
        &mut report.machine.filesystem,
        &mut report.machine.mount_point,
        &mut report.machine.mount_options,
        &mut report.machine.device,
        &mut report.machine.clocksource,
        &mut report.machine.governor,
    ] {
        *text = HOSTILE.to_string();
    }
    report.settings.push(Setting { name: HOSTILE.into(), value: HOSTILE.into(), origin: Origin::Flag });
    report.validity.reasons.push(HOSTILE.to_string());
    let (_dir, document, page) = written(&report);
    assert!(!page.contains("<img") && !page.contains("onerror=alert(1)>\""));
    assert!(page.matches("&lt;img").count() >= 18, "each of them is on the page");
    assert_eq!(document["workload"], HOSTILE, "JSON keeps the text as it was");
}

#[test]
fn the_verdict_is_on_the_page_with_its_reasons() {
    let mut report = SAMPLE.clone();
    assert!(written(&report).2.contains(">VALID<"));
    report.validity.reasons.push("12.0 % of sends were late".to_string());
    report.partial = true;
    let (_dir, document, page) = written(&report);
    assert_eq!((report.verdict().exit_code(), &document["verdict"]), (6, &Value::from("invalid")));
    assert!(
        page.contains(">INVALID<")
            && page.contains("12.0 % of sends were late")
            && page.contains(">PARTIAL<")
    );
    report.check.lost = 3;
    let (_dir, document, page) = written(&report);
    assert_eq!((report.verdict().exit_code(), &document["verdict"]), (5, &Value::from("data_check_failed")));
    assert!(page.contains("DATA CHECK FAILED") && page.contains("value=\"3\">3</data> were lost"));
}

#[test]
fn percentiles_without_samples_are_refused_everywhere() {
    let mut report = SAMPLE.clone();
    let mut few = latency_histogram();
    few.record_n(500_000, 150).expect("in range");
    report.latency = LatencySet { produce_response: Some(few), ..LatencySet::default() };
    let (_dir, document, page) = written(&report);
    let response = &document["produce"]["response_us"];
    assert!(response["p50"].is_number() && response["p90"].is_number());
    assert!(response["p99"].is_null() && response["p9999"].is_null());
    assert!(document["end_to_end_us"].is_null());
    assert!(figures(&page).iter().all(|(key, ..)| key != "produce.response_us.p99"));
    assert!(page.contains("too few samples") && page.contains("not measured"));
    let text = summary::summary(&report);
    let row = text.lines().find(|line| line.starts_with(" response")).expect("the row");
    let cells: Vec<&str> = row.split_whitespace().take(7).collect();
    assert_eq!(cells, ["response", "0.500", "0.500", "-", "-", "-", "0.500"]);
    assert!(!text.contains("99th"), "the line for comparison refuses too");
}

#[test]
fn fetch_latency_is_shown_only_by_a_run_that_only_read() {
    let mut report = SAMPLE.clone();
    assert!(!written(&report).2.contains("fetch_us."));
    let only_fetch = |set: &LatencySet| LatencySet { fetch: set.fetch.clone(), ..LatencySet::default() };
    report.latency = only_fetch(&report.latency);
    report.intervals.iter_mut().for_each(|interval| interval.latency = only_fetch(&interval.latency));
    let (_dir, _, page) = written(&report);
    assert!(page.contains("data-key=\"fetch_us.p99\"") && page.contains("class=\"heat "));
    assert!(summary::summary(&report).contains("\n fetch "));
}

#[test]
fn what_was_not_measured_has_no_section() {
    let mut report = SAMPLE.clone();
    let sections = ["Share of the machine's limits", "Stages in the broker", "CPU per core", "Warm-up"];
    let page = written(&report).2;
    assert!(sections.iter().all(|section| page.contains(&format!("<h2>{section}</h2>"))));
    (report.floors, report.warm_up_windows, report.broker.stages) = (None, None, None);
    report.share_of_floor.clear();
    let page = written(&report).2;
    assert!(sections.iter().all(|section| !page.contains(&format!("<h2>{section}</h2>"))));
}

#[test]
fn a_run_at_the_generators_own_limit_says_so() {
    let mut report = SAMPLE.clone();
    assert!(!written(&report).2.contains("Generator-bound"));
    (report.validity.generator_bound, report.validity.generator_ceiling_share) = (true, Some(0.61));
    assert!(written(&report).2.contains("<strong>Generator-bound</strong>: <data"));
}

#[test]
fn a_run_that_measured_nothing_still_leaves_a_report() {
    let mut report = SAMPLE.clone();
    report.broker = BrokerFacts::foreign("broker:9092");
    report.latency = LatencySet::default();
    report.intervals.clear();
    report.settings.clear();
    report.consumed = None;
    report.produced = Default::default();
    report.check = DataCheck::default();
    report.partial = true;
    let (dir, document, page) = written(&report);
    assert_eq!(document["check"]["verdict"], "not_checked");
    assert!(page.contains("No latency was recorded") && page.contains("nothing is known about the data"));
    assert!(!dir.path().join("end_to_end.hgrm").exists());
    assert!(summary::summary(&report).contains("not read back"));
}

#[test]
fn figures_on_the_page_of_a_curve_equal_curve_json() {
    let curve = sample::curve(&SAMPLE);
    let dir = tempfile::tempdir().expect("temporary directory");
    report::curve::write(dir.path(), &curve).expect("written");
    assert_eq!(report::curve::read(dir.path()).expect("read back"), curve);
    let document: Value = serde_json::from_str(&read(dir.path(), "curve.json")).expect("JSON");
    let page = read(dir.path(), "index.html");
    let figures = figures(&page);
    for (key, value, _) in &figures {
        let expected = document.pointer(&format!("/{}", key.replace('.', "/")));
        assert_eq!(&expected.unwrap_or_else(|| panic!("{key}")).to_string(), value, "{key}");
    }
    let shown = |key: &str| figures.iter().any(|(found, ..)| found == key);
    assert!(shown("found.records_per_s") && shown("max_records_per_s"));
    assert!((0..curve.points.len()).all(|point| shown(&format!("points.{point}.response_us.p999"))));
    assert_eq!(page.matches("did not hold</span>").count(), 2);
    assert!(page.contains("p99.9 ≤ 20ms") && page.contains("class=\"hollow s1\""));
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("<script"));
}
