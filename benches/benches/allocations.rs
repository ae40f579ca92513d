//! What does the whole broker take from the heap for one produce and one fetch, once warm, and whose
//! code takes it: ours, or the runtime's for its I/O operations? Counted with a profile of every
//! allocation in this process, by the first crate in its stack that is one or the other.

use benches::heap::{Sites, Whose, profile};
use benches::{Broker, Client, batch};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const WARM: usize = 6_000;
const COUNTED: usize = 200;
const FETCH_BYTES: i32 = 64 * 1024;

/// Sites printed of each kind.
const SITES: usize = 12;

fn print(what: &str, sites: &Sites) {
    let per = |n: u64| n as f64 / COUNTED as f64;
    for whose in [Whose::Ours, Whose::Runtime, Whose::Neither] {
        let mut of: Vec<_> = sites
            .iter()
            .filter(|((owner, _), _)| *owner == whose)
            .map(|((_, name), site)| (name, site))
            .collect();
        let blocks = of.iter().map(|(_, s)| s.blocks).sum();
        let bytes = of.iter().map(|(_, s)| s.bytes).sum();
        println!("{what}: {whose:?}: {:.2} allocations, {:.0} bytes a request", per(blocks), per(bytes));
        of.sort_by_key(|(_, site)| std::cmp::Reverse(site.blocks));
        for (name, site) in of.iter().take(SITES).filter(|(_, s)| per(s.blocks) >= 0.01) {
            println!("    {:>6.2}  {name}", per(site.blocks));
        }
    }
}

fn main() {
    let broker = Broker::start("0", 4);
    let mut client = broker.client();
    let batch = batch(15, 1024, 1_000);
    let produces: Vec<Vec<u8>> = (0..4).map(|partition| Client::produce_frame(partition, &batch)).collect();
    for i in 0..WARM {
        client.produce(&produces[i % 4]);
    }
    let offsets: Vec<i64> = produces.iter().map(|frame| client.produce(frame)).collect();
    let fetches: Vec<Vec<u8>> = offsets
        .iter()
        .enumerate()
        .map(|(partition, offset)| Client::fetch_frame(partition as i32, *offset, FETCH_BYTES))
        .collect();
    for i in 0..WARM {
        client.fetch(&fetches[i % 4]);
    }
    let fetched = profile(|| (0..COUNTED).for_each(|i| assert!(client.fetch(&fetches[i % 4]) > 0)));
    let produced = profile(|| (0..COUNTED).for_each(|i| assert!(client.produce(&produces[i % 4]) > 0)));
    println!("one connection, one request at a time, batches of 16 KiB, {COUNTED} requests counted");
    print("produce", &produced);
    print("fetch", &fetched);
}
