"""Bytes from strangers: hostile.py BINARY SCRATCH, or hostile.py --brokers HOST:PORT

Each attack ends with the broker alive, answering new connections, and its memory under RSS_MAX. A canary, an ordinary
idempotent producer and its consumer, runs through all of it and must not lose, double or fail a single record.
"""

import glob
import os
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition

import raw
from broker import Broker

MIB = 1 << 20
# The pool's 64 MiB, the runtime's 32 MiB, and 16 KiB for each of 10,000 connections.
RSS_MAX = 64 * MIB + 32 * MIB + 10_000 * 16 * 1024
IDLE_CONNECTIONS = 10_000
STALLED_CONSUMERS = 100
MUTATED_FRAMES = 3_000
SEED = int(os.environ.get("HOSTILE_SEED", random.SystemRandom().randrange(1 << 32)))
GOLDEN = os.path.join(os.path.dirname(__file__), "../../../engine/wire/tests/golden/*/*-request.bin")


class Wrong(Exception):
    pass


def expect(what, got, *allowed):
    if got not in allowed:
        raise Wrong(f"{what}: got {got!r}, expected {' or '.join(map(repr, allowed))}")


class Canary(threading.Thread):
    """An ordinary client that must not notice."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.stop = address, threading.Event()
        self.sent, self.failed, self.slowest = 0, [], 0.0
        make_topic(address, "canary", 2)
        self.producer = Producer({"bootstrap.servers": address, "acks": "all", "enable.idempotence": True, "linger.ms": 0, "log_level": 2})

    def run(self):
        while not self.stop.is_set():
            began = time.monotonic()

            def delivered(error, _message, began=began):
                if error is not None:
                    self.failed.append(str(error))
                self.slowest = max(self.slowest, time.monotonic() - began)

            self.producer.produce("canary", b"canary %d" % self.sent, partition=self.sent % 2, on_delivery=delivered)
            self.sent += 1
            self.producer.poll(0.005)

    def verdict(self):
        self.stop.set()
        self.join()
        expect("canary records unanswered", self.producer.flush(30), 0)
        expect("canary deliveries failed", self.failed[:1], [])
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "none", "enable.auto.commit": False})
        consumer.assign([TopicPartition("canary", partition, 0) for partition in range(2)])
        following = [0, 1]
        while min(following) < self.sent:
            messages = consumer.consume(100, timeout=1)
            if not messages:
                break
            for message in messages:
                expect("canary error", message.error(), None)
                expect("canary record", message.value(), b"canary %d" % following[message.partition()])
                following[message.partition()] += 2
        expect("canary records read", following[0] // 2 + (following[1] - 1) // 2, self.sent)
        consumer.close()
        return f"{self.sent} records, slowest answer {self.slowest * 1e3:.0f} ms"


def make_topic(address, topic, partitions):
    with raw.connect(address) as peer:
        expect(f"creating {topic}", raw.created(raw.ask(peer, raw.create(topic, partitions))), 0, 36)
        # Metadata shows a leader before every broker takes writes: ask until one is taken.
        for _ in range(100):
            good = raw.batch(raw.record(b""), 1)
            if topic == "canary" or raw.produced(raw.ask(peer, raw.produce(topic, 0, good)), topic)[0] == 0:
                return
            time.sleep(0.1)
    raise Wrong(f"{topic} takes no writes")


def lying_frames(address):
    header = struct.pack(">hhi", raw.METADATA, 4, 7) + raw.string("hostile")
    flexible = struct.pack(">hhi", raw.METADATA, 9, 7) + raw.string("hostile")
    cases = {
        "negative length": struct.pack(">i", -1),
        "least length": struct.pack(">i", -(1 << 31)),
        "greatest length": struct.pack(">i", (1 << 31) - 1) + b"x" * 100,
        "empty frame": raw.framed(b""),
        "three bytes": raw.framed(b"\0\1\0"),
        "unknown key": raw.request(9_999, 0),
        "negative key": raw.request(-1, 0),
        "unknown version": raw.request(raw.PRODUCE, 99),
        "negative version": raw.request(raw.FETCH, -3),
        "client id beyond the frame": raw.framed(struct.pack(">hhih", raw.METADATA, 4, 7, 32_000)),
        "2^31-1 topics": raw.framed(header + struct.pack(">i", (1 << 31) - 1)),
        "ten million topics": raw.framed(header + struct.pack(">i", 10_000_000) + b"\0" * 64),
        "-2 topics": raw.framed(header + struct.pack(">i", -2)),
        "topic name beyond the frame": raw.framed(header + struct.pack(">ih", 1, 32_000)),
        "varint without end": raw.framed(flexible + b"\xff" * 40),
        "tag count of 2^32": raw.framed(flexible + b"\xff\xff\xff\xff\x0f" + b"\0" * 8),
        "compact array of 2^32-2": raw.framed(flexible + b"\0" + b"\xff\xff\xff\xff\x0f"),
        "http": b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
        "tls": bytes.fromhex("16030100a5010000a10303") + b"\x5a" * 160,
        "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    }
    for name, frame in cases.items():
        if not raw.closes(raw.connect(address), frame):
            raise Wrong(f"{name}: was answered")
    with raw.connect(address) as peer:
        reply = raw.ask(peer, raw.request(raw.API_VERSIONS, 99, b"\0\x02a\x02b\0"))
        expect("ApiVersions v99", struct.unpack_from(">ih", reply), (7, 35))
        reply = raw.ask(peer, raw.request(raw.API_VERSIONS, 0))
        expect("ApiVersions v0 on the same connection", struct.unpack_from(">ih", reply), (7, 0))
    return f"{len(cases) + 1} frames"


def lying_batches(address):
    topic = "lies"
    make_topic(address, topic, 1)
    one = raw.record(b"value")
    corrupt, invalid, codec, large = 2, 87, 76, 10
    good = raw.batch(one, 1)
    # name: (batch, errors that are right)
    cases = {
        "CRC mismatch": (raw.batch(one, 1, crc=1), (corrupt,)),
        "a flipped bit": (good[:-3] + bytes([good[-3] ^ 1]) + good[-2:], (corrupt,)),
        "magic 1": (raw.batch(one, 1, magic=1), (invalid, corrupt)),
        "magic 3": (raw.batch(one, 1, magic=3), (invalid, corrupt)),
        "magic -1": (raw.batch(one, 1, magic=-1), (invalid, corrupt)),
        "base offset 5": (raw.batch(one, 1, base=5), (invalid,)),
        "count too high": (raw.batch(one, 2), (invalid,)),
        "count too low": (raw.batch(one + raw.record(b"x", 1), 1), (invalid,)),
        "count of 2^31-1": (raw.batch(one, (1 << 31) - 1), (invalid, corrupt)),
        "count 0": (raw.batch(b"", 0), (invalid,)),
        "count -1": (raw.batch(one, -1, last_delta=0), (invalid,)),
        "last offset delta": (raw.batch(one, 1, last_delta=9), (invalid,)),
        "length too high": (raw.batch(one, 1, length=1 << 20), (corrupt, invalid)),
        "length too low": (raw.batch(one, 1, length=10), (corrupt, invalid)),
        "length negative": (raw.batch(one, 1, length=-5), (corrupt, invalid)),
        "two batches": (raw.batch(one, 1) + raw.batch(one, 1), (invalid,)),
        "no batch": (b"", (invalid, corrupt)),
        "half a header": (raw.batch(one, 1)[:30], (corrupt, invalid)),
        "codec 6": (raw.batch(one, 1, attributes=6), (codec, invalid, corrupt, -1)),
        "control batch": (raw.batch(one, 1, attributes=32), (invalid,)),
        "record longer than the batch": (raw.batch(raw.varint(1 << 20) + one, 1), (invalid,)),
        "record of negative length": (raw.batch(raw.varint(-7) + one, 1), (invalid,)),
        "2^30 headers": (raw.batch(raw.record(b"v", headers=raw.varint(1 << 30)), 1), (invalid,)),
        "value longer than its record": (raw.batch(raw.varint(8) + b"\0\0\0\1" + raw.varint(99) + b"abc", 1), (invalid,)),
        "varint without end": (raw.batch(b"\xff" * 64, 1), (invalid,)),
        "leftover bytes": (raw.batch(one + b"\0\0\0\0", 1), (invalid,)),
        "over max.message.bytes": (raw.batch(raw.record(b"x" * (1_200_000)), 1), (large,)),
    }
    with raw.connect(address) as peer:
        for name, (bytes_, errors) in cases.items():
            expect(name, raw.produced(raw.ask(peer, raw.produce(topic, 0, bytes_)), topic)[0], *errors)
        expect("acks 7", raw.produced(raw.ask(peer, raw.produce(topic, 0, raw.batch(one, 1), acks=7)), topic)[0], 21)
        error, offset = raw.produced(raw.ask(peer, raw.produce(topic, 0, raw.batch(one, 1))), topic)
        expect("a good batch after them, right behind the first", (error, offset), (0, 1))
    return f"{len(cases)} batches, none stored"


def names_that_climb(address):
    names = ["../../etc", ".", "..", "a/b", "", "a" * 250, "nul\0byte", "späße", "a b"]
    for name in names:
        with raw.connect(address) as peer:
            body_name = struct.pack(">h", len(name.encode())) + name.encode()
            body = struct.pack(">i", 1) + body_name + struct.pack(">ihii", 1, 1, 0, 0) + struct.pack(">ib", 10_000, 0)
            try:
                reply = raw.ask(peer, raw.request(raw.CREATE_TOPICS, 2, body))
            except ConnectionError:
                continue
            (length,) = struct.unpack_from(">h", reply, 12)
            expect(f"creating {name[:20]!r}", struct.unpack_from(">h", reply, 14 + length)[0], 17)
        with raw.connect(address) as peer:
            try:
                reply = raw.ask(peer, raw.request(raw.METADATA, 4, struct.pack(">i", 1) + body_name + b"\x01"))
            except ConnectionError:
                continue
            if b"etc" in name.encode():
                expect("auto-creating ../../etc", b"\x00\x11" in reply or b"\x00\x03" in reply, True)
    with raw.connect(address) as peer:
        code = raw.created(raw.ask(peer, raw.create("huge", (1 << 31) - 1)))
        if code == 0:
            raise Wrong("a topic of 2^31-1 partitions was made")
    return f"{len(names)} names"


def mutated_frames(address):
    """Golden requests with bytes flipped, cut, doubled; each answered, refused or closed, never fatal."""
    chance = random.Random(SEED)
    frames = [open(path, "rb").read() for path in sorted(glob.glob(GOLDEN))]
    if not frames:
        raise Wrong("no golden frames found")
    outcomes = {"answered": 0, "closed": 0, "silent": 0}
    for _ in range(MUTATED_FRAMES):
        frame = bytearray(chance.choice(frames))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(4, len(frame))
            match chance.randrange(5):
                case 0:
                    frame[at] ^= 1 << chance.randrange(8)
                case 1:
                    frame[at : at + 4] = chance.choice([b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0"])
                case 2:
                    del frame[at:]
                case 3:
                    frame[at:at] = frame[4 : chance.randrange(5, len(frame))]
                case 4:
                    frame[at] = chance.randrange(256)
            if len(frame) < 6:
                break
        peer = raw.connect(address, timeout=0.2)
        try:
            peer.sendall(raw.framed(bytes(frame)))
            outcomes["answered" if peer.recv(4) else "closed"] += 1
        except TimeoutError:
            outcomes["silent"] += 1
        except (ConnectionResetError, BrokenPipeError):
            outcomes["closed"] += 1
        finally:
            peer.close()
    return f"{MUTATED_FRAMES} frames: {outcomes} (seed {SEED})"


def slow_senders(address):
    """Fifty connections that send a good frame a byte at a time, and two hundred that announce 100 MB and send none."""
    make_topic(address, "slow", 1)
    announced = [raw.connect(address) for _ in range(200)]
    for peer in announced:
        peer.sendall(struct.pack(">i", 100 * 1_000_000) + b"\0")
    frame = raw.produce("slow", 0, raw.batch(raw.record(b"slowly"), 1))
    peers = [raw.connect(address, timeout=30) for _ in range(50)]
    for at in range(len(frame)):
        for peer in peers:
            peer.sendall(frame[at : at + 1])
        time.sleep(0.01)
    for peer in peers:
        expect("a slow but honest produce", raw.produced(raw.answer(peer), "slow")[0], 0)
    for peer in peers + announced:
        peer.close()
    return f"50 senders of {len(frame)} single bytes, 200 that announced 100 MB"


def half_closed(address):
    """A client that stops sending may or may not be answered; neither end hangs."""
    answered = 0
    for turn in range(200):
        with raw.connect(address) as peer:
            frame = raw.request(raw.API_VERSIONS, 0)
            peer.sendall(frame if turn % 2 else frame[: len(frame) // 2])
            peer.shutdown(socket.SHUT_WR)
            try:
                while part := peer.recv(65_536):
                    answered += 1 if part else 0
            except ConnectionResetError:
                pass
    return f"200 connections, {answered} answered"


def flood(address):
    """Five thousand requests sent without reading one answer; all are answered, in order."""
    with raw.connect(address, timeout=60) as peer:
        count = 5_000

        def send():
            for n in range(count):
                peer.sendall(raw.request(raw.API_VERSIONS, 0, correlation=n))

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        time.sleep(1)
        for n in range(count):
            expect("correlation id", struct.unpack_from(">i", raw.answer(peer))[0], n)
        sender.join()
    return f"{count} requests on one connection"


def idle_connections(address):
    """From a second process, since the limit of descriptors is per process."""
    child = subprocess.Popen(
        [sys.executable, __file__, "idle", address, str(IDLE_CONNECTIONS)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    reached = int(child.stdout.readline())
    time.sleep(1)
    with raw.connect(address) as peer:
        began = time.monotonic()
        raw.ask(peer, raw.request(raw.API_VERSIONS, 0))
        among = time.monotonic() - began
    child.stdin.close()
    child.wait(30)
    if reached < IDLE_CONNECTIONS:
        raise Wrong(f"only {reached} connections")
    return f"{reached} connections held, ApiVersions among them in {among * 1e3:.1f} ms"


def idle(address, wanted):
    """The second process: opens connections, says how many, holds them until its input closes."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    try:
        while len(held) < wanted:
            held.append(raw.connect(address))
    except OSError as error:
        print(f"stopped at {len(held)}: {error}", file=sys.stderr)
    # Accepted by the kernel is not yet served by the broker: ask the last ones.
    for peer in held[-200:]:
        raw.ask(peer, raw.request(raw.API_VERSIONS, 0))
    print(len(held), flush=True)
    sys.stdin.read()


