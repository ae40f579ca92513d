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
