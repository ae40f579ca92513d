//! One idempotent producer: what it sent, what it was told, and what a log must hold of it.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::base::{ProducerEpoch, ProducerId};
use engine::record::{BatchBuilder, Codec};
use wire::{ApiKey, ErrorCode, Message, Reader, init_producer_id};

use crate::harness::{Client, PATIENCE, Want, produced, values};
use crate::process::{Gone, Line};

/// Batches of one producer that are under way at a time: a broker remembers the last five.
const WINDOW: usize = 3;

/// How a producer's records look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    /// A record's value has this many bytes, and up to a quarter more.
    pub(crate) bytes: usize,
    /// How many keys it has in turn; 0 for none.
    pub(crate) keys: u32,
    /// How long it rests after each acknowledgement: what is written must be read again and again.
    pub(crate) rest: Duration,
    /// Whether the disk may fail before its broker does.
    pub(crate) may_fail: bool,
}

/// One producer. Its records are numbered; each is a batch, and its sequence is its number.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) shape: Shape,
    number: usize,
    producer: i64,
    epoch: i16,
    /// The offset of each record that was acknowledged, by its number.
    pub(crate) acknowledged: Vec<i64>,
    /// Records that were sent, acknowledged or not.
    pub(crate) sent: u32,
}

impl Lane {
    /// A producer that has its id.
    pub(crate) fn open(client: &mut Client, number: usize, shape: Shape) -> Lane {
        let request = init_producer_id::Request {
            transactional_id: None,
            transaction_timeout_ms: 1000,
            ..Default::default()
        };
        let body = client.call(4, &request);
        let answer = init_producer_id::Response::decode(4, &mut Reader::new(&body)).expect("an answer");
        assert_eq!(answer.error_code, ErrorCode::None);
        let (producer, epoch) = (answer.producer_id, answer.producer_epoch);
        Lane { shape, number, producer, epoch, acknowledged: Vec::new(), sent: 0 }
    }

    fn key(&self, record: u32) -> Option<u32> {
        record.checked_rem(self.shape.keys)
    }

    fn value(&self, record: u32) -> Vec<u8> {
        let mut value = format!("{}/{record}/", self.number).into_bytes();
        let bytes = self.shape.bytes + record as usize * 7919 % (self.shape.bytes / 4);
        value.resize(bytes.max(value.len()), record as u8);
        value
    }

