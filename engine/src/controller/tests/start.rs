use super::*;
use crate::base::{CoreId, LeaderEpoch};
use crate::metadata::{Broker, Endpoint};

fn a_start() -> Start {
    let endpoint = Endpoint { name: "PLAINTEXT".into(), host: "127.0.0.1".into(), port: 9092 };
    Start {
        cluster: Uuid::from_u128(5),
        broker: Broker { rack: None, endpoints: vec![endpoint] },
        unclean: false,
    }
}

fn started(cluster: &mut Cluster, start: &Start) -> usize {
    let records = start_records(cluster.cx(), start);
    cluster.apply(&records);
    records.len()
}

#[test]
fn the_first_start_founds_the_cluster_and_the_next_says_nothing() {
    let mut cluster = Cluster::new(&[]);
    assert_eq!(started(&mut cluster, &a_start()), 2);
    assert_eq!(cluster.image.cluster(), Some(Uuid::from_u128(5)));
    cluster.create_named("t", 4);
    assert_eq!(started(&mut cluster, &Start { cluster: Uuid::from_u128(6), ..a_start() }), 0);
    let mut moved = a_start();
    moved.broker.endpoints[0].port = 9093;
    assert_eq!(started(&mut cluster, &moved), 1);
    assert_eq!(cluster.image.broker(NodeId(1)), Some(&moved.broker));
}

#[test]
fn partitions_of_cores_that_are_gone_move_and_no_other() {
    let mut cluster = Cluster::new(&[]);
    cluster.cores = 4;
    cluster.create_named("t", 8);
    started(&mut cluster, &a_start());
    let before = cluster.image.topic("t").unwrap().partitions.clone();
    cluster.cores = 3;
    assert_eq!(started(&mut cluster, &a_start()), 2);
    assert_eq!(cluster.cores_of(), [3, 3, 2]);
    for (old, new) in before.iter().zip(&cluster.image.topic("t").unwrap().partitions) {
        let orphan = old.core == CoreId(3);
        assert_eq!(old.core == new.core, !orphan);
        assert_eq!(new.partition_epoch, i32::from(orphan));
        assert_eq!(new.leader_epoch, old.leader_epoch);
    }
}

#[test]
fn partitions_spread_over_cores_that_were_added() {
    let mut cluster = Cluster::new(&[]);
    cluster.cores = 1;
    cluster.create_named("t", 9);
    started(&mut cluster, &a_start());
    cluster.cores = 4;
    assert_eq!(started(&mut cluster, &a_start()), 6);
    let mut counts = cluster.cores_of();
    counts.sort_unstable();
    assert_eq!(counts, [2, 2, 2, 3]);
    assert_eq!(started(&mut cluster, &a_start()), 0, "then they stay");
}

#[test]
fn an_unclean_start_raises_the_epochs_of_relaxed_topics_only() {
    let mut cluster = Cluster::new(&[]);
    cluster.create_named("durable", 1);
    let configs = vec![("flush.messages".to_owned(), Some("1000".to_owned()))];
    cluster.create_one(CreateTopic { configs, ..asked("relaxed", 2) }).unwrap();
    started(&mut cluster, &a_start());
    assert_eq!(started(&mut cluster, &Start { unclean: true, ..a_start() }), 2);
    let epochs = |name: &str| -> Vec<LeaderEpoch> {
        cluster.image.topic(name).unwrap().partitions.iter().map(|p| p.leader_epoch).collect()
    };
    assert_eq!(epochs("durable"), [LeaderEpoch(0)]);
    assert_eq!(epochs("relaxed"), [LeaderEpoch(1), LeaderEpoch(1)]);
}
