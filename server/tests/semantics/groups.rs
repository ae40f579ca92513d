//! Consumer groups as clients see them: who may do what when, and which error says so.

use wire::{
    ErrorCode, Message, Reader, delete_groups, describe_groups, list_groups, offset_commit, offset_delete,
    offset_fetch,
};

use crate::harness::Client;
use crate::member::{Join, Who, alone, broker, committed, ready};
use crate::naming::topic_id;

#[test]
fn a_member_is_given_an_id_from_version_4_on_unless_it_is_static() {
    let broker = broker(&[]);
    let mut client = broker.client();
    ready(&mut client, "g");
    for version in [4, 9] {
        let group = format!("g{version}");
        ready(&mut client, &group);
        let join = Join { version, ..Join::default() };
        let first = Who::new(&group).join(&mut client, join);
        assert_eq!((first.error, first.who.generation), (ErrorCode::MemberIdRequired, -1));
        assert!(!first.who.member.is_empty());
        let second = first.who.join(&mut client, join);
        assert_eq!((second.error, second.who.generation, second.leads), (ErrorCode::None, 1, true));
        assert_eq!(second.members, [first.who.member]);
        let fixed = format!("s{version}");
        ready(&mut client, &fixed);
        let at_once = Who::instance(&fixed, "i").join(&mut client, Join { version: version.max(5), ..join });
        assert_eq!((at_once.error, at_once.who.generation), (ErrorCode::None, 1));
    }
    assert_eq!(Who::new("g").join(&mut client, Join::default()).error, ErrorCode::None, "before version 4");
}

