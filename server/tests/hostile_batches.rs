//! What a producer may not send, and what it is told. Each case leaves the connection usable and the
//! log as it was.

mod harness;

use engine::base::{ProducerEpoch, ProducerId};
use engine::record::{BatchBuilder, Codec};
use harness::{Broker, Client, Want, batch, batch_at, values};
use wire::{ApiKey, ErrorCode, Message, Reader, produce};

/// A batch with some bytes changed and its checksum made right again.
fn spoilt(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = batch(&[b"value"]);
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut batch);
    batch
}

fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Sends a batch that must be refused so, and shows that nothing of it was kept.
#[track_caller]
fn check(client: &mut Client, batch: &[u8], expected: ErrorCode) {
    let before = client.list_offset("t", 0, -1).offset;
    assert_eq!(client.produce("t", 0, -1, batch), (expected, -1));
    assert_eq!(client.list_offset("t", 0, -1).offset, before);
}

fn with_topic(set: &[&str]) -> (Broker, Client) {
    let broker = Broker::start(set);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
    (broker, client)
}

#[test]
fn batches_that_lie_about_themselves_are_refused() {
    let (_broker, mut client) = with_topic(&[]);
    let good = batch(&[b"value"]);
    check(&mut client, &[], ErrorCode::InvalidRecord);
    check(&mut client, &good[..40], ErrorCode::CorruptMessage);
    check(&mut client, &[good.clone(), good.clone()].concat(), ErrorCode::InvalidRecord);
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    check(&mut client, &flipped, ErrorCode::CorruptMessage);
    check(&mut client, &spoilt(0, &1i64.to_be_bytes()), ErrorCode::InvalidRecord);
    for length in [i32::MIN, -1, 0, 48, 1000, i32::MAX] {
        check(&mut client, &spoilt(8, &length.to_be_bytes()), ErrorCode::CorruptMessage);
    }
    for magic in [0, 1] {
        check(&mut client, &spoilt(16, &[magic]), ErrorCode::InvalidRecord);
    }
    for magic in [3, 0xff] {
        check(&mut client, &spoilt(16, &[magic]), ErrorCode::CorruptMessage);
    }
    for count in [i32::MIN, -1, 0, 2, i32::MAX] {
        check(&mut client, &spoilt(57, &count.to_be_bytes()), ErrorCode::InvalidRecord);
    }
    for delta in [-1, 1, i32::MAX] {
        check(&mut client, &spoilt(23, &delta.to_be_bytes()), ErrorCode::InvalidRecord);
    }
    // The record itself: its length, then a length of its key.
    check(&mut client, &spoilt(61, &[0x7f]), ErrorCode::InvalidRecord);
    check(&mut client, &spoilt(65, &[0x7e]), ErrorCode::InvalidRecord);
    assert_eq!(client.produce("t", 0, -1, &good), (ErrorCode::None, 0));
}

#[test]
fn what_only_brokers_write_is_refused_from_producers() {
    let (_broker, mut client) = with_topic(&[]);
    check(&mut client, &spoilt(21, &0x20i16.to_be_bytes()), ErrorCode::InvalidRecord);
    check(&mut client, &spoilt(21, &0x10i16.to_be_bytes()), ErrorCode::InvalidTxnState);
    check(&mut client, &spoilt(21, &0x08i16.to_be_bytes()), ErrorCode::InvalidTimestamp);
}

#[test]
fn codecs_that_nobody_has_and_zstd_too_early_are_refused() {
    let (_broker, mut client) = with_topic(&[]);
    for codec in 5..=7i16 {
        check(&mut client, &spoilt(21, &codec.to_be_bytes()), ErrorCode::UnsupportedCompressionType);
    }
    let mut builder = BatchBuilder::new(Codec::Zstd);
    builder.push(server::runtime::clock::now().wall.0, None, Some(b"value"), &[]);
    let mut zstd = Vec::new();
    builder.finish_into(&mut zstd);
    for (version, expected) in [(6, ErrorCode::UnsupportedCompressionType), (7, ErrorCode::None)] {
        client.send_produce(version, "t", 0, -1, &zstd);
        let body = client.receive(ApiKey::Produce, version, client.correlation());
        assert_eq!(harness::produced(version, &body).0, expected, "version {version}");
    }
}

