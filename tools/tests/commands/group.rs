//! `ringlog group list`, `describe`, `delete`.

use crate::{World, committed};

#[test]
fn a_group_is_listed_described_and_deleted() {
    let world = World::start();
    world.topic("orders", &[5]);
    assert_eq!(world.ok(&["consume", "-t", "orders", "-g", "pay", "-n", "3"]), "0-0\n0-1\n0-2\n");
    let list = world.json(&["group", "list"]);
    let pay = &list["groups"][0];
    assert_eq!(
        (&pay["group"], &pay["state"], &pay["type"]),
        (&"pay".into(), &"Empty".into(), &"classic".into())
    );
    let described = world.json(&["group", "describe", "pay"]);
    let group = &described["groups"][0];
    let row = &group["partitions"][0];
    assert_eq!((&row["topic"], &row["partition"]), (&"orders".into(), &0.into()));
    assert_eq!(
        (&row["committed_offset"], &row["end_offset"], &row["lag"]),
        (&3.into(), &5.into(), &2.into())
    );
    assert_eq!(group["lag"], 2);
    let table = world.ok(&["group", "describe", "pay"]);
    let heads = "TOPIC   PARTITION  COMMITTED  START  END  LAG";
    assert!(table.starts_with("pay  Empty · classic") && table.contains(heads), "{table}");
    world.refused(&["group", "delete", "pay"], 2, "--yes");
    assert_eq!(world.ok(&["group", "delete", "pay", "--yes"]), "deleted pay\n");
    world.refused(&["group", "describe", "pay"], 1, "GROUP_ID_NOT_FOUND");
    world.refused(&["group", "delete", "pay", "--yes"], 1, "GROUP_ID_NOT_FOUND");
}

#[test]
fn lag_in_seconds_is_the_age_of_the_first_record_not_read() {
    let world = World::start();
    world.topic("orders", &[3, 2]);
    world.ok(&["group", "reset-offsets", "pay", "-t", "orders:0", "--to-offset", "1", "--execute"]);
    world.ok(&["group", "reset-offsets", "pay", "-t", "orders:1", "--to-latest", "--execute"]);
    let before = server::runtime::clock::now().wall.0;
    let described = world.json(&["group", "describe", "pay"]);
    let after = server::runtime::clock::now().wall.0;
    let rows = &described["groups"][0]["partitions"];
    // The second record was written two seconds after the epoch.
    let seconds = rows[0]["lag_seconds"].as_f64().expect("known");
    let range = (before - 2000) as f64 / 1000.0..=(after - 2000) as f64 / 1000.0;
    assert!(range.contains(&seconds), "{seconds} is not in {range:?}");
    assert_eq!((&rows[1]["lag"], &rows[1]["lag_seconds"]), (&0.into(), &0.0.into()));
}

#[test]
fn a_described_group_names_its_members_and_their_partitions() {
    let world = World::start();
    world.topic("orders", &[1, 1, 1]);
    let _first = world.spawn(&["consume", "-t", "orders", "-g", "pay"]);
    world.await_group("pay", "Stable", 1);
    let _second = world.spawn(&["consume", "-t", "orders", "-g", "pay"]);
    let group = world.await_group("pay", "Stable", 2);
    let counts = group["members"].as_array().expect("members").iter().map(|m| {
        assert_eq!(m["client_id"], "ringlog");
        m["partitions"]["orders"].as_array().map_or(0, Vec::len)
    });
    let mut counts: Vec<usize> = counts.collect();
    counts.sort_unstable();
    assert_eq!((counts, &group["assignor"]), (vec![1, 2], &"range".into()));
    let owners =
        group["partitions"].as_array().expect("partitions").iter().filter(|p| p["member"].is_string());
    assert_eq!(owners.count(), 3);
    world.refused(&["group", "delete", "pay", "--yes"], 1, "NON_EMPTY_GROUP");
}

#[test]
fn a_group_of_a_deleted_topic_is_described_without_it() {
    let world = World::start();
    world.topic("orders", &[1]);
    world.topic("gone", &[1]);
    world.ok(&["group", "reset-offsets", "pay", "-t", "orders", "-t", "gone", "--to-latest", "--execute"]);
    world.ok(&["topic", "delete", "gone", "--yes"]);
    let described = world.json(&["group", "describe", "pay"]);
    let rows = described["groups"][0]["partitions"].as_array().expect("rows").clone();
    let orders = rows.iter().find(|r| r["topic"] == "orders").expect("orders");
    assert_eq!(orders["lag"], 0);
    assert_eq!(committed(&described["groups"][0], rows.len() - 1), 1);
}

#[test]
fn the_lag_of_a_group_that_has_committed_nothing_is_unknown() {
    let world = World::start();
    world.topic("orders", &[3]);
    let _member = world.spawn(&["consume", "-t", "orders", "-g", "pay", "-o", "end"]);
    let group = world.await_group("pay", "Stable", 1);
    assert!(group["lag"].is_null(), "{group}");
    assert!(world.ok(&["group", "describe", "pay"]).contains("lag -\n"));
}
