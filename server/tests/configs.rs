//! Settings of topics and brokers, told and altered: DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

mod harness;

use std::collections::BTreeMap;

use harness::{Broker, Client, PATIENCE, batch, batch_at};
use wire::describe_configs::{
    RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_GROUP, RESOURCE_TOPIC, SOURCE_DEFAULT,
    SOURCE_DYNAMIC_BROKER, SOURCE_DYNAMIC_DEFAULT_BROKER, SOURCE_GROUP, SOURCE_STATIC_BROKER, SOURCE_TOPIC,
};
use wire::incremental_alter_configs::{
    OPERATION_APPEND, OPERATION_DELETE, OPERATION_SET, OPERATION_SUBTRACT,
};
use wire::{
    ErrorCode, Message, Reader, alter_configs, consumer_group_heartbeat, describe_configs, find_coordinator,
    incremental_alter_configs, list_config_resources,
};

/// A setting as it is told: everything but its text.
#[derive(Debug, PartialEq, Clone)]
struct Told {
    value: Option<String>,
    source: i8,
    read_only: bool,
    config_type: i8,
    synonyms: Vec<(String, Option<String>, i8)>,
    documented: bool,
}

fn describe(
    client: &mut Client,
    version: i16,
    resource_type: i8,
    resource_name: &str,
    keys: Option<Vec<&str>>,
) -> (ErrorCode, BTreeMap<String, Told>) {
    let request = describe_configs::Request {
        resources: vec![describe_configs::Resource {
            resource_type,
            resource_name,
            configuration_keys: keys,
        }],
        include_synonyms: true,
        include_documentation: true,
    };
    let body = client.call(version, &request);
    let mut response = describe_configs::Response::decode(version, &mut Reader::new(&body)).unwrap();
    let result = response.results.remove(0);
    assert_eq!((result.resource_type, &*result.resource_name), (resource_type, resource_name));
    let told = result.configs.into_iter().map(|c| {
        assert!(!c.is_sensitive, "{}", c.name);
        let synonyms = c.synonyms.into_iter();
        let told = Told {
            value: c.value.map(|v| v.into_owned()),
            source: c.config_source,
            read_only: c.read_only,
            config_type: c.config_type,
            synonyms: synonyms
                .map(|s| (s.name.into_owned(), s.value.map(|v| v.into_owned()), s.source))
                .collect(),
            documented: c.documentation.is_some_and(|d| !d.is_empty()),
        };
        (c.name.into_owned(), told)
    });
    (result.error_code, told.collect())
}

fn setting(client: &mut Client, resource_type: i8, name: &str, key: &str) -> (Option<String>, i8) {
    let (error, told) = describe(client, 4, resource_type, name, Some(vec![key]));
    assert_eq!(error, ErrorCode::None);
    let told = &told[key];
    (told.value.clone(), told.source)
}

/// Alters settings one by one: the code and the text of the refusal.
fn change(
    client: &mut Client,
    (resource_type, resource_name): (i8, &str),
    ops: &[(&str, i8, Option<&str>)],
    validate_only: bool,
) -> (ErrorCode, String) {
    let configs = ops
        .iter()
        .map(|&(name, config_operation, value)| incremental_alter_configs::AlterableConfig {
            name,
            config_operation,
            value,
        })
        .collect();
    let resources = vec![incremental_alter_configs::Resource { resource_type, resource_name, configs }];
    let body = client.call(1, &incremental_alter_configs::Request { resources, validate_only });
    let mut response = incremental_alter_configs::Response::decode(1, &mut Reader::new(&body)).unwrap();
    let result = response.responses.remove(0);
    assert_eq!((result.resource_type, &*result.resource_name), (resource_type, resource_name));
    (result.error_code, result.error_message.unwrap_or_default().into_owned())
}

fn set(client: &mut Client, resource: (i8, &str), name: &str, value: &str) -> (ErrorCode, String) {
    change(client, resource, &[(name, OPERATION_SET, Some(value))], false)
}

