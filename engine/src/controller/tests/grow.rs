use super::*;
use crate::base::CoreId;

const FIXED: &str = "__consumer_offsets";

fn wanted(name: &str, partitions: i32) -> GrowTopic {
    GrowTopic { name: name.into(), partitions, assignments: None }
}

fn placed(name: &str, partitions: i32, nodes: &[&[i32]]) -> GrowTopic {
    let assignments = nodes.iter().map(|n| n.iter().map(|&id| NodeId(id)).collect()).collect();
    GrowTopic { assignments: Some(assignments), ..wanted(name, partitions) }
}

fn grow(cluster: &mut Cluster, requests: &[GrowTopic]) -> Vec<Result<(), Refused>> {
    let decision = grow_topics(cluster.cx(), requests, FIXED, false);
    cluster.apply(&decision.records);
    decision.replies
}

#[test]
fn new_partitions_follow_the_old_ones_on_the_emptiest_cores() {
    let mut cluster = Cluster::new(&[]);
    cluster.create_named("t", 1);
    cluster.create_named("u", 1);
    assert_eq!(grow(&mut cluster, &[wanted("t", 4), wanted("u", 2)]), [Ok(()), Ok(())]);
    let cores = |cluster: &Cluster, name: &str| -> Vec<CoreId> {
        cluster.image.topic(name).unwrap().partitions.iter().map(|p| p.core).collect()
    };
    assert_eq!(cores(&cluster, "t").len(), 4);
    assert_eq!(cores(&cluster, "t")[0], CoreId(0), "old partitions stay where they are");
    assert_eq!(cluster.cores_of(), [3, 3]);
    assert_eq!(grow(&mut cluster, &[placed("t", 6, &[&[1], &[1]])]), [Ok(())]);
    assert_eq!(cores(&cluster, "t").len(), 6);
}

#[test]
fn a_count_that_is_no_increase_is_refused() {
    let mut cluster = Cluster::new(&[]);
    cluster.create_named("t", 3);
    for count in [3, 2, 0, -1, i32::MIN, 10_001, i32::MAX] {
        let reply = grow(&mut cluster, &[wanted("t", count)]).pop().unwrap();
        assert_eq!(why(reply), Why::InvalidPartitions, "{count}");
    }
    cluster.create_named(FIXED, 50);
    assert_eq!(why(grow(&mut cluster, &[wanted(FIXED, 51)]).pop().unwrap()), Why::InvalidPartitions);
    assert_eq!(why(grow(&mut cluster, &[wanted("gone", 4)]).pop().unwrap()), Why::UnknownTopicOrPartition);
    assert_eq!(cluster.image.topic("t").unwrap().partitions.len(), 3);
}

#[test]
fn assignments_must_be_one_for_each_new_partition_on_brokers_that_exist() {
    let mut cluster = Cluster::new(&[]);
    cluster.create_named("t", 1);
    let bad: [&[&[i32]]; 6] =
        [&[], &[&[1]], &[&[1], &[1], &[1]], &[&[1], &[2]], &[&[1], &[]], &[&[1], &[1, 1]]];
    for nodes in bad {
        let reply = grow(&mut cluster, &[placed("t", 3, nodes)]).pop().unwrap();
        assert_eq!(why(reply), Why::InvalidReplicaAssignment, "{nodes:?}");
    }
    assert_eq!(cluster.image.topic("t").unwrap().partitions.len(), 1);
}

#[test]
fn each_topic_is_grown_or_refused_by_itself_and_at_most_once() {
    let mut cluster = Cluster::new(&[]);
    for name in ["a", "b", "c"] {
        cluster.create_named(name, 1);
    }
    let requests = [wanted("a", 2), wanted("b", 2), wanted("b", 3), wanted("c", 1), wanted("d", 2)];
    let kinds: Vec<_> = grow(&mut cluster, &requests).into_iter().map(|r| r.map_err(|e| e.why)).collect();
    let twice = Err(Why::InvalidRequest);
    assert_eq!(kinds, [Ok(()), twice, twice, Err(Why::InvalidPartitions), Err(Why::UnknownTopicOrPartition)]);
    assert_eq!(cluster.image.topic("b").unwrap().partitions.len(), 1);
}

#[test]
fn growing_stays_within_the_limits_of_a_request_and_of_the_cores() {
    let mut cluster = Cluster::new(&[]);
    for name in ["a", "b", "c"] {
        cluster.create_named(name, 1);
    }
    let requests = [wanted("a", 10_000), wanted("b", 10_000), wanted("c", 5)];
    let decision = grow_topics(cluster.cx(), &requests, FIXED, true);
    assert_eq!(decision.records, [], "only validated");
    assert_eq!(why(decision.replies.into_iter().next_back().unwrap()), Why::PolicyViolation);
    grow(&mut cluster, &requests);
    cluster.create_named("d", 10_000);
    cluster.create_named("e", 9_000);
    assert_eq!(why(grow(&mut cluster, &[wanted("e", 10_000)]).pop().unwrap()), Why::PolicyViolation);
}
