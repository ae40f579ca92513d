//! `ringlog clock`, and what a broker does whose wall clock jumped.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use wire::ErrorCode;

use crate::{PATIENCE, Said, World, harness, said};

const DAY_MS: u64 = 86_400_000;

/// The timestamp of ListOffsets that means the log's start.
const EARLIEST: i64 = -2;

fn clock(world: &World, args: &[&str]) -> Said {
    let admin = world.broker.admin().expect("admin.listen is set").to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringlog"));
    said(command.arg("clock").args(args).args(["--admin", &admin]).output().expect("the binary runs"))
}

/// What `ringlog clock` says, for programs.
#[track_caller]
fn judged(world: &World) -> Value {
    let said = clock(world, &["--format", "json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_str(&said.out).expect("one JSON object")
}

fn starts_at(world: &World, topic: &str) -> i64 {
    let found = world.broker.client().list_offset(topic, 0, EARLIEST);
    assert_eq!(found.error_code, ErrorCode::None);
    found.offset
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// The whole log of `topic` goes for its size: a round of retention was there.
fn await_round(world: &World, topic: &str) {
    let (code, offset) = world.broker.client().produce(topic, 0, -1, &harness::batch(&[b"x"]));
    assert_eq!(code, ErrorCode::None);
    until("a round of retention", || starts_at(world, topic) > offset);
}

#[test]
fn what_is_old_by_a_jump_stays_until_an_operator_accepts_the_clock() {
    let set = ["admin.listen=127.0.0.1:0", "log.retention.check.interval.ms=50"];
    let mut world = World::with("0", &set);
    assert_eq!(judged(&world)["held"], false);
    assert!(clock(&world, &[]).out.starts_with("The wall clock is believed: "));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    let mut client = world.broker.client();
    client.create_topic("events", 1, &[("retention.ms", "-1")]);
    client.create_topic("sized", 1, &[("retention.bytes", "0")]);
    let old = harness::batch_at((now - 5 * DAY_MS) as i64, &[b"old"]);
    assert_eq!(client.produce("events", 0, -1, &old), (ErrorCode::None, 0));
    drop(client);

    // As a machine leaves it whose clock jumped ten days ahead and that was restarted.
    world.broker.stop();
    let believed = now - 10 * DAY_MS;
    std::fs::write(world.broker.data().join("clock"), format!("version: 0\nbelieved: {believed}\nheld: 1\n"))
        .expect("written");
    world.broker.restart();
    world.address = world.broker.addr().to_string();
    until("the jump's alarm", || {
        let page = world.broker.metrics();
        page.contains("ringlog_clock_held{core=\"0\"} 1\n")
    });
    let told = judged(&world);
    assert_eq!(told["held"], true);
    assert!(told["believed_ms"].as_u64().expect("a time") < believed + DAY_MS, "{told}");
    assert!(clock(&world, &[]).out.starts_with("HELD: the wall clock jumped 10 d "));
    world.ok(&["config", "set", "topic/events", "retention.ms=3600000"]);
    await_round(&world, "sized");
    await_round(&world, "sized");
    assert_eq!(starts_at(&world, "events"), 0);

    let accepted = clock(&world, &["accept"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.err);
    until("the end of the hold", || judged(&world)["held"] == false);
    until("the deletion of what is old", || starts_at(&world, "events") == 1);
    // A restart asks nobody again.
    world.broker.restart();
    until("the first report", || clock(&world, &[]).code == Some(0));
    assert_eq!(judged(&world)["held"], false);
}

#[test]
fn an_endpoint_that_is_not_there_is_told_in_one_sentence() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringlog"));
    let said = said(command.args(["clock", "--admin", "127.0.0.1:1"]).output().expect("the binary runs"));
    assert_eq!(said.code, Some(4));
    assert!(said.err.contains("admin.listen") && said.err.lines().count() == 1, "{}", said.err);
}
