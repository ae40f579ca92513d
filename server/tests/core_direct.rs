//! The core-direct listener: a node for each core.

mod harness;

use harness::{Broker, Client, Want, batch, values};
use server::{Config, Sources};
use wire::{ErrorCode, Message, Reader, describe_cluster, describe_configs, find_coordinator, metadata};

/// Node 1's cores, as clients of the listener see them.
const CORES: [i32; 2] = [(1 << 20) + 1024, (1 << 20) + 1025];

const PARTITIONS: i32 = 6;

const LISTENERS: [&str; 3] = [
    "listeners=PLAINTEXT://127.0.0.1:0,CORES://127.0.0.1:0",
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CORES:PLAINTEXT",
    "admin.listen=127.0.0.1:0",
];

/// A broker on two cores with both kinds of listeners.
fn start(direct: &str) -> Broker {
    let mut set = LISTENERS.to_vec();
    set.extend([direct, "offsets.topic.num.partitions=8"]);
    Broker::start_on("0,1", &set)
}

/// The nodes as a client is told, each with its port, and the leader of every partition of `topic`.
fn look(client: &mut Client, topic: &str) -> (Vec<(i32, u16)>, Vec<i32>) {
    let topic = metadata::RequestTopic { name: Some(topic), ..Default::default() };
    let body = client.call(12, &metadata::Request { topics: Some(vec![topic]), ..Default::default() });
    let response = metadata::Response::decode(12, &mut Reader::new(&body)).unwrap();
    let nodes = response.brokers.iter().map(|b| (b.node_id, u16::try_from(b.port).unwrap())).collect();
    let mut partitions: Vec<_> = response.topics[0].partitions.iter().collect();
    partitions.sort_by_key(|p| p.partition_index);
    for partition in &partitions {
        assert_eq!(partition.replica_nodes, [partition.leader_id]);
        assert_eq!(partition.isr_nodes, [partition.leader_id]);
    }
    assert!(response.brokers.iter().any(|b| b.node_id == response.controller_id));
    (nodes, partitions.iter().map(|p| p.leader_id).collect())
}

/// A counter over all cores, once what was done before has been published.
fn counted(broker: &Broker, name: &str) -> u64 {
    // Published four times a second.
    std::thread::sleep(std::time::Duration::from_millis(600));
    let page = broker.metrics();
    let lines = page.lines().filter(|line| line.starts_with(&format!("ringlog_{name}")));
    let values: Vec<u64> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(!values.is_empty(), "{page}");
    values.iter().sum()
}

#[test]
fn clients_reach_the_core_that_owns_a_partition_and_nothing_goes_by_mail() {
    let broker = start("net.core_direct=cores");
    broker.client().create_topic("t", PARTITIONS, &[]);
    let mut first = Client::connect(broker.bound()[1]);
    let (nodes, leaders) = look(&mut first, "t");
    assert_eq!(nodes.iter().map(|n| n.0).collect::<Vec<_>>(), CORES);
    assert!(CORES.iter().all(|core| leaders.contains(core)), "both cores own partitions: {leaders:?}");
    let mut clients: Vec<Client> =
        nodes.iter().map(|n| Client::connect(([127, 0, 0, 1], n.1).into())).collect();

    let before = (counted(&broker, "mails_sent"), counted(&broker, "produce_requests"));
    for (partition, leader) in (0..PARTITIONS).zip(&leaders) {
        let client = &mut clients[CORES.iter().position(|core| core == leader).unwrap()];
        for _ in 0..20 {
            assert_eq!(client.produce("t", partition, -1, &batch(&[b"v"])).0, ErrorCode::None);
        }
        let (error, end, records) = client.fetch("t", partition, 0, Want::default());
        assert_eq!((error, end), (ErrorCode::None, 20));
        assert_eq!(values(&records)[0], (0, b"v".to_vec()));
    }
    let after = (counted(&broker, "mails_sent"), counted(&broker, "produce_requests"));
    assert_eq!(after.1 - before.1, 20 * PARTITIONS as u64);
    assert!(after.0 - before.0 < 20, "{} batches of mail for 120 appends", after.0 - before.0);

    // Whoever comes to the other core is served all the same.
    for client in &mut clients {
        for partition in 0..PARTITIONS {
            assert_eq!(client.produce("t", partition, -1, &batch(&[b"v"])).0, ErrorCode::None);
        }
    }
    let (nodes, leaders) = look(&mut broker.client(), "t");
    assert_eq!(nodes, [(1, broker.addr().port())], "the other listener shows the broker");
    assert!(leaders.iter().all(|&leader| leader == 1));
}

