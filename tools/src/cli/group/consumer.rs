//! The bytes with which the consumers of a group tell each other what they want and what they get: opaque
//! to the broker, the same in every client.
//!
//! | subscription | |   | assignment | |
//! |---|---|---|---|---|
//! | i16 | version | | i16 | version |
//! | array of string | topics | | array of (string, array of i32) | topics, and partitions of each |
//! | bytes | the assignor's own | | bytes | the assignor's own |
//! | … | more in later versions | | | |
//!
//! Both are read in any version: what later ones add stands behind.

use std::collections::BTreeMap;

use wire::codec::Shape;
use wire::{DecodeError, Reader, Writer};

/// Lengths of these bytes are never compact.
const SHAPE: Shape = Shape { version: 0, flexible: false };

/// Partitions by topic.
pub(in crate::cli) type Parts = BTreeMap<String, Vec<i32>>;

/// The topics that a member wants.
pub(in crate::cli) fn topics_of(subscription: &[u8]) -> Result<Vec<String>, DecodeError> {
    if subscription.is_empty() {
        return Ok(Vec::new());
    }
    let mut r = Reader::new(subscription);
    r.i16()?;
    Ok(wire::stored::group::texts(&mut r)?.into_iter().map(str::to_owned).collect())
}

/// The partitions that a member has.
pub(in crate::cli) fn parts_of(assignment: &[u8]) -> Result<Parts, DecodeError> {
    let mut parts = Parts::new();
    if assignment.is_empty() {
        return Ok(parts);
    }
    let mut r = Reader::new(assignment);
    r.i16()?;
    // A topic is at least a string's and an array's length.
    for _ in 0..r.count(6, SHAPE)?.unwrap_or(0) {
        let topic = r.string(SHAPE)?.unwrap_or_default().to_owned();
        let list: &mut Vec<i32> = parts.entry(topic).or_default();
        for _ in 0..r.count(4, SHAPE)?.unwrap_or(0) {
            list.push(r.i32()?);
        }
    }
    Ok(parts)
}

/// What a member that wants these topics says, in version 0.
pub(in crate::cli) fn subscription(topics: &[&str]) -> Vec<u8> {
    let mut w = Writer::new();
    w.i16(0);
    w.count(Some(topics.len()), SHAPE);
    topics.iter().for_each(|topic| w.string(Some(topic), SHAPE));
    w.bytes_length(None, SHAPE);
    w.into_head()
}

/// What the leader tells a member, in version 0.
pub(in crate::cli) fn assignment(parts: &Parts) -> Vec<u8> {
    let mut w = Writer::new();
    w.i16(0);
    w.count(Some(parts.len()), SHAPE);
    for (topic, partitions) in parts {
        w.string(Some(topic), SHAPE);
        w.count(Some(partitions.len()), SHAPE);
        partitions.iter().for_each(|partition| w.i32(*partition));
    }
    w.bytes_length(None, SHAPE);
    w.into_head()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let parts = Parts::from([("orders".to_owned(), vec![0, 2]), ("returns".to_owned(), vec![])]);
        assert_eq!(parts_of(&assignment(&parts)), Ok(parts));
        let topics = topics_of(&subscription(&["orders", "returns"]));
        assert_eq!(topics, Ok(vec!["orders".to_owned(), "returns".to_owned()]));
    }

    #[test]
    fn a_member_without_a_part_has_none() {
        assert_eq!(parts_of(&[]), Ok(Parts::new()));
    }

    #[test]
    fn a_count_that_lies_is_refused() {
        assert!(parts_of(&[0, 0, 0x7f, 0xff, 0xff, 0xff]).is_err());
        assert!(topics_of(&[0, 0, 0x7f, 0xff, 0xff, 0xff]).is_err());
    }
}
