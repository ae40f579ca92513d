//! Clients of groups that lie, exaggerate or vanish: Kafka's error, bounded memory, and everybody else
//! is served.

use wire::{
    ErrorCode, Message, Reader, consumer_group_describe, describe_groups, list_groups, offset_commit,
    offset_fetch,
};

use crate::harness::{Broker, Client, Want, batch};
use crate::member::{Join, Who, alone, broker, committed, ready};

/// Other groups and producers of the broker go on.
fn is_alive(broker: &Broker) {
    let mut client = broker.client();
    client.create_topic("alive", 2, &[]);
    for partition in 0..2 {
        assert_eq!(client.produce("alive", partition, -1, &batch(&[b"x"])).0, ErrorCode::None);
    }
    for group in ["alive-1", "alive-2", "alive-3", "alive-4"] {
        ready(&mut client, group);
        let who = alone(&mut client, group);
        assert_eq!(who.heartbeat(&mut client), ErrorCode::None);
        assert_eq!(who.leave(&mut client), ErrorCode::None);
    }
}

#[test]
fn group_ids_that_are_empty_or_endless_are_refused() {
    let broker = broker(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    ready(&mut client, "g");
    let endless = "g".repeat(40_000);
    for group in ["", &endless] {
        ready(&mut client, group);
        // Long texts need a flexible version.
        let join = Join { version: 6, ..Join::default() };
        let who = Who { member: "m".to_owned(), generation: 1, ..Who::new(group) };
        assert_eq!(Who::new(group).join(&mut client, join).error, ErrorCode::InvalidGroupId);
        // No group was ever made of the long one.
        let expected = if group.is_empty() { ErrorCode::InvalidGroupId } else { ErrorCode::UnknownMemberId };
        assert_eq!(who.heartbeat(&mut client), expected);
        assert_eq!(who.sync(&mut client, &[]).0, expected);
        assert_eq!(who.leave(&mut client), expected);
    }
    assert_eq!(Who::new(&endless).commit(&mut client, 1, None), ErrorCode::InvalidGroupId);
    // Kafka keeps offsets under the empty id, for consumers from before groups.
    assert_eq!(Who::new("").commit(&mut client, 1, None), ErrorCode::None);
    is_alive(&broker);
}

#[test]
fn a_text_above_the_limit_is_refused_and_the_offset_beside_it_kept() {
    let broker = broker(&["offset.metadata.max.bytes=100"]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    ready(&mut client, "g");
    let (fits, exceeds, far) = ("x".repeat(100), "x".repeat(101), "x".repeat(500_000));
    let commit = |client: &mut Client, texts: [&str; 2]| -> Vec<ErrorCode> {
        let partitions = texts.iter().zip(0..).map(|(text, partition_index)| offset_commit::Partition {
            partition_index,
            committed_offset: 8,
            committed_metadata: Some(text),
            ..Default::default()
        });
        let topic =
            offset_commit::Topic { name: "t", partitions: partitions.collect(), ..Default::default() };
        let request = offset_commit::Request { group_id: "g", topics: vec![topic], ..Default::default() };
        let body = client.call(8, &request);
        let answer = offset_commit::Response::decode(8, &mut Reader::new(&body)).unwrap();
        answer.topics[0].partitions.iter().map(|p| p.error_code).collect()
    };
    let too_large = ErrorCode::OffsetMetadataTooLarge;
    assert_eq!(commit(&mut client, [&fits, &exceeds]), [ErrorCode::None, too_large]);
    assert_eq!(commit(&mut client, [&far, &far]), [too_large, too_large]);
    assert_eq!(committed(&mut client, "g").1, 8);
}

#[test]
fn groups_and_partitions_that_are_asked_for_again_and_again_are_told_once() {
    let broker = broker(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    ready(&mut client, "g");
    let who = alone(&mut client, "g");
    assert_eq!(who.commit(&mut client, 7, Some("text")), ErrorCode::None);

    let groups = vec!["g"; 10_000];
    let body = client.call(5, &describe_groups::Request { groups, ..Default::default() });
    let told = describe_groups::Response::decode(5, &mut Reader::new(&body)).unwrap();
    assert_eq!(told.groups.iter().map(|g| g.members.len()).collect::<Vec<_>>(), [1]);

    let group_ids = vec!["g"; 10_000];
    let body = client.call(1, &consumer_group_describe::Request { group_ids, ..Default::default() });
    let told = consumer_group_describe::Response::decode(1, &mut Reader::new(&body)).unwrap();
    assert_eq!(told.groups.len(), 1);

    let all = offset_fetch::Group { group_id: "g", topics: None, member_epoch: -1, ..Default::default() };
    let groups = vec![all; 10_000];
    let body = client.call(8, &offset_fetch::Request { groups, ..Default::default() });
    let told = offset_fetch::Response::decode(8, &mut Reader::new(&body)).unwrap();
    assert_eq!(told.groups.iter().map(|g| g.topics.len()).collect::<Vec<_>>(), [1]);

    let topic = offset_fetch::GroupTopic { name: "t", partition_indexes: vec![0; 5], ..Default::default() };
    let topics = Some(vec![topic; 2_000]);
    let group = offset_fetch::Group { group_id: "g", topics, member_epoch: -1, ..Default::default() };
    let body = client.call(8, &offset_fetch::Request { groups: vec![group], ..Default::default() });
    let told = offset_fetch::Response::decode(8, &mut Reader::new(&body)).unwrap();
    let partitions = told.groups[0].topics.iter().flat_map(|t| &t.partitions);
    assert_eq!(partitions.map(|p| p.committed_offset).collect::<Vec<_>>(), [7]);
    is_alive(&broker);
}

#[test]
fn assignments_that_lie_reach_nobody_else() {
    let broker = broker(&[]);
    let (mut one, mut two) = (broker.client(), broker.client());
    ready(&mut one, "g");
    let first = alone(&mut one, "g");
    Who::new("g").send_join(&mut two, Join::default());
    while first.heartbeat(&mut one) == ErrorCode::None {}
    let leader = first.join(&mut one, Join::default()).who;
    let other = Who::new("g").joined(&mut two, 3).who;
    // The follower assigns, too: it is not asked. The leader names strangers, and itself twice.
    other.send_sync(&mut two, &[(&leader.member, b"stolen"), (&other.member, b"mine, all of it")]);
    let lies: [(&str, &[u8]); 4] =
        [("stranger", b"x"), (&leader.member, b"first"), ("", b"y"), (&leader.member, b"second")];
    let (error, own) = leader.sync(&mut one, &lies);
    assert_eq!(error, ErrorCode::None);
    assert!(own == b"first" || own == b"second", "{own:?}");
    assert_eq!(other.synced(&mut two), (ErrorCode::None, vec![]), "who was left out has nothing");
    assert_eq!(other.heartbeat(&mut two), ErrorCode::None);
    let stranger = Who { member: "stranger".to_owned(), ..leader.clone() };
    assert_eq!(stranger.heartbeat(&mut one), ErrorCode::UnknownMemberId);
    is_alive(&broker);
}

#[test]
fn thousands_of_members_that_join_and_vanish_leave_room_for_others() {
    const MEMBERS: usize = 3000;
    const SIZE_MAX: usize = 50;
    let size = format!("group.max.size={SIZE_MAX}");
    let broker = broker(&[&size]);
    let mut client = broker.client();
    ready(&mut client, "crowd");
    // Each is given an id, or joins, and is gone before its answer: nobody ever comes back.
    let mut pipelines = [broker.client(), broker.client()];
    for _ in 0..MEMBERS {
        Who::new("crowd").send_join(&mut pipelines[0], Join { version: 4, ..Join::default() });
    }
    let mut full = 0;
    for number in 0..MEMBERS {
        let correlation = (number + 1) as i32;
        let body = pipelines[0].receive(wire::ApiKey::JoinGroup, 4, correlation);
        let answer = wire::join_group::Response::decode(4, &mut Reader::new(&body)).unwrap();
        match answer.error_code {
            ErrorCode::MemberIdRequired => {}
            ErrorCode::GroupMaxSizeReached => full += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(full, MEMBERS - SIZE_MAX, "ids that were given count as members");
    drop(pipelines);
    for number in 0..200 {
        let group = format!("crowd-{number}");
        let mut hasty = broker.client();
        Who::new(&group).send_join(&mut hasty, Join::default());
    }
    is_alive(&broker);
    let body = client.call(5, &list_groups::Request::default());
    let listed = list_groups::Response::decode(5, &mut Reader::new(&body)).unwrap();
    assert_eq!(listed.error_code, ErrorCode::None);
    assert!(listed.groups.iter().any(|g| g.group_id == "crowd"));
}

#[test]
fn an_answer_to_somebody_who_is_gone_reaches_nobody_else() {
    let broker = broker(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for number in 0..8 {
        let group = format!("g{number}");
        ready(&mut client, &group);
        let stays = alone(&mut client, &group);
        let mut hasty = broker.client();
        Who::new(&group).send_join(&mut hasty, Join::default());
        while stays.heartbeat(&mut client) == ErrorCode::None {}
        drop(hasty);
        // A while, so that the broker sees that the connection is gone.
        client.fetch("t", 0, 0, Want { max_wait_ms: 50, ..Want::default() });
        let joined = stays.join(&mut client, Join::default());
        assert_eq!((joined.error, joined.who.member), (ErrorCode::None, stays.member.clone()));
        assert_eq!(joined.members.len(), 2);
    }
}

#[test]
fn a_member_that_vanishes_gives_its_part_back_after_its_session() {
    let broker = broker(&["group.min.session.timeout.ms=100"]);
    let mut client = broker.client();
    ready(&mut client, "g");
    let short = Join { session_ms: 300, ..Join::default() };
    let mut hasty = broker.client();
    let gone = Who::new("g").join(&mut hasty, short);
    assert_eq!(gone.who.sync(&mut hasty, &[(&gone.who.member, b"all")]).0, ErrorCode::None);
    drop(hasty);
    let heir = Who::new("g").join(&mut client, Join::default());
    assert_eq!((heir.error, heir.leads, heir.members.len()), (ErrorCode::None, true, 1));
    assert_eq!(heir.who.sync(&mut client, &[(&heir.who.member, b"all")]), (ErrorCode::None, b"all".to_vec()));
    assert_eq!(gone.who.heartbeat(&mut client), ErrorCode::UnknownMemberId);
}
