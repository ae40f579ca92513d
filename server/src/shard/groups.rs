//! The coordinators of the consumer groups that this core owns: one for each of its partitions of
//! `__consumer_offsets`.
//!
//! A coordinator first replays its partition; until then it answers that it loads. What it appends
//! gathers while the append before is made durable, and leaves as one batch. If its core goes offline behind
//! an append, nobody knows yet whether that counts: everybody is sent away, and another coordinator reads
//! the log when it is certain. The decisions are [`engine::group`]'s; here are the clock and who waits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use engine::base::{Now, PartitionKey, Signal};
use engine::config::GroupSettings;
use engine::group::{
    Answer, AppendId, Ask, Coordinator, Described, DescribedConsumerGroup, Effect, Fetched, GroupError,
    Listed, Token,
};
use engine::record::{BatchBuilder, Codec};
use rustc_hash::FxHashMap;

use super::core::Core;
use super::group_log::{self, NotAppended};
use crate::runtime::{begin_work, clock, fair};

/// The topic in which groups live.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// How long a coordinator whose partition cannot be read waits before it tries again.
const LOAD_AGAIN: Duration = Duration::from_secs(5);

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Bytes of records that one batch gathers before it closes.
const BATCH_BYTES: usize = 256 << 10;

/// Why a coordinator cannot be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unready {
    /// It still replays its partition, or waits until that can be read.
    Loading,
    /// Its partition is not on this core, or it does not know what that holds, or the broker stops.
    Unavailable,
}

type Record = (Vec<u8>, Option<Vec<u8>>);

/// The coordinators of one core.
#[derive(Default)]
pub struct Groups {
    seats: RefCell<BTreeMap<i32, Rc<Seat>>>,
    filled: Signal,
}

/// One coordinator, its partition, and who waits for it.
struct Seat {
    key: PartitionKey,
    /// `None` while it loads.
    coordinator: RefCell<Option<Coordinator>>,
    /// By a number that is never used again: an answer that comes late must reach nobody else.
    waiting: RefCell<FxHashMap<u64, Rc<Waiter>>>,
    asked: Cell<u64>,
    appends: RefCell<VecDeque<(AppendId, Vec<Record>)>>,
    work: Signal,
    ended: Cell<bool>,
    expired_at: Cell<engine::base::Instant>,
}

#[derive(Default)]
struct Waiter {
    answer: RefCell<Option<Result<Answer, Unready>>>,
    answered: Signal,
}

impl Seat {
    fn new(key: PartitionKey) -> Seat {
        Seat {
            key,
            coordinator: RefCell::new(None),
            waiting: RefCell::new(FxHashMap::default()),
            asked: Cell::new(0),
            appends: RefCell::new(VecDeque::new()),
            work: Signal::new(),
            ended: Cell::new(false),
            expired_at: Cell::new(clock::now().mono),
        }
    }

    /// Lets the coordinator decide, and does what it wants done.
    fn step(&self, decide: impl FnOnce(&mut Coordinator, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        {
            let mut guard = self.coordinator.borrow_mut();
            let Some(coordinator) = guard.as_mut() else { return };
            decide(coordinator, &mut effects);
        }
        for effect in effects {
            match effect {
                Effect::Answer(Token(id), answer) => self.answer(id, Ok(answer)),
                Effect::Append(id, records) => {
                    self.appends.borrow_mut().push_back((id, records));
                    self.work.notify();
                }
            }
        }
    }

    fn answer(&self, id: u64, answer: Result<Answer, Unready>) {
        // Whoever asked may be gone with its connection.
        if let Some(waiter) = self.waiting.borrow_mut().remove(&id) {
            waiter.answer.replace(Some(answer));
            waiter.answered.notify();
        }
    }

    /// Everybody who waits is sent away; nothing more is decided here.
    fn end(&self) {
        self.ended.set(true);
        self.coordinator.replace(None);
        for (_, waiter) in self.waiting.borrow_mut().drain() {
            waiter.answer.replace(Some(Err(Unready::Unavailable)));
            waiter.answered.notify();
        }
        self.work.notify();
    }
}

/// Takes the question back when the one who asked goes away.
struct Asked<'a> {
    seat: &'a Seat,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.seat.waiting.borrow_mut().remove(&self.id);
    }
}

