//! A member of a group that speaks frames by hand.

use wire::{
    ApiKey, ErrorCode, Message, Reader, find_coordinator, heartbeat, join_group, leave_group, offset_commit,
    offset_fetch, sync_group,
};

use crate::harness::{Broker, Client};

/// A broker whose groups do not wait for members that nobody sends.
pub(crate) fn broker(set: &[&str]) -> Broker {
    let mut all = vec!["offsets.topic.num.partitions=4", "group.initial.rebalance.delay.ms=0"];
    all.extend(set);
    Broker::start_on("0,1", &all)
}

/// Who one is in a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Who {
    pub(crate) group: String,
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) generation: i32,
}

/// How to join.
#[derive(Clone, Copy)]
pub(crate) struct Join<'a> {
    pub(crate) version: i16,
    pub(crate) session_ms: i32,
    pub(crate) protocol_type: &'a str,
    pub(crate) protocols: &'a [&'a str],
}

impl Default for Join<'_> {
    /// As clients did before they were given ids first: version 3.
    fn default() -> Self {
        Join { version: 3, session_ms: 10_000, protocol_type: "consumer", protocols: &["range"] }
    }
}

/// What came of a join.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) error: ErrorCode,
    pub(crate) who: Who,
    pub(crate) leads: bool,
    pub(crate) members: Vec<String>,
}

impl Who {
    /// Nobody yet.
    pub(crate) fn new(group: &str) -> Who {
        Who { group: group.to_owned(), generation: -1, ..Who::default() }
    }

    /// A static member.
    pub(crate) fn instance(group: &str, instance: &str) -> Who {
        Who { instance: Some(instance.to_owned()), ..Who::new(group) }
    }

    /// Sends a join; [`Who::joined`] takes the answer.
    pub(crate) fn send_join(&self, client: &mut Client, join: Join<'_>) {
        let protocols = join.protocols.iter();
        let protocols = protocols.map(|name| join_group::Protocol { name, metadata: b"about me" });
        let request = join_group::Request {
            group_id: &self.group,
            session_timeout_ms: join.session_ms,
            rebalance_timeout_ms: 10_000,
            member_id: &self.member,
            group_instance_id: self.instance.as_deref(),
            protocol_type: join.protocol_type,
            protocols: protocols.collect(),
            reason: None,
        };
        client.send(join.version, &request);
    }

    /// The answer to a join.
    pub(crate) fn joined(&self, client: &mut Client, version: i16) -> Joined {
        let correlation = client.correlation();
        let body = client.receive(ApiKey::JoinGroup, version, correlation);
        let answer = join_group::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let who =
            Who { member: answer.member_id.to_string(), generation: answer.generation_id, ..self.clone() };
        Joined {
            error: answer.error_code,
            leads: answer.leader == answer.member_id && answer.error_code == ErrorCode::None,
            members: answer.members.iter().map(|m| m.member_id.to_string()).collect(),
            who,
        }
    }

    /// Joins and waits for the answer.
    pub(crate) fn join(&self, client: &mut Client, join: Join<'_>) -> Joined {
        self.send_join(client, join);
        self.joined(client, join.version)
    }

    /// Syncs, with assignments if one leads; the own assignment.
    pub(crate) fn sync(&self, client: &mut Client, parts: &[(&str, &[u8])]) -> (ErrorCode, Vec<u8>) {
        self.send_sync(client, parts);
        self.synced(client)
    }

    pub(crate) fn send_sync(&self, client: &mut Client, parts: &[(&str, &[u8])]) {
        let parts = parts.iter();
        let parts = parts.map(|&(member_id, assignment)| sync_group::Assignment { member_id, assignment });
        let request = sync_group::Request {
            group_id: &self.group,
            generation_id: self.generation,
            member_id: &self.member,
            group_instance_id: self.instance.as_deref(),
            assignments: parts.collect(),
            ..Default::default()
        };
        client.send(4, &request);
    }

