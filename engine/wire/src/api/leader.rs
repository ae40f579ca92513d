//! Hints to the current leader (KIP-951), shared by Produce and Fetch responses. Both are carried
//! only in tagged fields, which have versions of their own.

use std::borrow::Cow;

message! {
    /// Who leads a partition now. The default, -1 and -1, means "no hint".
    pub struct LeaderIdAndEpoch {
        /// Node id of the leader, -1 if unknown.
        0.. => leader_id: i32 = -1;
        /// Its epoch, -1 if unknown.
        0.. => leader_epoch: i32 = -1;
    }
}

message! {
    /// Where a node named as a leader can be reached.
    pub struct NodeEndpoint<'a> {
        /// Node id.
        0.. => node_id: i32;
        /// Host name or address.
        0.. => host: Cow<'a, str>;
        /// Port.
        0.. => port: i32;
        /// Rack, if it has one.
        0.. => rack: Option<Cow<'a, str>>;
    }
}
