//! Readers that ask for more than they read.

mod harness;

use std::time::Instant;

use harness::{Broker, Client, PATIENCE, Want, batch, values};
use wire::{ErrorCode, Message, Reader, metadata};

/// Each of these leaves more unread than its sockets take.
const DEAF: usize = 16;

/// What each of them asks for, one answer at a time.
const ASKED: usize = 12;

/// The one batch that is read again and again.
const VALUE_BYTES: usize = 900_000;

/// The port of the core that leads a partition, and that of one that does not.
fn ports(client: &mut Client, topic: &str) -> (u16, u16) {
    let topic = metadata::RequestTopic { name: Some(topic), ..Default::default() };
    let body = client.call(12, &metadata::Request { topics: Some(vec![topic]), ..Default::default() });
    let response = metadata::Response::decode(12, &mut Reader::new(&body)).unwrap();
    let leader = response.topics[0].partitions[0].leader_id;
    let port = |leads: bool| {
        let node = response.brokers.iter().find(|node| (node.node_id == leader) == leads).expect("two cores");
        u16::try_from(node.port).unwrap()
    };
    (port(true), port(false))
}

fn closed_slow_readers(broker: &Broker) -> u64 {
    let page = broker.metrics();
    let closed = page.lines().filter(|l| l.contains("connections_closed_total") && l.contains("slow_reader"));
    closed.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn readers_that_stop_on_one_core_do_not_keep_the_memory_that_another_lent() {
    let broker = Broker::start_on(
        "0,1",
        &[
            "listeners=PLAINTEXT://127.0.0.1:0,CORES://127.0.0.1:0",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CORES:PLAINTEXT",
            "net.core_direct=CORES",
            "admin.listen=127.0.0.1:0",
            // Longer than this test waits for anything.
            "net.send_stall_ms=600000",
        ],
    );
    let mut client = Client::connect(broker.bound()[1]);
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
    let (owner, other) = ports(&mut client, "t");
    let value = vec![7; VALUE_BYTES];
    assert_eq!(client.produce("t", 0, -1, &batch(&[&value])).0, ErrorCode::None);

    let connect = |port: u16| Client::connect(([127, 0, 0, 1], port).into());
    let mut deaf: Vec<Client> = (0..DEAF).map(|_| connect(other)).collect();
    for reader in &mut deaf {
        for _ in 0..ASKED {
            reader.send_fetch("t", 0, 0, Want::default());
        }
    }
    let began = Instant::now();
    while closed_slow_readers(&broker) == 0 {
        assert!(began.elapsed() < PATIENCE, "nobody was closed\n{}", broker.metrics());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (error, _, records) = connect(owner).fetch("t", 0, 0, Want::default());
    assert_eq!((error, values(&records)), (ErrorCode::None, vec![(0, value)]));
}
