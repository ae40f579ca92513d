//! The assignors of the coordinator: who shall read which partition.
//!
//! Both give every partition of a topic to exactly one of the topic's subscribers, and give the same
//! answer to the same question.

mod range;
mod uniform;

use std::collections::BTreeMap;

use super::state::Parts;
use crate::base::TopicId;
use crate::config::Assignor;

/// Topics with the number of their partitions.
pub(super) type Counts = BTreeMap<TopicId, i32>;

/// Somebody who gets partitions.
pub(super) struct Subscriber<'a> {
    /// The static member that it is, or its id: ranges are given in this order.
    pub(super) name: &'a str,
    /// Topics that it wants, ascending.
    pub(super) topics: &'a [TopicId],
    /// What it was to have so far.
    pub(super) current: &'a Parts,
}

/// What each subscriber shall have, in their order.
pub(super) fn assign(assignor: Assignor, subscribers: &[Subscriber<'_>], counts: &Counts) -> Vec<Parts> {
    match assignor {
        Assignor::Uniform => uniform::assign(subscribers, counts),
        Assignor::Range => range::assign(subscribers, counts),
    }
}

/// The subscribers of each topic, by their place in the list.
fn by_topic(subscribers: &[Subscriber<'_>]) -> BTreeMap<TopicId, Vec<usize>> {
    let mut lists: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for (place, subscriber) in subscribers.iter().enumerate() {
        for topic in subscriber.topics {
            lists.entry(*topic).or_default().push(place);
        }
    }
    lists
}
