use super::*;
use crate::config::{AlterOp, topic};
use crate::metadata::ConfigResource;

fn set(name: &str, value: &str) -> (String, AlterOp) {
    (name.to_owned(), AlterOp::Set(value.to_owned()))
}

fn of(target: AlterTarget, ops: &[(String, AlterOp)]) -> AlterConfigs {
    AlterConfigs { target, alteration: Alteration::Some(ops.to_vec()) }
}

fn all(target: AlterTarget, values: &[(&str, &str)]) -> AlterConfigs {
    let values = values.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    AlterConfigs { target, alteration: Alteration::All(values) }
}

fn alter(cluster: &mut Cluster, requests: &[AlterConfigs]) -> Vec<Result<(), Refused>> {
    let decision = alter_configs(cluster.cx(), requests, false);
    cluster.apply(&decision.records);
    decision.replies
}

#[test]
fn only_what_changes_becomes_a_record() {
    let mut cluster = Cluster::new(&[]);
    cluster.create_named("t", 1);
    let target = AlterTarget::Topic("t".into());
    let first = of(target.clone(), &[set("retention.ms", "5"), set("segment.ms", "6")]);
    assert_eq!(alter(&mut cluster, &[first]), [Ok(())]);
    let second = of(
        target,
        &[set("retention.ms", "5"), ("segment.ms".into(), AlterOp::Delete), set("flush.messages", "100")],
    );
    let decision = alter_configs(cluster.cx(), std::slice::from_ref(&second), false);
    assert_eq!(decision.records.len(), 2, "{:?}", decision.records);
    cluster.apply(&decision.records);
    let configs = &cluster.image.topic("t").unwrap().configs;
    let settings = topic::parse(configs, &cluster.settings).unwrap();
    assert_eq!((settings.retention_ms, settings.segment_ms), (Some(5), 604_800_000));
    assert!(settings.is_relaxed());
    assert_eq!(alter_configs(cluster.cx(), &[second], false).records, []);
}

#[test]
fn one_refused_alteration_refuses_its_resource_and_no_other() {
    let mut cluster = Cluster::new(&[]);
    cluster.create_named("t", 1);
    cluster.create_named("u", 1);
    let replies = alter(
        &mut cluster,
        &[
            of(AlterTarget::Topic("t".into()), &[set("retention.ms", "5"), set("segment.ms", "0")]),
            of(AlterTarget::Topic("u".into()), &[set("retention.ms", "5")]),
            of(AlterTarget::Topic("v".into()), &[set("retention.ms", "5")]),
        ],
    );
    let kinds: Vec<_> = replies.into_iter().map(|r| r.map_err(|e| e.why)).collect();
    assert_eq!(kinds, [Err(Why::InvalidConfig), Ok(()), Err(Why::UnknownTopicOrPartition)]);
    assert!(cluster.image.topic("t").unwrap().configs.is_empty());
    assert_eq!(cluster.image.topic("u").unwrap().configs.len(), 1);
}

#[test]
fn naming_something_twice_is_refused() {
    let mut cluster = Cluster::new(&[]);
    cluster.create_named("t", 1);
    let target = AlterTarget::Topic("t".into());
    let once = of(target.clone(), &[set("retention.ms", "5")]);
    for reply in alter(&mut cluster, &[once.clone(), once]) {
        assert_eq!(why(reply), Why::InvalidRequest);
    }
    let twice = of(target, &[set("retention.ms", "5"), set("retention.ms", "6")]);
    assert_eq!(why(alter(&mut cluster, &[twice]).pop().unwrap()), Why::InvalidRequest);
}

#[test]
fn broker_settings_are_altered_for_one_or_for_all() {
    let mut cluster = Cluster::new(&[]);
    let replies = alter(
        &mut cluster,
        &[
            of(AlterTarget::Broker(NodeId(1)), &[set("log.retention.ms", "7")]),
            of(AlterTarget::AllBrokers, &[set("message.max.bytes", "2000")]),
            of(AlterTarget::Broker(NodeId(2)), &[set("log.retention.ms", "7")]),
        ],
    );
    let kinds: Vec<_> = replies.into_iter().map(|r| r.map_err(|e| e.why)).collect();
    assert_eq!(kinds, [Ok(()), Ok(()), Err(Why::InvalidRequest)]);
    let level = |resource| cluster.image.configs(resource).unwrap();
    let now = cluster
        .settings
        .with_dynamic(level(ConfigResource::AllBrokers), level(ConfigResource::Broker(NodeId(1))))
        .unwrap();
    let defaults = now.topic_defaults();
    assert_eq!((defaults.retention_ms, defaults.max_message_bytes), (Some(7), 2000));
}

