//! What does the whole broker take from the heap for one produce and one fetch, once warm, and whose
//! code takes it: ours, or the runtime's for its I/O operations? Counted with a profile of every
//! allocation in this process, by the first crate in its stack that is one or the other.

use std::collections::BTreeMap;
use std::path::Path;

use benches::{Broker, Client, batch, real_dir};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const WARM: usize = 6_000;
const COUNTED: usize = 200;
const FETCH_BYTES: i32 = 64 * 1024;

/// Frames of a stack that are looked at: an allocation is never deeper inside the standard library.
const FRAMES: usize = 20;

/// Sites printed of each kind.
const SITES: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Whose {
    Ours,
    Runtime,
    Neither,
}

/// Where our crates lie in the repository. A frame names the last three parts of its file's path.
const OURS: [&str; 5] = ["", "engine", "engine/store", "engine/wire", "server"];

/// Folders of the runtime, as frames name them.
const RUNTIME: [&str; 8] = ["sys", "io", "executor", "task", "timer", "channels", "net", "sync"];

/// Whose code a frame is in, and its place: `0xADDRESS: function (path/of/file.rs:line:column)`.
fn place(frame: &str) -> Option<(Whose, String)> {
    let (function, rest) = frame.split_once(": ")?.1.rsplit_once(" (")?;
    let mut parts = rest.split(':');
    let (file, line) = (parts.next()?, parts.next()?);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let owner = if file.starts_with("benches/") {
        return None;
    } else if OURS.iter().any(|folder| root.join(folder).join(file).is_file()) {
        Whose::Ours
    } else if file.starts_with("glommio-") || RUNTIME.iter().any(|f| file.starts_with(&format!("src/{f}/"))) {
        Whose::Runtime
    } else {
        return None;
    };
    let function = function.split('<').next().filter(|name| !name.is_empty()).unwrap_or(function);
    Some((owner, format!("{file}:{line} {function}")))
}

/// One place that allocates: blocks and bytes it took.
#[derive(Default)]
struct Site {
    blocks: u64,
    bytes: u64,
}

/// Runs `work` and gives what was allocated meanwhile, by owner and place.
fn profile(work: impl FnOnce()) -> BTreeMap<(Whose, String), Site> {
    let dir = real_dir();
    let path = dir.path().join("heap.json");
    let profiler = dhat::Profiler::builder().file_name(&path).trim_backtraces(Some(FRAMES)).build();
    work();
    drop(profiler);
    let text = std::fs::read(&path).expect("the profile");
    let profile: serde_json::Value = serde_json::from_slice(&text).expect("a profile is JSON");
    let frames = profile["ftbl"].as_array().expect("frames");
    let mut sites: BTreeMap<(Whose, String), Site> = BTreeMap::new();
    for point in profile["pps"].as_array().expect("points") {
        let stack = point["fs"].as_array().expect("a stack").iter();
        let mut named = stack.filter_map(|i| frames[i.as_u64()? as usize].as_str());
        let owner = named.find_map(place);
        let site = sites.entry(owner.unwrap_or((Whose::Neither, "elsewhere".to_owned()))).or_default();
        site.blocks += point["tbk"].as_u64().expect("blocks");
        site.bytes += point["tb"].as_u64().expect("bytes");
    }
    sites
}

fn print(what: &str, sites: &BTreeMap<(Whose, String), Site>) {
    let per = |n: u64| n as f64 / COUNTED as f64;
    for whose in [Whose::Ours, Whose::Runtime, Whose::Neither] {
        let mut of: Vec<(&String, &Site)> = sites
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
