//! The command line from outside: names that are promised, exit codes, and records through a broker
//! in memory.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::{CommandFactory, Parser};
use tools::cli::Cli;
use tools::load::null::NullBroker;

fn ringlog(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[track_caller]
fn ends_with(args: &[&str], code: i32, says: &str) {
    let output = ringlog(args, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?} said {said}");
    assert!(said.contains(says), "{args:?} said {said}, not {says:?}");
}

#[test]
fn the_flags_of_bench_have_the_names_that_scripts_rely_on() {
    let command = Cli::command();
    let bench = command.find_subcommand("bench").expect("bench");
    let names: Vec<&str> = bench.get_arguments().filter_map(clap::Arg::get_long).collect();
    // A promise is not broken by a flag more.
    let promised = [
        "acks",
        "arrivals",
        "batch-records",
        "batch-size",
        "broker-cores",
        "brokers",
        "bytes",
        "catch-up",
        "catch-up-after",
        "compression",
        "consumers",
        "data",
        "depth",
        "duration",
        "fetch-max-bytes",
        "groups",
        "idempotence",
        "json",
        "keep-data",
        "key-spread",
        "keys",
        "linger",
        "load-core",
        "mb-rate",
        "mode",
        "no-read-back",
        "null",
        "out",
        "partitions",
        "payload-file",
        "preload",
        "producers",
        "random-share",
        "rate",
        "rate-of-max",
        "rate-plan",
        "record-size",
        "relaxed",
        "replication-factor",
        "seed",
        "set",
        "start-at",
        "topic",
        "topic-config",
        "warmup",
        "workload",
    ];
    let missing: Vec<&&str> = promised.iter().filter(|flag| !names.contains(*flag)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let line = "ringlog bench --out d --duration 30s --workload w.toml --json --bootstrap-server h:1 --rate 5 \
                --record-size 100 --batch-size 16KiB --partitions 2 --connections 3 --consumers 4 --depth 5 --acks 0 --disk-budget 1GiB";
    assert!(Cli::try_parse_from(line.split_whitespace()).is_ok());
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_workload_file_is_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("perf/workloads");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).expect("workloads") {
        let path = entry.expect("an entry").path();
        let knobs = tools::bench::workload::read(&path).expect("a workload");
        let text = std::fs::read_to_string(&path).expect("a workload");
        let question = text.lines().next().unwrap_or_default();
        assert!(question.starts_with("# ") && question.contains('?'), "{}: {question}", path.display());
        assert!(knobs.about.is_some(), "{} says what it is", path.display());
        let settled = tools::bench::settle::settle(&Default::default(), &knobs, "t".to_string());
        assert_eq!(settled.plan.check(), Ok(()), "{}", path.display());
        assert_eq!(Some(settled.name.as_str()), path.file_stem().and_then(|s| s.to_str()));
        count += 1;
    }
    assert!(count >= 30, "{count} workloads");
}

#[test]
fn wrong_usage_ends_with_2() {
    ends_with(&["bench", "--no-such-flag"], 2, "--no-such-flag");
    ends_with(&["bench", "--record-size", "10"], 2, "24 bytes");
    ends_with(&["bench", "--duration", "soon"], 2, "not a time");
    ends_with(&["bench", "--workload", "/nowhere.toml"], 2, "/nowhere.toml");
}

#[test]
fn a_disk_that_cannot_take_the_run_ends_with_3_before_anything_starts() {
    let out = tempfile::tempdir().expect("a directory");
    let out = out.path().to_str().expect("utf-8");
    ends_with(&["bench", "--data", "/dev/shm/ringlog-test", "--out", out], 3, "in memory");
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let data = dir.path().to_str().expect("utf-8");
    let args = ["bench", "--data", data, "--out", out, "--disk-budget", "900000GiB"];
    ends_with(&args, 3, "GiB free");
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("readable").count(),
        0,
        "its data directory is gone again"
    );
}

#[test]
fn a_broker_that_is_not_there_ends_with_4() {
    let out = tempfile::tempdir().expect("a directory");
    let out = out.path().to_str().expect("utf-8");
    ends_with(&["bench", "--brokers", "127.0.0.1:1", "--out", out], 4, "cannot connect to 127.0.0.1:1");
    ends_with(&["topic", "list", "-b", "127.0.0.1:1"], 4, "cannot connect to 127.0.0.1:1");
}

