//! A coordinator with its log, its clients and its clock.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use engine::base::{Instant, Now, WallMs};
use engine::config::GroupSettings;
use engine::group::{
    Answer, AppendId, Ask, CommitAsk, CommitOffset, Coordinator, Effect, GroupError, JoinAnswer, JoinAsk,
    Leaver, MemberRef, Protocol, State, SyncAnswer, SyncAsk, Token,
};

pub(crate) const GROUP: &str = "shop";
pub(crate) const SESSION: Duration = Duration::from_secs(10);
pub(crate) const REBALANCE: Duration = Duration::from_secs(60);

pub(crate) type Record = (Vec<u8>, Option<Vec<u8>>);

/// A coordinator, its log and its clients.
pub(crate) struct World {
    pub(crate) coordinator: Coordinator,
    pub(crate) now: Duration,
    pub(crate) next: u64,
    pub(crate) answers: BTreeMap<u64, Answer>,
    /// Appends that are not durable yet, if they are held back.
    pub(crate) held: Option<Vec<(AppendId, Vec<Record>)>>,
    pub(crate) log: Vec<Record>,
}

pub(crate) fn settings() -> GroupSettings {
    GroupSettings { initial_rebalance_delay: Duration::ZERO, ..GroupSettings::default() }
}

impl World {
    pub(crate) fn new(settings: GroupSettings) -> World {
        let mut coordinator = Coordinator::new(settings);
        coordinator.loaded(at(Duration::from_secs(1)));
        World {
            coordinator,
            now: Duration::from_secs(1),
            next: 0,
            answers: BTreeMap::new(),
            held: None,
            log: Vec::new(),
        }
    }

    /// The broker is killed and starts again from what was durable.
    pub(crate) fn restart(self, settings: GroupSettings) -> World {
        let mut world = World::new(settings);
        world.coordinator = replayed(&self.log, self.now);
        let known = told(&world.coordinator);
        for compacted_to in [0, self.log.len() / 2, self.log.len()] {
            for tombstones in [true, false] {
                let log = compacted(&self.log, compacted_to, tombstones);
                assert_eq!(told(&replayed(&log, self.now)), known, "compacted to {compacted_to}");
            }
        }
        world.now = self.now;
        world.log = self.log;
        world
    }

