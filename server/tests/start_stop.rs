//! How a broker starts, refuses to start, and stops.

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use harness::{Broker, batch};
use server::{Config, Sources, StartError};
use wire::ErrorCode;

fn start(set: &[String]) -> Result<server::Running, StartError> {
    server::start(Config::load(&Sources { set: set.to_vec(), ..Sources::default() }).unwrap())
}

fn settings(data: &std::path::Path, listen: &str) -> Vec<String> {
    vec![
        format!("log.dirs={}", data.display()),
        format!("listeners=PLAINTEXT://{listen}"),
        "server.cores=0".to_owned(),
        "memory.pool_bytes=8388608".to_owned(),
    ]
}

#[test]
fn a_directory_in_use_is_refused_with_the_fix() {
    let broker = Broker::start(&[]);
    let error = start(&settings(broker.data(), "127.0.0.1:0")).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("in use by process"), "{error}");
}

#[test]
fn a_port_in_use_is_refused_by_a_stranger_and_by_a_broker() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = Broker::start(&[]);
    for addr in [stranger.local_addr().unwrap(), broker.addr()] {
        let error = start(&settings(dir.path(), &addr.to_string())).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("another port"), "{error}");
    }
}

#[test]
fn a_cpu_that_does_not_exist_is_refused() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut set = settings(dir.path(), "127.0.0.1:0");
    set.push("server.cores=1000".to_owned());
    assert_eq!(start(&set).unwrap_err().exit_code(), 3);
}

#[test]
fn another_nodes_directory_is_refused() {
    let mut broker = Broker::start(&[]);
    broker.stop();
    let mut set = settings(broker.data(), "127.0.0.1:0");
    set.push("node.id=2".to_owned());
    let error = start(&set).unwrap_err();
    assert!(error.to_string().contains("node.id=1"), "{error}");
}

#[test]
fn another_number_of_cores_finds_the_same_data() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (round, cores) in ["0,1", "0", "1,0"].into_iter().enumerate() {
        let mut set = settings(dir.path(), "127.0.0.1:0");
        set.push(format!("server.cores={cores}"));
        let running = start(&set).unwrap();
        let mut client = harness::Client::connect(running.bound()[0]);
        client.create_topic("t", 4, &[]);
        for partition in 0..4 {
            let sent = client.produce("t", partition, -1, &batch(&[b"x"]));
            assert_eq!(sent, (ErrorCode::None, round as i64), "partition {partition} on cores {cores}");
        }
        drop(client);
        running.stop().unwrap();
    }
}

#[test]
fn a_stop_answers_what_is_in_flight() {
    let mut broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    // A long poll without data ends with the broker, not with its own time.
    client.send_fetch("t", 0, 0, harness::Want { max_wait_ms: 60_000, ..Default::default() });
    // It is being worked on once a request of another connection, sent later, was answered.
    assert_eq!(broker.client().metadata_of("t").0, ErrorCode::None);
    broker.stop();
    let body = client.receive(wire::ApiKey::Fetch, 12, client.correlation());
    assert_eq!(harness::fetched(&body), (ErrorCode::None, 0, Vec::new()));
    assert!(client.is_closed());
}

/// The metrics page, once it holds `sample`.
fn page_with(admin: SocketAddr, sample: &str) -> String {
    let mut page = String::new();
    for _ in 0..100 {
        let mut http = TcpStream::connect(admin).unwrap();
        http.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        page.clear();
        http.read_to_string(&mut page).unwrap();
        assert!(page.starts_with("HTTP/1.1 200 OK"));
        if page.contains(sample) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    page
}

#[test]
fn the_stages_of_a_produce_are_each_counted_once_and_add_up() {
    const REQUESTS: usize = 20;
    let free = TcpListener::bind("127.0.0.3:0").unwrap().local_addr().unwrap();
    let broker = Broker::start(&[&format!("admin.listen={free}")]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for _ in 0..REQUESTS {
        assert_eq!(client.produce("t", 0, -1, &batch(&[b"x"])).0, ErrorCode::None);
    }
    client.fetch("t", 0, 0, harness::Want::default());
    let series = |api: &str, stage: &str, end: &str| {
        format!("ringlog_request_seconds_{end}{{core=\"0\",api=\"{api}\",stage=\"{stage}\"}} ")
    };
    let page = page_with(free, &format!("{}1\n", series("fetch", "total", "count")));
    let value = |series: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
    };
    let stages = ["parse", "append", "commit", "journal", "flush", "acknowledge"];
    for stage in stages.iter().chain(&["total"]) {
        assert_eq!(value(&series("produce", stage, "count")), REQUESTS as f64, "{stage}");
    }
    let parts: f64 = stages.iter().map(|stage| value(&series("produce", stage, "sum"))).sum();
    let total = value(&series("produce", "total", "sum"));
    // Each sample is known to 1 %.
    assert!((parts / total - 1.0).abs() < 0.02, "{parts} s in parts, {total} s in all");
    assert_eq!(value("ringlog_acks_per_flush_count{core=\"0\"} "), REQUESTS as f64);
    assert!(value("ringlog_flush_bytes_sum{core=\"0\"} ") >= (REQUESTS * 4096) as f64 * 0.98);
    for stage in ["parse", "read_hot", "send"] {
        assert_eq!(value(&series("fetch", stage, "count")), 1.0, "{stage}");
    }
    assert_eq!(value(&series("fetch", "read_cold", "count")), 0.0);
    assert!(value("ringlog_core_busy_seconds_total{core=\"0\"} ") > 0.0);
    let buckets = page.lines().filter_map(|line| {
        let rest = line
            .strip_prefix("ringlog_request_seconds_bucket{core=\"0\",api=\"produce\",stage=\"total\",le=")?;
        rest.rsplit(' ').next()?.parse::<u64>().ok()
    });
    let buckets: Vec<u64> = buckets.collect();
    assert!(buckets.is_sorted() && buckets.last() == Some(&(REQUESTS as u64)), "{buckets:?}");
}

#[test]
fn the_metrics_page_counts_what_happened() {
    // An address of its own: brokers of other tests take free ports of 127.0.0.1 all the time.
    let free = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let broker = Broker::start(&[&format!("admin.listen={free}")]);
    let mut client = broker.client();
    client.create_topic("relaxed", 1, &[("flush.messages", "1000")]);
    client.produce("relaxed", 0, -1, &batch(&[b"x"]));
    let page = page_with(free, "ringlog_produce_batches_total{core=\"0\"} 1\n");
    assert!(page.contains("ringlog_produce_batches_total{core=\"0\"} 1\n"), "{page}");
    assert!(page.contains("ringlog_topic_relaxed{topic=\"relaxed\"} 1\n"), "{page}");
}
