//! A real broker in a bad place: it is stopped for seconds, has few descriptors, or little memory.
//!
//! What cannot be arranged where the tests run says so on standard error and ends; `FAULT_CAGE=required` makes
//! that a failure.

#[path = "../../../server/tests/harness/mod.rs"]
mod harness;
#[path = "../crash_points/lane.rs"]
mod lane;
mod load;
mod memory;
mod pause;
#[path = "../process/mod.rs"]
mod process;

/// Settings of a small broker.
const SMALL: [&str; 4] = [
    "journal.first_file_bytes=4194304",
    "journal.file_bytes=8388608",
    "ringlog.disk.ballast.bytes=1048576",
    "offsets.topic.num.partitions=4",
];

/// A directory on a disk.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk")
}