def produce_latencies(address, seconds):
    """A closed loop of durable 1 KiB produces; sorted seconds."""
    frame = raw.produce("loop", 0, raw.batch(raw.record(b"x" * 1024), 1))
    times = []
    with raw.connect(address) as peer:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            expect("produce", raw.produced(raw.ask(peer, frame), "loop")[0], 0)
            times.append(time.monotonic() - began)
    return sorted(times)


def stalled_consumers(address):
    make_topic(address, "loop", 1)
    make_topic(address, "bulk", 1)
    filler = raw.produce("bulk", 0, raw.batch(raw.record(os.urandom(900_000)), 1))
    with raw.connect(address, timeout=30) as peer:
        for _ in range(64):
            expect("filling", raw.produced(raw.ask(peer, filler), "bulk")[0], 0)
    alone = produce_latencies(address, 5)
    stalled = [raw.connect(address, receive_buffer=4_096) for _ in range(STALLED_CONSUMERS)]
    for peer in stalled:
        for turn in range(4):
            peer.sendall(raw.fetch("bulk", 0, 0, 50_000_000, correlation=turn))
    crowded = produce_latencies(address, 8)
    with raw.connect(address, timeout=30) as peer:
        if len(raw.ask(peer, raw.fetch("bulk", 0, 3, 4_000_000))) < 900_000:
            raise Wrong("a consumer that reads got nothing beside those that do not")
    for peer in stalled:
        peer.close()

    def line(times):
        return " ".join(f"p{q:g} {times[min(len(times) - 1, int(len(times) * q / 100))] * 1e3:.2f}" for q in (50, 99, 99.9))

    return f"{STALLED_CONSUMERS} stalled; produce ms alone: {line(alone)}; beside them: {line(crowded)}"