impl Core {
    /// Seats coordinators for this core's partitions of the offsets topic, ends those whose
    /// partition is gone, and tells all of them the topics that there are now.
    pub fn seat_groups(self: &Rc<Self>) {
        let catalog = self.catalog();
        let entry = catalog.topic(OFFSETS_TOPIC);
        let mut seats = self.groups.seats.borrow_mut();
        seats.retain(|_, seat| {
            let stays = entry.is_some_and(|e| e.topic.id == seat.key.topic);
            if !stays {
                seat.end();
            }
            stays
        });
        for seat in seats.values() {
            if let Some(coordinator) = seat.coordinator.borrow_mut().as_mut() {
                coordinator.follow(catalog.image().clone());
            }
        }
        let Some(entry) = entry else { return };
        let settings = &catalog.broker().groups;
        for (key, state) in entry.topic.keyed() {
            if self.node.core_of(state) != self.id || seats.contains_key(&key.index) {
                continue;
            }
            let seat = Rc::new(Seat::new(key));
            seats.insert(key.index, seat.clone());
            glommio::spawn_local(run(self.clone(), seat, settings.clone())).detach();
        }
        self.groups.filled.notify();
    }

    /// Another coordinator takes the place of one that does not know what the log holds: it reads it.
    fn seat_anew(self: &Rc<Self>, seat: &Rc<Seat>) {
        let index = seat.key.index;
        if self.groups.seats.borrow().get(&index).is_some_and(|now| Rc::ptr_eq(now, seat)) {
            self.groups.seats.borrow_mut().remove(&index);
            self.seat_groups();
        }
    }

    /// Sends away everybody who waits for a group: the broker stops.
    pub(super) fn end_groups(&self) {
        self.groups.seats.borrow().values().for_each(|seat| seat.end());
    }

    /// Asks the coordinator of a partition, on its core, and waits for the answer.
    ///
    /// # Errors
    /// See [`Unready`].
    pub async fn ask_group(&self, partition: i32, ask: Ask) -> Result<Answer, Unready> {
        let seat = self.seat(partition)?;
        let waiter = Rc::new(Waiter::default());
        let id = seat.asked.get();
        seat.asked.set(id + 1);
        seat.waiting.borrow_mut().insert(id, waiter.clone());
        let _asked = Asked { seat: &seat, id };
        seat.step(|coordinator, out| coordinator.ask(clock::now(), Token(id), ask, out));
        loop {
            let wait = waiter.answered.wait();
            if let Some(answer) = waiter.answer.borrow_mut().take() {
                return answer;
            }
            wait.await;
        }
    }

    /// What a group has committed, see [`Coordinator::fetch`], for a member in an epoch of a group of
    /// the new protocol or for nobody in particular, see [`Coordinator::may_fetch`].
    ///
    /// # Errors
    /// See [`Unready`]; inside, why this member may not.
    pub fn group_offsets(
        &self,
        partition: i32,
        group: &str,
        member: (Option<&str>, i32),
        partitions: Option<&[(String, i32)]>,
    ) -> Result<Result<Vec<Fetched>, GroupError>, Unready> {
        let (member, epoch) = member;
        self.look_at_groups(partition, |c| {
            c.may_fetch(group, member, epoch).map(|()| c.fetch(group, partitions))
        })
    }

    /// A group in full, see [`Coordinator::describe`].
    ///
    /// # Errors
    /// See [`Unready`].
    pub fn group_described(&self, partition: i32, group: &str) -> Result<Option<Described>, Unready> {
        self.look_at_groups(partition, |c| c.describe(group))
    }

    /// A group of the new protocol in full, see [`Coordinator::describe_consumer`].
    ///
    /// # Errors
    /// See [`Unready`].
    pub fn consumer_group_described(
        &self,
        partition: i32,
        group: &str,
    ) -> Result<Option<DescribedConsumerGroup>, Unready> {
        self.look_at_groups(partition, |c| c.describe_consumer(group))
    }

    /// Every group of this core, and whether some coordinator still loads.
    #[must_use]
    pub fn group_list(&self) -> (Vec<Listed>, bool) {
        let mut list = Vec::new();
        let mut loading = false;
        for seat in self.groups.seats.borrow().values() {
            match seat.coordinator.borrow().as_ref() {
                Some(coordinator) => list.extend(coordinator.list()),
                None => loading = true,
            }
        }
        (list, loading)
    }