/// Replaces all settings.
fn replace(
    client: &mut Client,
    version: i16,
    (resource_type, resource_name): (i8, &str),
    values: &[(&str, Option<&str>)],
    validate_only: bool,
) -> ErrorCode {
    let configs = values.iter().map(|&(name, value)| alter_configs::Config { name, value }).collect();
    let resources = vec![alter_configs::Resource { resource_type, resource_name, configs }];
    let body = client.call(version, &alter_configs::Request { resources, validate_only });
    let response = alter_configs::Response::decode(version, &mut Reader::new(&body)).unwrap();
    response.responses[0].error_code
}

/// Looks again until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < end, "{what} did not happen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

const THIS: (i8, &str) = (RESOURCE_BROKER, "1");
const ALL: (i8, &str) = (RESOURCE_BROKER, "");
const T: (i8, &str) = (RESOURCE_TOPIC, "t");
const G: (i8, &str) = (RESOURCE_GROUP, "g");

#[test]
fn every_setting_is_told_with_type_source_synonyms_and_text_at_every_version() {
    let broker = Broker::start(&["log.retention.minutes=3"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("segment.ms", "9")]);
    for version in 1..=4 {
        for (resource, fewest) in [(T, 35), (THIS, 70)] {
            let (error, told) = describe(&mut client, version, resource.0, resource.1, None);
            assert_eq!(error, ErrorCode::None);
            assert!(told.len() >= fewest, "{} settings of {resource:?}", told.len());
            for (name, told) in &told {
                assert!((SOURCE_TOPIC..=SOURCE_DEFAULT).contains(&told.source), "{name}");
                assert_eq!((told.config_type > 0, told.documented), (version >= 3, version >= 3), "{name}");
            }
            // An empty list of names is no list.
            let same = describe(&mut client, version, resource.0, resource.1, Some(Vec::new()));
            assert_eq!(same.1, told);
        }
    }
    let (_, told) = describe(&mut client, 4, T.0, T.1, Some(vec!["retention.ms", "segment.ms", "no.such"]));
    assert_eq!(told.len(), 2);
    let name = |s: &str, v: &str, source| (s.to_owned(), Some(v.to_owned()), source);
    assert_eq!((told["retention.ms"].value.as_deref(), told["retention.ms"].source), (Some("180000"), 4));
    let levels = [
        name("log.retention.minutes", "3", SOURCE_STATIC_BROKER),
        name("log.retention.hours", "168", SOURCE_DEFAULT),
    ];
    assert_eq!(told["retention.ms"].synonyms, levels);
    assert_eq!(told["segment.ms"].synonyms[0], name("segment.ms", "9", SOURCE_TOPIC));
    let (_, told) = describe(&mut client, 4, THIS.0, THIS.1, None);
    assert!(told["node.id"].read_only && !told["log.retention.ms"].read_only);
    assert_eq!(told["offsets.topic.replication.factor"].value.as_deref(), Some("3"));
}

#[test]
fn resources_that_have_no_settings_here_are_answered_as_kafka_does() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let mut ask = |kind, name| describe(&mut client, 4, kind, name, None);
    assert_eq!(ask(RESOURCE_BROKER_LOGGER, "1"), (ErrorCode::None, BTreeMap::new()));
    assert_eq!(ask(RESOURCE_TOPIC, "gone").0, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(ask(RESOURCE_TOPIC, "no/name").0, ErrorCode::InvalidTopicException);
    for (kind, name) in [(RESOURCE_BROKER, "2"), (RESOURCE_BROKER, "x"), (RESOURCE_GROUP, ""), (3, "")] {
        assert_eq!(ask(kind, name).0, ErrorCode::InvalidRequest, "{kind} {name}");
    }
}

