//! Rings are set up so that they do not interrupt their executor.

use store::rings::cooperative;
use store::runtime::{ExecutorSettings, start};

/// What every executor has: main, latency and poll ring.
const RINGS: usize = 3;

/// Whether this kernel knows `IORING_SETUP_COOP_TASKRUN`: Linux 5.19 is the first.
fn kernel_can() -> bool {
    let system = rustix::system::uname();
    let release = system.release().to_str().unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(19))
}

#[test]
fn an_executor_is_not_interrupted_by_its_rings() {
    let executor = start(ExecutorSettings::default(), || async { cooperative() }).unwrap();
    let rings = executor.join().unwrap();
    assert!(if kernel_can() { rings >= RINGS } else { rings == 0 }, "{rings} rings");
}
