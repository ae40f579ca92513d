//! `ringlog config`.

use crate::World;

#[test]
fn a_topics_setting_is_set_listed_described_and_deleted() {
    let world = World::start();
    world.ok(&["topic", "create", "orders"]);
    let described =
        |name: &str| world.json(&["config", "describe", "topic/orders", name])["configs"][0].clone();
    assert_eq!(described("max.message.bytes")["source"], "default");
    world.ok(&["config", "set", "topic/orders", "max.message.bytes=2000000", "retention.ms=60000"]);
    let setting = described("max.message.bytes");
    assert_eq!((&setting["value"], &setting["source"]), (&"2000000".into(), &"topic".into()));
    assert_eq!((&setting["type"], &setting["read_only"]), (&"int".into(), &false.into()));
    let list = world.ok(&["config", "list"]);
    assert!(list.contains("topic/orders") && list.contains("retention.ms"), "{list}");
    let changed = world.json(&["config", "delete", "topic/orders", "max.message.bytes"]);
    assert_eq!(changed["changed"][0], "max.message.bytes");
    assert_eq!(described("max.message.bytes")["source"], "default");
    assert_eq!(described("retention.ms")["value"], "60000");
}

#[test]
fn a_dry_run_checks_and_changes_nothing() {
    let world = World::start();
    world.ok(&["topic", "create", "orders"]);
    let out = world.ok(&["config", "set", "topic/orders", "retention.ms=60000", "--dry-run"]);
    assert_eq!(out, "would alter topic/orders\n");
    assert!(!world.ok(&["config", "list"]).contains("60000"));
    world.refused(&["config", "set", "topic/orders", "retention.ms=soon", "--dry-run"], 1, "INVALID_CONFIG");
}

#[test]
fn what_is_not_there_is_named() {
    let world = World::start();
    world.ok(&["topic", "create", "orders"]);
    world.refused(&["config", "describe", "topic/none"], 1, "UNKNOWN_TOPIC_OR_PARTITION");
    world.refused(&["config", "describe", "topic/orders", "colour"], 1, "no setting colour");
    world.refused(&["config", "set", "topic/orders", "colour=red"], 1, "INVALID_CONFIG");
    world.refused(&["config", "describe", "user/pay"], 2, "topic/NAME");
}

#[test]
fn a_broker_tells_its_settings_and_what_they_do() {
    let world = World::start();
    let described = world.json(&["config", "describe", "broker/1", "num.partitions", "--docs"]);
    let setting = &described["configs"][0];
    assert_eq!(
        (&described["resource"]["type"], &setting["name"]),
        (&"broker".into(), &"num.partitions".into())
    );
    assert!(setting["documentation"].as_str().is_some_and(|d| !d.is_empty()), "{setting}");
}

#[test]
fn settings_of_a_group_are_set_shown_listed_and_taken_back() {
    let world = World::start();
    let session = "consumer.session.timeout.ms";
    let described =
        |world: &World| world.json(&["config", "describe", "group/pay", session])["configs"][0].clone();
    assert_eq!(described(&world)["source"], "default");
    world.ok(&["config", "set", "group/pay", "consumer.session.timeout.ms=50000"]);
    assert_eq!(
        (&described(&world)["value"], &described(&world)["source"]),
        (&"50000".into(), &"group".into())
    );
    let list = world.ok(&["config", "list"]);
    assert!(list.contains("group/pay") && list.contains("50000"), "{list}");
    world.refused(&["config", "set", "group/pay", "consumer.session.timeout.ms=1"], 1, "INVALID_CONFIG");
    world.ok(&["config", "delete", "group/pay", session]);
    assert!(!world.ok(&["config", "list"]).contains("group/pay"));
}
