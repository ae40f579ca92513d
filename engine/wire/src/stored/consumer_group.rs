//! Values of consumer groups of the new protocol (KIP-848) in `__consumer_offsets`.
//!
//! | key version | key | value |
//! |---|---|---|
//! | 3 | group | [`EpochValue`]: the group's epoch |
//! | 4 | group | written by Kafka up to 4.0 and not read here |
//! | 5 | group, member | [`MemberValue`]: what a member said of itself |
//! | 6 | group | [`TargetEpochValue`]: the group epoch that the target assignment was made for |
//! | 7 | group, member | [`TargetValue`]: what a member shall have |
//! | 8 | group, member | [`CurrentValue`]: what a member has |
//! | 16 | group, pattern | [`RegexValue`]: the topics that a pattern matched |
//!
//! Every value has version 0, which is flexible; without a value the thing is gone.

use uuid::Uuid;

use crate::codec::{DecodeError, Field, Reader, Shape, Writer};

/// The only version of every value.
const SHAPE: Shape = Shape { version: 0, flexible: true };

message! {
    /// The epoch of a group.
    pub struct EpochValue {
        /// Rises with each change of members, subscriptions or topics.
        0.. => epoch: i32;
    }
    tags {
        /// Hash of the subscribed topics that the epoch was made for (KIP-1101).
        0, 0.. => metadata_hash: i64;
    }
}

message! {
    /// What a member said of itself.
    pub struct MemberValue<'a> {
        /// The static member that it is.
        0.. => instance_id: Option<&'a str>;
        /// Its rack.
        0.. => rack_id: Option<&'a str>;
        /// Its client id.
        0.. => client_id: &'a str;
        /// Its address.
        0.. => client_host: &'a str;
        /// Topics that it wants.
        0.. => subscribed_topic_names: Vec<&'a str>;
        /// Pattern of topics that it wants.
        0.. => subscribed_topic_regex: Option<&'a str>;
        /// How long it may take to give partitions up, ms.
        0.. => rebalance_timeout_ms: i32 = -1;
        /// The assignor that it wants.
        0.. => server_assignor: Option<&'a str>;
    }
    tags {
        /// Set if it speaks the classic protocol.
        0, 0.. => classic: Option<ClassicValue<'a>>;
    }
}

message! {
    /// What a member of the classic protocol has beside.
    pub struct ClassicValue<'a> {
        /// Its session time-out, ms.
        0.. => session_timeout_ms: i32;
        /// Its assignors.
        0.. => supported_protocols: Vec<ClassicProtocolValue<'a>>;
    }
}

nullable!(ClassicValue<'a>);

message! {
    /// An assignor of a member of the classic protocol.
    pub struct ClassicProtocolValue<'a> {
        /// Its name.
        0.. => name: &'a str;
        /// The subscription for it, opaque.
        0.. => metadata: &'a [u8];
    }
}

message! {
    /// For which epoch the target assignment was made.
    pub struct TargetEpochValue {
        /// The group epoch.
        0.. => assignment_epoch: i32;
    }
}

message! {
    /// What a member shall have.
    pub struct TargetValue {
        /// Partitions by topic.
        0.. => topic_partitions: Vec<TopicPartitions>;
    }
}

message! {
    /// What a member has.
    pub struct CurrentValue {
        /// The epoch that it is in.
        0.. => member_epoch: i32;
        /// The epoch before, which it may still name if an answer was lost.
        0.. => previous_member_epoch: i32;
        /// 0 stable, 1 has to give partitions up, 2 waits for partitions of others.
        0.. => state: i8;
        /// What it has.
        0.. => assigned_partitions: Vec<TopicPartitions>;
        /// What it has to give up.
        0.. => partitions_pending_revocation: Vec<TopicPartitions>;
    }
}

message! {
    /// Partitions of a topic.
    pub struct TopicPartitions {
        /// The topic.
        0.. => topic_id: Uuid;
        /// Its partitions.
        0.. => partitions: Vec<i32>;
    }
}

message! {
    /// The topics that a pattern matched.
    pub struct RegexValue<'a> {
        /// Their names.
        0.. => topics: Vec<&'a str>;
        /// The metadata's version at that time.
        0.. => version: i64;
        /// When, ms since the epoch.
        0.. => timestamp: i64;
    }
}

/// The bytes of a value, its version before it.
#[must_use]
pub fn to_bytes<'a>(value: &impl Field<'a>) -> Vec<u8> {
    let mut w = Writer::new();
    w.i16(SHAPE.version);
    value.write(&mut w, SHAPE);
    w.into_head()
}

/// Reads a value.
///
/// # Errors
/// [`DecodeError`] for bytes that are none, or of a newer version.
pub fn from_bytes<'a, V: Field<'a>>(bytes: &'a [u8]) -> Result<V, DecodeError> {
    let mut r = Reader::new(bytes);
    let version = r.i16()?;
    if version != SHAPE.version {
        return Err(DecodeError::StoredVersion { version });
    }
    V::read(&mut r, SHAPE)
}