    fn frame(&self, client: &mut Client, record: u32) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.set_producer(ProducerId(self.producer), ProducerEpoch(self.epoch), record as i32);
        let key = self.key(record).map(u32::to_be_bytes);
        let now = server::runtime::clock::now().wall.0;
        builder.push(now, key.as_ref().map(|key| &key[..]), Some(&self.value(record)), &[]);
        client.produce_frame(9, self.shape.topic, self.shape.partition, -1, &builder.finish())
    }

    fn hear(&mut self, line: &mut Line) -> Result<(), Gone> {
        let body = line.receive(ApiKey::Produce, 9)?;
        let (error, offset) = produced(9, &body);
        if error == ErrorCode::KafkaStorageError && self.shape.may_fail {
            return Err(Gone);
        }
        assert_eq!(error, ErrorCode::None, "{:?}", self.shape);
        self.acknowledged.push(offset);
        Ok(())
    }

    /// Sends record after record until the connection ends, those first that an earlier connection left without
    /// an answer.
    pub(crate) fn run(&mut self, addr: SocketAddr, acknowledged: &AtomicU64) -> Result<(), Gone> {
        let mut line = Line::to(addr)?;
        for record in self.acknowledged.len() as u32..self.sent {
            let frame = self.frame(&mut line.client, record);
            line.send(&frame)?;
        }
        loop {
            while (self.sent as usize) < self.acknowledged.len() + WINDOW {
                let frame = self.frame(&mut line.client, self.sent);
                self.sent += 1;
                line.send(&frame)?;
            }
            self.hear(&mut line)?;
            acknowledged.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(self.shape.rest);
        }
    }

    /// Sends what it has no answer for once more, as a client does whose broker came back, and one record that
    /// was acknowledged, which must have the offset that it had.
    pub(crate) fn resume(&mut self, addr: SocketAddr) {
        let mut line = Line::to(addr).expect("a broker");
        line.client.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        if let Some(&offset) = self.acknowledged.last() {
            let frame = self.frame(&mut line.client, self.acknowledged.len() as u32 - 1);
            line.send(&frame).expect("sent");
            self.hear(&mut line).expect("answered");
            assert_eq!(self.acknowledged.pop(), Some(offset), "{:?}: appended once more", self.shape);
        }
        while (self.acknowledged.len() as u32) < self.sent {
            let frame = self.frame(&mut line.client, self.acknowledged.len() as u32);
            line.send(&frame).expect("sent");
            self.hear(&mut line).expect("answered");
        }
    }

    /// Whose record a value is: the producer's number and the record's.
    fn parse(value: &[u8]) -> (usize, u32) {
        let mut parts = value.splitn(3, |&b| b == b'/').map(|part| std::str::from_utf8(part).unwrap_or(""));
        let mut next = || parts.next().expect("a part").parse::<u32>().expect("a number");
        (next() as usize, next())
    }

    /// Holds what a partition has against what this producer was told. All of it must have been answered.
    pub(crate) fn check(&self, log: &Log) {
        let shape = self.shape;
        let mine = log.records.iter().filter_map(|(offset, value)| {
            let (lane, record) = Lane::parse(value);
            (lane == self.number).then_some((*offset, record, value))
        });
        let mut found: BTreeMap<u32, i64> = BTreeMap::new();
        for (offset, record, value) in mine {
            assert!(*value == self.value(record), "{shape:?}: the value of {record} is another");
            if let Some((last, _)) = found.last_key_value() {
                assert!(record > *last, "{shape:?}: {record} comes behind {last}, at {offset}");
            }
            found.insert(record, offset);
            assert_eq!(self.acknowledged.get(record as usize), Some(&offset), "{shape:?}: where {record} is");
        }
        for (record, &offset) in (0..).zip(&self.acknowledged) {
            // A later record of its key takes a record's place.
            let replaced = self.shape.keys > 0 && record + self.shape.keys < self.sent;
            let there = found.contains_key(&record) || replaced || offset < log.start;
            assert!(there, "{shape:?}: {record}, acknowledged at {offset}, is gone; start {}", log.start);
        }
    }
}

/// What a partition holds.
#[derive(PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) start: i64,
    end: i64,
    records: Vec<(i64, Vec<u8>)>,
}

impl Log {
    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Reads all of a partition.
    pub(crate) fn read(client: &mut Client, topic: &str, partition: i32) -> Log {
        let start = client.list_offset(topic, partition, -2).offset;
        let mut log =
            Log { start, end: client.list_offset(topic, partition, -1).offset, records: Vec::new() };
        let mut from = start;
        while from < log.end {
            let (error, _, bytes) = client.fetch(topic, partition, from, Want::default());
            assert_eq!(error, ErrorCode::None, "{topic}/{partition} at {from} of {start}..{}", log.end);
            let records = values(&bytes);
            // The records of compacted batches may all be gone.
            let next = records.last().map(|(offset, _)| offset + 1).max(batches_end(&bytes));
            from = next.unwrap_or_else(|| panic!("{topic}/{partition}: nothing at {from} of {}", log.end));
            log.records.extend(records);
        }
        log
    }
}

/// The offset behind the last batch.
fn batches_end(mut bytes: &[u8]) -> Option<i64> {
    let mut end = None;
    while let Some(header) = engine::record::BatchHeader::peek(bytes) {
        end = Some(header.last_offset().0 + 1);
        bytes = &bytes[header.total_bytes().expect("a batch")..];
    }
    end
}
