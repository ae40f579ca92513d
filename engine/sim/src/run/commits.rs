//! Groups that commit offsets, the coordinator that keeps them, and what was promised about them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use engine::base::Signal;
use engine::broker::Shard;
use engine::config::GroupSettings;
use engine::group::{
    Answer, AppendId, Ask, CommitAsk, CommitOffset, Coordinator, Effect, GroupError, MemberRef, Token,
};
use engine::record::{BatchBuilder, BatchHeader, Codec, Records, payload};

use super::ledger::joined;
use super::topic::{Finding, Topic};
use crate::disk::SimDisk;
use crate::world::World;

type Record = (Vec<u8>, Option<Vec<u8>>);

/// What groups committed, in the order in which they asked. Each value is told from every other.
#[derive(Default)]
pub(super) struct Commits {
    values: BTreeMap<(usize, usize), Committed>,
    next: i64,
    pub(super) acknowledged: u64,
}

#[derive(Default)]
struct Committed {
    /// Asked for and not known to be gone.
    asked: Vec<i64>,
    /// The first so many of them were acknowledged, or overtaken by one that was.
    promised: usize,
}

impl Commits {
    fn ask(&mut self, key: (usize, usize)) -> i64 {
        self.next += 1;
        self.values.entry(key).or_default().asked.push(self.next);
        self.next
    }

    fn acknowledge(&mut self, key: (usize, usize), value: i64) {
        self.acknowledged += 1;
        let committed = self.values.entry(key).or_default();
        if let Some(index) = committed.asked.iter().position(|v| *v == value) {
            committed.promised = committed.promised.max(index + 1);
        }
    }

    /// What a coordinator says is committed. It may not be older than what was promised; after a restart
    /// it is also all that there is.
    fn see(&mut self, key: (usize, usize), value: Option<i64>, restarted: bool) -> Finding {
        let committed = self.values.entry(key).or_default();
        let place = value.map_or(Some(0), |v| committed.asked.iter().position(|a| *a == v).map(|i| i + 1));
        let (group, topic) = key;
        let Some(place) = place else {
            return Err(format!("group {group}, topic {topic}: {value:?} was never committed"));
        };
        if place < committed.promised {
            let last = committed.asked[committed.promised - 1];
            return Err(format!("group {group}, topic {topic}: {value:?} is committed, {last} was promised"));
        }
        committed.promised = place;
        if restarted {
            committed.asked.truncate(place);
        }
        Ok(())
    }
}

/// A coordinator in one life of the machine, over the partition that keeps its records.
pub(super) struct Seat {
    world: World,
    shard: Shard<SimDisk>,
    log: Rc<Topic>,
    commits: Rc<RefCell<Commits>>,
    coordinator: RefCell<Coordinator>,
    appends: RefCell<VecDeque<(AppendId, Vec<Record>)>>,
    work: Signal,
    answers: RefCell<BTreeMap<u64, Answer>>,
    answered: Signal,
    next: Cell<u64>,
}

fn group_name(group: usize) -> String {
    format!("group-{group}")
}

fn topic_name(topic: usize) -> String {
    format!("topic-{topic}")
}

impl Seat {
    /// Loads what is committed and compares it with what was promised.
    pub(super) async fn load(
        world: World,
        shard: Shard<SimDisk>,
        log: Rc<Topic>,
        commits: Rc<RefCell<Commits>>,
    ) -> Result<Rc<Seat>, String> {
        let key = log.key();
        let mut coordinator = Coordinator::new(GroupSettings::default());
        let bounds = shard.bounds(key).map_err(|e| e.to_string())?;
        let mut next = bounds.log_start;
        while next < bounds.high_watermark {
            let read = shard.read(key, next, 64 * 1024, true).await.map_err(|e| e.to_string())?;
            let bytes = joined::<SimDisk>(&read);
            let mut rest = &bytes[..];
            while let Some(header) = BatchHeader::peek(rest) {
                let total = header.total_bytes().ok_or("a batch of no length")?;
                let payload = payload(&rest[..total], 1 << 20).map_err(|e| e.to_string())?;
                for record in Records::of(header, &payload) {
                    let record = record.map_err(|e| e.to_string())?;
                    coordinator
                        .replay(record.key.unwrap_or_default(), record.value)
                        .map_err(|e| format!("{e:?}"))?;
                }
                next = header.next_offset();
                rest = &rest[total..];
            }
        }
        coordinator.loaded(world.now());
        let seat = Seat {
            world,
            shard,
            log,
            commits,
            coordinator: RefCell::new(coordinator),
            appends: RefCell::default(),
            work: Signal::new(),
            answers: RefCell::default(),
            answered: Signal::new(),
            next: Cell::new(0),
        };
        let keys: Vec<(usize, usize)> = seat.commits.borrow().values.keys().copied().collect();
        for key in keys {
            seat.look(key, true)?;
        }
        Ok(Rc::new(seat))
    }