#[test]
fn lists_are_appended_to_and_subtracted_from_and_nothing_else_is() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let list = "leader.replication.throttled.replicas";
    let mut step = |op, value| {
        assert_eq!(change(&mut client, T, &[(list, op, value)], false).0, ErrorCode::None);
        setting(&mut client, T.0, T.1, list).0.unwrap()
    };
    assert_eq!(step(OPERATION_APPEND, Some("0:1,0:2")), "0:1,0:2");
    assert_eq!(step(OPERATION_APPEND, Some("0:2,1:1")), "0:1,0:2,1:1");
    assert_eq!(step(OPERATION_SUBTRACT, Some("0:1,9:9")), "0:2,1:1");
    assert_eq!(step(OPERATION_SET, Some("3:1")), "3:1");
    assert_eq!(step(OPERATION_DELETE, None), "");
    let cases: [(&str, i8, Option<&str>, ErrorCode); 6] = [
        ("retention.ms", OPERATION_APPEND, Some("1"), ErrorCode::InvalidConfig),
        ("retention.ms", OPERATION_SUBTRACT, Some("1"), ErrorCode::InvalidConfig),
        ("cleanup.policy", OPERATION_APPEND, Some("erase"), ErrorCode::InvalidConfig),
        ("cleanup.policy", OPERATION_SUBTRACT, Some("delete"), ErrorCode::InvalidConfig),
        ("retention.ms", OPERATION_SET, None, ErrorCode::InvalidRequest),
        ("retention.ms", 4, Some("1"), ErrorCode::InvalidRequest),
    ];
    for (name, op, value, expected) in cases {
        assert_eq!(change(&mut client, T, &[(name, op, value)], false).0, expected, "{name} {op}");
    }
    let twice = [("retention.ms", OPERATION_SET, Some("1")), ("retention.ms", OPERATION_DELETE, None)];
    assert_eq!(change(&mut client, T, &twice, false).0, ErrorCode::InvalidRequest);
    assert_eq!(setting(&mut client, T.0, T.1, "retention.ms").1, SOURCE_DEFAULT);
}

#[test]
fn replacing_settings_at_every_version_takes_back_those_that_are_not_named() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for version in 0..=2 {
        let values = [("retention.ms", Some("5")), ("segment.ms", Some("6"))];
        assert_eq!(replace(&mut client, version, T, &values, false), ErrorCode::None);
        assert_eq!(setting(&mut client, T.0, T.1, "segment.ms"), (Some("6".to_owned()), SOURCE_TOPIC));
        assert_eq!(replace(&mut client, version, T, &values[..1], true), ErrorCode::None);
        assert_eq!(setting(&mut client, T.0, T.1, "segment.ms").1, SOURCE_TOPIC, "only validated");
        assert_eq!(replace(&mut client, version, T, &values[..1], false), ErrorCode::None);
        assert_eq!(setting(&mut client, T.0, T.1, "segment.ms").1, SOURCE_DEFAULT);
        assert_eq!(setting(&mut client, T.0, T.1, "retention.ms"), (Some("5".to_owned()), SOURCE_TOPIC));
    }
    let refused = [
        (T, ("no.such", Some("1")), ErrorCode::InvalidConfig),
        (T, ("retention.ms", Some("x")), ErrorCode::InvalidConfig),
        (T, ("retention.ms", None), ErrorCode::InvalidRequest),
        ((RESOURCE_TOPIC, "gone"), ("retention.ms", Some("1")), ErrorCode::UnknownTopicOrPartition),
        (THIS, ("node.id", Some("2")), ErrorCode::InvalidRequest),
        ((RESOURCE_BROKER, "7"), ("log.retention.ms", Some("1")), ErrorCode::InvalidRequest),
        ((RESOURCE_BROKER_LOGGER, "1"), ("root", Some("DEBUG")), ErrorCode::InvalidConfig),
        (G, ("consumer.session.timeout.ms", Some("1")), ErrorCode::InvalidConfig),
        (G, ("consumer.session.timeout.ms", Some("60001")), ErrorCode::InvalidConfig),
        (G, ("consumer.heartbeat.interval.ms", Some("4999")), ErrorCode::InvalidConfig),
        (G, ("consumer.assignment.interval.ms", Some("1000")), ErrorCode::InvalidConfig),
        (G, ("share.session.timeout.ms", Some("45000")), ErrorCode::InvalidConfig),
        ((RESOURCE_GROUP, ""), ("consumer.session.timeout.ms", Some("50000")), ErrorCode::InvalidRequest),
    ];
    for (resource, value, expected) in refused {
        assert_eq!(replace(&mut client, 2, resource, &[value], false), expected, "{resource:?} {value:?}");
    }
    assert_eq!(setting(&mut client, T.0, T.1, "retention.ms"), (Some("5".to_owned()), SOURCE_TOPIC));
}

