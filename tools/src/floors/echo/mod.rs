//! Durable echo: receive records, write them into a file that was written before, `fdatasync`,
//! reply. No protocol, no checksum, no copy that the kernel does not make: the least that any broker
//! must do whose acknowledgement means *on disk*.
//!
//! | file | what |
//! |---|---|
//! | `server` | one thread: whatever has arrived becomes one write and one flush, then all of it is answered |
//! | `pipeline` | two threads on one core: while one flushes, the other receives |
//! | `client` | one request at a time, records at a given rate (open loop), or as fast as they are answered |
//!
//! On the wire a record is `record_bytes` bytes of anything, its reply 8 bytes; replies come in the
//! order of records, so neither needs a name.

mod client;
mod pipeline;
mod server;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::aligned::{Aligned, BLOCK_BYTES};
use super::cores::Cores;
use super::network::{Wait, between};
use super::sample::Sample;

/// Bytes of one reply.
const REPLY_BYTES: usize = 8;

/// The largest group: one write and one flush.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// Where records go: a file that was written before, from its start to its end and again.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) file: File,
    pub(super) file_bytes: u64,
}

/// A journal with its place.
#[derive(Debug)]
struct Head<'a> {
    journal: &'a Journal,
    at: u64,
}

impl Head<'_> {
    fn new(journal: &Journal) -> Head<'_> {
        assert!(journal.file_bytes >= GROUP_BYTES_MAX as u64, "a group fits");
        Head { journal, at: 0 }
    }

    /// Writes the first `len` bytes of `group`, padded to whole blocks, and flushes them.
    fn append(&mut self, group: &Aligned, len: usize) -> io::Result<()> {
        let len = len.next_multiple_of(BLOCK_BYTES);
        if self.at + len as u64 > self.journal.file_bytes {
            self.at = 0;
        }
        self.journal.file.write_all_at(&group[..len], self.at)?;
        self.at += len as u64;
        self.journal.file.sync_data()
    }
}

/// How records come.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Pace {
    /// One at a time; the server waits for the next like this.
    One(Wait),
    /// Open loop, Poisson, whatever the server does; latency counts from the planned time.
    Rate {
        /// Records a second.
        records_per_s: f64,
    },
    /// As many as are answered, a bounded window of them on their way.
    Saturated,
}

/// Echoes records of `record_bytes` into `journal` for as long as `time`.
pub(super) fn echo(
    journal: &Journal,
    record_bytes: usize,
    pace: Pace,
    cores: Cores,
    time: Duration,
    bytes_max: u64,
) -> io::Result<Sample> {
    assert!(record_bytes <= GROUP_BYTES_MAX, "a record fits into a group");
    match pace {
        Pace::One(wait) => between(
            cores,
            |stream| server::serve(stream, wait, journal, record_bytes),
            |stream| client::one_at_a_time(stream, cores, record_bytes, time),
        ),
        Pace::Rate { records_per_s } => between(
            cores,
            |stream| server::serve(stream, Wait::Block, journal, record_bytes),
            |stream| client::at_rate(stream, record_bytes, records_per_s, time, bytes_max),
        ),
        Pace::Saturated => between(
            cores,
            |stream| pipeline::serve(stream, journal, record_bytes, cores.server),
            |stream| client::saturating(stream, record_bytes, time, bytes_max),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{Scratch, Space, on_a_disk};
    use super::*;

    /// Echoes into a small file below the build directory.
    fn short(record_bytes: usize, pace: Pace) -> Sample {
        let dir = on_a_disk();
        let mut scratch = Scratch::new(dir.path(), 4 << 20).expect("scratch space");
        let file = scratch.open(Space::Recycled, false).expect("direct I/O");
        let journal = Journal { file, file_bytes: scratch.file_bytes() };
        echo(&journal, record_bytes, pace, Cores::default(), Duration::from_millis(60), 1 << 30)
            .expect("an echo")
    }

    #[test]
    fn one_at_a_time_is_answered_each_time() {
        let sample = short(1_000, Pace::One(Wait::Block));
        assert!(sample.operations > 0);
        assert_eq!((sample.bytes, sample.latency.len()), (1_000 * sample.operations, sample.operations));
    }

    /// Groups end between records or within them, and the journal begins again at its end.
    #[test]
    fn a_saturated_echo_answers_all_that_was_sent() {
        let sample = short(70_001, Pace::Saturated);
        assert!(sample.operations > 0);
        assert_eq!(sample.bytes, 70_001 * sample.operations);
    }

    #[test]
    fn at_a_rate_every_planned_record_has_a_latency() {
        let sample = short(100, Pace::Rate { records_per_s: 20_000.0 });
        assert!(!sample.latency.is_empty());
        assert_eq!(sample.latency.len(), sample.operations);
        assert_eq!(sample.bytes, 100 * sample.operations);
    }
}
