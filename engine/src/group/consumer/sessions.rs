//! Signs of life of members, and the time that they have to give partitions up.

use super::state::{ConsumerGroup, Holding, Phase};
use crate::base::Instant;
use crate::config::GroupSettings;
use crate::group::timers::{Timer, Timers};

/// Until when a member is alive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Session {
    /// Silent for longer, it is dead.
    alive_until: Instant,
    /// When its timer fires, zero if none is set.
    watched_until: Instant,
    /// Set while it is timed to give partitions up, or to join again.
    revoke: Option<Revoke>,
}

/// What a member is to give up in an epoch, and until when.
#[derive(Clone, Copy, Debug)]
struct Revoke {
    epoch: i32,
    until: Instant,
}

impl ConsumerGroup {
    /// A sign of life of a member. Says too when it must have given up what it has to.
    pub(crate) fn keep_alive(
        &mut self,
        group: &str,
        id: &str,
        settings: &GroupSettings,
        now: Instant,
        timers: &mut Timers,
    ) {
        let Some(member) = self.members.get(id) else { return };
        let length =
            member.classic.as_ref().map_or_else(|| settings.consumer.session_of(group), |c| c.session);
        let session = self.sessions.entry(id.to_owned()).or_default();
        session.alive_until = now.after(length);
        if session.watched_until == Instant(0) || session.watched_until > session.alive_until {
            session.watched_until = session.alive_until;
            let timer = Timer::Session { group: group.to_owned(), member: id.to_owned() };
            timers.set(session.alive_until, timer);
        }
        // A member of the classic protocol has as long to join again when the group moved.
        let must_move =
            |h: &Holding| h.phase == Phase::Revoking || (member.classic.is_some() && h.epoch < self.epoch);
        match self.holdings.get(id) {
            Some(holding) if must_move(holding) => {
                if session.revoke.is_none_or(|r| r.epoch != holding.epoch) {
                    let until = now.after(member.rebalance);
                    session.revoke = Some(Revoke { epoch: holding.epoch, until });
                    timers.set(until, Timer::Revoke { group: group.to_owned(), member: id.to_owned() });
                }
            }
            _ => session.revoke = None,
        }
    }

    /// A member is to give up something else than before: it has its whole time for that.
    pub(super) fn time_anew(&mut self, id: &str, holding: &Holding) {
        let is_other = self.holdings.get(id).is_none_or(|old| old.revoking != holding.revoking);
        if let Some(session) = self.sessions.get_mut(id).filter(|_| is_other) {
            session.revoke = None;
        }
    }

    /// Every session begins anew: the group was just loaded.
    pub(crate) fn watch_all(
        &mut self,
        group: &str,
        settings: &GroupSettings,
        now: Instant,
        timers: &mut Timers,
    ) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        ids.iter().for_each(|id| self.keep_alive(group, id, settings, now, timers));
    }

    /// Whether a session is over whose timer fired at `at`. If not, it is watched on.
    pub(crate) fn session_is_over(
        &mut self,
        group: &str,
        id: &str,
        at: Instant,
        now: Instant,
        timers: &mut Timers,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(id).filter(|s| s.watched_until == at) else { return false };
        if session.alive_until <= now {
            return true;
        }
        session.watched_until = session.alive_until;
        timers.set(session.alive_until, Timer::Session { group: group.to_owned(), member: id.to_owned() });
        false
    }

    /// Members whose sessions are over, at most `max` of them.
    pub(crate) fn silent(&self, now: Instant, max: usize) -> Vec<String> {
        let over = self.sessions.iter().filter(|(_, s)| s.alive_until <= now).map(|(id, _)| id.clone());
        over.take(max).collect()
    }

    /// A dead member cannot go yet: its timer fires again at `at`.
    pub(crate) fn watch_again(&mut self, group: &str, id: &str, at: Instant, timers: &mut Timers) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.watched_until = at;
        timers.set(at, Timer::Session { group: group.to_owned(), member: id.to_owned() });
    }

    /// A member that clings cannot go yet: its timer fires again at `at`.
    pub(crate) fn watch_revoke_again(&self, group: &str, id: &str, at: Instant, timers: &mut Timers) {
        timers.set(at, Timer::Revoke { group: group.to_owned(), member: id.to_owned() });
    }

    /// Whether a member still has what it was to give up, or has not joined again, and its time is over.
    pub(crate) fn clings(&self, id: &str, now: Instant) -> bool {
        let Some(revoke) = self.sessions.get(id).and_then(|s| s.revoke).filter(|r| r.until <= now) else {
            return false;
        };
        let is_classic = self.members.get(id).is_some_and(|m| m.classic.is_some());
        let still = |h: &Holding| {
            h.epoch == revoke.epoch && (h.phase == Phase::Revoking || (is_classic && h.epoch < self.epoch))
        };
        self.holdings.get(id).is_some_and(still)
    }

    /// Members that cling, at most `max` of them.
    pub(crate) fn clinging(&self, now: Instant, max: usize) -> Vec<String> {
        self.sessions.keys().filter(|id| self.clings(id, now)).take(max).cloned().collect()
    }
}
