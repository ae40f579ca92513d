//! Topic names.

use super::{Refused, Why};

/// The longest topic name, in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// The metadata log's own name in Kafka, which no topic may have.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Checks a name against Kafka's rule: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..`.
///
/// # Errors
/// [`Why::InvalidTopic`], or [`Why::InvalidRequest`] for the metadata log's name.
pub fn check_topic_name(name: &str) -> Result<(), Refused> {
    let refuse = |reason: &str| Err(Refused::new(Why::InvalidTopic, format!("topic name {reason}")));
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    match name {
        "" => refuse("is empty"),
        "." | ".." => refuse("must not be '.' or '..'"),
        METADATA_TOPIC => {
            Err(Refused::new(Why::InvalidRequest, format!("{METADATA_TOPIC} is the metadata log")))
        }
        _ if name.len() > TOPIC_NAME_BYTES_MAX => {
            refuse(&format!("is {} bytes long, at most {TOPIC_NAME_BYTES_MAX} are allowed", name.len()))
        }
        _ if !name.bytes().all(legal) => refuse("may hold only ASCII letters, digits, '.', '_' and '-'"),
        _ => Ok(()),
    }
}

/// Names with one spelling here would share metrics: `.` and `_` count as the same.
pub(super) fn folded(name: &str) -> String {
    name.replace('.', "_")
}
