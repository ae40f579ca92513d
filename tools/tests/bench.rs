//! `ringlog bench` with a broker of its own: the main job, from start to cleaned-up end.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A bench keeps two cores busy: several at once would only measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// A directory on a disk, and the machine while it lives.
struct Place {
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Runs a short bench with its data and its report below `dir`.
fn bench(dir: &Path, args: &[&str]) -> (Output, serde_json::Value) {
    let short = ["--warmup", "200ms", "--duration", "1s", "--disk-budget", "100MiB"];
    bench_with(dir, &[&short[..], args].concat())
}

/// Runs a bench of this length with its data and its report below `dir`.
fn bench_with(dir: &Path, args: &[&str]) -> (Output, serde_json::Value) {
    let (data, out) = (dir.join("data"), dir.join("run"));
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["bench", "--json"])
        .args(args)
        .arg("--data")
        .arg(&data)
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    // A machine that is busy with other tests may be late: an invalid run is as good here.
    assert!(matches!(output.status.code(), Some(0 | 6)), "{:?} {said}", output.status);
    assert_eq!(std::fs::read_dir(&data).expect("perf/data").count(), 0, "the data is gone");
    let report = serde_json::from_slice(&output.stdout).expect("report.json");
    (output, report)
}

#[track_caller]
fn is_clean(report: &serde_json::Value) {
    let check = &report["check"];
    assert_eq!(check["sent"], check["read"], "{check}");
    for fault in ["lost", "duplicate", "reordered", "corrupt"] {
        assert_eq!(check[fault], 0, "{check}");
    }
}

fn directory() -> Place {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    Place { dir, _alone: alone }
}

#[test]
fn an_open_loop_on_a_broker_of_our_own_is_checked_and_reported() {
    let dir = directory();
    let (_, report) = bench(dir.path(), &["--rate", "2000"]);
    is_clean(&report);
    assert_eq!(report["durability"]["mode"], "flushed");
    let stages = &report["broker"]["stages"];
    let times = stages["time_us"].as_array().expect("stage times");
    let order: Vec<&str> =
        times.iter().filter(|t| t["api"] == "produce").filter_map(|t| t["stage"].as_str()).collect();
    assert_eq!(order, ["parse", "append", "commit", "journal", "flush", "acknowledge", "total"]);
    assert!(times.iter().all(|t| t["count"].as_u64() > Some(0)), "{stages}");
    assert!(stages["flush_bytes"]["min"].as_f64() >= Some(4000.0), "{stages}");
    assert!(stages["cores"][0]["busy_share"].as_f64() > Some(0.0), "{stages}");
    // Where the directory lies on a disk that counts, the broker wrote more to it than was acknowledged.
    let disk = &report["disk"];
    assert!(disk.is_null() || disk["intervals"].as_array().is_some_and(|i| !i.is_empty()), "{disk}");
    if let Some(times) = disk["write_amplification"].as_f64() {
        assert!(times >= 1.0, "{disk}");
    }
    let taken = &report["validity"];
    assert!(taken["steal_share"].is_f64() && taken["others_share"].as_f64() < Some(1.0), "{taken}");
    assert!(report["broker"]["pid"].is_u64() && report["broker"]["rss_bytes_max"].is_u64());
    for file in ["report.json", "index.html", "broker.log"] {
        assert!(dir.path().join("run").join(file).is_file(), "{file}");
    }
}

#[test]
fn a_closed_loop_is_read_back_and_a_relaxed_topic_says_so() {
    let dir = directory();
    let args =
        ["--mode", "produce", "--depth", "4", "--producers", "2", "--relaxed", "1000", "--idempotence"];
    let (_, report) = bench(dir.path(), &args);
    is_clean(&report);
    assert_eq!(report["durability"]["mode"], "relaxed");
    assert!(report["check"]["sent"].as_u64().is_some_and(|n| n > 100));
}

#[test]
fn what_is_in_memory_is_read_again_and_again() {
    let dir = directory();
    let (_, report) = bench(dir.path(), &["--mode", "fetch-hot", "--preload", "2MiB", "--depth", "2"]);
    let check = &report["check"];
    assert!(check["read"].as_u64() > check["sent"].as_u64(), "{check}");
    assert_eq!((&check["lost"], &check["corrupt"]), (&0.into(), &0.into()), "{check}");
}

