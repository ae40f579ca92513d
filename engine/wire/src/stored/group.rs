//! Records of `__consumer_offsets`.
//!
//! | key version | key | value |
//! |---|---|---|
//! | 0, 1 | group, topic, partition | [`OffsetValue`]: a committed offset; no value: deleted |
//! | 2 | group | [`GroupValue`]: members and assignments of a classic group; no value: gone |
//! | 3–8, 16 | see [`consumer_group`](super::consumer_group) | groups of the new protocol |
//!
//! Keys and the values that are written (version 3) have classic lengths; values of version 4 are
//! flexible and are read as well.

use crate::codec::{DecodeError, Field, Reader, Shape, Writer};

/// Key version of a committed offset.
pub const OFFSET_KEY: i16 = 1;
/// Key version of a classic group.
pub const GROUP_KEY: i16 = 2;
/// Key version of a consumer group's epoch.
pub const EPOCH_KEY: i16 = 3;
/// Key version of the partitions that Kafka up to 4.0 remembered of a group's topics.
pub const PARTITIONS_KEY: i16 = 4;
/// Key version of a consumer group's member.
pub const MEMBER_KEY: i16 = 5;
/// Key version of the epoch of a target assignment.
pub const TARGET_EPOCH_KEY: i16 = 6;
/// Key version of a member's target assignment.
pub const TARGET_KEY: i16 = 7;
/// Key version of what a member has.
pub const CURRENT_KEY: i16 = 8;
/// Key version of the topics of a pattern.
pub const REGEX_KEY: i16 = 16;
/// Value version that is written: what Kafka 2.3 and everything since reads.
const VALUE: i16 = 3;
/// The newest value version that is read.
const VALUE_MAX: i16 = 4;

message! {
    /// Which partition's offset of which group.
    pub struct OffsetKey<'a> {
        /// The group.
        0.. => group: &'a str;
        /// The topic.
        0.. => topic: &'a str;
        /// The partition.
        0.. => partition: i32;
    }
}

message! {
    /// A committed offset.
    pub struct OffsetValue<'a> {
        /// The offset of the next record to read.
        0.. => offset: i64;
        /// Leader epoch of the last record read, -1 unknown.
        3.. => leader_epoch: i32 = -1;
        /// Text of the client.
        0.. => metadata: &'a str;
        /// When it was committed, ms since the epoch.
        0.. => commit_timestamp: i64;
        /// When it may go, ms since the epoch.
        1 => expire_timestamp: i64 = -1;
    }
}

message! {
    /// Which group.
    pub struct GroupKey<'a> {
        /// The group.
        0.. => group: &'a str;
    }
}

message! {
    /// Which member of which group.
    pub struct MemberKey<'a> {
        /// The group.
        0.. => group: &'a str;
        /// The member.
        0.. => member: &'a str;
    }
}

message! {
    /// Which pattern of which group.
    pub struct RegexKey<'a> {
        /// The group.
        0.. => group: &'a str;
        /// The pattern.
        0.. => pattern: &'a str;
    }
}

message! {
    /// A classic group as its last completed rebalance left it.
    pub struct GroupValue<'a> {
        /// `consumer` for consumers.
        0.. => protocol_type: &'a str;
        /// The generation.
        0.. => generation: i32;
        /// The assignor, null for an empty group.
        0.. => protocol: Option<&'a str>;
        /// The leader, null for an empty group.
        0.. => leader: Option<&'a str>;
        /// Since when it is in its state, ms since the epoch; -1 unknown.
        2.. => current_state_timestamp: i64 = -1;
        /// The members.
        0.. => members: Vec<MemberValue<'a>>;
    }
}

message! {
    /// A member of a classic group.
    pub struct MemberValue<'a> {
        /// Its id.
        0.. => member_id: &'a str;
        /// The static member that it is.
        3.. => group_instance_id: Option<&'a str>;
        /// Its client id.
        0.. => client_id: &'a str;
        /// Its address.
        0.. => client_host: &'a str;
        /// Rebalance time-out, ms.
        1.. => rebalance_timeout: i32;
        /// Session time-out, ms.
        0.. => session_timeout: i32;
        /// Its subscription, opaque.
        0.. => subscription: &'a [u8];
        /// Its assignment, opaque.
        0.. => assignment: &'a [u8];
    }
}

