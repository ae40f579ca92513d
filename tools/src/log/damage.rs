//! `ringlog log damage`: what a broker has found damaged.
//!
//! A stopped broker's directory says it in its checkpoints, which hold the list as of the last one
//! taken; a running broker says it on its admin endpoint. Nothing is searched for: that is `verify`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::checkpoints::Checkpoints;
use super::lines::Lines;
use super::verify::Report;
use super::verify::data_dir::{core_dirs, image};

/// `ringlog log damage`
#[derive(clap::Args, Clone, Debug)]
pub(super) struct DamageArgs {
    /// A data directory (of a broker that is stopped)
    #[arg(required_unless_present = "admin")]
    path: Option<PathBuf>,
    /// Ask a running broker instead: the address of its admin endpoint (`admin.listen`)
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "path")]
    admin: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// Lists it; returns how many damages there are.
pub(super) fn damage<W: Write>(args: &DamageArgs, out: &mut Lines<W>) -> anyhow::Result<u64> {
    let damages = match (&args.admin, &args.path) {
        (Some(admin), _) => ask(admin, out)?,
        (None, Some(path)) => read(path, out)?,
        (None, None) => anyhow::bail!("name a data directory, or a running broker with --admin"),
    };
    let lead = if damages == 0 { "No damage is listed" } else { "DAMAGED" };
    out.line("report", lead, &[("damages", damages.into())])?;
    Ok(damages)
}

fn read<W: Write>(root: &Path, out: &mut Lines<W>) -> anyhow::Result<u64> {
    let cores = core_dirs(root)
        .with_context(|| format!("{} is no data directory of a broker that ran", root.display()))?;
    let mut unread = Report::default();
    let image = image(root, &mut unread, out)?;
    let mut damages = 0;
    for (_, dir) in cores {
        let checkpoints = Checkpoints::read(&dir)?;
        checkpoints.tell(&mut unread, out)?;
        for state in checkpoints.newest.into_iter().flat_map(|c| c.partitions) {
            // A partition of a deleted topic may stand in a checkpoint still.
            let Some(topic) = image.topic_by_id(state.key.topic) else { continue };
            let whose = [("topic", Value::from(topic.name.as_str())), ("partition", state.key.index.into())];
            for range in state.damages.as_slice() {
                let mut fields = whose.to_vec();
                fields.extend([
                    ("cause", range.cause.name().into()),
                    ("firstOffset", range.first.0.into()),
                    ("nextReadable", range.end.0.into()),
                    ("segment", range.segment.0.into()),
                    ("position", range.position.into()),
                    ("bytes", (range.end_position - range.position).into()),
                    ("foundMs", range.found_at.0.into()),
                ]);
                out.line("damage", "DAMAGE", &fields)?;
                damages += 1;
            }
            if state.fenced {
                let mut fields = whose.to_vec();
                let end = state.segments.end().0;
                fields.extend([("cause", "journal".into()), ("firstOffset", end.into())]);
                out.line("damage", "DAMAGE", &fields)?;
                damages += 1;
            }
        }
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("damaged-") {
                out.line("kept", "Kept aside", &[("file", entry.path().display().to_string().into())])?;
            }
        }
    }
    Ok(damages + unread.damages)
}

/// The lines of a running broker's `/damage`, as they are or for people.
fn ask<W: Write>(admin: &str, out: &mut Lines<W>) -> anyhow::Result<u64> {
    let body = crate::admin::get(admin, "/damage")?;
    let mut damages = 0;
    for line in body.lines() {
        let Value::Object(object) = serde_json::from_str(line)? else {
            anyhow::bail!("{admin} answered {line:?}, which is no list of damage");
        };
        // In the order in which files are listed too; topicId is for the few whose topic is gone.
        let names = [
            "topic",
            "partition",
            "cause",
            "firstOffset",
            "nextReadable",
            "segment",
            "position",
            "bytes",
            "foundMs",
        ];
        let fields: Vec<(&str, Value)> =
            names.into_iter().filter_map(|name| Some((name, object.get(name)?.clone()))).collect();
        out.line("damage", "DAMAGE", &fields)?;
        damages += 1;
    }
    Ok(damages)
}