    /// A topic is gone: groups forget what they committed for it.
    pub(super) fn forget_topic(&self, topic: &str) {
        for seat in self.groups.seats.borrow().values() {
            seat.step(|coordinator, out| coordinator.forget_topic(clock::now(), topic, out));
        }
    }

    fn seat(&self, partition: i32) -> Result<Rc<Seat>, Unready> {
        let seat = self.groups.seats.borrow().get(&partition).cloned().ok_or(Unready::Unavailable)?;
        if seat.ended.get() {
            return Err(Unready::Unavailable);
        }
        if seat.coordinator.borrow().is_none() { Err(Unready::Loading) } else { Ok(seat) }
    }

    /// The partitions whose coordinators are seated here.
    pub(super) fn group_seats(&self) -> Vec<i32> {
        self.groups.seats.borrow().keys().copied().collect()
    }

    pub(super) fn look_at_groups<T>(
        &self,
        partition: i32,
        look: impl FnOnce(&Coordinator) -> T,
    ) -> Result<T, Unready> {
        let seat = self.seat(partition)?;
        let coordinator = seat.coordinator.borrow();
        coordinator.as_ref().map(look).ok_or(Unready::Loading)
    }

    /// The job that looks at the deadlines of groups. It ends only with its task.
    pub async fn run_group_clock(self: Rc<Self>) {
        loop {
            let wait = self.groups.filled.wait();
            let seats: Vec<Rc<Seat>> = self.groups.seats.borrow().values().cloned().collect();
            if seats.is_empty() {
                wait.await;
                continue;
            }
            let every = self.catalog().broker().groups.retention_check_interval;
            for seat in seats {
                let work = begin_work();
                let now = clock::now();
                seat.step(|coordinator, out| coordinator.tick(now, out));
                if now.mono.since(seat.expired_at.get()) >= every {
                    seat.expired_at.set(now.mono);
                    let believed = Now { wall: self.shard.believed_time(now), ..now };
                    seat.step(|coordinator, out| coordinator.expire(believed, out));
                }
                fair(work).await;
            }
            glommio::timer::sleep(TICK).await;
        }
    }
}

/// A coordinator's life: replay, then append what it wants appended.
async fn run(core: Rc<Core>, seat: Rc<Seat>, settings: GroupSettings) {
    let mut coordinator = loop {
        match group_log::load(&core, seat.key, settings.clone()).await {
            Ok(coordinator) => break coordinator,
            Err(error) => {
                tracing::error!(partition = %seat.key, %error, "the groups of a partition cannot be loaded");
            }
        }
        glommio::timer::sleep(LOAD_AGAIN).await;
        if seat.ended.get() {
            return;
        }
    };
    if seat.ended.get() {
        return;
    }
    coordinator.follow(core.catalog().image().clone());
    seat.coordinator.replace(Some(coordinator));
    let mut builder = BatchBuilder::new(Codec::None);
    loop {
        let wait = seat.work.wait();
        if seat.ended.get() {
            return;
        }
        let Some(batch) = gather(&seat, &mut builder) else {
            wait.await;
            continue;
        };
        let result = match group_log::append(&core, seat.key, &batch.bytes).await {
            Ok(()) => Ok(()),
            Err(NotAppended::Refused(error)) => Err(error),
            Err(NotAppended::InDoubt(ticket)) => {
                seat.end();
                core.shard.until_certain(ticket).await;
                if !core.is_stopping() {
                    core.seat_anew(&seat);
                }
                return;
            }
        };
        seat.step(|coordinator, out| {
            for id in batch.ids {
                coordinator.appended(clock::now(), id, result, out);
            }
        });
    }
}

struct Gathered {
    ids: Vec<AppendId>,
    bytes: Vec<u8>,
}

/// What waits to be appended, as one batch.
fn gather(seat: &Seat, builder: &mut BatchBuilder) -> Option<Gathered> {
    let mut appends = seat.appends.borrow_mut();
    let now = clock::now().wall.0;
    let (mut ids, mut bytes) = (Vec::new(), 0);
    while let Some((id, records)) = appends.front() {
        let size: usize = records.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len)).sum();
        if !ids.is_empty() && bytes + size > BATCH_BYTES {
            break;
        }
        bytes += size;
        ids.push(*id);
        for (key, value) in records {
            builder.push(now, Some(key), value.as_deref(), &[]);
        }
        appends.pop_front();
    }
    if ids.is_empty() { None } else { Some(Gathered { ids, bytes: builder.finish() }) }
}
