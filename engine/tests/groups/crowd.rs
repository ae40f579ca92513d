//! Groups in which very many ask, or vanish, at once.

use std::thread;

use crate::crew::*;
use crate::world::*;

/// As many as may wait for one group.
const WAITING: usize = 20_000;

#[test]
fn a_full_line_of_heartbeats_that_change_nothing_is_answered_on_a_small_stack() {
    let crowd = || {
        let mut world = World::new(settings());
        world.topics(&[("orders", 1)]);
        let mut one = Mate::new("one", &["orders"]);
        world.beat(&mut one);
        world.hold();
        let joins = world.send(Mate::new("two", &["orders"]).asks());
        let ids: Vec<u64> = (0..WAITING).map(|_| world.send(one.asks())).collect();
        world.let_go(Ok(()));
        assert!(world.told(joins).is_ok());
        assert!(ids.into_iter().all(|id| world.told(id).is_ok()));
    };
    thread::Builder::new().stack_size(512 << 10).spawn(crowd).expect("a thread").join().expect("no overflow");
}
