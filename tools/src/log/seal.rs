//! `ringlog log seal`: after a crash, makes a data directory what a clean stop would have left.
//!
//! It is a start and a clean stop: recovery drains the journals into their segments, closing cuts
//! every file to its length. The broker listens on a free loopback port for that moment, because a
//! broker without a listener does not exist; nobody is told the port.

use std::path::{Path, PathBuf};

use anyhow::Context;
use server::config::{Config, Sources};

/// `ringlog log seal`
#[derive(clap::Args, Clone, Debug)]
pub(super) struct SealArgs {
    /// A data directory (of a broker that is stopped)
    path: PathBuf,
}

/// Seals the directory. Returns the number of cores whose journals were drained.
///
/// # Errors
/// If it is no data directory, or is in use, or a disk operation fails.
pub(super) fn seal(args: &SealArgs) -> anyhow::Result<usize> {
    let cores = cores_of(&args.path)?;
    let flag = |name: &str, value: String| (name.to_owned(), value);
    let flags = vec![
        flag("log.dirs", args.path.to_string_lossy().into_owned()),
        flag("listeners", "127.0.0.1:0".to_owned()),
        flag("node.id", node_id(&args.path)?.to_string()),
        flag("server.cores", vec!["0"; cores].join(",")),
    ];
    let config = Config::load(&Sources { flags, ..Sources::default() }).map_err(server::StartError::from)?;
    server::start(config)?.stop()?;
    Ok(cores)
}

/// How many cores the broker ran on: as many seal it, so that no partition has to move.
fn cores_of(data: &Path) -> anyhow::Result<usize> {
    let dir = data.join("cores");
    let entries = std::fs::read_dir(&dir).with_context(|| {
        format!("{} is no data directory of a broker that ran: it has no cores", data.display())
    })?;
    let numbers = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<usize>().ok());
    numbers.max().map(|last| last + 1).with_context(|| format!("{} holds no core", dir.display()))
}

fn node_id(data: &Path) -> anyhow::Result<i64> {
    let path = data.join("node.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let node: serde_json::Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    node["node_id"].as_i64().with_context(|| format!("{} names no node id", path.display()))
}
