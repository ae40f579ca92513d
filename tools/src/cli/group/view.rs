//! A group in full, put together from the answers of its coordinator and of the partitions' leaders.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wire::{ApiKey, ErrorCode, consumer_group_describe, describe_groups, offset_fetch};

use super::age;
use super::parts::{Parts, parts_of};
use crate::cli::cluster::{Cluster, Place, TopicInfo, refused, until_ready};
use crate::load::client::ClientError;
use crate::load::clock::wall_ms;

/// The newest OffsetFetch that names topics; later ones want ids.
const OFFSET_FETCH_BY_NAME: i16 = 9;

/// A group.
pub(super) struct View {
    pub(super) group: String,
    pub(super) coordinator: i32,
    pub(super) address: String,
    /// In Kafka's words: Stable, Empty, PreparingRebalance …
    pub(super) state: String,
    /// `classic` or `consumer`, the KIP-848 protocol.
    pub(super) kind: &'static str,
    pub(super) assignor: String,
    pub(super) members: Vec<Member>,
    pub(super) rows: Vec<Row>,
}

/// A member and its part.
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) client_id: String,
    pub(super) host: String,
    pub(super) parts: Parts,
}

/// A partition that the group has committed, or that a member has.
pub(super) struct Row {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) committed: Option<i64>,
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) lag: Option<i64>,
    /// How long the oldest record that is not read has been waiting.
    pub(super) lag_seconds: Option<f64>,
    /// Index of the member that has it.
    pub(super) member: Option<usize>,
}

impl View {
    /// Records not read yet, of partitions where that is known; `None` if it is of none of them.
    pub(super) fn lag(&self) -> Option<i64> {
        let known: Vec<i64> = self.rows.iter().filter_map(|row| row.lag).collect();
        (self.rows.is_empty() || !known.is_empty()).then(|| known.iter().sum())
    }

    /// The longest wait of any partition.
    pub(super) fn lag_seconds(&self) -> Option<f64> {
        self.rows.iter().filter_map(|row| row.lag_seconds).reduce(f64::max)
    }
}

/// Looks at a group from all sides.
pub(super) fn view(cluster: &mut Cluster, group: &str) -> Result<View, ClientError> {
    let coordinator = cluster.coordinator(group)?;
    let mut view = match of_new_protocol(cluster, coordinator, group)? {
        Some(view) => view,
        None => of_classic(cluster, coordinator, group)?,
    };
    view.address = cluster.address(coordinator).to_owned();
    let committed = committed(cluster, coordinator, group)?;
    let mut places: BTreeSet<Place> = committed.keys().cloned().collect();
    let mut owners: HashMap<Place, usize> = HashMap::new();
    for (at, member) in view.members.iter().enumerate() {
        for (topic, partitions) in &member.parts {
            for partition in partitions {
                owners.insert((topic.clone(), *partition), at);
                places.insert((topic.clone(), *partition));
            }
        }
    }
    view.rows = rows(cluster, places, &committed, &owners)?;
    Ok(view)
}

fn rows(
    cluster: &mut Cluster,
    places: BTreeSet<Place>,
    committed: &BTreeMap<Place, i64>,
    owners: &HashMap<Place, usize>,
) -> Result<Vec<Row>, ClientError> {
    let names: BTreeSet<String> = places.iter().map(|(topic, _)| topic.clone()).collect();
    let names: Vec<String> = names.into_iter().collect();
    let topics: Vec<TopicInfo> = if names.is_empty() { Vec::new() } else { cluster.topics(Some(&names))? };
    let list: Vec<Place> = places.iter().cloned().collect();
    let starts = cluster.offsets(&topics, &list, wire::list_offsets::EARLIEST)?;
    let ends = cluster.offsets(&topics, &list, wire::list_offsets::LATEST)?;
    let mut waiting = HashMap::new();
    for place in &list {
        if let (Some(at), Some(start), Some(end)) =
            (committed.get(place), starts.known(place), ends.known(place))
            && *at < end
        {
            // What retention has taken waits no longer.
            waiting.insert(place.clone(), start.max(*at));
        }
    }
    let written = age::written_at(cluster, &topics, &waiting)?;
    let now = wall_ms();
    let row = |place: Place| {
        let (committed, end) = (committed.get(&place).copied(), ends.known(&place));
        let lag = committed.zip(end).map(|(committed, end)| end.saturating_sub(committed).max(0));
        let lag_seconds = match lag {
            Some(0) => Some(0.0),
            Some(_) => written.get(&place).map(|at| (now - at).max(0) as f64 / 1000.0),
            None => None,
        };
        let (start, member) = (starts.known(&place), owners.get(&place).copied());
        Row { topic: place.0, partition: place.1, committed, start, end, lag, lag_seconds, member }
    };
    Ok(list.into_iter().map(row).collect())
}

