//! A member of a group.

use std::time::Duration;

use bytes::Bytes;

use super::ask::{JoinAsk, Protocol};
use super::coordinator::Token;
use crate::base::Instant;

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session: Duration,
    pub(super) rebalance: Duration,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// Waits for the rebalance to complete.
    pub(super) joining: Option<Token>,
    /// Waits for the leader's assignment.
    pub(super) syncing: Option<Token>,
    /// Has not been through a rebalance yet.
    pub(super) is_new: bool,
    /// Has synced, or need not, in the current generation.
    pub(super) has_synced: bool,
    /// Silent for longer, it is dead.
    pub(super) alive_until: Instant,
    /// When its timer fires, zero if none is set.
    pub(super) watched_until: Instant,
}

impl Member {
    pub(super) fn new(id: String, ask: &JoinAsk) -> Member {
        Member {
            id,
            instance: ask.who.instance.clone(),
            client_id: ask.client_id.clone(),
            client_host: ask.client_host.clone(),
            session: ask.session,
            rebalance: ask.rebalance,
            protocols: ask.protocols.clone(),
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            is_new: true,
            has_synced: false,
            alive_until: Instant(0),
            watched_until: Instant(0),
        }
    }

    /// Takes over what a member that joins again says of itself.
    pub(super) fn update(&mut self, ask: &JoinAsk) {
        self.client_id.clone_from(&ask.client_id);
        self.client_host.clone_from(&ask.client_host);
        self.session = ask.session;
        self.rebalance = ask.rebalance;
        self.protocols.clone_from(&ask.protocols);
    }

    /// Its subscription for an assignor.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|p| p.name == protocol).map(|p| p.metadata.clone()).unwrap_or_default()
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|p| p.name == protocol)
    }

    /// Whether it cannot be dead: it waits for us, not we for it.
    pub(super) fn waits(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    /// Bytes that it makes us keep.
    pub(super) fn bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, String::len);
        let protocol = |p: &Protocol| size_of::<Protocol>() + p.name.len() + p.metadata.len();
        size_of::<Member>()
            + self.id.len()
            + instance
            + self.client_id.len()
            + self.client_host.len()
            + self.protocols.iter().map(protocol).sum::<usize>()
            + self.assignment.len()
    }
}
