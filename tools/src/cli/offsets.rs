//! Offsets of partitions, as their leaders told them.

use std::collections::HashMap;

use wire::ErrorCode;

use super::cluster::{Place, refused};
use crate::load::client::ClientError;

/// For each partition that was asked for: its offset, or why there is none.
#[derive(Default)]
pub(super) struct Offsets(HashMap<Place, Result<i64, ErrorCode>>);

impl From<HashMap<Place, Result<i64, ErrorCode>>> for Offsets {
    fn from(told: HashMap<Place, Result<i64, ErrorCode>>) -> Offsets {
        Offsets(told)
    }
}

impl Offsets {
    /// A partition's offset, if its leader told it.
    pub(super) fn known(&self, place: &Place) -> Option<i64> {
        self.0.get(place).copied().and_then(Result::ok)
    }

    /// A partition's offset.
    ///
    /// # Errors
    /// The leader's, or UNKNOWN_TOPIC_OR_PARTITION where it told nothing.
    pub(super) fn of(&self, place: &Place) -> Result<i64, ClientError> {
        let code = match self.0.get(place) {
            Some(Ok(offset)) => return Ok(*offset),
            Some(Err(code)) => *code,
            None => ErrorCode::UnknownTopicOrPartition,
        };
        Err(refused(format!("offsets of {}/{}", place.0, place.1), code, None))
    }
}