    pub(crate) fn synced(&self, client: &mut Client) -> (ErrorCode, Vec<u8>) {
        let correlation = client.correlation();
        let body = client.receive(ApiKey::SyncGroup, 4, correlation);
        let answer = sync_group::Response::decode(4, &mut Reader::new(&body)).unwrap();
        (answer.error_code, answer.assignment.to_vec())
    }

    pub(crate) fn heartbeat(&self, client: &mut Client) -> ErrorCode {
        let request = heartbeat::Request {
            group_id: &self.group,
            generation_id: self.generation,
            member_id: &self.member,
            group_instance_id: self.instance.as_deref(),
        };
        let body = client.call(4, &request);
        heartbeat::Response::decode(4, &mut Reader::new(&body)).unwrap().error_code
    }

    /// Leaves; the member's own error.
    pub(crate) fn leave(&self, client: &mut Client) -> ErrorCode {
        let member = leave_group::Member {
            member_id: &self.member,
            group_instance_id: self.instance.as_deref(),
            reason: None,
        };
        let request =
            leave_group::Request { group_id: &self.group, members: vec![member], ..Default::default() };
        let body = client.call(4, &request);
        let answer = leave_group::Response::decode(4, &mut Reader::new(&body)).unwrap();
        answer.members.first().map_or(answer.error_code, |m| m.error_code)
    }

    /// Commits an offset of `t-0` with a text.
    pub(crate) fn commit(&self, client: &mut Client, offset: i64, text: Option<&str>) -> ErrorCode {
        let partition = offset_commit::Partition {
            partition_index: 0,
            committed_offset: offset,
            committed_leader_epoch: 5,
            committed_metadata: text,
        };
        let request = offset_commit::Request {
            group_id: &self.group,
            generation_id_or_member_epoch: self.generation,
            member_id: &self.member,
            group_instance_id: self.instance.as_deref(),
            topics: vec![offset_commit::Topic {
                name: "t",
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        let body = client.call(8, &request);
        let answer = offset_commit::Response::decode(8, &mut Reader::new(&body)).unwrap();
        answer.topics[0].partitions[0].error_code
    }
}

/// What a group has committed for `t-0`: error, offset, leader epoch, text.
pub(crate) fn committed(client: &mut Client, group: &str) -> (ErrorCode, i64, i32, String) {
    let topic = offset_fetch::Topic { name: "t", partition_indexes: vec![0] };
    let request = offset_fetch::Request {
        group_id: group,
        topics: Some(vec![topic]),
        require_stable: true,
        ..Default::default()
    };
    let body = client.call(7, &request);
    let answer = offset_fetch::Response::decode(7, &mut Reader::new(&body)).unwrap();
    assert_eq!(answer.error_code, ErrorCode::None);
    let p = &answer.topics[0].partitions[0];
    let text = p.metadata.as_deref().unwrap_or_default().to_owned();
    (p.error_code, p.committed_offset, p.committed_leader_epoch, text)
}

/// Looks for a group's coordinator until it serves.
pub(crate) fn ready(client: &mut Client, group: &str) {
    let body = client.call(3, &find_coordinator::Request { key: group, ..Default::default() });
    let found = find_coordinator::Response::decode(3, &mut Reader::new(&body)).unwrap();
    assert_eq!(found.error_code, ErrorCode::None);
    let stranger = Who { member: "nobody".to_owned(), ..Who::new(group) };
    loop {
        match stranger.heartbeat(client) {
            ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator => std::thread::sleep(std::time::Duration::from_millis(5)),
            _ => return,
        }
    }
}

/// A stable group of one member: `all` is its part.
pub(crate) fn alone(client: &mut Client, group: &str) -> Who {
    let joined = Who::new(group).join(client, Join::default());
    assert_eq!((joined.error, joined.leads), (ErrorCode::None, true));
    let synced = joined.who.sync(client, &[(&joined.who.member, b"all")]);
    assert_eq!(synced, (ErrorCode::None, b"all".to_vec()));
    joined.who
}
