//! A load that asks for far more memory than there is, on a broker of 256 MiB.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use wire::{ErrorCode, metadata};

use crate::harness::{Client, Want, batch, values};
use crate::lane::{Lane, Log, Shape};
use crate::memory::{Cage, LIMIT};
use crate::process::{PATIENCE, Process, until_within};
use crate::{SMALL, directory};

/// The producers' records: the smallest value in bytes (some are a quarter larger), and how many must be
/// acknowledged while all the others ask for memory.
const SIZES: [(usize, u64); 6] =
    [(100, 200), (3000, 200), (60_000, 60), (300_000, 6), (1 << 20, 5), (3_300_000, 4)];

/// Each of these asks for all that its partition holds, again and again, and reads nothing.
const DEAF_READERS: usize = 16;

/// Each of these asks for long answers that are no records, a hundred times, and reads nothing.
const DEAF_ASKERS: usize = 600;

/// Each of these sends half of a request of 6 MiB, and waits.
const HALF_SENDERS: usize = 2;

/// How long all of it may take on a machine that others load too.
const SERVED_WITHIN: Duration = PATIENCE.saturating_mul(4);

fn impatient(addr: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(addr).ok()?;
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    Some(stream)
}

/// Writes as long as it is let.
fn push(stream: &mut TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return,
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Ends the load, also when a check fails: the clients end with their broker.
struct Load<'a> {
    over: &'a AtomicBool,
    process: Process,
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.process.signal(Signal::KILL);
    }
}

/// Whether the broker closed the connection. What it sent is not read.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    match peeked {
        Ok(n) => n == 0,
        Err(e) => e.kind() != ErrorKind::WouldBlock,
    }
}

/// Keeps `count` connections open that misbehave in one way; those that the broker closes come again.
fn besiege(
    addr: SocketAddr,
    over: &AtomicBool,
    count: usize,
    mut begin: impl FnMut(TcpStream, usize) -> TcpStream,
) {
    let mut streams: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
    while !over.load(Ordering::Relaxed) {
        for (i, place) in streams.iter_mut().enumerate() {
            if over.load(Ordering::Relaxed) {
                return;
            }
            if place.as_ref().is_none_or(is_closed) {
                *place = impatient(addr).map(|stream| begin(stream, i));
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Reads what a partition holds, from its start, again and again, and misses nothing.
fn read_in_order(addr: SocketAddr, over: &AtomicBool, partition: i32, passes: &AtomicU64) {
    // Producers go on meanwhile: a pass ends where the log did when it began.
    let (mut next, mut until) = (0, None);
    let mut client = Client::connect(addr);
    client.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    while !over.load(Ordering::Relaxed) {
        let (error, end, records) = client.fetch("sizes", partition, next, Want::default());
        assert_eq!(error, ErrorCode::None);
        for (offset, _) in values(&records) {
            assert_eq!(offset, next, "partition {partition}: a reader misses nothing");
            next += 1;
        }
        if next >= *until.get_or_insert(end) {
            passes.fetch_add(u64::from(next > 0), Ordering::Relaxed);
            (next, until) = (0, None);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// It lives, and a client that comes now is served.
#[track_caller]
fn serves(cage: &Cage, process: &mut Process, what: &str) {
    assert_eq!(process.ended_within(Duration::from_millis(50)), None, "{what}: {}", process.said());
    assert_eq!(cage.kills(), 0, "{what}");
    let mut client = process.client();
    let (error, offset) = client.produce("few", 0, -1, &batch(&[what.as_bytes()]));
    assert_eq!(error, ErrorCode::None, "{what}");
    let (error, _, records) = client.fetch("few", 0, offset, Want::default());
    assert_eq!(
        (error, values(&records)),
        (ErrorCode::None, vec![(offset, what.as_bytes().to_vec())]),
        "{what}"
    );
}

#[test]
fn requests_and_answers_larger_than_the_memory_push_back_kill_nobody_and_lose_nothing() {
    let Some(cage) = Cage::build("load") else { return };
    let dir = directory();
    let data = dir.path().join("data");
    let process = cage.start(&data, &SMALL);
    let addr = process.addr;
    let mut client = process.client();
    let long = [("max.message.bytes", "8388608"), ("segment.bytes", "8388608")];
    assert_eq!(client.create_topic("few", 1, &[]), ErrorCode::None);
    assert_eq!(client.create_topic("sizes", SIZES.len() as i32, &long), ErrorCode::None);
    let rest = Duration::from_millis(2);
    let lane = |(i, &(bytes, _)): (usize, &(usize, u64))| {
        let shape = Shape { topic: "sizes", partition: i as i32, bytes, keys: 0, rest, may_fail: false };
        Lane::open(&mut client, i, shape)
    };
    let mut lanes: Vec<Lane> = SIZES.iter().enumerate().map(lane).collect();
    let counts: [AtomicU64; SIZES.len()] = Default::default();
    let passes: [AtomicU64; SIZES.len()] = Default::default();
    let over = AtomicBool::new(false);
    let most = AtomicU64::new(0);

    std::thread::scope(|scope| {
        let (over, most, cage) = (&over, &most, &cage);
        let mut load = Load { over, process };
        for (lane, count) in lanes.iter_mut().zip(&counts) {
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // A connection that was closed to make room is opened again, as every client does.
                    let _ = lane.run(addr, count);
                }
            });
        }
        let reader = |(partition, passes)| scope.spawn(move || read_in_order(addr, over, partition, passes));
        let readers: Vec<_> = (0..).zip(&passes).map(reader).collect();
        scope.spawn(move || {
            let want = Want { max_bytes: 1 << 30, partition_max_bytes: 64 << 20, ..Want::default() };
            besiege(addr, over, DEAF_READERS, |stream, i| {
                let mut reader = Client::over(stream);
                for turn in 0..20 {
                    let partition = ((i + turn) % SIZES.len()) as i32;
                    let frame = reader.fetch_frame("sizes", partition, 0, want);
                    push(&mut reader.stream, &frame);
                }
                reader.stream
            });
        });
        scope.spawn(move || {
            let everything = metadata::Request { topics: None, ..Default::default() };
            besiege(addr, over, DEAF_ASKERS, |stream, _| {
                let mut asker = Client::over(stream);
                let frame = asker.frame(12, &everything);
                push(&mut asker.stream, &frame.repeat(100));
                asker.stream
            });
        });
        scope.spawn(move || {
            let half = vec![0_u8; 3 << 20];
            besiege(addr, over, HALF_SENDERS, |mut stream, _| {
                push(&mut stream, &(6_i32 << 20).to_be_bytes());
                push(&mut stream, &half);
                stream
            });
        });
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(cage.used(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let all = || {
            let done =
                counts.iter().zip(&SIZES).all(|(count, (_, want))| count.load(Ordering::Relaxed) >= *want);
            done && passes.iter().all(|passes| passes.load(Ordering::Relaxed) > 0)
        };
        until_within(SERVED_WITHIN, "everybody is served", || {
            let dead = cage.kills() > 0 || load.process.ended_within(Duration::from_millis(2)).is_some();
            dead || all()
        });
        serves(cage, &mut load.process, "under load");
        over.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
    });
    let most = most.into_inner();
    assert!(most < LIMIT / 4 * 3, "{most} bytes were used");
    let mut process = cage.start(&data, &SMALL);
    serves(&cage, &mut process, "after a recovery");
    for (partition, lane) in (0..).zip(&mut lanes) {
        lane.resume(process.addr);
        lane.check(&Log::read(&mut process.client(), "sizes", partition));
    }
    assert_eq!(cage.kills(), 0);
    process.stop();
}
