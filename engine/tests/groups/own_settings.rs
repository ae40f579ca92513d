//! What a group of the new protocol has of its own (`consumer.session.timeout.ms` and its like).

use std::time::Duration;

use engine::group::GroupError;
use engine::metadata::{MetadataRecord, Position};

use crate::crew::*;
use crate::world::*;

/// The topic `orders`, and what these groups have of their own.
fn follow(world: &mut World, settings: &[(&str, &str, &str)]) {
    world.next += 1;
    let mut image = image(&[("orders", 2)], world.next);
    for (group, name, value) in settings {
        let (group, name, value) = ((*group).to_owned(), (*name).to_owned(), (*value).to_owned());
        image.apply(&MetadataRecord::GroupConfigSet { group, name, value }).expect("it fits");
    }
    image.advance(Position { index: world.next, term: 1 });
    world.coordinator.follow(image);
}

fn of_group(group: &str) -> Mate {
    let mut mate = Mate::new("one", &["orders"]);
    mate.ask.group = group.to_owned();
    mate
}

#[test]
fn members_may_be_silent_for_as_long_as_their_group_says() {
    let mut world = World::new(settings());
    follow(&mut world, &[("patient", "consumer.session.timeout.ms", "60000")]);
    let mut crew = [of_group("patient"), of_group("other")];
    crew.iter_mut().for_each(|mate| drop(world.beat(mate)));
    world.pass(Duration::from_secs(50));
    let told = crew.map(|mate| world.beat_as(mate.asks()).map(|answer| answer.epoch));
    assert_eq!(told, [Ok(1), Err(GroupError::UnknownMemberId)]);
}

#[test]
fn members_are_told_the_interval_of_their_group_from_the_next_call_on() {
    let mut world = World::new(settings());
    follow(&mut world, &[]);
    let mut mate = of_group("busy");
    assert_eq!(world.beat(&mut mate).interval, Duration::from_secs(5));
    follow(&mut world, &[("busy", "consumer.heartbeat.interval.ms", "15000")]);
    assert_eq!(world.beat(&mut mate).interval, Duration::from_secs(15));
    follow(&mut world, &[]);
    assert_eq!(world.beat(&mut mate).interval, Duration::from_secs(5));
}

#[test]
fn what_a_group_has_keeps_to_bounds_that_became_narrower() {
    let mut settings = settings();
    settings.consumer.heartbeat_bounds.1 = Duration::from_secs(8);
    let mut world = World::new(settings);
    follow(
        &mut world,
        &[
            ("busy", "consumer.heartbeat.interval.ms", "15000"),
            ("odd", "consumer.heartbeat.interval.ms", "no number"),
        ],
    );
    assert_eq!(world.beat(&mut of_group("busy")).interval, Duration::from_secs(8));
    assert_eq!(world.beat(&mut of_group("odd")).interval, Duration::from_secs(5));
}
