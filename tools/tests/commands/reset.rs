//! `ringlog group reset-offsets`.

use crate::World;

/// A group that stands at 2 of 5 in partition 0 and at 1 of 3 in partition 1.
fn world() -> World {
    let world = World::start();
    world.topic("orders", &[5, 3]);
    world.ok(&["group", "reset-offsets", "pay", "-t", "orders:0", "--to-offset", "2", "--execute"]);
    world.ok(&["group", "reset-offsets", "pay", "-t", "orders:1", "--to-offset", "1", "--execute"]);
    world
}

/// Where the group stands.
#[track_caller]
fn stands(world: &World) -> Vec<i64> {
    let described = world.json(&["group", "describe", "pay"]);
    let rows = described["groups"][0]["partitions"].as_array().expect("rows").clone();
    rows.iter().map(|r| r["committed_offset"].as_i64().expect("committed")).collect()
}

/// Where a reset would lead.
#[track_caller]
fn plan(world: &World, args: &[&str]) -> Vec<i64> {
    let value = world.json(&[&["group", "reset-offsets", "pay"], args].concat());
    assert_eq!(value["executed"], args.contains(&"--execute"));
    let rows = value["partitions"].as_array().expect("rows").clone();
    rows.iter().map(|r| r["new_offset"].as_i64().expect("a number")).collect()
}

#[test]
fn a_reset_changes_nothing_until_it_is_executed() {
    let world = world();
    assert_eq!(plan(&world, &["-t", "orders", "--to-earliest"]), [0, 0]);
    assert_eq!(plan(&world, &["-t", "orders", "--to-earliest", "--dry-run"]), [0, 0]);
    assert_eq!(stands(&world), [2, 1]);
    let said = world.run(&["group", "reset-offsets", "pay", "--all-topics", "--to-earliest"]);
    assert!(said.err.contains("dry run") && said.out.contains("CURRENT  NEW"), "{} {}", said.err, said.out);
    assert_eq!(plan(&world, &["-t", "orders", "--to-earliest", "--execute"]), [0, 0]);
    assert_eq!(stands(&world), [0, 0]);
}

#[test]
fn a_reset_leads_to_each_place_that_kafkas_tool_knows() {
    let world = world();
    let cases: [(&[&str], [i64; 2]); 9] = [
        (&["--to-earliest"], [0, 0]),
        (&["--to-latest"], [5, 3]),
        (&["--to-current"], [2, 1]),
        (&["--to-offset", "1"], [1, 1]),
        (&["--shift-by", "1"], [3, 2]),
        (&["--shift-by", "-1"], [1, 0]),
        // Records are at 1 s, 2 s … since the epoch.
        (&["--to-datetime", "1970-01-01T00:00:02.5"], [2, 2]),
        (&["--to-datetime", "1970-01-01T01:00:03+01:00"], [2, 2]),
        (&["--by-duration", "PT1H"], [5, 3]),
    ];
    for (args, offsets) in cases {
        assert_eq!(plan(&world, &[args, &["--topic", "orders"]].concat()), offsets, "{args:?}");
    }
}

#[test]
fn an_offset_that_a_partition_does_not_have_becomes_the_nearest() {
    let world = world();
    let said = world.run(&["group", "reset-offsets", "pay", "-t", "orders", "--to-offset", "4", "--execute"]);
    assert!(said.err.contains("orders:1 has offsets 0 to 3: 4 becomes 3"), "{}", said.err);
    assert_eq!(stands(&world), [4, 3]);
}

#[test]
fn a_reset_of_some_partitions_leaves_the_others() {
    let world = world();
    assert_eq!(plan(&world, &["-t", "orders:1", "--to-latest", "--execute"]), [3]);
    assert_eq!(stands(&world), [2, 3]);
    world.refused(
        &["group", "reset-offsets", "pay", "-t", "orders:0,2", "--to-latest"],
        2,
        "partitions 0 to 1, no 2",
    );
    world.refused(
        &["group", "reset-offsets", "pay", "-t", "none", "--to-latest"],
        1,
        "UNKNOWN_TOPIC_OR_PARTITION",
    );
}

#[test]
fn an_exported_plan_is_read_from_its_file() {
    let world = world();
    let export = world.ok(&["group", "reset-offsets", "pay", "--all-topics", "--to-current", "--export"]);
    assert_eq!(export, "orders,0,2\norders,1,1\n");
    world.ok(&["group", "reset-offsets", "pay", "--all-topics", "--to-latest", "--execute"]);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("plan.csv");
    std::fs::write(&file, export).expect("written");
    let file = file.to_str().expect("utf-8");
    world.ok(&["group", "reset-offsets", "pay", "--from-file", file, "--execute"]);
    assert_eq!(stands(&world), [2, 1]);
    std::fs::write(file, "orders,0\n").expect("written");
    world.refused(
        &["group", "reset-offsets", "pay", "--from-file", file],
        2,
        ":1: a line is topic,partition,offset",
    );
}

#[test]
fn a_group_with_members_is_not_reset() {
    let world = world();
    let member = world.spawn(&["consume", "-t", "orders", "-g", "pay"]);
    world.await_group("pay", "Stable", 1);
    let args = ["group", "reset-offsets", "pay", "-t", "orders", "--to-earliest", "--execute"];
    world.refused(&args, 1, "pay is Stable");
    member.interrupt();
    world.await_group("pay", "Empty", 0);
    world.ok(&args);
    assert_eq!(stands(&world), [0, 0]);
}

#[test]
fn a_group_that_was_never_there_is_given_offsets_but_not_shifted() {
    let world = world();
    let args = ["group", "reset-offsets", "new", "-t", "orders"];
    world.refused(&[&args[..], &["--shift-by", "1"]].concat(), 1, "has no committed offset to shift from");
    world.refused(&["group", "reset-offsets", "new", "--all-topics", "--to-latest"], 1, "committed nothing");
    world.ok(&[&args[..], &["--to-latest", "--execute"]].concat());
    assert!(world.ok(&["group", "list"]).contains("new"));
}

#[test]
fn a_reset_without_a_target_or_a_scope_is_wrong_usage() {
    let world = World::start();
    world.refused(&["group", "reset-offsets", "pay", "-t", "orders"], 2, "--to-earliest");
    world.refused(&["group", "reset-offsets", "pay", "--to-latest"], 2, "--all-topics");
    world.refused(
        &["group", "reset-offsets", "pay", "-t", "o", "--to-latest", "--to-earliest"],
        2,
        "cannot be used",
    );
}

#[test]
fn a_file_says_which_partitions_alone() {
    let world = world();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("to.csv");
    std::fs::write(&file, "# nothing\n").expect("written");
    let file = file.to_str().expect("text");
    let reset = ["group", "reset-offsets", "pay", "--from-file", file, "--execute"];
    world.refused(&[&reset[..], &["--topic", "orders:0"]].concat(), 2, "cannot be used with");
    world.refused(&reset, 2, "names no partition");
}
