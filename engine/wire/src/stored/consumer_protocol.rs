//! What consumers of the classic protocol put into a group's opaque bytes: subscription and assignment.
//!
//! ```text
//! subscription  version i16 · topics [string] · user data bytes
//!               from 1: owned [topic string, partitions [i32]] · from 2: generation i32 · from 3: rack string
//! assignment    version i16 · [topic string, partitions [i32]] · user data bytes
//! ```
//!
//! Lengths are classic. A newer version has its additions behind and is read as far as it is known.

use crate::codec::{DecodeError, Field, Reader, Shape, Writer};

const SHAPE: Shape = Shape { version: 0, flexible: false };

/// Partitions of a topic.
pub type TopicPartitions<'a> = (&'a str, Vec<i32>);

/// What a member wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription<'a> {
    /// The version that the member speaks.
    pub version: i16,
    /// Topics that it wants.
    pub topics: Vec<&'a str>,
    /// What it owns.
    pub owned: Vec<TopicPartitions<'a>>,
    /// The generation in which it owns that, -1 unknown.
    pub generation: i32,
    /// Its rack.
    pub rack: Option<&'a str>,
}

impl<'a> Subscription<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are none.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Subscription<'a>, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.i16()?;
        if version < 0 {
            return Err(DecodeError::StoredVersion { version });
        }
        let topics = Vec::read(&mut r, SHAPE)?;
        r.bytes(SHAPE)?;
        let owned = if version >= 1 { topic_partitions(&mut r)? } else { Vec::new() };
        let generation = if version >= 2 { r.i32()? } else { -1 };
        let rack = if version >= 3 { r.string(SHAPE)? } else { None };
        Ok(Subscription { version, topics, owned, generation, rack })
    }
}

/// The bytes of a subscription to these topics, in version 0.
#[must_use]
pub fn subscription_bytes(topics: &[&str]) -> Vec<u8> {
    let mut w = Writer::new();
    w.i16(0);
    w.count(Some(topics.len()), SHAPE);
    topics.iter().for_each(|topic| w.string(Some(topic), SHAPE));
    w.bytes_length(None, SHAPE);
    w.into_head()
}

/// What a member has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Assignment<'a> {
    /// The partitions.
    pub topics: Vec<TopicPartitions<'a>>,
    /// What the leader's assignor says to the member's, empty for Kafka's own ones.
    pub user_data: &'a [u8],
}

impl<'a> Assignment<'a> {
    /// Reads one; no bytes at all are an empty one.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are none.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Assignment<'a>, DecodeError> {
        if bytes.is_empty() {
            return Ok(Assignment::default());
        }
        let mut r = Reader::new(bytes);
        let version = r.i16()?;
        if version < 0 {
            return Err(DecodeError::StoredVersion { version });
        }
        let topics = topic_partitions(&mut r)?;
        // Some clients leave it out where there is none.
        let user_data = if r.remaining() == 0 { None } else { r.bytes(SHAPE)? };
        Ok(Assignment { topics, user_data: user_data.unwrap_or_default() })
    }
}

/// Reads the partitions of an assignment; no bytes at all are an empty one.
///
/// # Errors
/// [`DecodeError`] for bytes that are none.
pub fn assignment(bytes: &[u8]) -> Result<Vec<TopicPartitions<'_>>, DecodeError> {
    Assignment::from_bytes(bytes).map(|assignment| assignment.topics)
}

/// The bytes of an assignment without user data, in the version that the member speaks.
#[must_use]
pub fn assignment_bytes(version: i16, topics: &[TopicPartitions<'_>]) -> Vec<u8> {
    let mut w = Writer::new();
    w.i16(version);
    w.count(Some(topics.len()), SHAPE);
    for (topic, partitions) in topics {
        w.string(Some(topic), SHAPE);
        partitions.write(&mut w, SHAPE);
    }
    w.bytes_length(None, SHAPE);
    w.into_head()
}

fn topic_partitions<'a>(r: &mut Reader<'a>) -> Result<Vec<TopicPartitions<'a>>, DecodeError> {
    // A name's length and a count, at least.
    const SIZE_MIN: usize = 6;
    let count = r.count(SIZE_MIN, SHAPE)?.unwrap_or(0);
    let mut list = Vec::with_capacity(count as usize);
    for _ in 0..count {
        list.push((<&str>::read(r, SHAPE)?, Vec::read(r, SHAPE)?));
    }
    Ok(list)
}
