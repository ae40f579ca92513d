//! Which topics are meant by members.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::state::{Matched, Member};
use crate::base::TopicId;
use crate::metadata::Image;

/// Resolves subscriptions, each kind of them once.
pub(super) struct Subscriptions<'a> {
    image: &'a Image,
    regexes: &'a BTreeMap<String, Matched>,
    known: BTreeMap<Subscription<'a>, Rc<[TopicId]>>,
}

/// What a member wants: names and pattern.
type Subscription<'a> = (&'a BTreeSet<String>, Option<&'a str>);

impl<'a> Subscriptions<'a> {
    pub(super) fn new(image: &'a Image, regexes: &'a BTreeMap<String, Matched>) -> Subscriptions<'a> {
        Subscriptions { image, regexes, known: BTreeMap::new() }
    }

    /// The existing topics that a member wants, ascending.
    pub(super) fn of(&mut self, member: &'a Member) -> Rc<[TopicId]> {
        let (image, regexes) = (self.image, self.regexes);
        let resolve = || {
            let by_pattern = member.regex.as_ref().and_then(|r| regexes.get(r));
            let names = member.names.iter().chain(by_pattern.into_iter().flat_map(|m| &m.topics));
            let ids: BTreeSet<TopicId> = names.filter_map(|n| image.topic(n)).map(|t| t.id).collect();
            ids.into_iter().collect()
        };
        self.known.entry((&member.names, member.regex.as_deref())).or_insert_with(resolve).clone()
    }

    /// A hash of all topics that were asked for, with their partitions: the group is to be assigned
    /// anew when it changes. Zero if there are none.
    pub(super) fn hash(&self) -> i64 {
        let all: BTreeSet<TopicId> = self.known.values().flat_map(|ids| ids.iter().copied()).collect();
        let mut hash = FNV_OFFSET;
        for topic in all.iter().filter_map(|id| self.image.topic_by_id(*id)) {
            for byte in topic.id.0.as_bytes().iter().copied().chain(topic.partitions.len().to_le_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
            }
        }
        if all.is_empty() { 0 } else { hash as i64 }
    }
}

/// Start and factor of the FNV-1a hash: the same in every build, as it is stored.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
