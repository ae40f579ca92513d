//! One slot of the footprint row: a broker of its own is started at its default settings, left alone, loaded and ended.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::peer::Peer;
use super::process::{Place, Running};
use super::slot::Load;

/// How long it is left alone before its memory at rest is read.
const REST: Duration = Duration::from_secs(10);

/// Starts, rests, loads, ends; the load's report with `footprint` added: `ready_ms`, `resident_idle_bytes` and
/// `resident_loaded_bytes`.
pub(super) fn run<'a>(
    (peer, home): (&Peer, &Path),
    place: &Place,
    load: impl FnOnce(&Running) -> Load<'a>,
    out: &Path,
    stop: &AtomicBool,
) -> anyhow::Result<Value> {
    std::fs::create_dir_all(out)?;
    let place = Place { logs: out.to_path_buf(), ..place.clone() };
    let running = Running::start(peer, home, &place, "footprint")?;
    let rested = Instant::now() + REST;
    while Instant::now() < rested && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let idle = running.resident();
    let mut report = load(&running).run(out, stop)?;
    report["footprint"] = json!({
        "ready_ms": running.ready.as_secs_f64() * 1e3,
        "resident_idle_bytes": idle,
        "resident_loaded_bytes": report["broker"]["rss_bytes_max"],
    });
    running.end();
    Ok(report)
}