#[test]
fn settings_of_groups_keep_to_the_bounds_of_the_broker_and_to_each_other() {
    let (session, heartbeat) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
    let mut cluster = Cluster::new(&[
        ("group.consumer.min.session.timeout.ms", "10000"),
        ("group.consumer.max.heartbeat.interval.ms", "20000"),
    ]);
    let group = || AlterTarget::Group("g".into());
    let replies = alter(&mut cluster, &[of(group(), &[set(session, "15000"), set(heartbeat, "14000")])]);
    assert_eq!(replies, [Ok(())]);
    let kept = cluster.image.group_configs().clone();
    assert_eq!(kept["g"].len(), 2);
    let cases = [
        (session, "9999", "must be greater than or equal to group.consumer.min.session.timeout.ms"),
        (session, "60001", "must be less than or equal to group.consumer.max.session.timeout.ms"),
        (heartbeat, "4999", "must be greater than or equal to group.consumer.min.heartbeat.interval.ms"),
        (heartbeat, "20001", "must be less than or equal to group.consumer.max.heartbeat.interval.ms"),
        (heartbeat, "15000", "must be greater than consumer.heartbeat.interval.ms"),
        ("consumer.assignment.interval.ms", "1000", "assigned anew at once"),
        ("consumer.sesion.timeout.ms", "50000", "did you mean consumer.session.timeout.ms?"),
    ];
    for (name, value, expected) in cases {
        let refused = alter(&mut cluster, &[of(group(), &[set(name, value)])]).pop().unwrap().unwrap_err();
        assert_eq!(refused.why, Why::InvalidConfig, "{name}={value}");
        assert!(refused.message.contains(expected), "{}", refused.message);
    }
    for id in [String::new(), "g".repeat(1025)] {
        let reply =
            alter(&mut cluster, &[of(AlterTarget::Group(id), &[set(session, "50000")])]).pop().unwrap();
        assert_eq!(why(reply), Why::InvalidRequest);
    }
    assert_eq!(*cluster.image.group_configs(), kept);
    let reply = alter(&mut cluster, &[AlterConfigs { target: group(), alteration: Alteration::All(vec![]) }]);
    assert_eq!(reply, [Ok(())]);
    assert!(cluster.image.group_configs().is_empty(), "a group without settings is not kept");
}

#[test]
fn what_a_running_broker_does_not_take_is_an_invalid_request_that_names_all_of_it() {
    let mut cluster = Cluster::new(&[]);
    let target = AlterTarget::Broker(NodeId(1));
    let fixed = [set("listeners", "PLAINTEXT://h:1"), set("log.retention.ms", "5"), set("node.id", "2")];
    let refused = alter(&mut cluster, &[of(target.clone(), &fixed)]).pop().unwrap().unwrap_err();
    assert_eq!(refused.why, Why::InvalidRequest);
    assert_eq!(refused.message, "Cannot update these configs dynamically: listeners, node.id");
    let cases = [("log.retention.ms", "soon", Why::InvalidRequest), ("no.such", "1", Why::InvalidConfig)];
    for (name, value, expected) in cases {
        let reply = alter(&mut cluster, &[of(target.clone(), &[set(name, value)])]).pop().unwrap();
        assert_eq!(why(reply), expected, "{name}");
    }
    assert!(cluster.image.configs(ConfigResource::Broker(NodeId(1))).unwrap().is_empty());
}

#[test]
fn replacing_all_settings_forgets_those_that_are_not_named() {
    let mut cluster = Cluster::new(&[]);
    let id = cluster.create_named("t", 1);
    let target = AlterTarget::Topic("t".into());
    let level = |cluster: &Cluster| cluster.image.configs(ConfigResource::Topic(id)).unwrap().clone();
    let first = all(target.clone(), &[("retention.ms", "5"), ("segment.ms", "6")]);
    assert_eq!(alter(&mut cluster, &[first]), [Ok(())]);
    let second = all(target.clone(), &[("segment.ms", "7"), ("flush.ms", "8")]);
    assert_eq!(alter(&mut cluster, &[second]), [Ok(())]);
    let set: Vec<_> = level(&cluster).into_iter().collect();
    assert_eq!(set, [("flush.ms".into(), "8".into()), ("segment.ms".into(), "7".into())]);
    for bad in [&[("segment.ms", "0")][..], &[("no.such", "1")], &[("flush.ms", "1"), ("flush.ms", "2")]] {
        assert!(alter(&mut cluster, &[all(target.clone(), bad)]).pop().unwrap().is_err(), "{bad:?}");
    }
    assert_eq!(level(&cluster).len(), 2);
    assert_eq!(alter(&mut cluster, &[all(target, &[])]), [Ok(())]);
    assert!(level(&cluster).is_empty());
}

#[test]
fn validating_only_changes_nothing() {
    let mut cluster = Cluster::new(&[]);
    cluster.create_named("t", 1);
    let request = of(AlterTarget::Topic("t".into()), &[set("retention.ms", "5")]);
    let decision = alter_configs(cluster.cx(), &[request], true);
    assert_eq!((decision.records, decision.replies), (vec![], vec![Ok(())]));
}
