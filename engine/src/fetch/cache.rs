//! The sessions of one core.
//!
//! | epoch in the request | id 0 | another id |
//! |---|---|---|
//! | 0 | opens a session, if there is room | closes that one and opens another |
//! | −1 | no session | closes that one |
//! | else | FETCH_SESSION_ID_NOT_FOUND | goes on, if the epoch is the next one |

use std::time::Duration;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::session::{Asked, Outcome, Session, TopicRef};
use crate::base::Instant;

/// A session gives way to any other once it was idle for this long; one younger than this gives way to
/// none.
pub const SESSION_EVICTION: Duration = Duration::from_secs(120);

/// Sessions that give way to one newcomer at most: who opens a session of many partitions must not close
/// those of many clients.
pub const SESSION_VICTIMS_MAX: usize = 8;

/// What bounds a cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// Sessions at most: this core's share of `max.incremental.fetch.session.cache.slots`.
    pub slots: usize,
    /// Bytes that they may take together.
    pub bytes_max: usize,
}

/// Why a request cannot go on with its session. Each is told for the request as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SessionError {
    /// FETCH_SESSION_ID_NOT_FOUND (70): never opened here, evicted, or grown above the limit.
    #[error("no fetch session {id}")]
    NotFound {
        /// The id in the request.
        id: i32,
    },
    /// INVALID_FETCH_SESSION_EPOCH (71).
    #[error("fetch session {id} is at epoch {expected}, not {got}")]
    Epoch {
        /// The session.
        id: i32,
        /// The epoch of its next request.
        expected: i32,
        /// The request's.
        got: i32,
    },
    /// FETCH_SESSION_TOPIC_ID_ERROR (106): it names topics by id and the request by name, or the other
    /// way round.
    #[error("fetch session {id} names topics in the other form")]
    Form {
        /// The session.
        id: i32,
    },
}

struct Kept {
    session: Session,
    /// The epoch of its next request.
    epoch: i32,
    created: Instant,
    used: Instant,
}

impl Kept {
    fn has_lived(&self) -> bool {
        self.used.since(self.created) > SESSION_EVICTION
    }
}

/// Fetch sessions by id.
pub struct SessionCache {
    limits: SessionLimits,
    kept: FxHashMap<i32, Kept>,
    bytes: usize,
    evicted: u64,
}

