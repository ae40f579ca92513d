//! The partitions of a member, as consumers tell them each other.

use std::collections::BTreeMap;

use wire::DecodeError;
use wire::stored::consumer_protocol::{assignment, assignment_bytes};

/// Partitions by topic.
pub(in crate::cli) type Parts = BTreeMap<String, Vec<i32>>;

/// The partitions that an assignment gives; no bytes are none.
pub(in crate::cli) fn parts_of(bytes: &[u8]) -> Result<Parts, DecodeError> {
    let mut parts = Parts::new();
    for (topic, partitions) in assignment(bytes)? {
        parts.entry(topic.to_owned()).or_default().extend(partitions);
    }
    Ok(parts)
}

/// The assignment that gives these partitions, in the version that every client reads.
pub(in crate::cli) fn bytes_of(parts: &Parts) -> Vec<u8> {
    let topics: Vec<_> = parts.iter().map(|(topic, list)| (topic.as_str(), list.clone())).collect();
    assignment_bytes(0, &topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let parts = Parts::from([("orders".to_owned(), vec![0, 2]), ("returns".to_owned(), vec![])]);
        assert_eq!(parts_of(&bytes_of(&parts)), Ok(parts));
    }

    #[test]
    fn a_member_without_a_part_has_none() {
        assert_eq!(parts_of(&[]), Ok(Parts::new()));
    }

    #[test]
    fn a_count_that_lies_is_refused() {
        assert!(parts_of(&[0, 0, 0x7f, 0xff, 0xff, 0xff]).is_err());
    }
}
