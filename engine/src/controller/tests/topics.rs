use super::*;
use crate::base::LeaderEpoch;

#[test]
fn a_topic_is_created_with_its_partitions_spread_and_its_settings_kept() {
    let mut cluster = Cluster::new(&[]);
    let request = CreateTopic { configs: vec![("retention.ms".into(), Some(" 5 ".into()))], ..asked("t", 5) };
    let created = cluster.create_one(request).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (5, 1));
    let topic = cluster.image.topic("t").unwrap();
    assert_eq!((topic.id, topic.configs["retention.ms"].as_str()), (created.id, "5"));
    assert_eq!(topic.configs, created.configs);
    for partition in &topic.partitions {
        assert_eq!((&partition.replicas, partition.leader), (&vec![NodeId(1)], Some(NodeId(1))));
        assert_eq!((&partition.isr, partition.leader_epoch), (&vec![NodeId(1)], LeaderEpoch(0)));
    }
    assert_eq!(cluster.cores_of(), [3, 2]);
    cluster.create_named("u", 3);
    assert_eq!(cluster.cores_of(), [4, 4]);
}

#[test]
fn counts_of_minus_one_are_the_brokers_defaults() {
    let mut cluster = Cluster::new(&[("num.partitions", "4")]);
    assert_eq!(cluster.create_one(CreateTopic::with_defaults("t")).unwrap().partitions, 4);
    let mut cluster = Cluster::new(&[("default.replication.factor", "3")]);
    let reply = cluster.create_one(CreateTopic::with_defaults("t"));
    assert_eq!(why(reply), Why::InvalidReplicationFactor);
    let explicit = CreateTopic { replication_factor: 1, ..CreateTopic::with_defaults("t") };
    cluster.create_one(explicit).unwrap();
}

#[test]
fn internal_topics_get_as_many_replicas_as_there_are_brokers_for() {
    let cluster = Cluster::new(&[]);
    assert_eq!(cluster.settings.groups.offsets_replication, 3);
    assert_eq!([3, 1].map(|wanted| cluster.cx().internal_replication(wanted)), [1, 1]);
}

#[test]
fn names_follow_kafkas_rule() {
    let mut cluster = Cluster::new(&[]);
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "../../etc", "ä", "a\0", "a:b", long.as_str()] {
        assert_eq!(why(cluster.create_one(asked(name, 1))), Why::InvalidTopic, "{name:?}");
    }
    assert_eq!(why(cluster.create_one(asked("__cluster_metadata", 1))), Why::InvalidRequest);
    for name in ["a", "...", "A.b-C_9", &long[..249]] {
        cluster.create_one(asked(name, 1)).unwrap();
    }
}

#[test]
fn a_name_is_given_once_however_it_is_dotted() {
    let mut cluster = Cluster::new(&[]);
    cluster.create_named("a.b", 1);
    assert_eq!(why(cluster.create_one(asked("a.b", 1))), Why::TopicAlreadyExists);
    assert_eq!(why(cluster.create_one(asked("a_b", 1))), Why::InvalidTopic);
    let replies =
        cluster.create(&[asked("c.d", 1), asked("c_d", 1), asked("e", 1), asked("e", 2), asked("f", 1)]);
    let kinds: Vec<_> = replies.into_iter().map(|r| r.map(|_| ()).map_err(|e| e.why)).collect();
    let twice = Err(Why::InvalidRequest);
    assert_eq!(kinds, [Ok(()), Err(Why::InvalidTopic), twice, twice, Ok(())]);
    assert!(cluster.image.topic("e").is_none());
}

#[test]
fn impossible_counts_are_refused() {
    let mut cluster = Cluster::new(&[]);
    for partitions in [0, -2, i32::MIN, 10_001, i32::MAX] {
        assert_eq!(why(cluster.create_one(asked("t", partitions))), Why::InvalidPartitions, "{partitions}");
    }
    for replicas in [0, -2, 2, i16::MAX] {
        let request = CreateTopic { replication_factor: replicas, ..asked("t", 1) };
        assert_eq!(why(cluster.create_one(request)), Why::InvalidReplicationFactor, "{replicas}");
    }
    let replies = cluster.create(&[asked("a", 10_000), asked("b", 10_000), asked("c", 1)]);
    assert_eq!(why(replies.into_iter().next_back().unwrap()), Why::PolicyViolation);
    cluster.create_named("c", 10_000);
    cluster.create_named("d", 10_000);
    assert_eq!(cluster.cores_of(), [PARTITIONS_PER_CORE_MAX; 2]);
    assert_eq!(why(cluster.create_one(asked("e", 1))), Why::PolicyViolation);
}

