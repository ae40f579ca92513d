//! `ringlog consume`: where it begins, and as a member of a group.

use std::collections::BTreeSet;

use crate::{World, committed};

#[test]
fn an_offset_counts_in_each_partition_and_none_keeps_the_others_from_being_read() {
    let world = World::start();
    world.topic("orders", &[3, 7]);
    let said = world.run(&["consume", "-t", "orders", "-o", "5", "-e", "-f", "%p/%o\\n"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "1/5\n1/6\n"), "{}", said.err);
    assert!(said.err.contains("orders/0 has offsets 0 to 3: begins at 3"), "{}", said.err);
    let said = world.run(&["consume", "-t", "orders", "-p", "1", "-o", "5", "-e", "-f", "%p/%o\\n"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("1/5\n1/6\n", ""));
}

#[test]
fn a_beginning_counts_from_the_start_from_the_end_or_from_a_time() {
    let world = World::start();
    world.topic("orders", &[5]);
    let read = |from: &str| world.ok(&["consume", "-t", "orders", "-e", "-f", "%o", "-o", from]);
    assert_eq!(read("start"), "01234");
    assert_eq!(read("+3"), "34");
    assert_eq!(read("-2"), "34");
    assert_eq!(read("end"), "");
    assert_eq!(read("@3000"), "234");
    assert_eq!(read("@1970-01-01T00:00:04"), "34");
    assert_eq!(read("@-1h"), "");
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let world = World::start();
    world.topic("orders", &[5]);
    let read = |args: &[&str]| world.ok(&[&["consume", "-t", "orders", "-g", "pay"], args].concat());
    assert_eq!(read(&["-n", "2"]), "0-0\n0-1\n");
    assert_eq!(read(&["-e"]), "0-2\n0-3\n0-4\n");
    assert_eq!(read(&["-e"]), "");
    assert_eq!(world.ok(&["consume", "-t", "orders", "-g", "late", "-e", "-o", "end"]), "");
    world.refused(&["consume", "-t", "orders", "-g", "pay", "-o", "3"], 2, "start or end");
    world.refused(&["consume", "-t", "orders", "-g", "pay", "-p", "0"], 2, "cannot be used");
}

#[test]
fn two_members_share_a_topic_and_one_takes_over_from_the_other() {
    let world = World::start();
    world.topic("orders", &[0, 0]);
    let first = world.spawn(&["consume", "-t", "orders", "-g", "pay"]);
    world.await_group("pay", "Stable", 1);
    let second = world.spawn(&["consume", "-t", "orders", "-g", "pay"]);
    world.await_group("pay", "Stable", 2);
    let mut client = world.broker.client();
    let mut produce = |partition: i32, value: &str| {
        client.produce("orders", partition, -1, &crate::harness::batch(&[value.as_bytes()]));
    };
    for n in 0..10 {
        produce(0, &format!("a{n}"));
        produce(1, &format!("b{n}"));
    }
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    while world.json(&["group", "describe", "pay"])["groups"][0]["lag"] != 0
        || committed(&world.json(&["group", "describe", "pay"])["groups"][0], 1) != 10
    {
        assert!(std::time::Instant::now() < deadline, "{}", world.ok(&["group", "describe", "pay"]));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let first = first.interrupt();
    assert_eq!(first.code, Some(130), "{}", first.err);
    world.await_group("pay", "Stable", 1);
    produce(0, "a-last");
    produce(1, "b-last");
    while committed(&world.json(&["group", "describe", "pay"])["groups"][0], 0) != 11
        || committed(&world.json(&["group", "describe", "pay"])["groups"][0], 1) != 11
    {
        assert!(std::time::Instant::now() < deadline, "{}", world.ok(&["group", "describe", "pay"]));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let second = second.interrupt();
    let (one, two): (Vec<&str>, Vec<&str>) = (first.out.lines().collect(), second.out.lines().collect());
    let all: BTreeSet<&str> = one.iter().chain(&two).copied().collect();
    assert_eq!((one.len(), two.len(), all.len()), (10, 12, 22), "{one:?} {two:?}");
    assert!(one.iter().all(|v| v.starts_with(&one[0][..1])), "one partition each: {one:?}");
}
