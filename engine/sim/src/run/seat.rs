//! The coordinator of groups in one life of the machine, over the partition that keeps its records.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use engine::base::{Now, Signal};
use engine::broker::Shard;
use engine::config::{ConsumerGroupSettings, GroupSettings};
use engine::group::{
    Answer, AppendId, Ask, CommitAsk, CommitOffset, Coordinator, Effect, GroupError, MemberRef, Token,
};
use engine::metadata::Image;
use engine::record::{BatchBuilder, BatchHeader, Codec, Records, payload};

use super::commits::{Commits, Place};
use super::crew::Crew;
use super::ledger::joined;
use super::topic::{Finding, Topic};
use crate::disk::SimDisk;
use crate::world::World;

type Record = (Vec<u8>, Option<Vec<u8>>);

/// Members may be silent for longer than a run lasts: who is out was told so.
pub(super) const FOR_EVER: Duration = Duration::from_secs(20 * 86_400);

/// What outlives the machine of its groups.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) log: Rc<Topic>,
    pub(super) commits: Rc<RefCell<Commits>>,
    pub(super) crew: Rc<Crew>,
    /// The topics that there are.
    pub(super) image: Image,
    /// How long unused offsets are kept.
    pub(super) offsets_retention: Duration,
}

/// A coordinator that has loaded its groups.
pub(super) struct Seat {
    pub(super) world: World,
    pub(super) shard: Shard<SimDisk>,
    pub(super) files: Files,
    coordinator: RefCell<Coordinator>,
    appends: RefCell<VecDeque<(AppendId, Vec<Record>)>>,
    work: Signal,
    answers: RefCell<BTreeMap<u64, Answer>>,
    answered: Signal,
    next: Cell<u64>,
}

/// The name of a group.
pub(super) fn group_name(group: usize) -> String {
    format!("group-{group}")
}

/// The name of a topic that groups read.
pub(super) fn topic_name(topic: usize) -> String {
    format!("topic-{topic}")
}

fn settings(offsets_retention: Duration) -> GroupSettings {
    let defaults = GroupSettings::default();
    GroupSettings {
        offsets_retention,
        initial_rebalance_delay: Duration::ZERO,
        session_timeout_max: FOR_EVER,
        consumer: ConsumerGroupSettings { session: FOR_EVER, ..defaults.consumer.clone() },
        ..defaults
    }
}

impl Seat {
    /// Loads what is committed and compares it with what was promised.
    pub(super) async fn load(world: World, shard: Shard<SimDisk>, files: Files) -> Result<Rc<Seat>, String> {
        let key = files.log.key();
        let mut coordinator = Coordinator::new(settings(files.offsets_retention));
        coordinator.follow(files.image.clone());
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
        let mended = coordinator.loaded(world.now());
        if !mended.is_empty() {
            return Err(format!("groups whose records contradict each other: {mended:?}"));
        }
        let seat = Seat {
            world,
            shard,
            files,
            coordinator: RefCell::new(coordinator),
            appends: RefCell::default(),
            work: Signal::new(),
            answers: RefCell::default(),
            answered: Signal::new(),
            next: Cell::new(0),
        };
        let places = seat.files.commits.borrow().places();
        for place in places {
            seat.look(place, true)?;
        }
        Ok(Rc::new(seat))
    }

    /// Groups that it knows.
    pub(super) fn groups(&self) -> usize {
        self.coordinator.borrow().list().count()
    }

    fn look(&self, place: Place, restarted: bool) -> Finding {
        let (group, topic) = place;
        let fetched = self.coordinator.borrow().fetch(&group_name(group), Some(&[(topic_name(topic), 0)]));
        let value = fetched.first().and_then(|f| f.committed.as_ref()).map(|c| c.offset);
        self.files.commits.borrow_mut().see(place, value, restarted)
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

    /// Time passes.
    pub(super) fn tick(&self) {
        let mut out = Vec::new();
        self.coordinator.borrow_mut().tick(self.world.now(), &mut out);
        self.carry_out(out);
    }

    /// What is old by that time ends.
    pub(super) fn expire_at(&self, now: Now) {
        let mut out = Vec::new();
        self.coordinator.borrow_mut().expire(now, &mut out);
        self.carry_out(out);
    }

    /// Whether a group that had members has none.
    pub(super) fn has_empty_group(&self) -> bool {
        let coordinator = self.coordinator.borrow();
        coordinator.list().any(|g| g.state == "Empty" && !g.protocol_type.is_empty())
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
            let log = &self.files.log;
            let sent = log.store(&self.world, &self.shard, builder.finish(), records.len() as i64).await?;
            let durable = match sent {
                Some((ticket, base)) => {
                    let durable = self.shard.until_durable(ticket).await.is_ok();
                    if durable {
                        log.ledger.borrow_mut().acknowledge(base);
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

    /// One request, and its answer.
    pub(super) async fn ask(&self, ask: Ask) -> Answer {
        let id = self.next.replace(self.next.get() + 1);
        let mut out = Vec::new();
        self.coordinator.borrow_mut().ask(self.world.now(), Token(id), ask, &mut out);
        self.carry_out(out);
        loop {
            let wait = self.answered.wait();
            if let Some(answer) = self.answers.borrow_mut().remove(&id) {
                return answer;
            }
            wait.await;
        }
    }

    /// One commit of somebody, and its answer: whether it stands.
    pub(super) async fn commit(&self, who: MemberRef, place: Place) -> Result<bool, String> {
        let value = self.files.commits.borrow_mut().ask(place, self.world.now().wall.0);
        let (group, topic) = place;
        let offset = CommitOffset {
            topic: topic_name(topic),
            partition: 0,
            offset: value,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let ask = Ask::Commit(CommitAsk { who, knows_epochs: true, offsets: vec![offset] });
        match self.ask(ask).await {
            Answer::Commit(results) if results == [Ok(())] => {
                self.world.note(&[5, value as u64], || format!("group {group} has committed {value}"));
                self.files.commits.borrow_mut().acknowledge(place, value);
                self.look(place, false)?;
                Ok(true)
            }
            Answer::Commit(_) => {
                self.files.commits.borrow_mut().refused(place);
                Ok(false)
            }
            other => Err(format!("a commit was answered with {other:?}")),
        }
    }

    /// One commit from outside of the group.
    pub(super) async fn commit_from_outside(self: Rc<Self>, place: Place) -> Finding {
        let who = MemberRef { group: group_name(place.0), generation: -1, ..MemberRef::default() };
        self.commit(who, place).await.map(drop)
    }

    /// What a group without members has committed ends.
    pub(super) async fn end(self: Rc<Self>, place: Place) -> Finding {
        let Some(value) = self.files.commits.borrow_mut().ask_end(place) else { return Ok(()) };
        let (group, partitions) = (group_name(place.0), vec![(topic_name(place.1), 0)]);
        match self.ask(Ask::DeleteOffsets { group, partitions }).await {
            Answer::DeleteOffsets(Ok(results)) if results == [Ok(())] => {
                self.world.note(&[11, value as u64], || format!("what {place:?} committed has ended"));
                self.files.commits.borrow_mut().acknowledge(place, value);
                self.look(place, false)
            }
            Answer::DeleteOffsets(Ok(_) | Err(GroupError::NotCoordinator)) => {
                self.files.commits.borrow_mut().refused(place);
                Ok(())
            }
            Answer::DeleteOffsets(Err(GroupError::GroupIdNotFound)) => {
                // There is none: as good as an end.
                self.files.commits.borrow_mut().refused(place);
                self.look(place, false)
            }
            other => Err(format!("the end of offsets was answered with {other:?}")),
        }
    }
}
