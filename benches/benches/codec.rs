//! How much dearer is reading a Produce request than copying its bytes? And writing a Fetch response,
//! whose records are spliced in and never copied, than copying its bytes? And next to the oracle,
//! the public codec crate?

use std::hint::black_box;

use benches::{batch, compare, key};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::protocol::Decodable;
use wire::{ErrorCode, List, Message, Reader, Records, Writer, fetch, produce};

const VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const PARTITIONS: i32 = 8;

/// A request with a batch of 16 KiB for each partition.
fn request() -> Vec<u8> {
    let batch = batch(15, 1024, 1_000);
    let partitions: Vec<_> = (0..PARTITIONS)
        .map(|index| produce::PartitionData { index, records: Records::copied(&batch) })
        .collect();
    let topics =
        [produce::TopicData { name: "orders", partition_data: List::of(&partitions), ..Default::default() }];
    let request =
        produce::Request { acks: -1, timeout_ms: 1000, topic_data: List::of(&topics), ..Default::default() };
    let mut w = Writer::new();
    request.encode(VERSION, &mut w);
    w.into_head()
}

fn decode(body: &[u8]) -> usize {
    let request = produce::Request::decode(VERSION, &mut Reader::new(body)).expect("our own request");
    let mut bytes = 0;
    for topic in request.topic_data {
        for partition in topic.partition_data {
            bytes += partition.records.as_bytes().map_or(0, <[u8]>::len);
        }
    }
    bytes
}

fn encode(w: &mut Writer, batch_bytes: usize) -> usize {
    w.clear();
    let start = fetch::ResponseStart { throttle_time_ms: 0, error_code: ErrorCode::None, session_id: 0 };
    let mut response = fetch::ResponseWriter::new(FETCH_VERSION, &start, 1, w);
    response.topic("orders", key(0).topic.0, PARTITIONS as usize);
    for partition_index in 0..PARTITIONS {
        response.partition(&fetch::PartitionData {
            partition_index,
            high_watermark: 1_000,
            last_stable_offset: 1_000,
            log_start_offset: 0,
            records: Records::Splice { bytes: batch_bytes },
            ..Default::default()
        });
    }
    response.finish(&fetch::ResponseEnd::default());
    w.total_bytes()
}

fn oracle(body: &Bytes) -> usize {
    let request = ProduceRequest::decode(&mut body.clone(), VERSION).expect("our own request");
    let partitions = request.topic_data.iter().flat_map(|t| &t.partition_data);
    partitions.map(|p| p.records.as_ref().map_or(0, Bytes::len)).sum()
}

fn codec(c: &mut Criterion) {
    let body = request();
    let shared = Bytes::from(body.clone());
    let mut copy = vec![0; body.len()];
    let mut w = Writer::new();
    let batch_bytes = body.len() / PARTITIONS as usize;

    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("copy of the bytes", |b| b.iter(|| copy.copy_from_slice(black_box(&body))));
    group.bench_function("decode produce", |b| b.iter(|| decode(black_box(&body))));
    group.bench_function("decode produce, oracle", |b| b.iter(|| oracle(black_box(&shared))));
    group.bench_function("encode fetch", |b| b.iter(|| encode(&mut w, black_box(batch_bytes))));
    group.finish();

    let mut again = vec![0; body.len()];
    compare(
        "decode produce / copy",
        1_000,
        || {
            black_box(decode(black_box(&body)));
        },
        || {
            copy.copy_from_slice(black_box(&body));
            black_box(&copy);
        },
    );
    compare(
        "decode produce / oracle",
        1_000,
        || {
            black_box(decode(black_box(&body)));
        },
        || {
            black_box(oracle(&shared));
        },
    );
    compare(
        "encode fetch / copy",
        1_000,
        || {
            black_box(encode(&mut w, black_box(batch_bytes)));
        },
        || {
            again.copy_from_slice(black_box(&body));
            black_box(&again);
        },
    );
}

criterion_group!(benches, codec);
criterion_main!(benches);
