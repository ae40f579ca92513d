//! What the one binary `ringlog` is made of.
//!
//! | module | what |
//! |---|---|
//! | [`cli`] | the command line: subcommands, help, exit codes |
//! | [`admin`] | asking a running broker's admin endpoint |
//! | [`bench`] | the main job: a broker of its own, a load, a check, a report |
//! | [`compare`] | two sets of runs held against each other: pairs, intervals, verdict words |
//! | [`floors`] | what disk, loopback and processor can do without a broker |
//! | [`load`] | the load generator: a Kafka client that knows nothing of our broker |
//! | [`log`] | reading a data directory offline: dump and verify |
//! | [`versus`] | another broker under the same load, in turns with ours |
//! | [`report`] | what a run leaves behind: table, report.json, .hlog files, one offline page |
//!
//! `load` sees a broker as any client does: it imports `wire`, `engine::record` and
//! `engine::base`, nothing else of the house.

pub mod admin;
pub mod bench;
pub mod cli;
pub mod compare;
pub mod floors;
pub mod load;
pub mod log;
pub mod report;
pub mod versus;
