//! Checkpoints: the seeds are those that a shard leaves on a simulated disk.

use bolero::check;
use engine::base::{CoreId, LeaderEpoch, PartitionKey, TopicId};
use engine::broker::{Checkpoint, HostedPartition, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::io::{Disk, FileName};
use sim::World;
use uuid::Uuid;

use crate::{BRIEF, Input, batches};

const POOL: usize = 8 << 20;

/// What a shard of three partitions leaves after a few batches and a clean stop.
fn checkpoints() -> Vec<Vec<u8>> {
    let world = World::new(1);
    let inner = world.clone();
    world.run_until(async move {
        let world = inner;
        let hosted: Vec<HostedPartition> = (0..3)
            .map(|index| HostedPartition {
                key: PartitionKey { topic: TopicId(Uuid::from_u128(7)), index },
                core: CoreId(0),
                leader_epoch: LeaderEpoch(0),
                settings: TopicSettings::default(),
            })
            .collect();
        let disk = world.disk(POOL);
        let state = recover(&disk, &hosted, 1, world.now()).await.expect("recovery").cores.remove(0);
        let shard =
            Shard::open(disk.clone(), state, ShardSettings::default(), world.now()).await.expect("open");
        world.run_shard(&shard);
        for (i, part) in hosted.iter().enumerate() {
            for batch in batches().iter().skip(i).step_by(2) {
                if let Ok(appended) = shard.append(world.now(), part.key, batch) {
                    shard.until_durable(appended.ticket).await.expect("online");
                }
            }
        }
        shard.close(world.now()).await.expect("a clean stop");
        let mut found = Vec::new();
        for slot in 0..2 {
            let name = FileName::core_dir(CoreId(0)).join(format_args!("checkpoint-{slot}"));
            found.extend(disk.read_small(&name, 1 << 20).await.expect("readable"));
        }
        found
    })
}

/// Makes the header's length and checksum match a body that reaches to the end.
fn mend(bytes: &mut [u8]) {
    if bytes.len() >= HEADER_BYTES {
        let body = (bytes.len() - HEADER_BYTES) as u64;
        bytes[42..50].copy_from_slice(&body.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), &bytes[HEADER_BYTES..]);
        bytes[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
    }
}

const HEADER_BYTES: usize = 58;
const CRC_AT: usize = 54;

/// The file as long as its checkpoint: what lies behind is of an older, longer one.
fn trimmed(mut file: Vec<u8>) -> Vec<u8> {
    let body = u64::from_be_bytes(file[42..50].try_into().expect("eight bytes")) as usize;
    file.truncate(HEADER_BYTES + body);
    file
}

#[test]
fn checkpoint_files() {
    let sound: Vec<Vec<u8>> = checkpoints().into_iter().map(trimmed).collect();
    assert!(sound.iter().any(|s| Checkpoint::decode(s).is_some_and(|c| c.partitions.len() == 3)));
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        let bytes = input.bytes(&sound, mend);
        if let Some(checkpoint) = Checkpoint::decode(&bytes) {
            assert!(checkpoint.partitions.len() <= bytes.len());
        }
    });
}

#[test]
fn a_body_length_near_the_largest_number_is_refused() {
    // Found by `checkpoint_files`: the header's bytes were added to it before it was checked.
    let mut bytes = checkpoints().remove(0);
    bytes[42..50].fill(0xff);
    assert!(Checkpoint::decode(&bytes).is_none());
}
