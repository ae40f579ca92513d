//! Damaged segments: whatever lies on the disk, a reader gets what was stored or an error, damage is
//! listed and fenced, and everything around it stays readable.

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId, WallMs};
use engine::broker::{AppendError, DamagedPart, FetchError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::io::{BLOCK, Disk, DiskOp, FileName, IO_BYTES_MAX, Open};
use engine::log::{Cause, DamagedRange};
use engine::record::{BatchBuilder, BatchHeader, Codec, crc_matches};
use sim::{SimDisk, World};

const MIB: usize = 1 << 20;
const POOL: usize = 8 * MIB;

/// Records of a test's log, one to a batch.
const RECORDS: i64 = 120;

fn key() -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 0 }
}

fn settings() -> TopicSettings {
    TopicSettings { segment_bytes: 128 * 1024, index_interval_bytes: 4096, ..TopicSettings::default() }
}

async fn open(world: &World) -> Shard<SimDisk> {
    open_with(world, 0).await
}

/// With a scrub that reads so many bytes a second, pass after pass.
async fn open_with(world: &World, scrub_bytes_per_second: u64) -> Shard<SimDisk> {
    let hosted =
        HostedPartition { key: key(), core: CoreId(0), leader_epoch: LeaderEpoch(0), settings: settings() };
    let disk = world.disk(POOL);
    let mut recovered = recover(&disk, &[hosted], 1, world.now()).await.expect("recovery");
    let settings = ShardSettings {
        journal_bytes: MIB as u64,
        journal_bytes_first: MIB as u64,
        scrub_bytes_per_second,
        scrub_interval_ms: 60_000,
        ..ShardSettings::default()
    };
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    let (commits, writer) = (shard.clone(), shard.clone());
    world.spawn(async move { commits.run_commits().await });
    world.spawn(async move { writer.run_writer().await });
    shard
}

fn value(offset: i64) -> Vec<u8> {
    vec![offset as u8; 600 + (offset as usize * 731) % 5_000]
}

async fn produce(world: &World, shard: &Shard<SimDisk>, offset: i64) {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1_000 + offset, None, Some(&value(offset)), &[]);
    let batch = builder.finish();
    let ticket = loop {
        match shard.append(world.now(), key(), &batch) {
            Ok(appended) => break appended.ticket,
            Err(AppendError::NoRoom) => shard.room().await,
            Err(error) => panic!("{error}"),
        }
    };
    shard.until_durable(ticket).await.expect("online");
}

/// A log of several segments, closed.
fn closed(seed: u64) -> World {
    let world = World::new(seed);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner).await;
        for offset in 0..RECORDS {
            produce(&inner, &shard, offset).await;
        }
        shard.close(inner.now()).await.expect("closed");
    });
    world.kill();
    world
}

/// What one pass from the beginning found, going over damage as its list says.
#[derive(Default, Debug, PartialEq)]
struct Pass {
    read: Vec<i64>,
    fenced: Vec<(i64, i64, Cause)>,
}

/// Reads everything. Whatever comes back must be what was stored.
async fn pass(shard: &Shard<SimDisk>, max_bytes: usize) -> Pass {
    let mut pass = Pass::default();
    let mut from = 0;
    while from < RECORDS {
        match shard.read(key(), Offset(from), max_bytes, true).await {
            Ok(fetched) => {
                let bytes: Vec<u8> = fetched.slices.iter().flat_map(|s| s.to_vec()).collect();
                assert!(!bytes.is_empty(), "nothing at {from}, below the high watermark");
                let mut rest = &bytes[..];
                while let Some(header) = BatchHeader::peek(rest) {
                    let (batch, more) = rest.split_at(header.total_bytes().expect("a length"));
                    assert_eq!(header.base_offset(), Offset(from), "in order");
                    assert!(crc_matches(batch), "at {from}");
                    let stored = value(from);
                    assert!(batch.windows(stored.len()).any(|w| w == stored), "another record at {from}");
                    pass.read.push(from);
                    from += 1;
                    rest = more;
                }
            }
            Err(FetchError::Fenced(range)) => {
                assert!(range.first.0 <= from && from < range.end.0, "{range:?} at {from}");
                pass.fenced.push((range.first.0, range.end.0, range.cause));
                from = range.end.0;
            }
            Err(error) => panic!("at {from}: {error}"),
        }
    }
    pass
}

