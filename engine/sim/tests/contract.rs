//! The contract of `engine::io::Disk`, on the simulated disk under several seeds.

use sim::World;
use sim::contract::{self, POOL_BYTES};

fn on_simulated_disk(scenario: &'static str) {
    for seed in 0..20 {
        let world = World::new(seed);
        let disk = world.disk(POOL_BYTES);
        world.run_until(contract::run(scenario, disk));
    }
}

use sim::contract_tests;
sim::for_each_scenario!(contract_tests, on_simulated_disk);
