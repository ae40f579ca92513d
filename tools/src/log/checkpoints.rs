//! A core's two checkpoints: which one a start goes by, and what is wrong with the other.

use std::io::Write;
use std::path::{Path, PathBuf};

use engine::broker::{Checkpoint, CheckpointFlaw};

use super::dump::read_small;
use super::lines::Lines;
use super::verify::Report;

/// The checkpoints of a core.
#[derive(Default)]
pub(super) struct Checkpoints {
    /// The newest that verifies.
    pub(super) newest: Option<Checkpoint>,
    /// Those that do not, and why.
    broken: Vec<(PathBuf, CheckpointFlaw)>,
}

impl Checkpoints {
    /// Reads them.
    pub(super) fn read(core_dir: &Path) -> anyhow::Result<Checkpoints> {
        let mut found = Checkpoints::default();
        for slot in 0..2 {
            let path = core_dir.join(format!("checkpoint-{slot}"));
            if !path.exists() {
                continue;
            }
            match Checkpoint::explain(&read_small(&path)?) {
                Ok(read) if found.newest.as_ref().is_none_or(|n| n.generation < read.generation) => {
                    found.newest = Some(read);
                }
                Ok(_) => {}
                Err(flaw) => found.broken.push((path, flaw)),
            }
        }
        Ok(found)
    }

    /// Says what is wrong with those that do not verify. One is passed over in favour of the other, and the
    /// only one there ever was is torn: what it should have held is in the journal still, which is checked on
    /// its own. Without any, nothing says what the segments hold.
    pub(super) fn tell<W: Write>(&self, report: &mut Report, out: &mut Lines<W>) -> anyhow::Result<()> {
        for (path, flaw) in &self.broken {
            let file = path.display().to_string();
            let lost = (self.newest.is_none() && self.broken.len() == 2) || *flaw == CheckpointFlaw::Newer;
            if lost {
                let what = format!("{flaw}: no checkpoint of this core verifies");
                let what = if *flaw == CheckpointFlaw::Newer { flaw.to_string() } else { what };
                report.damage(out, &file, Some(flaw.position()), &what)?;
                continue;
            }
            let counts =
                if self.newest.is_some() { "the other one counts" } else { "the journal holds all of it" };
            let fields = [
                ("file", file.into()),
                ("position", flaw.position().into()),
                ("what", format!("{flaw}: {counts}").into()),
            ];
            out.line("torn", "Torn", &fields)?;
        }
        Ok(())
    }
}
