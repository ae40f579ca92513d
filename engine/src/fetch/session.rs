//! One session: what a client asked for, and what it was told last.

use std::rc::Rc;

use rustc_hash::FxHashMap;
use slab::Slab;

use crate::base::TopicId;

/// Bytes that a partition of a session takes, its share of maps and lists that double included.
const PARTITION_BYTES: usize = 160;

/// Bytes that a topic of a session takes, beside its name.
const TOPIC_BYTES: usize = 192;

/// The high watermark of a client that was told of an error: any other is news.
const UNKNOWN: i64 = -1;

/// How a request names a topic. A session keeps to one of the two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TopicRef<'a> {
    /// By its name: Fetch up to version 12.
    Name(&'a str),
    /// By its id: from version 13 on.
    Id(TopicId),
}

/// What a client asks of one partition, as it says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Its index.
    pub partition: i32,
    /// The leader epoch that the client knows, −1 for none.
    pub leader_epoch: i32,
    /// The offset to read from.
    pub offset: i64,
    /// The epoch of the record before it, −1 for none.
    pub last_epoch: i32,
    /// Most bytes of it.
    pub bytes_max: i32,
}

/// What there is to say of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Its high watermark, −1 with an error.
    pub high_watermark: i64,
    /// Its first offset, −1 with an error.
    pub log_start: i64,
    /// Bytes of records that go with it.
    pub bytes: usize,
    /// An error, or the end of a diverging epoch: always told, and again when it is over.
    pub special: bool,
}

#[derive(Debug)]
struct Topic {
    name: TopicName,
    partitions: u32,
}

#[derive(Clone, Debug)]
enum TopicName {
    Name(Rc<str>),
    Id(TopicId),
}

impl TopicName {
    fn bytes(&self) -> usize {
        match self {
            TopicName::Name(name) => TOPIC_BYTES + name.len(),
            TopicName::Id(_) => TOPIC_BYTES,
        }
    }
}

#[derive(Debug)]
struct Entry {
    topic: u32,
    asked: Asked,
    high_watermark: i64,
    log_start: i64,
    /// It gave records in the answer that is being made.
    gave: bool,
}

/// What one client has asked for. See [`SessionCache`](super::SessionCache) for its life.
#[derive(Debug)]
pub struct Session {
    by_id: bool,
    topics: Slab<Topic>,
    names: FxHashMap<Rc<str>, u32>,
    ids: FxHashMap<TopicId, u32>,
    entries: Slab<Entry>,
    places: FxHashMap<(u32, i32), u32>,
    /// The partitions in the order in which they are served.
    order: Vec<u32>,
    /// Where the next order is made.
    spare: Vec<u32>,
    /// Partitions that gave records in the answer that is being made.
    gave: usize,
    topic_bytes: usize,
    bytes: usize,
}

impl Session {
    pub(super) fn new(by_id: bool) -> Session {
        Session {
            by_id,
            topics: Slab::new(),
            names: FxHashMap::default(),
            ids: FxHashMap::default(),
            entries: Slab::new(),
            places: FxHashMap::default(),
            order: Vec::new(),
            spare: Vec::new(),
            gave: 0,
            topic_bytes: 0,
            bytes: 0,
        }
    }

    /// Whether its topics are named by id.
    #[must_use]
    pub fn is_by_id(&self) -> bool {
        self.by_id
    }

    /// How many partitions it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The memory that it has taken, roughly and rather too much: what it grew to, even if partitions
    /// were forgotten since.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its partitions in the order in which they are to be served: slot, topic, what is asked.
    pub fn partitions(&self) -> impl Iterator<Item = (u32, TopicRef<'_>, &Asked)> {
        self.order.iter().map(|&slot| {
            let entry = &self.entries[slot as usize];
            (slot, self.topic(entry.topic), &entry.asked)
        })
    }

    /// A number that two partitions share if they are of the same topic.
    #[must_use]
    pub fn topic_of(&self, slot: u32) -> u32 {
        self.entries[slot as usize].topic
    }