fn file(base: i64, end: &str) -> FileName {
    FileName::partition_dir(key()).join(format_args!("{base:020}{end}"))
}

/// The segments' base offsets.
async fn bases(disk: &SimDisk) -> Vec<i64> {
    let entries = disk.list(&FileName::partition_dir(key())).await.expect("listed");
    let base = |e: engine::io::DirEntry| e.name.base().strip_suffix(".log").and_then(|b| b.parse().ok());
    entries.into_iter().filter_map(base).collect()
}

async fn bytes_of(disk: &SimDisk, name: &FileName) -> Vec<u8> {
    let file = disk.open(name, Open::Existing).await.expect("there");
    let len = disk.len(&file).await.expect("a length") as usize;
    let mut bytes = Vec::new();
    while bytes.len() < len {
        bytes.extend_from_slice(&disk.read(&file, bytes.len() as u64, IO_BYTES_MAX).await.expect("readable"));
    }
    bytes.truncate(len);
    bytes
}

async fn put(disk: &SimDisk, name: &FileName, bytes: &[u8]) {
    let file = disk.open(name, Open::OrCreate).await.expect("opened");
    for (i, part) in bytes.chunks(IO_BYTES_MAX).enumerate() {
        let padded = part.len().next_multiple_of(BLOCK);
        let mut buffer = disk.take(padded).expect("memory");
        buffer[..padded].fill(0);
        buffer[..part.len()].copy_from_slice(part);
        let chunk = disk.seal(buffer, padded);
        disk.write(&file, (i * IO_BYTES_MAX) as u64, chunk).await.expect("written");
    }
    disk.truncate(&file, bytes.len() as u64).await.expect("cut");
    disk.flush(&file).await.expect("flushed");
}

/// Where each batch of a segment begins, and the offset there.
fn batches(bytes: &[u8]) -> Vec<(usize, i64)> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(header) = BatchHeader::peek(&bytes[at..]) {
        found.push((at, header.base_offset().0));
        at += header.total_bytes().expect("a length");
    }
    found
}

/// Changes the second segment of a closed log and says what a pass then finds.
fn pass_after(seed: u64, change: impl FnOnce(&mut Vec<u8>, &[(usize, i64)]) + 'static) -> Pass {
    let world = closed(seed);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let name = file(bases(&disk).await[1], ".log");
        let mut bytes = bytes_of(&disk, &name).await;
        let begins = batches(&bytes);
        assert!(begins.len() > 10, "{} batches", begins.len());
        change(&mut bytes, &begins);
        put(&disk, &name, &bytes).await;
        let shard = open(&inner).await;
        let found = pass(&shard, 20_000).await;
        let again = pass(&shard, MIB).await;
        assert_eq!(found, again, "what is fenced stays fenced, the rest readable");
        // Appends go on all the same.
        produce(&inner, &shard, RECORDS).await;
        found
    })
}

#[test]
fn a_flipped_bit_anywhere_in_a_batch_costs_that_neighbourhood_only() {
    let world = closed(1);
    let inner = world.clone();
    let (begin, len) = world.run_until(async move {
        let disk = inner.disk(POOL);
        let bytes = bytes_of(&disk, &file(bases(&disk).await[1], ".log")).await;
        let begins = batches(&bytes);
        (begins[5].0, begins[6].0 - begins[5].0)
    });
    // Every byte of the header, and some of the rest.
    for at in (0..61).chain((61..len).step_by(len / 12)) {
        let found = pass_after(1, move |bytes, _| bytes[begin + at] ^= 0x10);
        let [(first, end, _)] = found.fenced[..] else { panic!("byte {at}: {found:?}") };
        assert!(end - first <= 8, "byte {at}: {first}..{end}");
        assert_eq!(found.read.len() as i64, RECORDS - (end - first), "byte {at}");
    }
}