#[test]
fn groups_are_coordinated_by_the_core_that_holds_their_commits() {
    let broker = start("net.core_direct=CORES");
    let mut client = Client::connect(broker.bound()[1]);
    let keys: Vec<String> = (0..16).map(|i| format!("group-{i}")).collect();
    let request = find_coordinator::Request {
        coordinator_keys: keys.iter().map(String::as_str).collect(),
        ..Default::default()
    };
    let body = client.call(4, &request);
    let found = find_coordinator::Response::decode(4, &mut Reader::new(&body)).unwrap().coordinators;
    let (nodes, _) = look(&mut client, "__consumer_offsets");
    for one in &found {
        assert_eq!(one.error_code, ErrorCode::None);
        assert!(nodes.contains(&(one.node_id, u16::try_from(one.port).unwrap())), "{one:?}");
    }
    assert!(CORES.iter().all(|&core| found.iter().any(|c| c.node_id == core)));
}

#[test]
fn a_core_that_is_asked_as_a_broker_answers_for_the_broker() {
    let settings_of = |client: &mut Client, name: &str| {
        let request = describe_configs::Request {
            resources: vec![describe_configs::Resource {
                resource_type: describe_configs::RESOURCE_BROKER,
                resource_name: name,
                configuration_keys: Some(vec!["node.id"]),
            }],
            include_synonyms: false,
            include_documentation: false,
        };
        let body = client.call(4, &request);
        let mut response = describe_configs::Response::decode(4, &mut Reader::new(&body)).unwrap();
        let mut result = response.results.remove(0);
        (result.error_code, result.configs.pop().and_then(|c| c.value.map(|v| v.into_owned())))
    };
    let core = CORES[1].to_string();
    let broker = start("net.core_direct=CORES");
    let mut client = Client::connect(broker.bound()[1]);
    let told = (ErrorCode::None, Some("1".to_owned()));
    assert_eq!(settings_of(&mut client, &core), told);
    assert_eq!(settings_of(&mut client, "1"), told);
    assert_eq!(settings_of(&mut client, &(CORES[1] + 1).to_string()).0, ErrorCode::InvalidRequest);
    let request =
        describe_cluster::Request { endpoint_type: describe_cluster::ENDPOINT_BROKER, ..Default::default() };
    let body = client.call(1, &request);
    let response = describe_cluster::Response::decode(1, &mut Reader::new(&body)).unwrap();
    assert_eq!(response.brokers.iter().map(|b| b.broker_id).collect::<Vec<_>>(), CORES);
    assert!(CORES.contains(&response.controller_id));

    let broker = start("net.core_direct=");
    let mut client = Client::connect(broker.bound()[1]);
    assert_eq!(settings_of(&mut client, &core).0, ErrorCode::InvalidRequest, "nobody was told of cores");
}

#[test]
fn a_listener_that_is_not_there_or_has_no_ports_for_all_cores_is_refused() {
    let refused = |set: &[&str]| {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        set.extend([format!("log.dirs={}", dir.path().display()), "server.cores=0,1".to_owned()]);
        let config = Config::load(&Sources { set, ..Sources::default() }).unwrap();
        server::start(config).unwrap_err().to_string()
    };
    let error = refused(&["listeners=PLAINTEXT://127.0.0.1:0", "net.core_direct=CORES"]);
    assert!(error.contains("no listener is named CORES"), "{error}");
    let error = refused(&["listeners=PLAINTEXT://127.0.0.1:65535", "net.core_direct=PLAINTEXT"]);
    assert!(error.contains("core 1 has no port"), "{error}");
}
