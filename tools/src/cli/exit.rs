//! Exit codes, and which error has which.
//!
//! | code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 2 | wrong usage or settings |
//! | 3 | a precondition is not met: disk, limits, kernel, port |
//! | 4 | no connection, or no answer in time |
//! | 5 | the data check found something |
//! | 6 | the run is invalid: the generator was late, the rate was not reached; a comparison has too few pairs |
//! | 10 | a comparison found a regression |
//! | 99 | a limit that was set does not hold |
//! | 130 | interrupted |

use std::fmt::Display;

use server::StartError;

use crate::bench::{child, disk};
use crate::compare::Refusal;
use crate::compare::noise::NoiseError;
use crate::load::LoadError;
use crate::load::client::ClientError;

/// Failed.
pub const FAILED: u8 = 1;
/// Wrong usage or settings; clap's own code too.
pub const USAGE: u8 = 2;
/// A precondition is not met.
pub const PRECONDITION: u8 = 3;
/// No connection, or no answer in time.
pub const CONNECTION: u8 = 4;
/// The data check found something.
pub const DATA_CHECK: u8 = 5;
/// The run says nothing about the broker.
pub const INVALID: u8 = 6;
/// A comparison found a regression.
pub const REGRESSION: u8 = 10;
/// A limit that was set does not hold; k6's code.
pub const SLO: u8 = 99;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// Wrong usage, found after parsing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

impl Usage {
    /// Says that `reason` is the user's to mend. Causes are part of the sentence.
    pub fn because(reason: impl Into<anyhow::Error>) -> Usage {
        Usage(format!("{:#}", reason.into()))
    }

    /// The same, in words.
    pub fn new(reason: impl Display) -> Usage {
        Usage(reason.to_string())
    }

    /// A partition was asked for that a topic of so many does not have.
    #[must_use]
    pub fn no_partition(topic: &str, partitions: usize, asked: i32) -> Usage {
        let last = partitions.saturating_sub(1);
        Usage(format!("{topic} has partitions 0 to {last}, no {asked}"))
    }
}

/// Something that this machine lacks, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Precondition(String);

impl Precondition {
    /// Says what is missing and how to get it.
    pub fn new(reason: impl Display) -> Precondition {
        Precondition(reason.to_string())
    }
}

/// The code of an error that ends the program.
#[must_use]
pub fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Usage>() {
            return USAGE;
        }
        if cause.is::<crate::versus::Interrupted>() {
            return INTERRUPTED;
        }
        if cause.is::<disk::Refusal>() || cause.is::<Precondition>() {
            return PRECONDITION;
        }
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return match refusal {
                Refusal::Unlike(_) => PRECONDITION,
                Refusal::Broken(_) => DATA_CHECK,
                Refusal::NoMetric { .. } => USAGE,
            };
        }
        if let Some(NoiseError::TooFew { .. }) = cause.downcast_ref::<NoiseError>() {
            return INVALID;
        }
        if let Some(not_ready) = cause.downcast_ref::<child::NotReady>() {
            return not_ready.code.and_then(|c| u8::try_from(c).ok()).filter(|c| *c != 0).unwrap_or(FAILED);
        }
        if cause.is::<crate::admin::Unreachable>() {
            return CONNECTION;
        }
        if let Some(e) = cause.downcast_ref::<StartError>() {
            return u8::try_from(e.exit_code()).unwrap_or(FAILED);
        }
        if let Some(e) = cause.downcast_ref::<LoadError>() {
            return of_load(e);
        }
        if let Some(e) = cause.downcast_ref::<ClientError>() {
            return of_client(e);
        }
    }
    FAILED
}

/// The code of what ended a load.
#[must_use]
pub fn of_load(error: &LoadError) -> u8 {
    match error {
        LoadError::Plan(_) => USAGE,
        LoadError::Client(e) => of_client(e),
        LoadError::Socket(_) => CONNECTION,
        LoadError::Io(_)
        | LoadError::Decode(_)
        | LoadError::Fetch { .. }
        | LoadError::NoVersion { .. }
        | LoadError::Unexpected { .. } => FAILED,
    }
}

fn of_client(error: &ClientError) -> u8 {
    if error.is_connection() { CONNECTION } else { FAILED }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_code() {
        let nobody = || ClientError::Connect {
            address: "h:1".to_string(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        let refusal = disk::Refusal::TooLittleRoom { dir: PathBuf::new(), needed: 1, free: 0 };
        let not_ready = child::NotReady { code: Some(3), said: "the port is taken".to_string() };
        let cases: [(anyhow::Error, u8); 8] = [
            (anyhow!("anything"), FAILED),
            (Usage::new("bad flag").into(), USAGE),
            (LoadError::Plan(crate::load::plan::PlanError::NoWindow).into(), USAGE),
            (refusal.into(), PRECONDITION),
            (not_ready.into(), PRECONDITION),
            (nobody().into(), CONNECTION),
            (LoadError::Client(nobody()).into(), CONNECTION),
            (StartError::Precondition("no io_uring".to_string()).into(), PRECONDITION),
        ];
        for (error, expected) in cases {
            let text = error.to_string();
            let wrapped = Err::<(), _>(error).context("while testing").expect_err("an error");
            assert_eq!(code(&wrapped), expected, "{text}");
        }
    }
}