#[test]
fn zeroed_misdirected_and_stale_blocks_never_come_back() {
    let zeroed = pass_after(2, |bytes, _| bytes[16_384..32_768].fill(0));
    assert_eq!(zeroed.fenced.len(), 1, "{zeroed:?}");
    assert!(zeroed.read.len() as i64 > RECORDS - 20, "{zeroed:?}");

    // Right bytes at a wrong place: both what they cover and what follows from them.
    let misdirected = pass_after(2, |bytes, begins| {
        let (from, to) = (begins[2].0, begins[6].0);
        let moved = bytes[from..to].to_vec();
        let at = begins[9].0;
        let n = moved.len().min(bytes.len() - at);
        bytes[at..at + n].copy_from_slice(&moved[..n]);
    });
    assert_eq!(misdirected.fenced.len(), 1, "{misdirected:?}");

    // A batch of the same offsets that an older leader had written there.
    let stale = pass_after(2, |bytes, begins| {
        BatchHeader::peek_mut(&mut bytes[begins[4].0..])
            .expect("a header")
            .stamp(Offset(begins[4].1), LeaderEpoch(9));
    });
    assert_eq!((stale.fenced.len(), stale.fenced[0].2), (1, Cause::Misplaced), "{stale:?}");
}

#[test]
fn a_batch_inside_a_record_is_not_taken_for_one_behind_damage() {
    // What a client put into its record: a whole batch that claims the offset behind the damaged one.
    let found = pass_after(3, |bytes, begins| {
        let (at, offset) = begins[5];
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, None, Some(b"forged"), &[]);
        let mut forged = builder.finish();
        BatchHeader::peek_mut(&mut forged).expect("a header").stamp(Offset(offset + 1), LeaderEpoch(0));
        let inside = at + 200;
        bytes[inside..inside + forged.len()].copy_from_slice(&forged);
        bytes[at + 8..at + 12].copy_from_slice(&188_i32.to_be_bytes());
    });
    assert_eq!(found.fenced.len(), 1, "{found:?}");
}

#[test]
fn a_missing_or_short_file_is_damage_of_its_own_records_only() {
    let short = pass_after(4, |bytes, begins| bytes.truncate(begins[8].0 + 100));
    let [(first, end, Cause::Missing)] = short.fenced[..] else { panic!("{short:?}") };
    assert_eq!(short.read.len() as i64, RECORDS - (end - first));

    let world = closed(4);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let bases = bases(&disk).await;
        disk.remove(&file(bases[1], ".log")).await.expect("removed");
        let shard = open(&inner).await;
        let found = pass(&shard, MIB).await;
        assert_eq!(found.fenced, [(bases[1], bases[2], Cause::Missing)]);
        assert_eq!(shard.stats().damaged_ranges, 1);
    });
}

#[test]
fn an_index_that_lies_or_is_gone_costs_no_record() {
    for kind in 0..3 {
        let world = closed(5);
        let inner = world.clone();
        world.run_until(async move {
            let disk = inner.disk(POOL);
            for base in bases(&disk).await {
                let name = file(base, ".index");
                let mut bytes = bytes_of(&disk, &name).await;
                match kind {
                    0 => bytes.fill(0xFF),
                    // Positions of later batches under the offsets of earlier ones.
                    1 => bytes.chunks_exact_mut(8).for_each(|e| e[6] = e[6].wrapping_add(0x40)),
                    _ => bytes.clear(),
                }
                put(&disk, &name, &bytes).await;
            }
            let shard = open(&inner).await;
            for from in 0..RECORDS {
                let fetched = shard.read(key(), Offset(from), 1, true).await.expect("readable");
                let first = fetched.slices.first().expect("a record");
                assert_eq!(BatchHeader::peek(first).map(|h| h.base_offset()), Some(Offset(from)), "{kind}");
            }
            assert_eq!(shard.stats().damaged_ranges, 0);
        });
    }
}

#[test]
fn the_list_outlives_a_clean_stop_and_goes_with_its_segment() {
    let world = closed(6);
    let inner = world.clone();
    let listed = world.run_until(async move {
        let disk = inner.disk(POOL);
        let name = file(bases(&disk).await[1], ".log");
        let mut bytes = bytes_of(&disk, &name).await;
        bytes[10_000] ^= 1;
        put(&disk, &name, &bytes).await;
        let shard = open(&inner).await;
        pass(&shard, MIB).await;
        let listed = shard.damages();
        assert_eq!(listed.len(), 1, "{listed:?}");
        shard.close(inner.now()).await.expect("closed");
        listed
    });
    world.kill();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner).await;
        assert_eq!(shard.damages(), listed);
        let [DamagedPart::Range(_, DamagedRange { end, .. })] = listed[..] else { panic!("{listed:?}") };
        let wants = [engine::broker::DeleteRecords { key: key(), before: Some(Offset(RECORDS - 1)) }];
        shard.delete_records(&wants).await.pop().expect("an answer").expect("deleted");
        shard.housekeep(inner.now()).await;
        assert!(shard.bounds(key()).expect("hosted").log_start > end);
        assert_eq!(shard.damages(), []);
    });
}

