//! Ends the process at one step of its I/O, as a SIGKILL from outside would at that very moment.
//!
//! A step is an operation on a kind of file: `write journal`, `rename cleaned`. Every operation of the disk
//! passes here, so a test that goes through all steps (`tools/tests/crash_points`) dies in each place where
//! bytes or names change. Without the feature `fault-points`, and in every build without debug
//! assertions, this compiles to nothing.
//!
//! | variable | what |
//! |---|---|
//! | `FAILPOINT` | where to die: `before write journal`, `inside replace swap`, `after rename cleaned` |
//! | `FAILPOINT_HIT` | the how manieth time, 1 if not set |
//! | `FAILPOINT_WHILE` | a file: times count only while it exists |
//! | `FAILPOINT_TRACE` | a file that takes the name of each step, once |

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use engine::io::{DiskOp, FileName};

/// Whether this build has steps at all.
const COMPILED: bool = cfg!(all(feature = "fault-points", debug_assertions));

/// When, seen from the operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// Nothing was done yet.
    Before,
    /// The new bytes lie beside the file that they are to replace.
    Inside,
    /// It was done, and nobody knows yet.
    After,
}

/// An operation on a kind of file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    op: DiskOp,
    what: &'static str,
}

impl Step {
    /// This operation on that file.
    pub(crate) fn of(op: DiskOp, file: &FileName) -> Step {
        Step { op, what: if COMPILED { kind(file) } else { "" } }
    }

    /// As [`Step::of`] for a rename: the less telling of its two names is a segment's.
    pub(crate) fn renames(from: &FileName, to: &FileName) -> Step {
        let step = Step::of(DiskOp::Rename, from);
        if step.what == "log" { Step::of(DiskOp::Rename, to) } else { step }
    }

    /// Dies here if here is where a test wants it.
    pub(crate) fn reached(self, moment: Moment) {
        if COMPILED && let Some(wanted) = &*WANTED {
            wanted.reached(&format!("{moment:?} {:?} {}", self.op, self.what).to_lowercase());
        }
    }
}

struct Wanted {
    step: String,
    hit: u64,
    only_while: Option<PathBuf>,
    trace: Option<PathBuf>,
    hits: AtomicU64,
    seen: Mutex<BTreeSet<String>>,
}

static WANTED: LazyLock<Option<Wanted>> = LazyLock::new(|| {
    let text = |name: &str| std::env::var(name).ok();
    let (step, trace) = (text("FAILPOINT"), text("FAILPOINT_TRACE"));
    if step.is_none() && trace.is_none() {
        return None;
    }
    Some(Wanted {
        step: step.unwrap_or_default(),
        hit: text("FAILPOINT_HIT").map_or(1, |hit| hit.parse().expect("FAILPOINT_HIT is a number")),
        only_while: text("FAILPOINT_WHILE").map(PathBuf::from),
        trace: trace.map(PathBuf::from),
        hits: AtomicU64::new(0),
        seen: Mutex::default(),
    })
});

impl Wanted {
    fn reached(&self, step: &str) {
        if self.only_while.as_ref().is_some_and(|file| !file.exists()) {
            return;
        }
        if let Some(trace) = &self.trace
            && self.seen.lock().expect("no holder panics").insert(step.to_owned())
        {
            let mut out = OpenOptions::new().create(true).append(true).open(trace).expect("a trace");
            // In one write: other threads append to it too.
            out.write_all(format!("{step}\n").as_bytes()).expect("traced");
        }
        if step == self.step && self.hits.fetch_add(1, Ordering::Relaxed) + 1 == self.hit {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}

/// What a file is, by its name.
fn kind(file: &FileName) -> &'static str {
    const STARTS: [(&str, &str); 6] = [
        ("dead-", "dead"),
        ("journal-", "journal"),
        ("damaged-", "damaged"),
        ("checkpoint-", "checkpoint"),
        ("free-", "free"),
        ("snapshot", "metadata-snapshot"),
    ];
    const ENDS: [(&str, &str); 6] = [
        (".cleaned", "cleaned"),
        (".deleted", "deleted"),
        (".log", "log"),
        (".timeindex", "timeindex"),
        (".index", "index"),
        (".snapshot", "snapshot"),
    ];
    const WHOLE: [(&str, &str); 6] = [
        ("clock", "clock"),
        ("ballast", "ballast"),
        ("swap", "swap"),
        ("scrub", "scrub"),
        ("leader-epoch-checkpoint", "leader-epochs"),
        ("partition.metadata", "partition-metadata"),
    ];
    let (path, base) = (file.as_str(), file.base());
    let found = WHOLE.iter().find(|(name, _)| base == *name);
    let found = found.or_else(|| ENDS.iter().find(|(end, _)| base.ends_with(end)));
    let found = found.or_else(|| STARTS.iter().find(|(start, _)| base.starts_with(start)));
    match (found, path.split('/').next(), path.matches('/').count()) {
        (Some((_, kind)), _, _) => kind,
        (None, Some("meta"), 0) => "metadata-dir",
        (None, Some("meta"), _) => "metadata",
        (None, Some("cores"), _) => "core-dir",
        (None, Some("topics"), 1) => "topic-dir",
        (None, Some("topics"), _) => "partition-dir",
        _ => "data-dir",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_file_has_its_name() {
        let of = |name: &str| kind(&FileName::new(name));
        assert_eq!(of("cores/0/journal-00000001"), "journal");
        assert_eq!(of("cores/0/checkpoint-1"), "checkpoint");
        assert_eq!(of("topics/5f0c/0/00000000000000000000.index"), "index");
        assert_eq!(of("topics/5f0c/0/00000000000000000000.timeindex"), "timeindex");
        assert_eq!(of("topics/5f0c/0/00000000000000000000.index.cleaned"), "cleaned");
        assert_eq!(of("topics/5f0c/0/leader-epoch-checkpoint"), "leader-epochs");
        assert_eq!([of("topics/5f0c/0"), of("topics/5f0c")], ["partition-dir", "topic-dir"]);
        assert_eq!([of("meta"), of("meta/log-00000000000000000001")], ["metadata-dir", "metadata"]);
    }
}
