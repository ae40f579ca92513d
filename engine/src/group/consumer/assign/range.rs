//! `range`: of each topic a contiguous part to each subscriber, so that equal partitions of topics
//! with equal counts meet at one member.

use super::{Counts, Subscriber, by_topic};
use crate::base::PartitionKey;
use crate::group::consumer::state::Parts;

pub(super) fn assign(subscribers: &[Subscriber<'_>], counts: &Counts) -> Vec<Parts> {
    let mut result = vec![Parts::new(); subscribers.len()];
    for (topic, mut places) in by_topic(subscribers) {
        let Some(&count) = counts.get(&topic) else { continue };
        places.sort_by_key(|&place| subscribers[place].name);
        let members = places.len() as i32;
        let (share, more) = (count / members, count % members);
        let mut next = 0;
        for (rank, place) in (0..).zip(places) {
            let end = next + share + i32::from(rank < more);
            result[place].extend((next..end).map(|index| PartitionKey { topic, index }));
            next = end;
        }
    }
    result
}