#[test]
fn a_topic_default_altered_for_a_broker_applies_at_once_on_every_core_and_after_a_restart() {
    let mut broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 4, &[]);
    assert_eq!(set(&mut client, ALL, "message.max.bytes", "4000").0, ErrorCode::None);
    assert_eq!(set(&mut client, THIS, "message.max.bytes", "1000").0, ErrorCode::None);
    let large = batch(&[&vec![1; 2000]]);
    for _ in 0..2 {
        let mut client = broker.client();
        for partition in 0..4 {
            assert_eq!(client.produce("t", partition, -1, &large).0, ErrorCode::MessageTooLarge);
        }
        let value = |v: &str| Some(v.to_owned());
        assert_eq!(
            setting(&mut client, T.0, T.1, "max.message.bytes"),
            (value("1000"), SOURCE_DYNAMIC_BROKER)
        );
        assert_eq!(setting(&mut client, THIS.0, THIS.1, "message.max.bytes").0, value("1000"));
        // Of all brokers only what was set for them is told, with its own value.
        let (_, told) = describe(&mut client, 4, ALL.0, ALL.1, None);
        assert_eq!(told.keys().collect::<Vec<_>>(), ["message.max.bytes"]);
        let told = &told["message.max.bytes"];
        assert_eq!((told.value.clone(), told.source), (value("4000"), SOURCE_DYNAMIC_DEFAULT_BROKER));
        broker.restart();
    }
    let mut client = broker.client();
    let back = [("message.max.bytes", OPERATION_DELETE, None)];
    assert_eq!(change(&mut client, THIS, &back, false).0, ErrorCode::None);
    assert_eq!(client.produce("t", 3, -1, &large), (ErrorCode::None, 0));
}

#[test]
fn what_a_running_broker_cannot_take_is_an_invalid_request() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let fixed =
        ["node.id", "listeners", "num.partitions", "log.retention.check.interval.ms", "num.io.threads"];
    for resource in [THIS, ALL] {
        for name in fixed {
            let (code, message) = set(&mut client, resource, name, "1");
            let expected = format!("Cannot update these configs dynamically: {name}");
            assert_eq!((code, message), (ErrorCode::InvalidRequest, expected));
        }
        assert_eq!(set(&mut client, resource, "log.retention.ms", "x").0, ErrorCode::InvalidRequest);
        assert_eq!(set(&mut client, resource, "no.such", "1").0, ErrorCode::InvalidConfig);
    }
    let validated = [("log.retention.ms", OPERATION_SET, Some("5"))];
    assert_eq!(change(&mut client, THIS, &validated, true).0, ErrorCode::None);
    assert_eq!(setting(&mut client, THIS.0, THIS.1, "log.retention.ms"), (None, SOURCE_DEFAULT));
}

#[test]
fn the_limit_of_connections_can_be_altered_while_they_are_open() {
    let mut broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    assert_eq!(set(&mut client, THIS, "max.connections.per.ip", "1").0, ErrorCode::None);
    assert!(broker.client().is_closed());
    assert_eq!(client.metadata_of("t").0, ErrorCode::None, "the one that was there stays");
    drop(client);
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.metadata_of("t").0, ErrorCode::None);
    assert!(broker.client().is_closed(), "after a restart too");
    assert_eq!(set(&mut client, THIS, "max.connections.per.ip", "10").0, ErrorCode::None);
    assert_eq!(broker.client().metadata_of("t").0, ErrorCode::None);
}

#[test]
fn retention_is_looked_at_in_the_interval_that_was_set() {
    let broker = Broker::start_on("0,1", &["log.retention.check.interval.ms=20"]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[("retention.ms", "-1")]);
    for partition in 0..2 {
        client.produce("t", partition, -1, &batch_at(1, &[b"old"]));
    }
    assert_eq!(set(&mut client, T, "retention.ms", "3600000").0, ErrorCode::None);
    until("retention", || (0..2).all(|p| client.list_offset("t", p, -2).offset == 1));
    assert_eq!(client.produce("t", 0, -1, &batch(&[b"new"])), (ErrorCode::None, 1));
}