    /// The topic of that number.
    #[must_use]
    pub fn topic(&self, number: u32) -> TopicRef<'_> {
        match &self.topics[number as usize].name {
            TopicName::Name(name) => TopicRef::Name(name),
            TopicName::Id(id) => TopicRef::Id(*id),
        }
    }

    /// Takes what is about to be said of a partition: whether it must be said. Call it for every
    /// partition of an answer, and then [`Session::answered`].
    pub fn tell(&mut self, slot: u32, outcome: &Outcome) -> bool {
        let entry = &mut self.entries[slot as usize];
        // A request that opens a session may name a partition twice: it counts once.
        self.gave -= usize::from(entry.gave);
        let news = entry.tell(outcome);
        self.gave += usize::from(entry.gave);
        news
    }

    /// An answer is made: partitions that gave records go behind those that did not.
    pub fn answered(&mut self) {
        let gave = std::mem::take(&mut self.gave);
        if gave == 0 {
            return;
        }
        self.spare.clear();
        let entries = &self.entries;
        let of = |wanted: bool| {
            self.order.iter().copied().filter(move |&slot| entries[slot as usize].gave == wanted)
        };
        self.spare.extend(of(false));
        self.spare.extend(of(true));
        std::mem::swap(&mut self.order, &mut self.spare);
        let first = self.order.len() - gave;
        for slot in &self.order[first..] {
            self.entries[*slot as usize].gave = false;
        }
    }

    /// Adds a partition, or changes what is asked of it; its slot.
    pub(super) fn ask(&mut self, topic: TopicRef<'_>, asked: Asked) -> u32 {
        let number = self.number_of(topic).unwrap_or_else(|| self.add_topic(topic));
        if let Some(&slot) = self.places.get(&(number, asked.partition)) {
            self.entries[slot as usize].asked = asked;
            return slot;
        }
        let (high_watermark, log_start) = (UNKNOWN, UNKNOWN);
        let entry = Entry { topic: number, asked, high_watermark, log_start, gave: false };
        let slot = self.entries.insert(entry) as u32;
        self.places.insert((number, asked.partition), slot);
        self.order.push(slot);
        self.topics[number as usize].partitions += 1;
        self.bytes = self.bytes.max(self.entries.len() * PARTITION_BYTES + self.topic_bytes);
        slot
    }

    /// Drops these partitions; those that it does not have are passed over.
    pub(super) fn forget<'t>(&mut self, gone: impl Iterator<Item = (TopicRef<'t>, i32)>) {
        let before = self.entries.len();
        for (topic, partition) in gone {
            let Some(number) = self.number_of(topic) else { continue };
            let Some(slot) = self.places.remove(&(number, partition)) else { continue };
            self.entries.remove(slot as usize);
            let topic = &mut self.topics[number as usize];
            topic.partitions -= 1;
            if topic.partitions == 0 {
                let name = self.topics.remove(number as usize).name;
                self.topic_bytes -= name.bytes();
                match name {
                    TopicName::Name(name) => self.names.remove(&name),
                    TopicName::Id(id) => self.ids.remove(&id),
                };
            }
        }
        if self.entries.len() < before {
            let entries = &self.entries;
            self.order.retain(|&slot| entries.contains(slot as usize));
        }
    }

    fn number_of(&self, topic: TopicRef<'_>) -> Option<u32> {
        match topic {
            TopicRef::Name(name) => self.names.get(name).copied(),
            TopicRef::Id(id) => self.ids.get(&id).copied(),
        }
    }

    fn add_topic(&mut self, topic: TopicRef<'_>) -> u32 {
        let name = match topic {
            TopicRef::Name(name) => TopicName::Name(Rc::from(name)),
            TopicRef::Id(id) => TopicName::Id(id),
        };
        self.topic_bytes += name.bytes();
        let number = self.topics.insert(Topic { name: name.clone(), partitions: 0 }) as u32;
        match name {
            TopicName::Name(name) => self.names.insert(name, number),
            TopicName::Id(id) => self.ids.insert(id, number),
        };
        number
    }
}

impl Entry {
    fn tell(&mut self, outcome: &Outcome) -> bool {
        let news = outcome.bytes > 0
            || outcome.special
            || self.high_watermark != outcome.high_watermark
            || self.log_start != outcome.log_start;
        self.high_watermark = if outcome.special { UNKNOWN } else { outcome.high_watermark };
        self.log_start = outcome.log_start;
        self.gave = outcome.bytes > 0;
        news
    }
}