    pub(crate) fn ask(&mut self, ask: Ask) -> u64 {
        self.next += 1;
        let id = self.next;
        let mut out = Vec::new();
        self.coordinator.ask(at(self.now), Token(id), ask, &mut out);
        self.carry_out(out);
        id
    }

    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer(Token(id), answer) => {
                    assert!(self.answers.insert(id, answer).is_none(), "answered twice");
                }
                Effect::Append(id, records) => match &mut self.held {
                    Some(held) => held.push((id, records)),
                    None => self.append(id, records, Ok(())),
                },
            }
        }
        self.coordinator.check();
    }

    pub(crate) fn append(&mut self, id: AppendId, records: Vec<Record>, result: Result<(), GroupError>) {
        if result.is_ok() {
            self.log.extend(records);
        }
        let mut out = Vec::new();
        self.coordinator.appended(at(self.now), id, result, &mut out);
        self.carry_out(out);
    }

    pub(crate) fn hold(&mut self) {
        self.held = Some(Vec::new());
    }

    pub(crate) fn let_go(&mut self, result: Result<(), GroupError>) {
        for (id, records) in self.held.take().expect("held back") {
            self.append(id, records, result);
        }
    }

    /// Time passes, looked at ten times a second.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(100));
            self.look();
        }
    }

    pub(crate) fn look(&mut self) {
        let mut out = Vec::new();
        self.coordinator.tick(at(self.now), &mut out);
        self.carry_out(out);
    }

    pub(crate) fn answer(&mut self, id: u64) -> Answer {
        self.answers.remove(&id).expect("an answer by now")
    }

    pub(crate) fn waits(&self, id: u64) -> bool {
        !self.answers.contains_key(&id)
    }

    pub(crate) fn join(&mut self, member: &str, instance: Option<&str>, subscription: &'static str) -> u64 {
        self.next += 1;
        let ask = join(member, instance, subscription, self.next);
        self.ask(Ask::Join(ask))
    }

    pub(crate) fn joined(&mut self, id: u64) -> JoinAnswer {
        match self.answer(id) {
            Answer::Join(Ok(joined)) => joined,
            other => panic!("not a successful join: {other:?}"),
        }
    }

    pub(crate) fn join_error(&mut self, id: u64) -> (GroupError, String) {
        match self.answer(id) {
            Answer::Join(Err(error)) => error,
            other => panic!("not a failed join: {other:?}"),
        }
    }

    pub(crate) fn sync(&mut self, joined: &JoinAnswer, parts: &[(&str, &'static str)]) -> u64 {
        let assignments =
            parts.iter().map(|(id, part)| ((*id).to_owned(), Bytes::from_static(part.as_bytes()))).collect();
        self.ask(Ask::Sync(SyncAsk { who: who(joined), protocol_type: None, protocol: None, assignments }))
    }

    pub(crate) fn synced(&mut self, id: u64) -> SyncAnswer {
        match self.answer(id) {
            Answer::Sync(Ok(synced)) => synced,
            other => panic!("not a successful sync: {other:?}"),
        }
    }

    pub(crate) fn heartbeat(&mut self, joined: &JoinAnswer) -> Result<(), GroupError> {
        let id = self.ask(Ask::Heartbeat(who(joined)));
        match self.answer(id) {
            Answer::Heartbeat(result) => result,
            other => panic!("not a heartbeat: {other:?}"),
        }
    }

    pub(crate) fn commit(&mut self, who: MemberRef, offset: i64) -> u64 {
        let offsets = vec![CommitOffset {
            topic: "orders".to_owned(),
            partition: 0,
            offset,
            leader_epoch: 3,
            metadata: "näin".to_owned(),
        }];
        self.ask(Ask::Commit(CommitAsk { who, knows_epochs: true, offsets }))
    }

    pub(crate) fn committed(&mut self, id: u64) -> Result<(), GroupError> {
        match self.answer(id) {
            Answer::Commit(results) => results[0],
            other => panic!("not a commit: {other:?}"),
        }
    }

    pub(crate) fn offset(&self) -> Option<i64> {
        let fetched = self.coordinator.fetch(GROUP, Some(&[("orders".to_owned(), 0)]));
        fetched[0].committed.as_ref().map(|c| c.offset)
    }

    pub(crate) fn state(&self) -> Option<State> {
        self.coordinator.describe(GROUP).map(|d| d.state)
    }

    /// A stable group of one.
    pub(crate) fn stable(&mut self) -> JoinAnswer {
        let id = self.join("", None, "a");
        let joined = self.joined(id);
        let id = self.sync(&joined, &[(&joined.member, "everything")]);
        assert_eq!(self.synced(id).assignment, "everything");
        joined
    }
}

/// A coordinator that has loaded this log.
fn replayed(log: &[Record], now: Duration) -> Coordinator {
    let mut coordinator = Coordinator::new(settings());
    for (key, value) in log {
        coordinator.replay(key, value.as_deref()).expect("our own record");
    }
    coordinator.loaded(at(now));
    coordinator
}

/// What compaction leaves of a log whose first part is in closed segments: of each key its last record
/// there, and its tombstone only until its time has come.
fn compacted(log: &[Record], closed: usize, tombstones: bool) -> Vec<Record> {
    let (clean, rest) = log.split_at(closed);
    let last: BTreeMap<&[u8], usize> = clean.iter().enumerate().map(|(i, (key, _))| (&key[..], i)).collect();
    let stays =
        |(i, (key, value)): &(usize, &Record)| last[&key[..]] == *i && (tombstones || value.is_some());
    let clean = clean.iter().enumerate().filter(stays).map(|(_, record)| record.clone());
    clean.chain(rest.iter().cloned()).collect()
}

/// Everything that a coordinator tells of its groups.
fn told(coordinator: &Coordinator) -> Vec<String> {
    let of = |group: &str| {
        let consumer = coordinator.describe_consumer(group);
        format!("{group} {:?} {consumer:?} {:?}", coordinator.describe(group), coordinator.fetch(group, None))
    };
    let mut all: Vec<String> = coordinator.list().map(|listed| of(&listed.group)).collect();
    all.sort();
    all
}

pub(crate) fn at(now: Duration) -> Now {
    Now { mono: Instant(now.as_nanos() as u64), wall: WallMs(1_700_000_000_000 + now.as_millis() as i64) }
}

pub(crate) fn join(member: &str, instance: Option<&str>, subscription: &'static str, fresh: u64) -> JoinAsk {
    JoinAsk {
        who: MemberRef {
            group: GROUP.to_owned(),
            generation: -1,
            member: member.to_owned(),
            instance: instance.map(str::to_owned),
        },
        fresh_id: format!("id{fresh}"),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session: SESSION,
        rebalance: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(subscription.as_bytes()),
        }],
        known_id_required: false,
        may_skip_assignment: false,
    }
}

pub(crate) fn who(joined: &JoinAnswer) -> MemberRef {
    MemberRef {
        group: GROUP.to_owned(),
        generation: joined.generation,
        member: joined.member.clone(),
        instance: None,
    }
}

pub(crate) fn leave(joined: &JoinAnswer) -> Ask {
    let member = Leaver { member: joined.member.clone(), instance: None };
    Ask::Leave { group: GROUP.to_owned(), members: vec![member] }
}

pub(crate) fn outsider() -> MemberRef {
    MemberRef { group: GROUP.to_owned(), generation: -1, ..MemberRef::default() }
}
