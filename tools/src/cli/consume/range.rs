//! Kafka's range assignor: of each topic, every member that wants it gets neighbours, the first ones one
//! more where it does not come out even.

use std::collections::BTreeMap;

use crate::cli::group::parts::Parts;

/// A member of the group, as the leader is told.
pub(super) struct Candidate {
    pub(super) id: String,
    /// Static members keep their place in the order over restarts.
    pub(super) instance: Option<String>,
    pub(super) topics: Vec<String>,
}

/// What each member gets, by id. `partitions` is how many each topic has.
pub(super) fn assign(members: &[Candidate], partitions: &BTreeMap<String, i32>) -> BTreeMap<String, Parts> {
    let mut parts: BTreeMap<String, Parts> = members.iter().map(|m| (m.id.clone(), Parts::new())).collect();
    let mut order: Vec<&Candidate> = members.iter().collect();
    // Static members first, as in Kafka.
    order.sort_by_key(|m| (m.instance.is_none(), m.instance.clone(), m.id.clone()));
    for (topic, &count) in partitions {
        let wanting: Vec<&&Candidate> = order.iter().filter(|m| m.topics.contains(topic)).collect();
        let Ok(members) = i32::try_from(wanting.len()) else { continue };
        if members == 0 {
            continue;
        }
        let (each, more) = (count / members, count % members);
        let mut next = 0;
        for (at, member) in (0..).zip(wanting) {
            let end = next + each + i32::from(at < more);
            let mine = parts.get_mut(&member.id).expect("everybody has an entry");
            mine.insert(topic.clone(), (next..end).collect());
            next = end;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, topics: &[&str]) -> Candidate {
        let topics = topics.iter().map(|t| (*t).to_owned()).collect();
        Candidate { id: id.to_owned(), instance: None, topics }
    }

    #[test]
    fn every_partition_has_one_owner_and_the_first_get_one_more() {
        let members = [member("b", &["orders"]), member("a", &["orders"]), member("c", &["returns"])];
        let partitions = BTreeMap::from([("orders".to_owned(), 3), ("returns".to_owned(), 1)]);
        let parts = assign(&members, &partitions);
        assert_eq!(parts["a"]["orders"], [0, 1]);
        assert_eq!(parts["b"]["orders"], [2]);
        assert_eq!(parts["c"]["returns"], [0]);
        assert_eq!(parts["c"].get("orders"), None);
    }

    #[test]
    fn static_members_come_first() {
        let mut second = member("a", &["t"]);
        let mut first = member("z", &["t"]);
        (first.instance, second.instance) = (Some("1".to_owned()), None);
        let parts = assign(&[second, first], &BTreeMap::from([("t".to_owned(), 1)]));
        assert_eq!((&parts["z"]["t"][..], &parts["a"]["t"][..]), (&[0][..], &[][..]));
    }
}
