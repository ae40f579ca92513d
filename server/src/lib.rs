//! The broker process: what `ringlog serve` runs.
//!
//! | folder | what |
//! |---|---|
//! | `config` | settings: where they come from and which one wins |
//! | `limits` | bounds that no setting moves |
//! | `runtime` | clocks, counters, the order of replies, the memory of connections |
//! | `net` | sockets and frames; knows no Kafka |
//! | `shard` | what one core owns, mail between cores, acknowledgements, the cluster's metadata |
//! | `kafka` | one file per API key |
//! | `admin` | the metrics page |
//! | `start` | joins them: opens the data directory, recovers, starts one executor per core |

pub mod admin;
pub mod config;
pub mod kafka;
pub mod limits;
pub mod net;
pub mod runtime;
pub mod shard;
mod start;

const _: () = assert!(!engine::base::HAS_PLANTED_BUGS, "a server is never built with bugs on purpose");

pub use config::{Config, OWN, OwnDef, Refused, Sources};
pub use start::{Running, StartError, run, start};
