//! What does the hop to another core cost? One connection fetches a batch from memory, from a partition
//! of the core that serves it and from one of the other core. Needs two CPUs.

use benches::{Broker, Client, batch, compare};
use criterion::{Criterion, criterion_group, criterion_main};

const FETCH_BYTES: i32 = 64 * 1024;

/// Exchanges that decide which partition is the near one.
const TRIALS: u32 = 2_000;

fn mailbox(c: &mut Criterion) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 {
        println!("mailbox: one CPU, no other core to hop to");
        return;
    }
    let broker = Broker::start("0-1", 2);
    let mut client = broker.client();
    let batch = batch(1, 1024, 1_000);
    let mut fetches: Vec<Vec<u8>> = (0..2)
        .map(|partition| {
            let offset = client.produce(&Client::produce_frame(partition, &batch));
            Client::fetch_frame(partition, offset, FETCH_BYTES)
        })
        .collect();
    let time = |client: &mut Client, frame: &[u8]| {
        let began = std::time::Instant::now();
        (0..TRIALS).for_each(|_| assert!(client.fetch(frame) > 0));
        began.elapsed()
    };
    // Which core took the connection is the kernel's choice.
    if time(&mut client, &fetches[0]) > time(&mut client, &fetches[1]) {
        fetches.swap(0, 1);
    }
    let mut group = c.benchmark_group("mailbox");
    group.bench_function("fetch, own core", |b| b.iter(|| client.fetch(&fetches[0])));
    group.bench_function("fetch, other core", |b| b.iter(|| client.fetch(&fetches[1])));
    group.finish();
    let mut again = broker.client();
    if time(&mut again, &fetches[0]) > time(&mut again, &fetches[1]) {
        fetches.swap(0, 1);
    }
    let again = std::cell::RefCell::new(again);
    compare(
        "fetch, other core / own core",
        500,
        || assert!(again.borrow_mut().fetch(&fetches[1]) > 0),
        || assert!(again.borrow_mut().fetch(&fetches[0]) > 0),
    );
}

criterion_group!(benches, mailbox);
criterion_main!(benches);