def main():
    external = sys.argv[1] == "--brokers"
    broker = None
    if external:
        address = sys.argv[2]
    else:
        data = os.path.join(sys.argv[2], "hostile")
        shutil.rmtree(data, ignore_errors=True)
        broker = Broker(sys.argv[1], data)
        broker.start()
        address = broker.address
    canary = Canary(address)
    canary.start()
    failed = 0
    attacks = (
        lying_frames,
        lying_batches,
        names_that_climb,
        mutated_frames,
        slow_senders,
        half_closed,
        flood,
        stalled_consumers,
        idle_connections,
    )
    for attack in attacks:
        name = attack.__name__
        try:
            detail = attack(address)
            with raw.connect(address) as peer:
                raw.ask(peer, raw.request(raw.API_VERSIONS, 0))
            if broker:
                now, highest = broker.memory()
                detail += f"; resident {now / MIB:.0f} MiB, highest {highest / MIB:.0f} MiB"
                if highest > RSS_MAX:
                    raise Wrong(f"resident memory reached {highest / MIB:.0f} MiB, at most {RSS_MAX / MIB:.0f} MiB")
            print(f"PASS hostile {name}: {detail}", flush=True)
        except Exception as error:  # each attack is judged on its own
            failed += 1
            print(f"FAIL hostile {name}: {type(error).__name__}: {error}", flush=True)
        if broker and not broker.alive():
            print(f"FAIL hostile {name}: the broker died; see {broker.log.name}", flush=True)
            os._exit(1)
    try:
        print(f"PASS hostile canary: {canary.verdict()}", flush=True)
        if broker:
            broker.stop()
            shutil.rmtree(broker.data)
            print("PASS hostile clean_stop", flush=True)
    except Exception as error:
        failed += 1
        print(f"FAIL hostile canary or clean stop: {type(error).__name__}: {error}", flush=True)
    os._exit(1 if failed else 0)


if sys.argv[1] == "idle":
    idle(sys.argv[2], int(sys.argv[3]))
else:
    main()
