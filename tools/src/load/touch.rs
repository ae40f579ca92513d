//! The first record of each partition, written and acknowledged before anything else.
//!
//! Brokers do much on the first append to a partition (files, indexes, mappings), and some show a leader before it
//! takes writes. A load that began there would measure that; so it is done first, for every partition, and timed for
//! itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wire::{ErrorCode, List, Records, produce};

use super::LoadError;
use super::client::{Client, ClientError};
use super::clock::{now_ns, wall_ms};
use super::image::{Image, KEY_BYTES, Sender};
use super::run::{Run, Tally};
use super::stamp::Stamp;

/// How long the first records may take altogether.
const TOUCH_TIMEOUT: Duration = Duration::from_secs(300);

/// Before partitions that take no writes yet are tried again.
const TOUCH_PAUSE: Duration = Duration::from_millis(5);

/// Bytes of batches in a request: Kafka's default `max.request.size`.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// `timeout.ms` of a request.
const TIMEOUT_MS: i32 = 30_000;

/// What a partition says that is not ready yet: nothing was written.
const NOT_READY: [ErrorCode; 4] = [
    ErrorCode::NotLeaderOrFollower,
    ErrorCode::UnknownTopicOrPartition,
    ErrorCode::LeaderNotAvailable,
    ErrorCode::UnknownTopicId,
];

/// Writes one record to each partition, as producer 0 of this identity, with `acks=all` whatever the plan says.
/// `leaders` are the addresses in the order of `run.led`. Stops early when told.
pub(super) fn touch(
    run: &Run,
    tally: &mut Tally,
    leaders: &[String],
    identity: Option<(i64, i16)>,
    stop: &AtomicBool,
) -> Result<(), LoadError> {
    let deadline = Instant::now() + TOUCH_TIMEOUT;
    for (address, led) in leaders.iter().zip(&run.led) {
        let mut client = Client::connect(address)?;
        let mut pending: Vec<usize> = led.clone();
        while !pending.is_empty() && !stop.load(Ordering::Relaxed) {
            let mut refused = None;
            let mut again = Vec::new();
            let batch_bytes = first_batch(run, identity, 0).len();
            for some in pending.chunks((REQUEST_BYTES_MAX / batch_bytes).max(1)) {
                for (partition, error, base_offset) in write(run, &mut client, some, identity)? {
                    if error == ErrorCode::None {
                        note(run, tally, partition, base_offset);
                    } else {
                        again.push(partition);
                        refused = Some((partition, error));
                    }
                }
            }
            pending = again;
            if let Some((partition, code)) = refused {
                if !NOT_READY.contains(&code) || Instant::now() > deadline {
                    let what = format!("write the first record of partition {partition}");
                    return Err(ClientError::Refused { what, code, detail: None }.into());
                }
                std::thread::sleep(TOUCH_PAUSE);
            }
        }
    }
    Ok(())
}

/// One request; returns what each partition answered.
fn write(
    run: &Run,
    client: &mut Client,
    partitions: &[usize],
    identity: Option<(i64, i16)>,
) -> Result<Vec<(usize, ErrorCode, i64)>, LoadError> {
    let batches: Vec<Vec<u8>> = partitions.iter().map(|p| first_batch(run, identity, *p)).collect();
    let data = partitions.iter().zip(&batches).map(|(partition, batch)| produce::PartitionData {
        index: *partition as i32,
        records: Records::copied(batch),
    });
    let data: Vec<_> = data.collect();
    let topics = [produce::TopicData {
        name: &run.plan.topic,
        topic_id: run.topic_id,
        partition_data: List::of(&data),
    }];
    let request = produce::Request {
        acks: -1,
        timeout_ms: TIMEOUT_MS,
        topic_data: List::of(&topics),
        ..produce::Request::default()
    };
    let answer: produce::Response<'_> = client.call(&request)?;
    let answered: Vec<_> = answer
        .responses
        .iter()
        .flat_map(|t| t.partition_responses.iter())
        .map(|p| (p.index as usize, p.error_code, p.base_offset))
        .collect();
    let mut expected: Vec<usize> = partitions.to_vec();
    let mut got: Vec<usize> = answered.iter().map(|(partition, ..)| *partition).collect();
    expected.sort_unstable();
    got.sort_unstable();
    if expected != got {
        return Err(LoadError::Unexpected { what: "an answer for other partitions than were written" });
    }
    Ok(answered)
}

fn first_batch(run: &Run, identity: Option<(i64, i16)>, partition: usize) -> Vec<u8> {
    let stamp = Stamp { run: run.id, producer: 0, sequence: 0, planned_ns: now_ns() };
    let key = (run.plan.keys > 0).then_some(partition as u64);
    let mut image = Image::new(run.plan.batch_bytes, true);
    image.push(&stamp, key, run.plan.sizes.max, &run.filler);
    let (id, epoch) = identity.unwrap_or((-1, -1));
    let base_sequence = if id < 0 { -1 } else { 0 };
    image.seal(Sender { id, epoch, base_sequence }, wall_ms(), run.plan.codec);
    image.bytes().to_vec()
}

fn note(run: &Run, tally: &mut Tally, partition: usize, base_offset: i64) {
    tally.ledger(partition, 0).next = 1;
    tally.ends[partition] = base_offset + 1;
    tally.records_sent += 1;
    tally.records_acked += 1;
    tally.bytes_sent += (run.plan.sizes.max + if run.plan.keys > 0 { KEY_BYTES } else { 0 }) as u64;
}