#[test]
fn a_setting_that_the_broker_refuses_is_said_in_its_words() {
    let dir = directory();
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["bench", "--set", "num.partitons=4", "--rate", "10", "--duration", "1s", "--data"])
        .arg(dir.path())
        .arg("--out")
        .arg(dir.path().join("run"))
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("num.partitons"), "{said}");
}

#[test]
fn a_broker_that_dies_ends_the_bench_with_4_and_a_partial_report() {
    let dir = directory();
    let (data, out) = (dir.path().join("data"), dir.path().join("run"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args([
            "bench",
            "--warmup",
            "0s",
            "--duration",
            "1h",
            "--rate",
            "500",
            "--disk-budget",
            "100MiB",
            "--data",
        ])
        .arg(&data)
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let of_child = format!("/proc/{0}/task/{0}/children", child.id());
    let ready =
        || std::fs::read_to_string(out.join("broker.log")).is_ok_and(|log| log.contains("ready BROKERS="));
    while !ready() {
        assert_eq!(child.try_wait().expect("its state"), None, "it ended before there was a broker");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // Long enough for the load to begin; if it has not, the bench fails to connect, which is 4 too.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let broker: i32 = std::fs::read_to_string(of_child).expect("a child").trim().parse().expect("one child");
    let broker = rustix::process::Pid::from_raw(broker).expect("a process");
    rustix::process::kill_process(broker, rustix::process::Signal::KILL).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert_eq!(std::fs::read_dir(&data).expect("perf/data").count(), 0, "the data is gone");
    if out.join("report.json").is_file() {
        let report = std::fs::read(out.join("report.json")).expect("a report");
        let report: serde_json::Value = serde_json::from_slice(&report).expect("json");
        assert_eq!(report["partial"], true);
    }
}

#[test]
fn ten_equal_runs_leave_a_noise_floor_and_nothing_else() {
    let dir = directory();
    let noise = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_ringlog"))
            .args([
                "bench",
                "noise",
                "--warmup",
                "0s",
                "--duration",
                "300ms",
                "--rate",
                "3000",
                "--quiet-max",
                "0s",
            ])
            .args(args)
            .arg("--data")
            .arg(dir.path().join("data"))
            .arg("--out")
            .arg(dir.path().join("runs"))
            .arg("--store")
            .arg(dir.path().join("noise"))
            .output()
            .expect("the binary runs")
    };
    assert_eq!(noise(&["--runs", "9"]).status.code(), Some(2), "an interval needs ten");
    assert_eq!(noise(&["--floors"]).status.code(), Some(2));
    let output = noise(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    // Where other tests make runs invalid, too few are left, and that is said.
    assert!(matches!(output.status.code(), Some(0 | 6)), "{said}");
    assert_eq!(std::fs::read_dir(dir.path().join("data")).expect("perf/data").count(), 0, "the data is gone");
    assert!(dir.path().join("runs/10/report.json").is_file(), "{said}");
    if output.status.success() {
        let kept = std::fs::read_dir(dir.path().join("noise")).expect("the store").next();
        let path = kept.expect("a machine").expect("an entry").path();
        let kept = std::fs::read_to_string(path).expect("a file");
        let kept: serde_json::Value = serde_json::from_str(&kept).expect("json");
        assert_eq!((&kept["entries"][0]["runs"], &kept["entries"][0]["pairs"]), (&10.into(), &5.into()));
        assert!(kept["entries"][0]["floors"]["throughput"].is_f64(), "{kept}");
    }
}

#[test]
fn a_broken_limit_ends_with_99_and_stands_in_the_report() {
    let dir = directory();
    let workload = dir.path().join("limits.toml");
    let text = "rate = 500\nrate-plan-is-not-here = 1\n";
    std::fs::write(&workload, text).expect("a workload");
    let bench = |workload: &Path| {
        Command::new(env!("CARGO_BIN_EXE_ringlog"))
            .args(["bench", "--warmup", "200ms", "--duration", "500ms", "--json", "--workload"])
            .arg(workload)
            .arg("--data")
            .arg(dir.path().join("data"))
            .arg("--out")
            .arg(dir.path().join("run"))
            .output()
            .expect("the binary runs")
    };
    let output = bench(&workload);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean rate-plan?"));
    std::fs::write(
        &workload,
        "mode = 'produce'\ndepth = 1\n[slo]\n'produce.response_us.max' = '< 1us'\n'check.lost' = '<= 0'\n",
    )
    .expect("a workload");
    let output = bench(&workload);
    assert_eq!(output.status.code(), Some(99), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("report.json");
    let held: Vec<&serde_json::Value> =
        report["slo"].as_array().expect("a list").iter().map(|slo| &slo["held"]).collect();
    assert_eq!(held, [&serde_json::Value::Bool(true), &serde_json::Value::Bool(false)], "{}", report["slo"]);
}

#[test]
fn retention_that_crosses_the_run_loses_nothing_and_says_what_expired() {
    let dir = directory();
    let args = [
        "--mode",
        "produce",
        "--mb-rate",
        "40",
        "--partitions",
        "2",
        "--producers",
        "2",
        "--warmup",
        "1s",
        "--duration",
        "3s",
        "--batch-records",
        "15",
        "--topic-config",
        "segment.bytes=4194304",
        "--topic-config",
        "retention.bytes=8388608",
        "--topic-config",
        "file.delete.delay.ms=500",
        "--set",
        "log.retention.check.interval.ms=200",
        "--bytes",
        "160MB",
    ];
    let (_, report) = bench_with(dir.path(), &args);
    let check = &report["check"];
    assert!(check["expired"].as_u64().is_some_and(|n| n > 1_000), "{check}");
    for fault in ["lost", "duplicate", "reordered", "corrupt"] {
        assert_eq!(check[fault], 0, "{check}");
    }
    let (sent, read) = (check["sent"].as_u64(), check["read"].as_u64());
    assert_eq!(sent, read.zip(check["expired"].as_u64()).map(|(read, expired)| read + expired), "{check}");
}

#[test]
fn a_search_and_a_curve_leave_one_document_and_a_folder_for_each_rate() {
    let dir = directory();
    let run = |question: &[&str]| {
        let out = dir.path().join(question[0]);
        let output = Command::new(env!("CARGO_BIN_EXE_ringlog"))
            .arg("bench")
            .args(question)
            .args(["--null", "--warmup", "100ms", "--duration", "300ms", "--record-size", "100", "--out"])
            .arg(&out)
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let curve = std::fs::read(out.join("curve.json")).unwrap_or_else(|e| panic!("{e}: {said}"));
        let curve: serde_json::Value = serde_json::from_slice(&curve).expect("json");
        let points = curve["points"].as_array().expect("a list").clone();
        for point in &points {
            assert!(
                out.join(point["run"].as_str().expect("a name")).join("report.json").is_file(),
                "{point}"
            );
        }
        (output, curve, points)
    };
    // A machine that is busy with other tests may keep no limit at all: 99.
    let (output, curve, points) = run(&["search", "--limit", "p50=1s", "--tolerance", "30%", "--steps", "3"]);
    assert!(matches!(output.status.code(), Some(0 | 99)), "{:?}", output.status);
    assert!((1..=3).contains(&points.len()) && curve["kind"] == "search");
    assert!(curve["max_records_per_s"].as_f64().is_some_and(|n| n > 1_000.0), "{curve}");
    assert!(curve["found"]["sentence"].as_str().is_some_and(|text| !text.is_empty()), "{curve}");
    let (output, curve, points) = run(&["curve", "--rates", "1000,2000"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((points.len(), &points[1]["records_per_s"]), (2, &2000.0.into()));
    assert_eq!(curve["found"], serde_json::Value::Null);
}

#[test]
fn files_of_the_openmessaging_benchmark_run_as_they_are() {
    let dir = directory();
    let omb = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/omb");
    let (workload, driver) =
        (omb.join("workloads/backlog.yaml"), omb.join("driver-kafka/kafka-latency.yaml"));
    let (workload, driver) = (workload.to_str().expect("utf-8"), driver.to_str().expect("utf-8"));
    // A hundred gigabytes and five minutes are for people.
    let args = ["--workload", workload, "--driver", driver, "--preload", "4MiB", "--rate", "1000"];
    let (output, report) = bench(dir.path(), &args);
    let check = &report["check"];
    assert_eq!((check["lost"].as_u64(), check["corrupt"].as_u64()), (Some(0), Some(0)), "{check}");
    assert_eq!(check["read"].as_u64(), check["sent"].as_u64().map(|sent| 2 * sent), "two groups: {check}");
    assert!(check["sent"].as_u64() > Some(4_000), "the backlog: {check}");
    assert_eq!(report["load"]["compression"], "lz4");
    assert!(String::from_utf8_lossy(&output.stderr).contains("replicationFactor 3"));
}
