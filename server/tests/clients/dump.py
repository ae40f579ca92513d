"""kafka-dump-log reads every file of a cleanly stopped broker to its end: dump.py DATA JARS"""

import os
import re
import subprocess
import sys

NAMES = (".log", ".index", ".timeindex", ".snapshot", ".txnindex")
# What Kafka's tool prints when a file is not what it says, though it still exits 0.
COMPLAINTS = re.compile(r"corrupt|mismatch|invalid bytes|not valid|exception|isvalid: false|non-consecutive|should be", re.I)


def main():
    data, jars = sys.argv[1:3]
    files = []
    for folder, _, names in os.walk(os.path.join(data, "topics"), followlinks=True):
        files += [os.path.join(folder, name) for name in names if name.endswith(NAMES)]
    files.sort()
    batches = records = 0
    by_kind = {kind: sum(f.endswith(kind) for f in files) for kind in NAMES}
    if by_kind[".log"] == 0:
        return "no segment was found: nothing was tested"
    for start in range(0, len(files), 200):
        group = files[start : start + 200]
        done = subprocess.run(
            ["java", "-Xmx512m", "-cp", os.path.join(jars, "*"), "org.apache.kafka.tools.DumpLogSegments"]
            + ["--deep-iteration", "--files", ",".join(group)],
            capture_output=True,
            text=True,
            timeout=600,
        )
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
