//! The new group protocol (KIP-848) by hand, over the wire, on two cores.

mod harness;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use harness::{Broker, Client, PATIENCE};
use uuid::Uuid;
use wire::{
    ErrorCode, Message, Reader, consumer_group_describe as describe, consumer_group_heartbeat as heartbeat,
    describe_groups, find_coordinator, list_groups, offset_commit, offset_fetch,
};

const GROUP: &str = "shop";

fn joins<'a>(member: &'a str, topic: &'a str) -> heartbeat::Request<'a> {
    heartbeat::Request {
        group_id: GROUP,
        member_id: member,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec![topic]),
        topic_partitions: Some(Vec::new()),
        ..heartbeat::Request::default()
    }
}

/// A broker with a topic of four partitions, and a client that has found the group's coordinator.
fn started() -> (Broker, Client) {
    let broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("orders", 4, &[]), ErrorCode::None);
    let request = find_coordinator::Request { coordinator_keys: vec![GROUP], ..Default::default() };
    let body = client.call(4, &request);
    let found = find_coordinator::Response::decode(4, &mut Reader::new(&body)).unwrap();
    assert_eq!(found.coordinators[0].error_code, ErrorCode::None);
    (broker, client)
}

fn beat(client: &mut Client, version: i16, request: &heartbeat::Request<'_>) -> heartbeat::Response<'static> {
    let began = Instant::now();
    loop {
        let body = client.call(version, request);
        let response = heartbeat::Response::decode(version, &mut Reader::new(&body)).unwrap();
        if response.error_code == ErrorCode::CoordinatorLoadInProgress && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        return heartbeat::Response {
            error_message: response.error_message.map(|m| Cow::Owned(m.into_owned())),
            member_id: response.member_id.map(|m| Cow::Owned(m.into_owned())),
            ..heartbeat::Response {
                throttle_time_ms: response.throttle_time_ms,
                error_code: response.error_code,
                member_epoch: response.member_epoch,
                heartbeat_interval_ms: response.heartbeat_interval_ms,
                assignment: response.assignment,
                ..heartbeat::Response::default()
            }
        };
    }
}

#[test]
fn a_client_of_version_0_is_given_an_id_and_one_of_version_1_brings_its_own() {
    let (_broker, mut client) = started();
    let told = beat(&mut client, 0, &joins("", "orders"));
    assert_eq!((told.error_code, told.member_epoch, told.heartbeat_interval_ms), (ErrorCode::None, 1, 5000));
    assert!(Uuid::parse_str(&told.member_id.unwrap()).is_ok());
    let owned: usize = told.assignment.unwrap().topic_partitions.iter().map(|t| t.partitions.len()).sum();
    assert_eq!(owned, 4);
    let told = beat(&mut client, 1, &joins("", "orders"));
    assert_eq!(told.error_code, ErrorCode::InvalidRequest);
    assert_eq!(told.error_message.as_deref(), Some("MemberId can't be empty."));
}

#[test]
fn a_group_is_listed_and_described_as_what_it_is() {
    let (mut broker, mut client) = started();
    assert_eq!(beat(&mut client, 1, &joins("one", "orders")).error_code, ErrorCode::None);
    for restarted in [false, true] {
        if restarted {
            broker.restart();
            client = broker.client();
            // It loads before it serves.
            let again = heartbeat::Request { member_epoch: 1, ..joins("one", "orders") };
            assert_eq!(beat(&mut client, 1, &again).member_epoch, 1);
        }
        let request = list_groups::Request { types_filter: vec!["Consumer"], ..Default::default() };
        let body = client.call(5, &request);
        let listed = list_groups::Response::decode(5, &mut Reader::new(&body)).unwrap();
        assert_eq!(listed.groups.len(), 1);
        assert_eq!((&*listed.groups[0].group_type, &*listed.groups[0].group_state), ("consumer", "Stable"));

        let request = describe::Request { group_ids: vec![GROUP, "other"], ..Default::default() };
        let body = client.call(1, &request);
        let described = describe::Response::decode(1, &mut Reader::new(&body)).unwrap();
        let group = &described.groups[0];
        assert_eq!((group.group_epoch, group.assignment_epoch, &*group.assignor_name), (1, 1, "uniform"));
        let member = &group.members[0];
        assert_eq!((&*member.member_id, member.member_epoch, member.member_type), ("one", 1, 1));
        assert_eq!(&*member.assignment.topic_partitions[0].topic_name, "orders");
        assert_eq!(member.assignment, member.target_assignment);
        assert_eq!(described.groups[1].error_code, ErrorCode::GroupIdNotFound);

        let body = client.call(6, &describe_groups::Request { groups: vec![GROUP], ..Default::default() });
        let classic = describe_groups::Response::decode(6, &mut Reader::new(&body)).unwrap();
        assert_eq!(classic.groups[0].error_code, ErrorCode::GroupIdNotFound, "it is no classic group");
    }
}

#[test]
fn a_stale_epoch_is_told_on_commit_and_on_fetch() {
    let (_broker, mut client) = started();
    assert_eq!(beat(&mut client, 1, &joins("one", "orders")).member_epoch, 1);
    let commit = |client: &mut Client, version: i16, epoch: i32| {
        let partition = offset_commit::Partition { committed_offset: 7, ..Default::default() };
        let topic =
            offset_commit::Topic { name: "orders", partitions: vec![partition], ..Default::default() };
        let request = offset_commit::Request {
            group_id: GROUP,
            generation_id_or_member_epoch: epoch,
            member_id: "one",
            topics: vec![topic],
            ..Default::default()
        };
        let body = client.call(version, &request);
        let told = offset_commit::Response::decode(version, &mut Reader::new(&body)).unwrap();
        told.topics[0].partitions[0].error_code
    };
    assert_eq!(commit(&mut client, 9, 1), ErrorCode::None);
    assert_eq!(commit(&mut client, 9, 0), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit(&mut client, 8, 1), ErrorCode::UnsupportedVersion);
    let fetch = |client: &mut Client, member: Option<&'static str>, epoch: i32| {
        let group =
            offset_fetch::Group { group_id: GROUP, member_id: member, member_epoch: epoch, topics: None };
        let body = client.call(9, &offset_fetch::Request { groups: vec![group], ..Default::default() });
        let told = offset_fetch::Response::decode(9, &mut Reader::new(&body)).unwrap();
        (told.groups[0].error_code, told.groups[0].topics.len())
    };
    assert_eq!(fetch(&mut client, Some("one"), 1), (ErrorCode::None, 1));
    assert_eq!(fetch(&mut client, Some("one"), 9), (ErrorCode::StaleMemberEpoch, 0));
    assert_eq!(fetch(&mut client, Some("two"), 1), (ErrorCode::UnknownMemberId, 0));
    assert_eq!(fetch(&mut client, None, -1), (ErrorCode::None, 1));
}