#[test]
fn a_bench_of_any_broker_checks_every_record_and_leaves_a_report() {
    let broker = NullBroker::start(true).expect("a broker in memory");
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("run");
    let out = out.to_str().expect("utf-8");
    let address = broker.address();
    let args =
        ["bench", "-b", &address, "--out", out, "--duration", "500ms", "--warmup", "100ms", "--rate", "2000"];
    let output = ringlog(&[&args[..], &["--json"]].concat(), "");
    // A machine that is busy with other tests may be late: an invalid run is as good here.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 6)), "{:?} {said}", output.status);
    let printed: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("report.json on standard output");
    let written = std::fs::read(Path::new(out).join("report.json")).expect("report.json in its folder");
    assert_eq!(printed, serde_json::from_slice::<serde_json::Value>(&written).expect("json"));
    let check = &printed["check"];
    assert_eq!(
        (&check["lost"], &check["duplicate"], &check["corrupt"]),
        (&0.into(), &0.into(), &0.into()),
        "{check}"
    );
    assert!(check["read"].as_u64().is_some_and(|n| n > 500) && check["read"] == check["sent"], "{check}");
}

#[test]
fn an_interrupted_bench_still_writes_its_report_marked_partial() {
    let broker = NullBroker::start(true).expect("a broker in memory");
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("run");
    let child = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args([
            "bench",
            "-b",
            &broker.address(),
            "--duration",
            "1h",
            "--warmup",
            "0s",
            "--rate",
            "1000",
            "--out",
        ])
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // Its topic exists once the load is about to start.
    while !broker.has_topics() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("PARTIAL"));
    let report = std::fs::read(out.join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("json");
    assert_eq!(report["partial"], true);
    assert_eq!(report["check"]["lost"], 0);
}

#[test]
fn lines_go_into_a_topic_and_come_out_again() {
    let broker = NullBroker::start(true).expect("a broker in memory");
    let address = broker.address();
    let sent = ringlog(
        &["produce", "-b", &address, "-t", "orders", "-k", ":", "-p", "1", "-H", "from=test", "-Z"],
        "a:one\nb:two\nthree\nc:\n",
    );
    assert!(sent.status.success(), "{sent:?}");
    let read = |args: &[&str]| {
        let output = ringlog(&[&["consume", "-b", &address, "-t", "orders", "-e"], args].concat(), "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(
        read(&["-f", "%p/%o %k=%v (%V) %h\\n"]),
        "1/0 a=one (3) from=test\n1/1 b=two (3) from=test\n1/2 =three (5) from=test\n1/3 c= (-1) from=test\n"
    );
    assert_eq!(read(&["-o", "-2", "-n", "1"]), "three\n");
    assert_eq!(read(&["-p", "0"]), "");
    let last = read(&["-o", "3", "-J"]);
    let last: serde_json::Value = serde_json::from_str(&last).expect("one object");
    assert_eq!(
        (&last["key"], &last["value"], &last["offset"]),
        (&"c".into(), &serde_json::Value::Null, &3.into())
    );
}

#[test]
fn topics_are_created_listed_described_and_deleted() {
    let broker = NullBroker::start(false).expect("a broker in memory");
    let address = broker.address();
    let topic = |args: &[&str]| {
        let output = ringlog(&[&["topic"], args, &["-b", &address]].concat(), "");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(topic(&["create", "orders", "-p", "3"]).0, Some(0));
    assert_eq!(topic(&["list"]).1, "NAME    PARTITIONS  REPLICAS\norders  3           0\n");
    let described = topic(&["describe", "orders", "--format", "json"]).1;
    let described: serde_json::Value = serde_json::from_str(&described).expect("json");
    assert_eq!(described["topics"][0]["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(topic(&["delete", "orders"]).0, Some(2), "nobody can be asked");
    assert_eq!(topic(&["delete", "orders", "--yes"]).0, Some(0));
    let (code, _, said) = topic(&["describe", "orders"]);
    assert!(code == Some(1) && said.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{code:?} {said}");
    let output = ringlog(&["consume", "-b", &address, "-t", "orders", "-e"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("describe topic orders: UNKNOWN_TOPIC_OR_PARTITION")
    );
}
