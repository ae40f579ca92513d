//! `node.json`: whose data directory this is. Written once, atomically. Beside it the mark of a clean
//! stop, an empty file `clean` that is gone while a broker runs.
//!
//! | field | value |
//! |---|---|
//! | `version` | 1; another one is refused |
//! | `cluster_id`, `directory_id` | random uuids |
//! | `node_id` | `node.id` at the first start |

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use engine::base::NodeId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::boot::Origin;
use super::error::StartError;

const VERSION: u32 = 1;
const NODE_FILE: &str = "node.json";
const CLEAN_FILE: &str = "clean";

#[derive(Serialize, Deserialize)]
struct NodeFile {
    version: u32,
    cluster_id: Uuid,
    node_id: i32,
    directory_id: Uuid,
}

/// Reads the file, or writes it at the first start; takes the mark of a clean stop away.
pub(super) fn open(data: &Path, node: NodeId) -> Result<Origin, StartError> {
    let path = data.join(NODE_FILE);
    let shown = path.display();
    let failed = |e: io::Error| StartError::precondition(format!("{shown} cannot be used: {e}"));
    let (file, first) = match fs::read(&path) {
        Ok(bytes) => {
            let file: NodeFile = serde_json::from_slice(&bytes).map_err(|e| {
                StartError::precondition(format!("{shown} is not what this program wrote ({e}): restore it"))
            })?;
            (file, false)
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            refuse_strangers(data)?;
            let file = NodeFile {
                version: VERSION,
                cluster_id: Uuid::new_v4(),
                node_id: node.0,
                directory_id: Uuid::new_v4(),
            };
            write(data, &file).map_err(failed)?;
            (file, true)
        }
        Err(e) => return Err(failed(e)),
    };
    if file.version != VERSION {
        return Err(StartError::precondition(format!(
            "{shown} is of format {}, this program knows {VERSION}: use the version that wrote it",
            file.version
        )));
    }
    if file.node_id != node.0 {
        return Err(StartError::precondition(format!(
            "the data directory belongs to node.id={}, and node.id={} is set: set it back, or choose another \
             directory",
            file.node_id, node.0
        )));
    }
    let clean = match fs::remove_file(data.join(CLEAN_FILE)) {
        Ok(()) => true,
        Err(e) if e.kind() == ErrorKind::NotFound => false,
        Err(e) => return Err(failed(e)),
    };
    if clean {
        sync_dir(data).map_err(failed)?;
    }
    Ok(Origin { cluster: file.cluster_id, directory: file.directory_id, unclean: !clean && !first })
}

/// Refuses a directory without the file that holds something all the same: a new cluster id on old data, or
/// another program's data, would be found out too late.
fn refuse_strangers(data: &Path) -> Result<(), StartError> {
    let shown = data.display();
    if data.join("meta.properties").exists() {
        return Err(StartError::precondition(format!(
            "{shown} is a data directory of Apache Kafka (it holds meta.properties): choose another directory"
        )));
    }
    if let Some(holds) = ["cores", "topics", "meta"].into_iter().find(|name| data.join(name).exists()) {
        return Err(StartError::precondition(format!(
            "{shown} holds data ({holds}) and no {NODE_FILE}: put that file back, or choose another directory"
        )));
    }
    Ok(())
}

/// Says that the broker stopped cleanly.
pub(super) fn mark_clean(data: &Path) -> Result<(), StartError> {
    let mark =
        || File::create(data.join(CLEAN_FILE)).and_then(|f| f.sync_all()).and_then(|()| sync_dir(data));
    mark().map_err(|e| StartError::failed(format!("the clean stop was not noted in {}: {e}", data.display())))
}

fn write(data: &Path, file: &NodeFile) -> io::Result<()> {
    let temporary = data.join("node.json.new");
    let mut out = File::create(&temporary)?;
    out.write_all(&serde_json::to_vec_pretty(file)?)?;
    out.sync_all()?;
    fs::rename(&temporary, data.join(NODE_FILE))?;
    sync_dir(data)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_node_finds_its_cluster_again_and_another_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), NodeId(1)).unwrap();
        assert!(!first.unclean);
        let second = open(dir.path(), NodeId(1)).unwrap();
        assert!(second.unclean, "nobody marked a clean stop");
        assert_eq!(first.cluster, second.cluster);
        assert_eq!(first.directory, second.directory);
        mark_clean(dir.path()).unwrap();
        assert!(!open(dir.path(), NodeId(1)).unwrap().unclean);
        let error = open(dir.path(), NodeId(2)).err().unwrap();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("node.id=1"), "{error}");
    }

    #[test]
    fn data_of_a_lost_identity_or_of_kafka_is_refused() {
        for (name, said) in [("meta.properties", "Apache Kafka"), ("cores", "no node.json")] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), "").unwrap();
            let error = open(dir.path(), NodeId(1)).err().unwrap();
            assert!(error.exit_code() == 3 && error.to_string().contains(said), "{error}");
            assert!(!dir.path().join(NODE_FILE).exists());
        }
    }

    #[test]
    fn a_file_that_was_tampered_with_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NODE_FILE), "{").unwrap();
        assert!(open(dir.path(), NodeId(1)).is_err());
    }
}