    fn look(&self, key: (usize, usize), restarted: bool) -> Finding {
        let (group, topic) = key;
        let fetched = self.coordinator.borrow().fetch(&group_name(group), Some(&[(topic_name(topic), 0)]));
        let value = fetched.first().and_then(|f| f.committed.as_ref()).map(|c| c.offset);
        self.commits.borrow_mut().see(key, value, restarted)
    }

    fn carry_out(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer(Token(id), answer) => {
                    self.answers.borrow_mut().insert(id, answer);
                    self.answered.notify();
                }
                Effect::Append(id, records) => {
                    self.appends.borrow_mut().push_back((id, records));
                    self.work.notify();
                }
            }
        }
        self.coordinator.borrow().check();
    }

    /// Appends what the coordinator wants appended, all that waits as one batch.
    pub(super) async fn serve(self: Rc<Self>) -> Finding {
        loop {
            let wait = self.work.wait();
            let (mut ids, mut records) = (Vec::new(), Vec::new());
            for (id, some) in self.appends.borrow_mut().drain(..) {
                ids.push(id);
                records.extend(some);
            }
            if ids.is_empty() {
                wait.await;
                continue;
            }
            let mut builder = BatchBuilder::new(Codec::None);
            for (key, value) in &records {
                builder.push(self.world.now().wall.0, Some(key), value.as_deref(), &[]);
            }
            let sent =
                self.log.store(&self.world, &self.shard, builder.finish(), records.len() as i64).await?;
            let durable = match sent {
                Some((ticket, base)) => {
                    let durable = self.shard.until_durable(ticket).await.is_ok();
                    if durable {
                        self.log.ledger.borrow_mut().acknowledge(base);
                    }
                    durable
                }
                None => false,
            };
            let result = if durable { Ok(()) } else { Err(GroupError::NotCoordinator) };
            let mut out = Vec::new();
            for id in ids {
                self.coordinator.borrow_mut().appended(self.world.now(), id, result, &mut out);
            }
            self.carry_out(out);
        }
    }

    /// One commit from outside of the group, and its answer.
    pub(super) async fn commit(self: Rc<Self>, group: usize, topic: usize) -> Finding {
        let key = (group, topic);
        let value = self.commits.borrow_mut().ask(key);
        let id = self.next.replace(self.next.get() + 1);
        let who = MemberRef { group: group_name(group), generation: -1, ..MemberRef::default() };
        let offset = CommitOffset {
            topic: topic_name(topic),
            partition: 0,
            offset: value,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let ask = Ask::Commit(CommitAsk { who, knows_epochs: true, offsets: vec![offset] });
        let mut out = Vec::new();
        self.coordinator.borrow_mut().ask(self.world.now(), Token(id), ask, &mut out);
        self.carry_out(out);
        let answer = loop {
            let wait = self.answered.wait();
            if let Some(answer) = self.answers.borrow_mut().remove(&id) {
                break answer;
            }
            wait.await;
        };
        match answer {
            Answer::Commit(results) if results == [Ok(())] => {
                self.world.note(&[5, value as u64], || format!("group {group} has committed {value}"));
                self.commits.borrow_mut().acknowledge(key, value);
                self.look(key, false)
            }
            Answer::Commit(_) => Ok(()),
            other => Err(format!("a commit was answered with {other:?}")),
        }
    }
}
