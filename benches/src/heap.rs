//! Who takes what from the heap: a profile of every allocation in this process, by the first crate in
//! its stack that is ours or the runtime's. The program must have [`dhat::Alloc`] as its allocator.

use std::collections::BTreeMap;
use std::path::Path;

use crate::real_dir;

/// Frames of a stack that are looked at: an allocation is never deeper inside the standard library.
const FRAMES: usize = 20;

/// Whose code allocates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Whose {
    /// A crate of this repository.
    Ours,
    /// The runtime, for its own operations.
    Runtime,
    /// Neither is in the stack: threads of the standard library, the client of the benchmark.
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
#[derive(Default, Debug)]
pub struct Site {
    /// Allocations.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What was allocated, by owner and place (`file:line function`).
pub type Sites = BTreeMap<(Whose, String), Site>;

/// Runs `work` and gives what was allocated meanwhile, by owner and place.
///
/// # Panics
/// If the profile cannot be written, or another one is being taken.
pub fn profile(work: impl FnOnce()) -> Sites {
    let dir = real_dir();
    let path = dir.path().join("heap.json");
    let profiler = dhat::Profiler::builder().file_name(&path).trim_backtraces(Some(FRAMES)).build();
    work();
    drop(profiler);
    let text = std::fs::read(&path).expect("the profile");
    let profile: serde_json::Value = serde_json::from_slice(&text).expect("a profile is JSON");
    let frames = profile["ftbl"].as_array().expect("frames");
    let mut sites = Sites::new();
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
