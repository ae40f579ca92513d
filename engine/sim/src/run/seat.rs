//! The coordinator of groups in one life of the machine, over the partition that keeps its records.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use engine::base::{Now, Signal};
use engine::broker::{FetchError, Shard, Ticket};
use engine::config::{ConsumerGroupSettings, GroupSettings};
use engine::group::{
    Answer, AppendId, Ask, CommitAsk, CommitOffset, Coordinator, Effect, GroupError, MemberRef, Refusal,
    Token,
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

/// How long a coordinator whose log cannot be read waits.
const READ_AGAIN: Duration = Duration::from_secs(1);

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

/// Why the groups cannot be read.
enum Unread {
    /// The disk refuses.
    Disk(FetchError),
    /// What it gave is wrong.
    Wrong(String),
}

impl From<FetchError> for Unread {
    fn from(error: FetchError) -> Unread {
        Unread::Disk(error)
    }
}

impl From<Unread> for String {
    fn from(why: Unread) -> String {
        match why {
            Unread::Disk(error) => error.to_string(),
            Unread::Wrong(text) => text,
        }
    }
}

/// Reads the groups that the log holds.
async fn read(world: &World, shard: &Shard<SimDisk>, files: &Files) -> Result<Coordinator, Unread> {
    let key = files.log.key();
    let mut coordinator = Coordinator::new(settings(files.offsets_retention));
    coordinator.follow(files.image.clone());
    let bounds = shard.bounds(key)?;
    let mut next = bounds.log_start;
    while next < bounds.high_watermark {
        let read = shard.read(key, next, 64 * 1024, true).await?;
        let bytes = joined::<SimDisk>(&read);
        let mut rest = &bytes[..];
        while let Some(header) = BatchHeader::peek(rest) {
            let total =
                header.total_bytes().ok_or_else(|| Unread::Wrong("a batch of no length".to_owned()))?;
            let payload = payload(&rest[..total], 1 << 20).map_err(|e| Unread::Wrong(e.to_string()))?;
            for record in Records::of(header, &payload) {
                let record = record.map_err(|e| Unread::Wrong(e.to_string()))?;
                coordinator
                    .replay(record.key.unwrap_or_default(), record.value)
                    .map_err(|e| Unread::Wrong(format!("{e:?}")))?;
            }
            next = header.next_offset();
            rest = &rest[total..];
        }
    }
    let mended = coordinator.loaded(world.now());
    if !mended.is_empty() {
        return Err(Unread::Wrong(format!("groups whose records contradict each other: {mended:?}")));
    }
    Ok(coordinator)
}

/// The answer of a machine that does not know what the log holds.
fn sent_away(ask: &Ask) -> Answer {
    const AWAY: GroupError = GroupError::NotCoordinator;
    match ask {
        Ask::Join(ask) => Answer::Join(Err((AWAY, ask.who.member.clone()))),
        Ask::Sync(_) => Answer::Sync(Err(AWAY)),
        Ask::Heartbeat(_) => Answer::Heartbeat(Err(AWAY)),
        Ask::ConsumerHeartbeat(_) => Answer::ConsumerHeartbeat(Err(Refusal::new(AWAY, String::new()))),
        Ask::Leave { .. } => Answer::Leave(Err(AWAY)),
        Ask::Commit(ask) => Answer::Commit(vec![Err(AWAY); ask.offsets.len()]),
        Ask::Delete { .. } => Answer::Delete(Err(AWAY)),
        Ask::DeleteOffsets { .. } => Answer::DeleteOffsets(Err(AWAY)),
    }
}

/// A coordinator that has loaded its groups.
pub(super) struct Seat {
    pub(super) world: World,
    pub(super) shard: Shard<SimDisk>,
    pub(super) files: Files,
    coordinator: RefCell<Coordinator>,
    /// The core went offline behind records of it: nothing is decided before the log is read again.
    in_doubt: Cell<bool>,
    appends: RefCell<VecDeque<(AppendId, Vec<Record>)>>,
    work: Signal,
    /// Who waits, and what they are told if they are sent away.
    waiting: RefCell<BTreeMap<u64, Answer>>,
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
        let coordinator = read(&world, &shard, &files).await?;
        let seat = Seat {
            world,
            shard,
            files,
            coordinator: RefCell::new(coordinator),
            in_doubt: Cell::new(false),
            appends: RefCell::default(),
            work: Signal::new(),
            waiting: RefCell::default(),
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
                    self.waiting.borrow_mut().remove(&id);
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
        if self.in_doubt.get() {
            return;
        }
        let mut out = Vec::new();
        self.coordinator.borrow_mut().tick(self.world.now(), &mut out);
        self.carry_out(out);
    }

    /// What is old by that time ends.
    pub(super) fn expire_at(&self, now: Now) {
        if self.in_doubt.get() {
            return;
        }
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
            let result = match sent {
                Some((ticket, base)) => {
                    if self.shard.until_durable(ticket).await.is_err() {
                        self.doubt(ticket).await?;
                        continue;
                    }
                    log.ledger.borrow_mut().acknowledge(base);
                    Ok(())
                }
                None => Err(GroupError::NotCoordinator),
            };
            let mut out = Vec::new();
            for id in ids {
                self.coordinator.borrow_mut().appended(self.world.now(), id, result, &mut out);
            }
            self.carry_out(out);
        }
    }

    /// The core went offline behind records of the coordinator: everybody is sent away, and when it is certain that
    /// they are durable the log is read again.
    async fn doubt(&self, ticket: Ticket) -> Finding {
        self.in_doubt.set(true);
        self.appends.borrow_mut().clear();
        self.answers.borrow_mut().append(&mut self.waiting.borrow_mut());
        self.answered.notify();
        self.shard.until_certain(ticket).await;
        let coordinator = loop {
            match read(&self.world, &self.shard, &self.files).await {
                Ok(coordinator) => break coordinator,
                Err(Unread::Disk(_)) => self.world.sleep(READ_AGAIN).await,
                Err(why) => return Err(why.into()),
            }
        };
        self.coordinator.replace(coordinator);
        self.in_doubt.set(false);
        Ok(())
    }

    /// One request, and its answer.
    pub(super) async fn ask(&self, ask: Ask) -> Answer {
        let away = sent_away(&ask);
        if self.in_doubt.get() {
            return away;
        }
        let id = self.next.replace(self.next.get() + 1);
        self.waiting.borrow_mut().insert(id, away);
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