#[test]
fn assignments_must_name_this_broker_for_each_partition_once() {
    let mut cluster = Cluster::new(&[]);
    let node = NodeId(1);
    let assigned = |assignments: &[(i32, &[NodeId])]| CreateTopic {
        assignments: assignments.iter().map(|(i, nodes)| (*i, nodes.to_vec())).collect(),
        ..CreateTopic::with_defaults("t")
    };
    let bad: [&[(i32, &[NodeId])]; 6] = [
        &[(1, &[node])],
        &[(0, &[node]), (0, &[node])],
        &[(0, &[])],
        &[(0, &[node, node])],
        &[(0, &[NodeId(2)])],
        &[(-1, &[node]), (0, &[node])],
    ];
    for assignments in bad {
        let reply = cluster.create_one(assigned(assignments));
        assert_eq!(why(reply), Why::InvalidReplicaAssignment, "{assignments:?}");
    }
    let both = CreateTopic { partitions: 1, ..assigned(&[(0, &[node])]) };
    assert_eq!(why(cluster.create_one(both)), Why::InvalidRequest);
    let created = cluster.create_one(assigned(&[(1, &[node]), (0, &[node])])).unwrap();
    assert_eq!(created.partitions, 2);
}

#[test]
fn settings_that_no_topic_may_have_refuse_it() {
    let mut cluster = Cluster::new(&[]);
    let cases = [
        ("retention.mss", Some("1"), "did you mean retention.ms"),
        ("compression.type", Some("gzip"), "does not recompress"),
        ("retention.ms", None, "null"),
    ];
    for (name, value, message) in cases {
        let configs = vec![(name.to_owned(), value.map(str::to_owned))];
        let refused = cluster.create_one(CreateTopic { configs, ..asked("t", 1) }).unwrap_err();
        assert_eq!(refused.why, Why::InvalidConfig);
        assert!(refused.message.contains(message), "{refused}");
    }
    assert_eq!(cluster.image.topics().len(), 0);
}

#[test]
fn validating_only_answers_the_same_and_changes_nothing() {
    let cluster = Cluster::new(&[]);
    let requests = [asked("t", 3), asked("..", 3)];
    let no_ids = || panic!("an id was drawn");
    let decision = create_topics(cluster.cx(), &requests, true, no_ids);
    assert_eq!(decision.records, []);
    let created = decision.replies[0].as_ref().unwrap();
    assert_eq!((created.partitions, created.id), (3, TopicId::ZERO));
    assert_eq!(decision.replies[1].as_ref().unwrap_err().why, Why::InvalidTopic);
}

#[test]
fn topics_are_deleted_by_name_or_id_once() {
    let mut cluster = Cluster::new(&[]);
    let id = cluster.create_named("a", 1);
    cluster.create_named("b", 1);
    let requests = [
        DeleteTopic::Id(id),
        DeleteTopic::Name("a".into()),
        DeleteTopic::Name("b".into()),
        DeleteTopic::Name("c".into()),
        DeleteTopic::Id(TopicId(Uuid::from_u128(99))),
    ];
    let decision = delete_topics(cluster.cx(), &requests);
    cluster.apply(&decision.records);
    let kinds: Vec<_> = decision.replies.into_iter().map(|r| r.map(|t| t.name).map_err(|e| e.why)).collect();
    assert_eq!(
        kinds,
        [
            Ok("a".to_owned()),
            Err(Why::InvalidRequest),
            Ok("b".to_owned()),
            Err(Why::UnknownTopicOrPartition),
            Err(Why::UnknownTopicId),
        ]
    );
    assert_eq!(cluster.image.topics().len(), 0);
    assert_ne!(cluster.create_named("a", 1), id, "a recreated topic is another one");
}

#[test]
fn deleting_can_be_disabled() {
    let mut cluster = Cluster::new(&[("delete.topic.enable", "false")]);
    cluster.create_named("a", 1);
    let decision = delete_topics(cluster.cx(), &[DeleteTopic::Name("a".into())]);
    assert_eq!(decision.records, []);
    assert_eq!(why(decision.replies.into_iter().next().unwrap()), Why::TopicDeletionDisabled);
}