/// What a group has committed; partitions without a commit are missing.
pub(in crate::cli) fn committed(
    cluster: &mut Cluster,
    coordinator: i32,
    group: &str,
) -> Result<BTreeMap<Place, i64>, ClientError> {
    let (code, found) = until_ready(|| {
        let one = offset_fetch::Group { group_id: group, topics: None, ..offset_fetch::Group::default() };
        let request = offset_fetch::Request {
            group_id: group,
            topics: None,
            groups: vec![one],
            ..offset_fetch::Request::default()
        };
        let client = cluster.node(coordinator)?;
        let answer: offset_fetch::Response<'_> = client.call_up_to(OFFSET_FETCH_BY_NAME, &request)?;
        let mut found = BTreeMap::new();
        let mut code = answer.error_code;
        for topic in answer.topics {
            for p in topic.partitions.into_iter().filter(|p| !p.error_code.is_err()) {
                found.insert((topic.name.to_string(), p.partition_index), p.committed_offset);
            }
        }
        for group in answer.groups {
            code = group.error_code;
            for topic in group.topics {
                for p in topic.partitions.into_iter().filter(|p| !p.error_code.is_err()) {
                    found.insert((topic.name.to_string(), p.partition_index), p.committed_offset);
                }
            }
        }
        found.retain(|_, offset| *offset >= 0);
        Ok((code, found))
    })?;
    // A group that was never there has committed nothing.
    if code.is_err() && code != ErrorCode::GroupIdNotFound {
        return Err(refused(format!("committed offsets of group {group}"), code, None));
    }
    Ok(found)
}

/// The state of a group; `None` if there is no such group.
pub(super) fn state(
    cluster: &mut Cluster,
    coordinator: i32,
    group: &str,
) -> Result<Option<String>, ClientError> {
    if let Some(view) = of_new_protocol(cluster, coordinator, group)? {
        return Ok(Some(view.state));
    }
    match of_classic(cluster, coordinator, group) {
        Ok(view) => Ok(Some(view.state)),
        Err(ClientError::Refused { code: ErrorCode::GroupIdNotFound, .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

fn of_classic(cluster: &mut Cluster, coordinator: i32, group: &str) -> Result<View, ClientError> {
    let (code, view) = until_ready(|| {
        let request = describe_groups::Request { groups: vec![group], ..describe_groups::Request::default() };
        let answer: describe_groups::Response<'_> = cluster.node(coordinator)?.call(&request)?;
        let Some(found) = answer.groups.into_iter().next() else {
            return Ok((ErrorCode::GroupIdNotFound, None));
        };
        let member = |m: describe_groups::DescribedMember<'_>| Member {
            id: m.member_id.into_owned(),
            instance: m.group_instance_id.map(std::borrow::Cow::into_owned),
            client_id: m.client_id.into_owned(),
            host: m.client_host.into_owned(),
            // Members of other kinds, such as Connect's workers, say something else here.
            parts: parts_of(&m.member_assignment).unwrap_or_default(),
        };
        // Before version 6 a group that does not exist is "Dead".
        let code = if found.group_state == "Dead" { ErrorCode::GroupIdNotFound } else { found.error_code };
        let view = View {
            group: group.to_owned(),
            coordinator,
            address: String::new(),
            state: found.group_state.into_owned(),
            kind: "classic",
            assignor: found.protocol_data.into_owned(),
            members: found.members.into_iter().map(member).collect(),
            rows: Vec::new(),
        };
        Ok((code, Some(view)))
    })?;
    match view {
        Some(view) if !code.is_err() => Ok(view),
        _ => Err(refused(format!("describe group {group}"), code, None)),
    }
}

/// A group of the KIP-848 protocol; `None` if it is not one, or if the broker knows none.
fn of_new_protocol(
    cluster: &mut Cluster,
    coordinator: i32,
    group: &str,
) -> Result<Option<View>, ClientError> {
    if cluster.node(coordinator)?.versions().of(ApiKey::ConsumerGroupDescribe).is_none() {
        return Ok(None);
    }
    let (code, view) = until_ready(|| {
        let request = consumer_group_describe::Request {
            group_ids: vec![group],
            ..consumer_group_describe::Request::default()
        };
        let answer: consumer_group_describe::Response<'_> = cluster.node(coordinator)?.call(&request)?;
        let Some(found) = answer.groups.into_iter().next() else {
            return Ok((ErrorCode::GroupIdNotFound, None));
        };
        let parts = |a: consumer_group_describe::Assignment<'_>| -> Parts {
            a.topic_partitions.into_iter().map(|t| (t.topic_name.into_owned(), t.partitions)).collect()
        };
        let member = |m: consumer_group_describe::Member<'_>| Member {
            id: m.member_id.into_owned(),
            instance: m.instance_id.map(std::borrow::Cow::into_owned),
            client_id: m.client_id.into_owned(),
            host: m.client_host.into_owned(),
            parts: parts(m.assignment),
        };
        let view = View {
            group: group.to_owned(),
            coordinator,
            address: String::new(),
            state: found.group_state.into_owned(),
            kind: "consumer",
            assignor: found.assignor_name.into_owned(),
            members: found.members.into_iter().map(member).collect(),
            rows: Vec::new(),
        };
        Ok((found.error_code, Some(view)))
    })?;
    match (code, view) {
        (ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion, _) | (_, None) => Ok(None),
        (code, Some(_)) if code.is_err() => Err(refused(format!("describe group {group}"), code, None)),
        (_, view) => Ok(view),
    }
}