#[test]
fn a_heartbeat_of_too_many_items_closes_its_connection_alone() {
    let (broker, mut client) = started();
    let mut hostile = broker.client();
    let partitions = heartbeat::TopicPartitions { topic_id: Uuid::from_u128(1), partitions: vec![0; 30_000] };
    let request =
        heartbeat::Request { topic_partitions: Some(vec![partitions]), ..joins("hostile", "orders") };
    hostile.send(1, &request);
    assert!(hostile.is_closed());
    assert_eq!(beat(&mut client, 1, &joins("one", "orders")).error_code, ErrorCode::None);
}

#[test]
fn a_topic_that_is_created_later_reaches_the_group() {
    let (_broker, mut client) = started();
    let request = heartbeat::Request {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("pay.*"),
        ..joins("one", "")
    };
    let told = beat(&mut client, 1, &request);
    assert_eq!((told.error_code, told.member_epoch), (ErrorCode::None, 1));
    assert_eq!(client.create_topic("payments", 2, &[]), ErrorCode::None);
    let began = Instant::now();
    loop {
        let again = heartbeat::Request {
            group_id: GROUP,
            member_id: "one",
            member_epoch: 1,
            topic_partitions: Some(Vec::new()),
            ..heartbeat::Request::default()
        };
        let told = beat(&mut client, 1, &again);
        if told.member_epoch == 2 {
            assert_eq!(told.assignment.unwrap().topic_partitions[0].partitions, [0, 1]);
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the group never looked again");
        std::thread::sleep(Duration::from_millis(50));
    }
}
