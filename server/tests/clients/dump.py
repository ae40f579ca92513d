"""kafka-dump-log reads every file of a cleanly stopped broker to its end: dump.py DATA JARS

With the id of `__consumer_offsets` behind these, its --offsets-decoder reads every record of that topic instead.
"""

import collections
import os
import re
import subprocess
import sys

NAMES = (".log", ".index", ".timeindex", ".snapshot", ".txnindex")
# What Kafka's tool prints when a file is not what it says, though it still exits 0.
COMPLAINTS = re.compile(r"corrupt|mismatch|invalid bytes|not valid|exception|isvalid: false|non-consecutive|should be", re.I)


# Kinds of records that groups of both protocols leave behind, by Kafka's numbers.
KINDS = {
    "0": "offset", "1": "offset", "2": "classic group", "3": "consumer group", "5": "member", "6": "target assignment",
    "7": "member's target", "8": "current assignment", "16": "pattern",
}  # fmt: skip
# What the decoder prints of a record that it cannot read.
UNREAD = re.compile(r"skipping|could not|unknown|unsupported|exception", re.I)


def found(folder, kinds):
    files = []
    for at, _, names in os.walk(folder, followlinks=True):
        files += [os.path.join(at, name) for name in names if name.endswith(kinds)]
    return sorted(files)


def printed(jars, *arguments):
    command = ["java", "-Xmx512m", "-cp", os.path.join(jars, "*"), "org.apache.kafka.tools.DumpLogSegments", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def decoded(data, jars, topic):
    files = [f for f in found(os.path.join(data, "topics", topic), (".log",)) if os.path.getsize(f)]
    if not files:
        return "the topic has no records: nothing was tested"
    done = printed(jars, "--offsets-decoder", "--files", ",".join(files))
    if done.returncode != 0 or done.stderr.strip():
        return f"exit {done.returncode}: {done.stderr[-800:]}"
    kinds = collections.Counter()
    for line in done.stdout.splitlines():
        if not line.startswith("| offset:"):
            continue
        key = re.search(r' key: \{"type":"(\d+)","data":\{', line)
        if key is None or key.group(1) not in KINDS or UNREAD.search(line):
            return f"not decoded: {line[:300]}"
        kinds[KINDS[key.group(1)]] += 1
    # Patterns are written by consumers that subscribe with one, and not every run has such.
    if missing := set(KINDS.values()) - {"pattern"} - set(kinds):
        return f"no record of: {', '.join(sorted(missing))}"
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    print(f"PASS kafka-dump-log {len(files)} .log: {told}", flush=True)
    return None


def main():
    data, jars, *topic = sys.argv[1:]
    return decoded(data, jars, *topic) if topic else dumped(data, jars)


def dumped(data, jars):
    files = found(os.path.join(data, "topics"), NAMES)
    batches = records = 0
    by_kind = {kind: sum(f.endswith(kind) for f in files) for kind in NAMES}
    if by_kind[".log"] == 0:
        return "no segment was found: nothing was tested"
    for start in range(0, len(files), 200):
        group = files[start : start + 200]
        done = printed(jars, "--deep-iteration", "--files", ",".join(group))
        if done.returncode != 0 or done.stderr.strip():
            return f"exit {done.returncode}: {done.stderr[-800:]}"
        current, position = None, {}
        for line in done.stdout.splitlines():
            if line.startswith("Dumping "):
                current = line.removeprefix("Dumping ").strip()
            elif complaint := COMPLAINTS.search(line):
                return f"{current}: `{complaint.group()}` in: {line[:300]}"
            elif line.startswith("baseOffset:"):
                fields = dict(re.findall(r"(\w+): (\S+)", line))
                batches += 1
                position[current] = int(fields["position"]) + int(fields["size"])
            elif line.startswith("| offset:"):
                records += 1
        dumped = set(re.findall(r"^Dumping (.+)$", done.stdout, re.M))
        if missing := [f for f in group if f not in dumped]:
            return f"{missing[0]} was not read"
        for file in group:
            if file.endswith(".log") and position.get(file, 0) != os.path.getsize(file):
                return f"{file}: read to {position.get(file, 0)} of {os.path.getsize(file)} bytes"
    kinds = ", ".join(f"{count} {kind}" for kind, count in by_kind.items() if count)
    print(f"PASS kafka-dump-log {kinds}: {batches} batches, {records} records", flush=True)
    return None


if failure := main():
    print(f"FAIL kafka-dump-log {failure}", flush=True)
    sys.exit(1)
