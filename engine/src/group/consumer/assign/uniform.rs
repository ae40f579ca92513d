//! `uniform`: everybody gets as much as the others, and keeps what it has as far as that allows.
//!
//! Where all want the same topics the numbers differ by one at most. Where they do not, partitions
//! move from whoever has more to whoever may have them and has less, until none can. Time: a logarithm
//! for each subscription to a topic, and each partition, a constant number of times.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use super::{Counts, Subscriber, by_topic};
use crate::base::{PartitionKey, TopicId};
use crate::group::consumer::state::Parts;

/// How often all topics are looked at for a partition that had better move, where subscriptions differ.
const PASSES_MAX: usize = 16;

pub(super) fn assign(subscribers: &[Subscriber<'_>], counts: &Counts) -> Vec<Parts> {
    let mut result = kept(subscribers, counts);
    let taken: FxHashSet<PartitionKey> = result.iter().flatten().copied().collect();
    let free = |topic: TopicId, count: i32| {
        (0..count).map(move |index| PartitionKey { topic, index }).filter(|key| !taken.contains(key))
    };
    if subscribers.windows(2).all(|pair| pair[0].topics == pair[1].topics) {
        let Some(first) = subscribers.first() else { return result };
        let mut loads: BTreeSet<(usize, usize)> =
            result.iter().enumerate().map(|(place, parts)| (parts.len(), place)).collect();
        for topic in first.topics {
            for key in free(*topic, counts.get(topic).copied().unwrap_or(0)) {
                let (load, place) = loads.pop_first().expect("there is a subscriber");
                result[place].insert(key);
                loads.insert((load + 1, place));
            }
        }
        level(&mut result, loads);
        return result;
    }
    let lists = by_topic(subscribers);
    for (topic, places) in &lists {
        let mut loads: BTreeSet<(usize, usize)> = places.iter().map(|&p| (result[p].len(), p)).collect();
        for key in free(*topic, counts.get(topic).copied().unwrap_or(0)) {
            let (load, place) = loads.pop_first().expect("a topic has a subscriber");
            result[place].insert(key);
            loads.insert((load + 1, place));
        }
    }
    for _ in 0..PASSES_MAX {
        let mut moved = false;
        for (topic, places) in &lists {
            moved |= level_topic(*topic, places, &mut result);
        }
        if !moved {
            break;
        }
    }
    result
}

/// Moves partitions of one topic from those of its subscribers who have most of all topics, as far as they
/// have some of this one, to those who have least. Says whether any moved.
fn level_topic(topic: TopicId, places: &[usize], result: &mut [Parts]) -> bool {
    let all = |topic| PartitionKey { topic, index: 0 }..=PartitionKey { topic, index: i32::MAX };
    let last_of = |parts: &Parts| parts.range(all(topic)).next_back().copied();
    let mut low: BTreeSet<(usize, usize)> = places.iter().map(|&p| (result[p].len(), p)).collect();
    let mut high: BTreeSet<(usize, usize)> =
        low.iter().filter(|&&(_, p)| last_of(&result[p]).is_some()).copied().collect();
    let mut moved = false;
    while let (Some(&(least, to)), Some(&(most, from))) = (low.first(), high.last()) {
        if most <= least + 1 {
            break;
        }
        let key = last_of(&result[from]).expect("it has some of the topic");
        result[from].remove(&key);
        result[to].insert(key);
        moved = true;
        for (place, before) in [(from, most), (to, least)] {
            let now = (result[place].len(), place);
            low.remove(&(before, place));
            low.insert(now);
            high.remove(&(before, place));
            if last_of(&result[place]).is_some() {
                high.insert(now);
            }
        }
    }
    moved
}

/// What each has and still may have; nothing twice.
fn kept(subscribers: &[Subscriber<'_>], counts: &Counts) -> Vec<Parts> {
    let mut taken: FxHashSet<PartitionKey> = FxHashSet::default();
    let mut keep = |subscriber: &Subscriber<'_>| -> Parts {
        let may = |key: &&PartitionKey| {
            subscriber.topics.binary_search(&key.topic).is_ok()
                && counts.get(&key.topic).is_some_and(|&count| (0..count).contains(&key.index))
        };
        subscriber.current.iter().filter(may).copied().filter(|key| taken.insert(*key)).collect()
    };
    subscribers.iter().map(&mut keep).collect()
}

/// Moves partitions from those who have most to those who have least.
fn level(result: &mut [Parts], mut loads: BTreeSet<(usize, usize)>) {
    while let (Some(&(low, to)), Some(&(high, from))) = (loads.first(), loads.last()) {
        if high <= low + 1 {
            return;
        }
        loads.remove(&(low, to));
        loads.remove(&(high, from));
        let key = result[from].pop_last().expect("it has most");
        result[to].insert(key);
        loads.insert((low + 1, to));
        loads.insert((high - 1, from));
    }
}
