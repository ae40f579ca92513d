//! `ringlog log dump`: each kind of file as lines.

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::base::Offset;
use engine::broker::Checkpoint;
use engine::journal::{EntryKind, FILE_HEADER_BYTES, file_number};
use engine::log::index::{OffsetEntry, TimeEntry};
use engine::log::names::{self, SegmentFile};
use engine::log::{LeaderEpochs, ProducerTable};
use engine::record::{BatchHeader, Records, TimestampType, payload};
use serde_json::Value;

use super::DumpArgs;
use super::batches::{Batches, Next, Stored};
use super::indexes::entries;
use super::journals::{Found, Journal};
use super::lines::{Lines, text_or_hex};

/// No batch is inflated to more, in bytes.
const INFLATE_BYTES_MAX: usize = 256 << 20;

/// No small file is read that is larger, in bytes.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 30;

/// Shows every file; returns how many damages were met.
pub(super) fn dump<W: Write>(args: &DumpArgs, out: &mut Lines<W>) -> anyhow::Result<u64> {
    let mut damages = 0;
    for path in &args.paths {
        for file in files(path)? {
            damages += dump_file(&file, args, out).with_context(|| file.display().to_string())?;
        }
    }
    Ok(damages)
}

/// The file itself, or a directory's files by name.
pub(super) fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !fs::metadata(path).with_context(|| path.display().to_string())?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// A small file, whole.
pub(super) fn read_small(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = fs::metadata(path)?.len();
    anyhow::ensure!(bytes <= SMALL_FILE_BYTES_MAX, "{} has {bytes} bytes", path.display());
    Ok(fs::read(path)?)
}

fn dump_file<W: Write>(path: &Path, args: &DumpArgs, out: &mut Lines<W>) -> anyhow::Result<u64> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    out.line("file", "Dumping", &[("file", path.display().to_string().into())])?;
    match SegmentFile::parse(&name) {
        Some((base, SegmentFile::Log)) => dump_segment(path, base, args, out),
        Some((base, SegmentFile::Index)) => {
            for entry in entries::<OffsetEntry>(&read_small(path)?) {
                let offset = entry.offset(base).0;
                out.line("index", "", &[("offset", offset.into()), ("position", entry.position.into())])?;
            }
            Ok(0)
        }
        Some((base, SegmentFile::TimeIndex)) => {
            for entry in entries::<TimeEntry>(&read_small(path)?) {
                let offset = entry.offset(base).0;
                out.line(
                    "timeindex",
                    "",
                    &[("timestamp", entry.timestamp.into()), ("offset", offset.into())],
                )?;
            }
            Ok(0)
        }
        Some((_, SegmentFile::Snapshot)) => match ProducerTable::decode_snapshot(&read_small(path)?) {
            Ok(table) => dump_producers(&table, out).map(|()| 0),
            Err(error) => broken(path, &error, out),
        },
        Some((_, SegmentFile::TxnIndex)) => Ok(0),
        None if name == names::LEADER_EPOCH_CHECKPOINT => match LeaderEpochs::decode(&read_small(path)?) {
            Ok(epochs) => dump_epochs(&epochs, out).map(|()| 0),
            Err(error) => broken(path, &error, out),
        },
        None if name == names::PARTITION_METADATA => {
            match names::decode_partition_metadata(&read_small(path)?) {
                Ok(topic) => {
                    let kafka = names::encode_uuid(topic.0);
                    let id = topic.to_string();
                    out.line("partition.metadata", "", &[("topicId", kafka.into()), ("uuid", id.into())])?;
                    Ok(0)
                }
                Err(error) => broken(path, &error, out),
            }
        }
        None if file_number(&name).is_some() => dump_journal(path, args, out),
        None if name.starts_with("checkpoint-") => dump_checkpoint(path, args, out),
        None => {
            out.line("skipped", "Not a file of a log", &[("file", name.into())])?;
            Ok(0)
        }
    }
}

fn broken<W: Write>(path: &Path, error: &dyn std::fmt::Display, out: &mut Lines<W>) -> anyhow::Result<u64> {
    out.damage(&path.display().to_string(), None, &error.to_string())?;
    Ok(1)
}

fn dump_segment<W: Write>(
    path: &Path,
    base: Offset,
    args: &DumpArgs,
    out: &mut Lines<W>,
) -> anyhow::Result<u64> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    out.line("segment", "Log", &[("startingOffset", base.0.into()), ("bytes", bytes.into())])?;
    let mut batches = Batches::new(BufReader::with_capacity(1 << 20, file), bytes, base);
    let mut damages = 0;
    loop {
        match batches.next()? {
            Next::Batch(batch) => damages += dump_batch(&batch, args, out)?,
            Next::End => return Ok(damages),
            Next::Unused => {
                let unused = bytes - batches.position();
                out.line(
                    "unused",
                    "Allocated and not used",
                    &[("position", batches.position().into()), ("bytes", unused.into())],
                )?;
                return Ok(damages);
            }
            Next::Broken(what) => {
                out.damage(&path.display().to_string(), Some(batches.position()), what)?;
                return Ok(damages + 1);
            }
        }
    }
}

