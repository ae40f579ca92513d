//! The contract of `engine::io::Disk`, on a real file system.

mod common;

use common::{on_executor, real_dir};
use sim::contract::{self, POOL_BYTES};
use sim::contract_tests;
use store::{DiskSettings, GlommioDisk};

fn on_real_disk(scenario: &'static str) {
    let dir = real_dir();
    on_executor(dir.path(), POOL_BYTES, move |dir| async move {
        let disk = GlommioDisk::open(dir, DiskSettings::default()).await.unwrap();
        contract::run(scenario, disk).await;
    });
}

sim::for_each_scenario!(contract_tests, on_real_disk);
