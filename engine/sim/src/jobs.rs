//! The jobs that a shard needs of its machine. A server spawns the same on each of its cores.

use std::time::Duration;

use engine::broker::Shard;

use crate::disk::SimDisk;
use crate::world::World;

impl World {
    /// Runs a shard's group commits and its writer of segments until the machine dies.
    pub fn run_shard(&self, shard: &Shard<SimDisk>) {
        let (commits, writer) = (shard.clone(), shard.clone());
        self.spawn(async move { commits.run_commits().await });
        self.spawn(async move { writer.run_writer().await });
    }

    /// Runs a shard's cleaner until the machine dies.
    pub fn run_cleaner(&self, shard: &Shard<SimDisk>) {
        let cleaner = shard.clone();
        self.spawn(async move { cleaner.run_cleaner().await });
    }

    /// Tells a shard the time, `every` so often, until the machine dies.
    pub fn run_clock(&self, shard: &Shard<SimDisk>, every: Duration) {
        let (world, shard) = (self.clone(), shard.clone());
        self.spawn(async move {
            loop {
                world.sleep(every).await;
                shard.tick(world.now());
            }
        });
    }
}