#[test]
fn alterations_of_more_settings_than_there_are_end_the_connection() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let config = incremental_alter_configs::AlterableConfig {
        name: "retention.ms",
        config_operation: OPERATION_SET,
        value: Some("1"),
    };
    let resource = incremental_alter_configs::Resource {
        resource_type: RESOURCE_TOPIC,
        resource_name: "t",
        configs: vec![config; 20_001],
    };
    let request = incremental_alter_configs::Request { resources: vec![resource], ..Default::default() };
    client.send(1, &request);
    assert!(client.is_closed());
    let config = alter_configs::Config { name: "retention.ms", value: Some("1") };
    let resource = alter_configs::Resource {
        resource_type: RESOURCE_TOPIC,
        resource_name: "t",
        configs: vec![config; 20_001],
    };
    let mut client = broker.client();
    client.send(2, &alter_configs::Request { resources: vec![resource], ..Default::default() });
    assert!(client.is_closed());
}

#[test]
fn an_override_that_a_broker_setting_made_invalid_is_counted_and_takes_no_other_with_it() {
    let mut broker = Broker::start(&[
        "admin.listen=127.0.0.4:0",
        "log.retention.ms=1",
        "log.retention.check.interval.ms=200",
    ]);
    let mut client = broker.client();
    let settings = &[("retention.ms", "3153600000000"), ("min.compaction.lag.ms", "100")];
    assert_eq!(client.create_topic("kept", 1, settings), ErrorCode::None);
    let old = batch_at(1_000, &[b"old"]);
    assert_eq!(client.produce("kept", 0, -1, &old), (ErrorCode::None, 0));
    broker.restart_with("log.cleaner.max.compaction.lag.ms=50");
    let mut client = broker.client();
    assert_eq!(client.create_topic("expiring", 1, &[]), ErrorCode::None);
    assert_eq!(client.produce("expiring", 0, -1, &old), (ErrorCode::None, 0));
    until("retention", || client.list_offset("expiring", 0, -2).offset == 1);
    assert_eq!(client.list_offset("kept", 0, -2).offset, 0, "a hundred years are not over");
    until("the count", || broker.metrics().contains("ringlog_settings_ignored{core=\"0\"} 1\n"));
}

/// What a member that joins a group is told: how often to call, in ms.
fn interval(client: &mut Client, group: &str) -> i32 {
    let member = format!("m-{group}");
    let request = consumer_group_heartbeat::Request {
        group_id: group,
        member_id: &member,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t"]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let mut told = None;
    until("a group that is loaded", || {
        let body = client.call(1, &request);
        let answer = consumer_group_heartbeat::Response::decode(1, &mut Reader::new(&body)).unwrap();
        told = (answer.error_code == ErrorCode::None).then_some(answer.heartbeat_interval_ms);
        told.is_some()
    });
    told.expect("until it is")
}

#[test]
fn settings_of_a_group_are_told_applied_listed_and_there_after_a_restart() {
    let mut broker = Broker::start_on("0,1", &["group.consumer.max.heartbeat.interval.ms=20000"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let find = find_coordinator::Request { coordinator_keys: vec!["g", "h"], ..Default::default() };
    client.call(4, &find);
    let (session, heartbeat) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
    assert_eq!(setting(&mut client, G.0, G.1, session), (Some("45000".to_owned()), SOURCE_DEFAULT));
    assert_eq!(interval(&mut client, "g"), 5_000);
    assert_eq!(set(&mut client, G, session, "50000").0, ErrorCode::None);
    assert_eq!(set(&mut client, G, heartbeat, "20000").0, ErrorCode::None);
    assert_eq!(set(&mut client, G, heartbeat, "20001").0, ErrorCode::InvalidConfig);
    for _ in 0..2 {
        assert_eq!(setting(&mut client, G.0, G.1, session), (Some("50000".to_owned()), SOURCE_GROUP));
        until("the interval of the group's own", || interval(&mut client, "g") == 20_000);
        assert_eq!(interval(&mut client, "h"), 5_000, "another group has the broker's");
        let request = list_config_resources::Request { resource_types: vec![RESOURCE_GROUP] };
        let body = client.call(1, &request);
        let listed = list_config_resources::Response::decode(1, &mut Reader::new(&body)).unwrap();
        let names: Vec<_> = listed.config_resources.iter().map(|r| &*r.resource_name).collect();
        assert_eq!(names, ["g"]);
        broker.restart();
        client = broker.client();
    }
    assert_eq!(change(&mut client, G, &[(heartbeat, OPERATION_DELETE, None)], false).0, ErrorCode::None);
    until("the broker's interval", || interval(&mut client, "g") == 5_000);
}
