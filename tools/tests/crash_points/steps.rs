//! The steps at which a broker dies, and when.

use std::fmt;

/// What a broker is doing when its step counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// It starts on an empty directory, and clients begin.
    First,
    /// Clients write, commit, create, delete.
    Load,
    /// The same, and the metadata log is nearly full.
    Full,
    /// It recovers what one left that was killed.
    Start,
    /// It was asked to stop.
    Stop,
}
use Phase::{First, Full, Load, Start, Stop};

/// One death.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) phase: Phase,
    /// As `store::failpoint` names it.
    pub(crate) step: String,
    /// The how manieth time.
    pub(crate) hit: u64,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} ({})", self.phase, self.step, self.hit)
    }
}

/// Steps that change something, each with when it is taken and the highest of its times that is chosen.
#[rustfmt::skip]
const STEPS: &[(&str, &[(Phase, u64)])] = &[
    ("makedir core-dir", &[(First, 2)]),
    ("makedir metadata-dir", &[(First, 1)]),
    ("makedir partition-dir", &[(Load, 3)]),
    ("syncdir core-dir", &[(First, 2), (Load, 2), (Start, 1)]),
    ("syncdir metadata-dir", &[(First, 1), (Full, 1)]),
    ("syncdir partition-dir", &[(Load, 3)]),
    ("syncdir data-dir", &[]),
    ("open journal", &[(First, 2)]),
    ("allocate journal", &[(First, 2)]),
    ("write journal", &[(First, 1), (Load, 60)]),
    ("flush journal", &[(First, 1), (Load, 60)]),
    ("remove journal", &[]),
    ("open checkpoint", &[(First, 2)]),
    ("write checkpoint", &[(Load, 3), (Start, 2), (Stop, 2)]),
    ("flush checkpoint", &[(Load, 3), (Start, 2), (Stop, 2)]),
    ("open log", &[(Load, 6), (Start, 2)]),
    ("allocate log", &[(Load, 6)]),
    ("write log", &[(Load, 40), (Start, 4)]),
    ("flush log", &[(Load, 8), (Start, 1), (Stop, 2)]),
    ("truncate log", &[(Load, 3), (Stop, 3)]),
    ("remove log", &[(Load, 1)]),
    ("rename free", &[(Load, 3)]),
    ("open index", &[(Load, 2)]),
    ("write index", &[(Load, 2), (Stop, 1)]),
    ("truncate index", &[(Load, 2), (Stop, 1)]),
    ("flush index", &[(Load, 2)]),
    ("remove index", &[(Load, 2)]),
    ("open timeindex", &[]),
    ("write timeindex", &[(Stop, 1)]),
    ("truncate timeindex", &[(Stop, 1)]),
    ("flush timeindex", &[(Load, 1)]),
    ("remove timeindex", &[]),
    ("replace snapshot", &[(Load, 3), (Stop, 2)]),
    ("remove snapshot", &[(Load, 2)]),
    ("replace leader-epochs", &[(Stop, 2)]),
    ("replace partition-metadata", &[(Stop, 2)]),
    ("remove partition-dir", &[(Load, 2)]),
    ("remove topic-dir", &[(Load, 1)]),
    ("open cleaned", &[(Load, 2)]),
    ("write cleaned", &[(Load, 3)]),
    ("truncate cleaned", &[(Load, 2)]),
    ("flush cleaned", &[(Load, 3)]),
    ("rename deleted", &[(Load, 1)]),
    ("rename cleaned", &[(Load, 4)]),
    ("remove cleaned", &[]),
    ("remove deleted", &[(Load, 2)]),
    ("replace swap", &[(Load, 4)]),
    ("remove swap", &[(Load, 2)]),
    ("open metadata", &[(First, 1), (Full, 1)]),
    ("write metadata", &[(First, 1), (Load, 4), (Start, 1)]),
    ("flush metadata", &[(First, 1), (Load, 4), (Start, 1)]),
    ("remove metadata", &[(Full, 1)]),
    ("replace metadata-snapshot", &[(Full, 1)]),
    ("open ballast", &[(First, 1)]),
    ("allocate ballast", &[(First, 1)]),
    ("replace clock", &[]),
    ("rename dead", &[]),
    ("truncate dead", &[]),
    ("remove dead", &[]),
    ("replace scrub", &[(Stop, 1)]),
];

/// Steps that change nothing.
const READS: [&str; 3] = ["read", "list", "open"];

/// Every death.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for (step, phases) in STEPS {
        for &(phase, hits) in *phases {
            for moment in moments(step) {
                // xorshift: another time for each, and the same in every run.
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                cases.push(Case { phase, step: format!("{moment} {step}"), hit: 1 + random % hits });
            }
        }
    }
    cases
}

fn moments(step: &str) -> &'static [&'static str] {
    if step.starts_with("replace ") { &["before", "inside", "after"] } else { &["before", "after"] }
}

/// Whether the table has a step.
pub(crate) fn knows(step: &str) -> bool {
    let (_, step) = step.split_once(' ').expect("a moment and a step");
    let reads = READS.iter().any(|read| step.split(' ').next() == Some(read));
    reads || STEPS.iter().any(|(known, _)| *known == step)
}