/// One batch, in the words of `kafka-dump-log`.
pub(super) fn dump_batch<W: Write>(
    batch: &Stored,
    args: &DumpArgs,
    out: &mut Lines<W>,
) -> anyhow::Result<u64> {
    let header = batch.header();
    let attributes = header.attributes();
    let valid = batch.is_valid();
    let time = time_name(attributes.timestamp_type());
    let last_sequence = match header.base_sequence() {
        -1 => -1,
        first => first.wrapping_add(header.last_offset_delta()) & i32::MAX,
    };
    out.line(
        "batch",
        "",
        &[
            ("baseOffset", header.base_offset().0.into()),
            ("lastOffset", header.last_offset().0.into()),
            ("count", header.record_count().into()),
            ("baseSequence", header.base_sequence().into()),
            ("lastSequence", last_sequence.into()),
            ("producerId", header.producer_id().into()),
            ("producerEpoch", header.producer_epoch().into()),
            ("partitionLeaderEpoch", header.leader_epoch().0.into()),
            ("isTransactional", attributes.is_transactional().into()),
            ("isControl", attributes.is_control().into()),
            ("position", batch.position.into()),
            (time, header.max_timestamp().into()),
            ("size", batch.bytes.len().into()),
            ("magic", header.magic().into()),
            ("compresscodec", codec_name(attributes.codec()).into()),
            ("crc", header.crc().into()),
            ("isvalid", valid.into()),
        ],
    )?;
    let mut damages = u64::from(!valid);
    if valid && (args.records || args.data) {
        damages += dump_records(batch, args, out)?;
    }
    Ok(damages)
}

fn dump_records<W: Write>(batch: &Stored, args: &DumpArgs, out: &mut Lines<W>) -> anyhow::Result<u64> {
    let header = batch.header();
    let records = match payload(&batch.bytes, INFLATE_BYTES_MAX) {
        Ok(records) => records,
        Err(error) => {
            out.damage("records", Some(batch.position), &error.to_string())?;
            return Ok(1);
        }
    };
    let time = time_name(header.attributes().timestamp_type());
    for record in Records::of(header, &records) {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                out.damage("records", Some(batch.position), &error.to_string())?;
                return Ok(1);
            }
        };
        let size = |bytes: Option<&[u8]>| bytes.map_or(Value::from(-1), |b| b.len().into());
        let sequence = match header.base_sequence() {
            -1 => -1,
            first => first.wrapping_add(record.offset_delta) & i32::MAX,
        };
        let mut fields = vec![
            ("offset", Value::from(record.offset.0)),
            (time, record.timestamp.into()),
            ("keySize", size(record.key)),
            ("valueSize", size(record.value)),
            ("sequence", sequence.into()),
            ("headerKeys", record.headers.map(|h| text_or_hex(Some(h.key))).collect()),
        ];
        if args.data {
            fields.push(("key", text_or_hex(record.key)));
            fields.push(("payload", text_or_hex(record.value)));
        }
        out.line("record", "|", &fields)?;
    }
    Ok(0)
}

fn dump_journal<W: Write>(path: &Path, args: &DumpArgs, out: &mut Lines<W>) -> anyhow::Result<u64> {
    let journal = match Journal::read(path)? {
        Found::Journal(journal) => journal,
        Found::Unused => {
            out.line("journal", "Never used", &[])?;
            return Ok(0);
        }
        Found::Broken => return broken(path, &"neither the header nor the first frame verifies", out),
        Found::Newer => return broken(path, &"a journal of a later format", out),
    };
    out.line(
        "journal",
        "",
        &[
            ("incarnation", journal.header.incarnation().into()),
            ("firstSequence", journal.header.first_sequence().into()),
            ("bytes", journal.bytes.len().into()),
        ],
    )?;
    let mut position = FILE_HEADER_BYTES;
    while let Some(view) = journal.frame(position) {
        out.line(
            "frame",
            "",
            &[
                ("position", position.into()),
                ("sequence", view.header.sequence().into()),
                ("flushMark", view.header.flush_mark().into()),
                ("entries", view.header.entries().into()),
                ("diskBytes", view.header.disk_bytes().into()),
            ],
        )?;
        for entry in view.entries() {
            let place = &entry.place;
            out.line(
                "entry",
                "|",
                &[
                    ("type", format!("{:?}", entry.kind).into()),
                    ("partition", place.key.to_string().into()),
                    ("generation", place.generation.into()),
                    ("leaderEpoch", place.leader_epoch.0.into()),
                    ("baseOffset", place.base_offset.0.into()),
                    ("lastOffset", place.last_offset.0.into()),
                    ("segment", place.segment.0.into()),
                    ("position", place.position.into()),
                    ("appendTime", place.appended_at.0.into()),
                    ("size", entry.header().and_then(BatchHeader::total_bytes).unwrap_or(0).into()),
                    ("journaled", entry.payload.len().into()),
                ],
            )?;
            // The records of an extent are in its segment.
            if (args.records || args.data) && entry.kind == EntryKind::Batch {
                dump_records(&Stored { position: place.position, bytes: entry.payload.to_vec() }, args, out)?;
            }
        }
        position += view.header.disk_bytes() as u64;
    }
    if journal.claims_frame(position) {
        // Torn or damaged: only its core's other files can tell, so `verify` does.
        out.line("broken", "A frame that does not verify", &[("position", position.into())])?;
    }
    Ok(0)
}

