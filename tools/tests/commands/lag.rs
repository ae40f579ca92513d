//! Group lag on the metrics page.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;

use crate::World;

fn page(world: &World) -> String {
    let mut http = TcpStream::connect(world.broker.admin().expect("it is on")).expect("a connection");
    http.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("sent");
    let mut page = String::new();
    http.read_to_string(&mut page).expect("a page");
    page
}

/// The page, once the core has said for the first time that there are commits.
fn page_with_lag(world: &World) -> String {
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    loop {
        let page = page(world);
        if page.contains("ringlog_group_lag{") {
            return page;
        }
        assert!(std::time::Instant::now() < deadline, "{page}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[track_caller]
fn value(page: &str, family: &str, partition: i32) -> f64 {
    let start = format!("ringlog_{family}{{group=\"pay\",topic=\"orders\",partition=\"{partition}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {start} in {page}")).parse().expect("a number")
}

/// What a record of so many seconds after the epoch has waited, on a page asked for after `before` and read by now, in
/// seconds: no other record of the topic fits.
fn waited(before: i64, second: i64) -> RangeInclusive<f64> {
    let since = |ms: i64| (ms - second * 1000) as f64 / 1000.0;
    // A page shows three decimals.
    since(before) - 0.001..=since(server::runtime::clock::now().wall.0) + 0.001
}

#[test]
fn the_metrics_page_tells_how_far_a_group_is_behind() {
    // The group's core and those of its partitions are not all one.
    let world = World::with("0,1", &["admin.listen=127.0.0.1:0"]);
    world.topic("orders", &[5, 3]);
    assert!(page(&world).contains("ringlog_group_series_left_out{} 0\n"), "no group yet");
    world.ok(&["group", "reset-offsets", "pay", "-t", "orders:0", "--to-offset", "2", "--execute"]);
    world.ok(&["group", "reset-offsets", "pay", "-t", "orders:1", "--to-latest", "--execute"]);
    let before = server::runtime::clock::now().wall.0;
    let page = page_with_lag(&world);
    assert_eq!((value(&page, "group_committed_offset", 0), value(&page, "group_lag", 0)), (2.0, 3.0));
    assert_eq!((value(&page, "group_lag", 1), value(&page, "group_lag_seconds", 1)), (0.0, 0.0));
    // The third record was written three seconds after the epoch.
    let seconds = value(&page, "group_lag_seconds", 0);
    assert!(waited(before, 3).contains(&seconds), "{seconds}");
}

#[test]
fn lag_in_seconds_is_read_from_disk_after_a_restart() {
    let mut world = World::with("0", &["admin.listen=127.0.0.1:0"]);
    world.topic("orders", &[5, 3]);
    world.ok(&["group", "reset-offsets", "pay", "-t", "orders", "--to-offset", "1", "--execute"]);
    world.broker.restart();
    let before = server::runtime::clock::now().wall.0;
    let page = page_with_lag(&world);
    for partition in [0, 1] {
        let seconds = value(&page, "group_lag_seconds", partition);
        assert!(waited(before, 2).contains(&seconds), "{seconds}");
    }
}