#[test]
fn sizes_above_the_topics_limits_are_refused() {
    let (_broker, mut client) = with_topic(&["message.max.bytes=2000000", "log.segment.bytes=1048576"]);
    check(&mut client, &batch(&[&vec![0; 2_000_001]]), ErrorCode::MessageTooLarge);
    check(&mut client, &batch(&[&vec![0; 1_500_000]]), ErrorCode::RecordListTooLarge);
    assert_eq!(client.produce("t", 0, -1, &batch(&[&vec![0; 1_000_000]])), (ErrorCode::None, 0));
}

#[test]
fn timestamps_outside_the_window_name_their_records() {
    let (_broker, mut client) = with_topic(&["log.message.timestamp.before.max.ms=1000"]);
    client.send_produce(9, "t", 0, -1, &batch_at(5, &[b"a", b"b"]));
    let body = client.receive(ApiKey::Produce, 9, client.correlation());
    let response = produce::Response::decode(9, &mut Reader::new(&body)).unwrap();
    let topic = response.responses.iter().next().unwrap();
    let partition = topic.partition_responses.iter().next().unwrap();
    assert_eq!(partition.error_code, ErrorCode::InvalidTimestamp);
    let blamed: Vec<i32> = partition.record_errors.iter().map(|r| r.batch_index).collect();
    assert_eq!(blamed, [0, 1]);
}

#[test]
fn only_three_values_of_acks_exist() {
    let (_broker, mut client) = with_topic(&[]);
    for acks in [-2, 2, i16::MAX] {
        assert_eq!(client.produce("t", 0, acks, &batch(&[b"x"])), (ErrorCode::InvalidRequiredAcks, -1));
    }
}

#[test]
fn too_few_replicas_refuse_acks_all_alone() {
    let (_broker, mut client) = with_topic(&["min.insync.replicas=2"]);
    assert_eq!(client.produce("t", 0, -1, &batch(&[b"x"])), (ErrorCode::NotEnoughReplicas, -1));
    assert_eq!(client.produce("t", 0, 1, &batch(&[b"x"])), (ErrorCode::None, 0));
}

fn idempotent(id: i64, epoch: i16, sequence: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.set_producer(ProducerId(id), ProducerEpoch(epoch), sequence);
    builder.push(server::runtime::clock::now().wall.0, None, Some(&sequence.to_be_bytes()), &[]);
    let mut out = Vec::new();
    builder.finish_into(&mut out);
    out
}

#[test]
fn a_retried_batch_gets_its_first_offset_and_gaps_and_old_epochs_are_refused() {
    let (mut broker, mut client) = with_topic(&[]);
    for sequence in 0..6 {
        let sent = client.produce("t", 0, -1, &idempotent(7, 1, sequence));
        assert_eq!(sent, (ErrorCode::None, i64::from(sequence)));
    }
    for round in 0..2 {
        for sequence in 1..6 {
            let again = client.produce("t", 0, -1, &idempotent(7, 1, sequence));
            assert_eq!(again, (ErrorCode::None, i64::from(sequence)), "round {round}");
        }
        check(&mut client, &idempotent(7, 1, 0), ErrorCode::OutOfOrderSequenceNumber);
        check(&mut client, &idempotent(7, 1, 8), ErrorCode::OutOfOrderSequenceNumber);
        check(&mut client, &idempotent(7, 0, 6), ErrorCode::InvalidProducerEpoch);
        check(&mut client, &idempotent(7, 2, 5), ErrorCode::OutOfOrderSequenceNumber);
        check(&mut client, &idempotent(7, 1, -1), ErrorCode::InvalidRecord);
        broker.restart();
        client = broker.client();
    }
    assert_eq!(client.produce("t", 0, -1, &idempotent(7, 2, 0)), (ErrorCode::None, 6));
    let (_, high_watermark, records) = client.fetch("t", 0, 6, Want::default());
    assert_eq!((high_watermark, values(&records)), (7, vec![(6, 0i32.to_be_bytes().to_vec())]));
}