#[test]
fn each_wrong_claim_about_a_group_has_its_error() {
    let broker = broker(&["group.min.session.timeout.ms=1000", "group.max.session.timeout.ms=60000"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    ready(&mut client, "g");
    let who = alone(&mut client, "g");
    assert_eq!(who.heartbeat(&mut client), ErrorCode::None);
    let wrong = Who { generation: 7, ..who.clone() };
    assert_eq!(wrong.heartbeat(&mut client), ErrorCode::IllegalGeneration);
    assert_eq!(wrong.sync(&mut client, &[]).0, ErrorCode::IllegalGeneration);
    assert_eq!(wrong.commit(&mut client, 1, None), ErrorCode::IllegalGeneration);
    let stranger = Who { member: "nobody".to_owned(), ..who.clone() };
    assert_eq!(stranger.heartbeat(&mut client), ErrorCode::UnknownMemberId);
    assert_eq!(stranger.sync(&mut client, &[]).0, ErrorCode::UnknownMemberId);
    assert_eq!(stranger.commit(&mut client, 1, None), ErrorCode::UnknownMemberId);
    assert_eq!(stranger.leave(&mut client), ErrorCode::UnknownMemberId);
    assert_eq!(stranger.join(&mut client, Join::default()).error, ErrorCode::UnknownMemberId);
    let new = Who::new("g");
    for session_ms in [0, 999, 60_001, -1, i32::MIN, i32::MAX] {
        let join = Join { session_ms, ..Join::default() };
        assert_eq!(new.join(&mut client, join).error, ErrorCode::InvalidSessionTimeout, "{session_ms}");
    }
    for join in [
        Join { protocol_type: "connect", ..Join::default() },
        Join { protocols: &["roundrobin"], ..Join::default() },
        Join { protocols: &[], ..Join::default() },
        Join { protocol_type: "", ..Join::default() },
    ] {
        assert_eq!(new.join(&mut client, join).error, ErrorCode::InconsistentGroupProtocol);
    }
    assert_eq!(who.heartbeat(&mut client), ErrorCode::None, "nothing of that disturbed the group");
    assert_eq!(who.commit(&mut client, 1, None), ErrorCode::None);
}

#[test]
fn a_rebalance_is_told_by_heartbeats_and_refuses_commits_while_it_completes() {
    let broker = broker(&[]);
    let (mut one, mut two) = (broker.client(), broker.client());
    one.create_topic("t", 1, &[]);
    ready(&mut one, "g");
    let first = alone(&mut one, "g");
    Who::new("g").send_join(&mut two, Join::default());
    while first.heartbeat(&mut one) == ErrorCode::None {}
    assert_eq!(first.heartbeat(&mut one), ErrorCode::RebalanceInProgress);
    assert_eq!(first.commit(&mut one, 3, None), ErrorCode::None, "what was read may still be committed");
    let joined = first.join(&mut one, Join::default());
    let second = Who::new("g").joined(&mut two, 3);
    assert_eq!((joined.who.generation, second.who.generation), (2, 2), "once for both");
    assert_eq!((joined.leads, second.leads), (true, false));
    assert_eq!((joined.members.len(), second.members.len()), (2, 0), "only the leader is told who is in");
    assert_eq!(joined.who.heartbeat(&mut one), ErrorCode::None);
    assert_eq!(joined.who.commit(&mut one, 4, None), ErrorCode::RebalanceInProgress);
    let parts: [(&str, &[u8]); 2] = [(&joined.who.member, b"left"), (&second.who.member, b"right")];
    second.who.send_sync(&mut two, &[]);
    assert_eq!(joined.who.sync(&mut one, &parts), (ErrorCode::None, b"left".to_vec()));
    assert_eq!(second.who.synced(&mut two), (ErrorCode::None, b"right".to_vec()));
    assert_eq!(joined.who.commit(&mut one, 4, None), ErrorCode::None);
    assert_eq!(first.commit(&mut one, 5, None), ErrorCode::IllegalGeneration);
    assert_eq!(second.who.leave(&mut two), ErrorCode::None);
    while joined.who.heartbeat(&mut one) == ErrorCode::None {}
    assert_eq!(joined.who.heartbeat(&mut one), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_static_member_comes_back_to_its_part_and_fences_its_old_self() {
    let broker = broker(&[]);
    let (mut one, mut two) = (broker.client(), broker.client());
    ready(&mut one, "g");
    let join = Join { version: 5, ..Join::default() };
    let old = Who::instance("g", "i").join(&mut one, join);
    assert_eq!(old.who.sync(&mut one, &[(&old.who.member, b"mine")]).0, ErrorCode::None);
    let new = Who::instance("g", "i").join(&mut two, join);
    assert_eq!((new.error, new.who.generation), (ErrorCode::None, 1), "no rebalance");
    assert_ne!(new.who.member, old.who.member);
    assert_eq!(new.who.sync(&mut two, &[]), (ErrorCode::None, b"mine".to_vec()));
    assert_eq!(new.who.heartbeat(&mut two), ErrorCode::None);
    assert_eq!(old.who.heartbeat(&mut one), ErrorCode::FencedInstanceId);
    assert_eq!(old.who.sync(&mut one, &[]).0, ErrorCode::FencedInstanceId);
    assert_eq!(old.who.commit_code(&mut one), ErrorCode::FencedInstanceId);
    assert_eq!(old.who.join(&mut one, join).error, ErrorCode::FencedInstanceId);
    assert_eq!(old.who.leave(&mut one), ErrorCode::FencedInstanceId);
}

impl Who {
    /// The code of a commit of a topic that is made for it.
    fn commit_code(&self, client: &mut Client) -> ErrorCode {
        client.create_topic("t", 1, &[]);
        self.commit(client, 1, None)
    }
}

#[test]
fn offsets_are_kept_without_a_member_only_while_the_group_is_empty() {
    let mut broker = broker(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    ready(&mut client, "g");
    let outsider = Who::new("g");
    assert_eq!(committed(&mut client, "g"), (ErrorCode::None, -1, -1, String::new()), "none is no error");
    assert_eq!(outsider.commit(&mut client, 3, Some("at three")), ErrorCode::None);
    assert_eq!(committed(&mut client, "g"), (ErrorCode::None, 3, 5, "at three".to_owned()));
    let who = alone(&mut client, "g");
    assert_eq!(outsider.commit(&mut client, 4, None), ErrorCode::UnknownMemberId);
    assert_eq!(who.commit(&mut client, 5, Some("")), ErrorCode::None);
    assert_eq!(who.leave(&mut client), ErrorCode::None);
    assert_eq!(outsider.commit(&mut client, 6, Some("out")), ErrorCode::None);
    broker.restart();
    let mut client = broker.client();
    ready(&mut client, "g");
    assert_eq!(committed(&mut client, "g"), (ErrorCode::None, 6, 5, "out".to_owned()));
}

#[test]
fn offsets_are_committed_and_fetched_by_topic_id() {
    let broker = broker(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    ready(&mut client, "g");
    let id = topic_id(&mut client, "t");
    let unknown = uuid::Uuid::from_u128(9);
    let topics = [id, unknown].map(|topic_id| offset_commit::Topic {
        topic_id,
        partitions: vec![offset_commit::Partition { committed_offset: 7, ..Default::default() }],
        ..Default::default()
    });
    let request = offset_commit::Request { group_id: "g", topics: topics.to_vec(), ..Default::default() };
    let body = client.call(10, &request);
    let answer = offset_commit::Response::decode(10, &mut Reader::new(&body)).unwrap();
    let codes: Vec<ErrorCode> = answer.topics.iter().map(|t| t.partitions[0].error_code).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownTopicId]);
    let topics = [id, unknown].map(|topic_id| offset_fetch::GroupTopic {
        topic_id,
        partition_indexes: vec![0],
        ..Default::default()
    });
    let group = offset_fetch::Group { group_id: "g", topics: Some(topics.to_vec()), ..Default::default() };
    let body = client.call(10, &offset_fetch::Request { groups: vec![group], ..Default::default() });
    let answer = offset_fetch::Response::decode(10, &mut Reader::new(&body)).unwrap();
    let found: Vec<(ErrorCode, i64)> = answer.groups[0]
        .topics
        .iter()
        .map(|t| (t.partitions[0].error_code, t.partitions[0].committed_offset))
        .collect();
    assert_eq!(found, [(ErrorCode::None, 7), (ErrorCode::UnknownTopicId, -1)]);
}

#[test]
fn a_group_that_is_not_there_is_dead_and_from_version_6_an_error() {
    let broker = broker(&[]);
    let mut client = broker.client();
    ready(&mut client, "g");
    alone(&mut client, "g");
    for version in 0..=6 {
        let request = describe_groups::Request { groups: vec!["g", "absent"], ..Default::default() };
        let body = client.call(version, &request);
        let answer = describe_groups::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let seen: Vec<_> =
            answer.groups.iter().map(|g| (g.error_code, g.group_state.as_ref(), g.members.len())).collect();
        let missing = if version >= 6 { ErrorCode::GroupIdNotFound } else { ErrorCode::None };
        assert_eq!(seen, [(ErrorCode::None, "Stable", 1), (missing, "Dead", 0)], "version {version}");
    }
}

#[test]
fn groups_and_offsets_in_use_are_not_deleted() {
    let broker = broker(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    ready(&mut client, "g");
    let who = subscribed(&mut client, "g");
    assert_eq!(who.commit(&mut client, 2, None), ErrorCode::None);
    let delete = |client: &mut Client, group| {
        let body = client.call(2, &delete_groups::Request { groups_names: vec![group] });
        delete_groups::Response::decode(2, &mut Reader::new(&body)).unwrap().results[0].error_code
    };
    let delete_offset = |client: &mut Client, group_id| {
        let topic = offset_delete::Topic {
            name: "t",
            partitions: vec![offset_delete::Partition { partition_index: 0 }],
        };
        let body = client.call(0, &offset_delete::Request { group_id, topics: vec![topic] });
        let answer = offset_delete::Response::decode(0, &mut Reader::new(&body)).unwrap();
        answer.topics.first().map_or(answer.error_code, |t| t.partitions[0].error_code)
    };
    assert_eq!(delete(&mut client, "g"), ErrorCode::NonEmptyGroup);
    assert_eq!(delete_offset(&mut client, "g"), ErrorCode::GroupSubscribedToTopic);
    assert_eq!(delete(&mut client, "absent"), ErrorCode::GroupIdNotFound);
    assert_eq!(delete_offset(&mut client, "absent"), ErrorCode::GroupIdNotFound);
    assert_eq!(who.leave(&mut client), ErrorCode::None);
    assert_eq!(delete_offset(&mut client, "g"), ErrorCode::None);
    assert_eq!(committed(&mut client, "g").1, -1);
    assert_eq!(Who::new("g").commit(&mut client, 9, None), ErrorCode::None);
    assert_eq!(delete(&mut client, "g"), ErrorCode::None);
    assert_eq!(committed(&mut client, "g").1, -1);
    let body = client.call(5, &list_groups::Request::default());
    assert_eq!(list_groups::Response::decode(5, &mut Reader::new(&body)).unwrap().groups, []);
}

/// A stable group of one member that reads `t`.
fn subscribed(client: &mut Client, group: &str) -> Who {
    use wire::join_group::{Protocol, Request, Response};
    // A consumer's subscription, version 0: the topics and no user data.
    let metadata = [&[0, 0, 0, 0, 0, 1, 0, 1, b't'][..], &[0xff; 4]].concat();
    let request = Request {
        group_id: group,
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer",
        protocols: vec![Protocol { name: "range", metadata: &metadata }],
        ..Default::default()
    };
    let body = client.call(3, &request);
    let joined = Response::decode(3, &mut Reader::new(&body)).unwrap();
    assert_eq!(joined.error_code, ErrorCode::None);
    let who =
        Who { member: joined.member_id.to_string(), generation: joined.generation_id, ..Who::new(group) };
    assert_eq!(who.sync(client, &[(&who.member, b"t-0")]).0, ErrorCode::None);
    who
}