/// A key of the topic.
#[derive(Clone, Debug, PartialEq)]
pub enum Key<'a> {
    /// A committed offset.
    Offset(OffsetKey<'a>),
    /// A classic group.
    Group(GroupKey<'a>),
    /// The epoch of a consumer group.
    Epoch(GroupKey<'a>),
    /// What Kafka up to 4.0 remembered of a group's topics.
    Partitions(GroupKey<'a>),
    /// A member of a consumer group.
    Member(MemberKey<'a>),
    /// The epoch of a consumer group's target assignment.
    TargetEpoch(GroupKey<'a>),
    /// What a member shall have.
    Target(MemberKey<'a>),
    /// What a member has.
    Current(MemberKey<'a>),
    /// The topics of a pattern.
    Regex(RegexKey<'a>),
    /// Of a version that this build does not know; a newer broker wrote it.
    Unknown(i16),
}

impl<'a> Key<'a> {
    /// Reads a key.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are none.
    pub fn read(bytes: &'a [u8]) -> Result<Key<'a>, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.i16()?;
        let shape = Shape { version, flexible: false };
        Ok(match version {
            0 | OFFSET_KEY => Key::Offset(OffsetKey::read(&mut r, shape)?),
            GROUP_KEY => Key::Group(GroupKey::read(&mut r, shape)?),
            EPOCH_KEY => Key::Epoch(GroupKey::read(&mut r, shape)?),
            PARTITIONS_KEY => Key::Partitions(GroupKey::read(&mut r, shape)?),
            MEMBER_KEY => Key::Member(MemberKey::read(&mut r, shape)?),
            TARGET_EPOCH_KEY => Key::TargetEpoch(GroupKey::read(&mut r, shape)?),
            TARGET_KEY => Key::Target(MemberKey::read(&mut r, shape)?),
            CURRENT_KEY => Key::Current(MemberKey::read(&mut r, shape)?),
            REGEX_KEY => Key::Regex(RegexKey::read(&mut r, shape)?),
            other => Key::Unknown(other),
        })
    }

    /// The bytes of the key.
    ///
    /// # Panics
    /// For an unknown one.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Key::Offset(key) => put(&mut w, OFFSET_KEY, key),
            Key::Group(key) => put(&mut w, GROUP_KEY, key),
            Key::Epoch(key) => put(&mut w, EPOCH_KEY, key),
            Key::Partitions(key) => put(&mut w, PARTITIONS_KEY, key),
            Key::Member(key) => put(&mut w, MEMBER_KEY, key),
            Key::TargetEpoch(key) => put(&mut w, TARGET_EPOCH_KEY, key),
            Key::Target(key) => put(&mut w, TARGET_KEY, key),
            Key::Current(key) => put(&mut w, CURRENT_KEY, key),
            Key::Regex(key) => put(&mut w, REGEX_KEY, key),
            Key::Unknown(version) => panic!("a key of unknown version {version} is never written"),
        }
        w.into_head()
    }
}

impl<'a> OffsetValue<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are none, or of a newer version.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        value(bytes)
    }

    /// The bytes of the value.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        put(&mut w, VALUE, self);
        w.into_head()
    }
}

impl<'a> GroupValue<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are none, or of a newer version.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        value(bytes)
    }

    /// The bytes of the value.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        put(&mut w, VALUE, self);
        w.into_head()
    }
}

fn put<'a>(w: &mut Writer, version: i16, fields: &impl Field<'a>) {
    w.i16(version);
    fields.write(w, Shape { version, flexible: false });
}

fn value<'a, V: Field<'a>>(bytes: &'a [u8]) -> Result<V, DecodeError> {
    let mut r = Reader::new(bytes);
    let version = r.i16()?;
    if !(0..=VALUE_MAX).contains(&version) {
        return Err(DecodeError::StoredVersion { version });
    }
    V::read(&mut r, Shape { version, flexible: version > VALUE })
}

/// A classic array of strings: the topics of a consumer's subscription.
///
/// # Errors
/// [`DecodeError`] for bytes that are none.
pub fn texts<'a>(r: &mut Reader<'a>) -> Result<Vec<&'a str>, DecodeError> {
    Vec::read(r, Shape { version: 0, flexible: false })
}
