"""kcat (the program, Debian's librdkafka): check_kcat.py HOST:PORT

kcat takes one set of headers per run and sets no timestamps, so a partition is one run with its own headers, and the
search by time asks for the timestamps that the records came back with. `-Z` makes empty keys and values null:
partition 0 is written with it, partition 1 without, so both nulls and empty values are read back.
"""

import subprocess
import sys

import plan

BROKERS = sys.argv[1]
# Three control bytes that no record holds: a delimiter must not occur inside one.
RECORD_END, KEY_END = b"\x1e\x1d\x1c", b"\x1f\x1d\x1c"
HEADERS = ("trace=one", "twice=first", "twice=second", "empty=")


def kcat(*arguments, stdin=b""):
    done = subprocess.run(["kcat", "-b", BROKERS, *arguments], input=stdin, capture_output=True, timeout=180)
    if done.returncode != 0:
        raise plan.Failure(f"kcat {arguments[0]} exited {done.returncode}: {done.stderr.decode()[-300:]}")
    return done.stdout


def contents(i):
    """The record's key and value as kcat is given them."""
    value = plan.value(i) or b""
    for delimiter in (RECORD_END, KEY_END):
        value = value.replace(delimiter, b"---")
    return plan.key(i) or b"", value


def produce(topic, partition, scenario):
    settings = {
        "acks": scenario.acks,
        "enable.idempotence": str(scenario.idempotent).lower(),
        "linger.ms": "5",
        "topic.partitioner": "consistent",
    }
    flags = [flag for name, value in settings.items() for flag in ("-X", f"{name}={value}")]
    flags += [flag for header in HEADERS for flag in ("-H", header)]
    if partition == 0:
        flags.append("-Z")
    delimiters = ["-D", "\\x1e\\x1d\\x1c", "-K", "\\x1f\\x1d\\x1c"]
    stream = b"".join(KEY_END.join(contents(i)) + RECORD_END for i in plan.indices(partition))
    codec = [] if scenario.codec == "none" else ["-z", scenario.codec]
    kcat("-P", "-t", topic, "-p", str(partition), *codec, *delimiters, *flags, stdin=stream)


def read(topic, partition):
    """(offset, timestamp, headers, key, value) of every record; lengths of -1 are nulls."""
    heading = "%o %T %K %S %h\\n%k%s"
    out = kcat("-C", "-t", topic, "-p", str(partition), "-o", "beginning", "-e", "-q", "-X", "check.crcs=true", "-f", heading)
    at = 0
    while at < len(out):
        line_end = out.index(b"\n", at)
        offset, stamp, key_size, value_size, headers = out[at:line_end].split(b" ", 4)
        at = line_end + 1
        parts = []
        for size in (int(key_size), int(value_size)):
            parts.append(None if size < 0 else out[at : at + size])
            at += max(size, 0)
        yield int(offset), int(stamp), headers, *parts


def consume(topic, partition):
    stamps = []
    records = read(topic, partition)
    for offset, i in enumerate(plan.indices(partition)):
        got = next(records, None)
        if got is None:
            raise plan.Failure(f"partition {partition} ends at {offset}")
        key, value = contents(i)
        if partition == 0:
            key, value = key or None, value or None
        plan.same(f"offset of record {i}", got[0], offset)
        plan.same(f"headers of record {i}", got[2], ",".join(HEADERS).encode())
        plan.same(f"key of record {i}", got[3], key)
        plan.same(f"value of record {i}", got[4], value)
        stamps.append(got[1])
    plan.same("records past the end", next(records, None), None)
    for target in (stamps[0], stamps[len(stamps) // 2], stamps[-1]):
        expected = next(offset for offset, stamp in enumerate(stamps) if stamp >= target)
        answer = kcat("-Q", "-t", f"{topic}:{partition}:{target}").decode().split()
        plan.same("offset by time", answer[-1], str(expected))


def check(scenario):
    topic = f"kcat-{scenario.name}"
    for partition in range(plan.PARTITIONS):
        produce(topic, partition, scenario)
    for partition in range(plan.PARTITIONS):
        consume(topic, partition)


sys.exit(plan.run("kcat", check))
