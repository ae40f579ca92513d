//! `ringlog topic alter` and `describe`.

use crate::World;

#[test]
fn settings_of_a_topic_are_altered_and_described() {
    let world = World::start();
    world.ok(&["topic", "create", "orders", "-p", "2", "-c", "retention.ms=1000"]);
    let out = world.ok(&["topic", "alter", "orders", "-c", "retention.ms=60000", "-c", "segment.ms=3600000"]);
    assert_eq!(out, "altered orders\n");
    let described = world.json(&["topic", "describe", "orders"]);
    let configs = &described["topics"][0]["configs"];
    assert_eq!(
        (&configs["retention.ms"]["value"], &configs["retention.ms"]["default"]),
        (&"60000".into(), &false.into())
    );
    world.ok(&["topic", "alter", "orders", "--delete-config", "retention.ms"]);
    let table = world.ok(&["topic", "describe", "orders"]);
    assert!(!table.contains("retention.ms") && table.contains("segment.ms"), "{table}");
    world.refused(&["topic", "alter", "orders"], 2, "--partitions");
    world.refused(&["topic", "alter", "none", "-c", "retention.ms=1"], 1, "UNKNOWN_TOPIC_OR_PARTITION");
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let world = World::start();
    world.ok(&["topic", "create", "orders", "-p", "2"]);
    let count =
        || world.json(&["topic", "describe", "orders"])["topics"][0]["partitions"].as_array().map(Vec::len);
    world.ok(&["topic", "alter", "orders", "--partitions", "5", "--dry-run"]);
    assert_eq!(count(), Some(2));
    world.ok(&["topic", "alter", "orders", "--partitions", "5"]);
    assert_eq!(count(), Some(5));
    world.refused(&["topic", "alter", "orders", "--partitions", "4"], 1, "INVALID_PARTITIONS");
    assert_eq!(world.json(&["topic", "list"])["topics"][0]["partitions"], 5);
}

#[test]
fn records_are_deleted_below_an_offset_a_time_or_the_end() {
    let world = World::start();
    world.topic("orders", &[5, 3]);
    let starts = || {
        let described = world.json(&["topic", "describe", "orders"]);
        let rows = described["topics"][0]["partitions"].as_array().expect("rows").clone();
        rows.iter().map(|r| r["start_offset"].as_i64().expect("a number")).collect::<Vec<_>>()
    };
    let alter =
        |args: &[&str]| world.ok(&[&["topic", "alter", "orders", "--delete-records-before"], args].concat());
    world.refused(&["topic", "alter", "orders", "--delete-records-before", "0:2"], 2, "--yes");
    world.refused(
        &["topic", "alter", "orders", "--yes", "--delete-records-before", "2"],
        2,
        "PARTITION:OFFSET",
    );
    world.refused(
        &["topic", "alter", "orders", "--yes", "--delete-records-before", "1:4"],
        1,
        "OFFSET_OUT_OF_RANGE",
    );
    let shown = alter(&["0:2", "--dry-run"]);
    assert!(shown.contains("would alter orders"), "{shown}");
    assert_eq!(starts(), [0, 0]);
    alter(&["0:2", "--yes"]);
    assert_eq!(starts(), [2, 0]);
    // Records are at 1 s, 2 s … since the epoch.
    alter(&["@1970-01-01T00:00:02", "--yes"]);
    assert_eq!(starts(), [2, 1]);
    alter(&["end", "--yes"]);
    assert_eq!(starts(), [5, 3]);
    assert_eq!(world.ok(&["consume", "-t", "orders", "-e"]), "");
}

#[test]
fn of_two_starts_for_one_partition_the_later_holds() {
    let world = World::start();
    world.topic("orders", &[5]);
    let twice =
        ["topic", "alter", "orders", "--delete-records-before", "3", "--delete-records-before", "1", "--yes"];
    let altered = world.json(&twice);
    let deleted = altered["records_deleted"].as_array().expect("a list");
    assert_eq!(deleted.len(), 1, "{altered}");
    assert_eq!((&deleted[0]["old_start_offset"], &deleted[0]["new_start_offset"]), (&0.into(), &3.into()));
}