#[test]
fn a_time_is_found_behind_damage() {
    let world = closed(7);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let name = file(bases(&disk).await[1], ".log");
        let mut bytes = bytes_of(&disk, &name).await;
        let begins = batches(&bytes);
        bytes[begins[3].0 + 16] = 7;
        put(&disk, &name, &bytes).await;
        let shard = open(&inner).await;
        let behind = begins[begins.len() - 1].1;
        let found = shard.offset_for_time(key(), 1_000 + behind).await.expect("an answer").expect("a record");
        assert_eq!(found.offset, Offset(behind));
        let damaged = shard.offset_for_time(key(), 1_000 + begins[3].1).await.expect("an answer");
        assert!(damaged.expect("a record").offset > Offset(begins[3].1), "the next one that can be read");
    });
}

#[test]
fn what_the_disk_cannot_read_is_an_error_until_it_can() {
    let world = closed(8);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner).await;
        inner.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Read]));
        let refused = shard.read(key(), Offset(40), MIB, true).await;
        let Err(FetchError::Fenced(range)) = refused else { panic!("it was read") };
        assert_eq!(range.cause, Cause::Unreadable);
        assert!(shard.bounds(key()).is_ok() && !shard.is_offline());
        inner.faults(|f| f.eio_ppm = 0);
        let later = |ms| engine::base::Now { wall: WallMs(inner.now().wall.0 + ms), ..inner.now() };
        shard.tick(later(1_000));
        assert!(matches!(shard.read(key(), Offset(40), MIB, true).await, Err(FetchError::Fenced(_))));
        shard.tick(later(60_000));
        let found = pass(&shard, MIB).await;
        assert_eq!((found.read.len() as i64, found.fenced.len()), (RECORDS, 0));
        assert_eq!(shard.damages(), []);
    });
}

/// Lets the shard's clock run, in steps of 50 ms.
async fn run_for(world: &World, shard: &Shard<SimDisk>, seconds: u64) {
    for _ in 0..seconds * 20 {
        world.sleep(std::time::Duration::from_millis(50)).await;
        shard.tick(world.now());
    }
}

#[test]
fn the_scrub_finds_damage_before_a_reader_does_and_sees_when_it_is_put_right() {
    let world = closed(9);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let name = file(bases(&disk).await[1], ".log");
        let sound = bytes_of(&disk, &name).await;
        let mut bytes = sound.clone();
        bytes[20_000] ^= 4;
        put(&disk, &name, &bytes).await;
        let shard = open_with(&inner, 1 << 20).await;
        run_for(&inner, &shard, 5).await;
        let report = shard.scrub_report();
        assert_eq!((report.pass, report.damaged, report.under_way), (1, 1, false), "{report:?}");
        assert!(report.checked > report.total / 2 && report.ended.0 > 0, "{report:?}");
        assert_eq!(shard.damages().len(), 1);
        assert_eq!(pass(&shard, MIB).await.fenced.len(), 1);
        put(&disk, &name, &sound).await;
        run_for(&inner, &shard, 60).await;
        assert_eq!(shard.scrub_report().pass, 2);
        assert_eq!(shard.damages(), []);
        assert_eq!(pass(&shard, MIB).await.fenced, []);
    });
}

#[test]
fn the_scrub_keeps_its_rate_and_goes_on_where_it_stood() {
    let world = closed(10);
    let rate = 40_000;
    let mut checked = 0;
    for life in 0..20 {
        let inner = world.clone();
        let report = world.run_until(async move {
            let shard = open_with(&inner, rate).await;
            run_for(&inner, &shard, 2).await;
            shard.close(inner.now()).await.expect("closed");
            shard.scrub_report()
        });
        world.kill();
        assert_eq!(report.pass, 1, "life {life}: {report:?}");
        assert!(report.checked <= checked + 2 * rate + 130_000, "life {life}: {report:?} after {checked}");
        assert!(report.checked > checked || !report.under_way, "life {life}: {report:?} after {checked}");
        checked = report.checked;
        if !report.under_way {
            assert_eq!((report.checked, report.damaged), (report.total, 0), "every byte once");
            return;
        }
    }
    panic!("no pass came to its end: {checked} bytes");
}