impl SessionCache {
    /// No session yet.
    #[must_use]
    pub fn new(limits: SessionLimits) -> SessionCache {
        SessionCache { limits, kept: FxHashMap::default(), bytes: 0, evicted: 0 }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Bytes that they take together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sessions that had to give way since the start.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Opens a session for what was asked and is about to be told, in this order. `fresh` gives ids that
    /// are hard to guess; its first that is above zero and not in use is taken. 0 if there is no room:
    /// then the answer goes without a session.
    pub fn open<'t>(
        &mut self,
        now: Instant,
        by_id: bool,
        partitions: impl Iterator<Item = (TopicRef<'t>, Asked, Outcome)>,
        mut fresh: impl FnMut() -> i32,
    ) -> i32 {
        if self.limits.slots == 0 {
            return 0;
        }
        let mut session = Session::new(by_id);
        for (topic, asked, outcome) in partitions {
            let slot = session.ask(topic, asked);
            session.tell(slot, &outcome);
            if session.bytes() > self.limits.bytes_max {
                return 0;
            }
        }
        session.answered();
        if session.is_empty() || !self.make_room(now, &session) {
            return 0;
        }
        let id = loop {
            let id = fresh();
            if id > 0 && !self.kept.contains_key(&id) {
                break id;
            }
        };
        self.bytes += session.bytes();
        self.kept.insert(id, Kept { session, epoch: 1, created: now, used: now });
        id
    }

    /// Goes on with a session: what the request asks for is added or changed, what it forgets is
    /// dropped. `None` if nothing is left, which closes it.
    ///
    /// # Errors
    /// [`SessionError`]; the session stays as it was, unless it grew above the limit and is closed.
    pub fn go_on<'t>(
        &mut self,
        now: Instant,
        (id, epoch): (i32, i32),
        by_id: bool,
        asked: impl Iterator<Item = (TopicRef<'t>, Asked)>,
        forgotten: impl Iterator<Item = (TopicRef<'t>, i32)>,
    ) -> Result<Option<&Session>, SessionError> {
        let kept = self.kept.get_mut(&id).ok_or(SessionError::NotFound { id })?;
        if kept.epoch != epoch {
            return Err(SessionError::Epoch { id, expected: kept.epoch, got: epoch });
        }
        if kept.session.is_by_id() != by_id {
            return Err(SessionError::Form { id });
        }
        let before = kept.session.bytes();
        let room = self.limits.bytes_max.saturating_sub(self.bytes);
        for (topic, asked) in asked {
            kept.session.ask(topic, asked);
            // It is closed below: no more memory for it.
            if kept.session.bytes() - before > room {
                break;
            }
        }
        kept.session.forget(forgotten);
        self.bytes += kept.session.bytes() - before;
        kept.epoch = next_epoch(epoch);
        kept.used = now;
        if kept.session.is_empty() {
            self.close(id);
            return Ok(None);
        }
        if self.bytes > self.limits.bytes_max {
            self.close(id);
            return Err(SessionError::NotFound { id });
        }
        Ok(self.kept.get(&id).map(|kept| &kept.session))
    }

    /// The session of a request that went on with it at `epoch`, to answer that request.
    ///
    /// # Errors
    /// It was closed or used by another request meanwhile.
    pub fn answering(&mut self, id: i32, epoch: i32) -> Result<&mut Session, SessionError> {
        let kept = self.kept.get_mut(&id).ok_or(SessionError::NotFound { id })?;
        if kept.epoch != next_epoch(epoch) {
            return Err(SessionError::Epoch { id, expected: kept.epoch, got: epoch });
        }
        Ok(&mut kept.session)
    }

    /// Closes a session, if there is one of that id.
    pub fn close(&mut self, id: i32) {
        if let Some(kept) = self.kept.remove(&id) {
            self.bytes -= kept.session.bytes();
        }
    }

    /// Lets as many sessions go as one of this size needs, at most [`SESSION_VICTIMS_MAX`]; `false`, and
    /// none goes, if that is not enough.
    fn make_room(&mut self, now: Instant, wanted: &Session) -> bool {
        if wanted.bytes() > self.limits.bytes_max {
            return false;
        }
        let (mut sessions, mut bytes) = (self.kept.len(), self.bytes);
        let mut victims: SmallVec<[i32; SESSION_VICTIMS_MAX]> = SmallVec::new();
        while sessions >= self.limits.slots || bytes + wanted.bytes() > self.limits.bytes_max {
            if victims.len() == SESSION_VICTIMS_MAX {
                return false;
            }
            let Some(id) = self.evictable(now, wanted.len(), &victims) else { return false };
            sessions -= 1;
            bytes -= self.kept[&id].session.bytes();
            victims.push(id);
        }
        self.evicted += victims.len() as u64;
        victims.into_iter().for_each(|id| self.close(id));
        true
    }

    /// The session that gives way to one of `size` partitions beside the `victims`: the one idle longest, if
    /// that is longer than [`SESSION_EVICTION`]; else the smallest that has lived as long and is smaller.
    fn evictable(&self, now: Instant, size: usize, victims: &[i32]) -> Option<i32> {
        let left = || self.kept.iter().filter(|(id, _)| !victims.contains(id));
        let (id, oldest) = left().min_by_key(|(id, kept)| (kept.used, **id))?;
        if now.since(oldest.used) > SESSION_EVICTION {
            return Some(*id);
        }
        let lived = left().filter(|(_, kept)| kept.has_lived());
        let (id, smallest) = lived.min_by_key(|(id, kept)| (kept.session.len(), **id))?;
        (smallest.session.len() < size).then_some(*id)
    }
}

/// Epochs of a session: 1, 2, … 2^31 − 1, 1.
pub(super) fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}
