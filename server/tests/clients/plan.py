"""What every client writes and must read back: 100,000 records, the same for every run.

Twenty scenarios of 5,000 records: five codecs (none and four) times acks 0, 1, all, and all with
idempotence. Each has a topic of two partitions; record i goes to partition i % 2. A record is a function of its
index, so a reader needs nothing but the index to know every byte it must find.
"""

import random
import time
from dataclasses import dataclass

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PER_SCENARIO = 5_000
PARTITIONS = 2
KIB = 1024
LARGEST = 900 * KIB
# Timestamps run behind the clock so that retention by time leaves the records alone.
STARTED_MS = int(time.time() * 1000) - 3_600_000

_pool = random.Random(2026).randbytes(2 * LARGEST)
_pattern = b"the quick brown fox jumps over the lazy dog; " * (LARGEST // 45 + 1)


@dataclass(frozen=True)
class Scenario:
    codec: str
    acks: str  # "0", "1" or "all"
    idempotent: bool

    @property
    def name(self):
        return f"{self.codec}-acks_{self.acks}{'-idempotent' if self.idempotent else ''}"


@dataclass(frozen=True)
class Record:
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple
    timestamp_ms: int


def scenarios():
    for codec in CODECS:
        for acks, idempotent in (("0", False), ("1", False), ("all", False), ("all", True)):
            yield Scenario(codec, acks, idempotent)


def value_size(i):
    """0 B to 900 KiB: four big ones a scenario, fifty middling, the rest below 512 B."""
    if i % 1_250 == 600:
        return (LARGEST, 600 * KIB, 700_001, 1 << 19)[(i // 1_250) % 4]
    if i % 100 == 50:
        return 1 + (i * 7_919) % (64 * KIB)
    return (i * 31) % 512 if i % 10 else 0


def value(i):
    """None, empty, random or compressible bytes."""
    if i % 17 == 3 and key(i) is not None:
        # kafka-python refuses a record of two nulls.
        return None
    size = value_size(i)
    source = _pool if i % 2 else _pattern
    start = (i * 613) % (len(source) - size)
    return source[start : start + size]


def key(i):
    return None if i % 5 == 2 else b"" if i % 50 == 1 else b"key-%d" % i


def headers(i):
    """None, one, or a repeated name with an empty and a binary value: order and duplicates are part of the record."""
    if i % 3 == 0:
        return ()
    if i % 3 == 1:
        return (("index", b"%d" % i),)
    return (("twice", b"first"), ("empty", b""), ("twice", bytes(range(256))))


def timestamp(i):
    """Mostly rising, sometimes stepping back, with ties: what an exact search by time must cope with."""
    return STARTED_MS + 10 * (i // 3) - (700 if i % 97 == 13 else 0)


def record(i):
    return Record(i % PARTITIONS, key(i), value(i), headers(i), timestamp(i))


def indices(partition):
    """The records of a partition in the order of their offsets."""
    return range(partition, PER_SCENARIO, PARTITIONS)


def times_to_ask(partition):
    """(timestamp, offset that must be answered, or None past the end) around ties, steps back and both ends."""
    stamps = [timestamp(i) for i in indices(partition)]
    for target in (stamps[0] - 5_000, stamps[0], stamps[500], stamps[501] + 1, stamps[1_333] - 3, stamps[-1], max(stamps) + 1):
        yield target, next((offset for offset, stamp in enumerate(stamps) if stamp >= target), None)


class Failure(Exception):
    """A client saw something other than what it wrote."""


def same(what, got, expected):
    if got != expected:
        raise Failure(f"{what}: got {shorten(got)}, expected {shorten(expected)}")


def shorten(thing):
    if isinstance(thing, (bytes, bytearray)) and len(thing) > 40:
        return f"{len(thing)} bytes {bytes(thing[:20])!r}…"
    return repr(thing)[:200]


def run(client, check):
    """Runs `check(scenario)` for each scenario, one line each; returns the exit code."""
    failed = 0
    for scenario in scenarios():
        began = time.monotonic()
        try:
            check(scenario)
            print(f"PASS {client} {scenario.name} {PER_SCENARIO} records in {time.monotonic() - began:.1f} s", flush=True)
        except Exception as error:  # each scenario is judged on its own
            failed += 1
            print(f"FAIL {client} {scenario.name}: {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0