fn dump_checkpoint<W: Write>(path: &Path, args: &DumpArgs, out: &mut Lines<W>) -> anyhow::Result<u64> {
    let checkpoint = match Checkpoint::explain(&read_small(path)?) {
        Ok(checkpoint) => checkpoint,
        Err(flaw) => return broken(path, &flaw, out),
    };
    out.line(
        "checkpoint",
        "",
        &[
            ("generation", checkpoint.generation.into()),
            ("included", checkpoint.included.into()),
            ("nextSequence", checkpoint.next_sequence.into()),
            ("incarnation", checkpoint.incarnation.into()),
            ("partitions", checkpoint.partitions.len().into()),
        ],
    )?;
    for state in &checkpoint.partitions {
        let active = state.segments.active();
        out.line(
            "partition",
            "",
            &[
                ("partition", state.key.to_string().into()),
                ("generation", state.generation.into()),
                ("logStart", state.log_start.0.into()),
                ("end", state.segments.end().0.into()),
                ("segments", state.segments.len().into()),
                ("bytes", state.segments.bytes().into()),
                ("activeSegment", active.base.0.into()),
                ("activeBytes", active.bytes.into()),
                ("openBytes", state.open.len().into()),
                ("sealed", state.sealed.into()),
                ("fenced", state.fenced.into()),
                ("leaderEpoch", state.epochs.latest().map_or(-1, |e| e.0).into()),
                ("producers", state.producers.len().into()),
            ],
        )?;
        if args.records || args.data {
            for segment in state.segments.iter() {
                out.line(
                    "segment",
                    "|",
                    &[
                        ("base", segment.base.0.into()),
                        ("bytes", segment.bytes.into()),
                        ("maxTimestamp", segment.max.timestamp.into()),
                        ("lastAppend", segment.last_append.0.into()),
                    ],
                )?;
            }
            dump_epochs(&state.epochs, out)?;
            dump_producers(&state.producers, out)?;
        }
    }
    Ok(0)
}

/// One line per producer.
pub(super) fn dump_producers<W: Write>(table: &ProducerTable, out: &mut Lines<W>) -> anyhow::Result<()> {
    for (producer, entry) in table.sorted() {
        let last = entry.last();
        out.line(
            "producer",
            "",
            &[
                ("producerId", producer.into()),
                ("producerEpoch", entry.epoch.into()),
                ("coordinatorEpoch", entry.coordinator_epoch.into()),
                ("currentTxnFirstOffset", entry.txn_first_offset.map_or(-1, |o| o.0).into()),
                ("lastTimestamp", entry.last_timestamp.into()),
                ("firstSequence", last.map_or(-1, |b| b.first_sequence()).into()),
                ("lastSequence", entry.last_sequence().into()),
                ("lastOffset", last.map_or(-1, |b| b.last_offset.0).into()),
                ("batches", entry.batches().count().into()),
            ],
        )?;
    }
    Ok(())
}

/// One line per leader epoch.
pub(super) fn dump_epochs<W: Write>(epochs: &LeaderEpochs, out: &mut Lines<W>) -> anyhow::Result<()> {
    for start in epochs.as_slice() {
        out.line("epoch", "", &[("epoch", start.epoch.0.into()), ("startOffset", start.start.0.into())])?;
    }
    Ok(())
}

fn time_name(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

fn codec_name(codec: Option<engine::record::Codec>) -> &'static str {
    use engine::record::Codec;
    match codec {
        Some(Codec::None) => "none",
        Some(Codec::Gzip) => "gzip",
        Some(Codec::Snappy) => "snappy",
        Some(Codec::Lz4) => "lz4",
        Some(Codec::Zstd) => "zstd",
        None => "unknown",
    }
}
