"""Kafka's own command-line tools and a Kafka Streams application: tools.py JARS HOST:PORT PREFIX SCENARIO..."""

import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
JARS = sys.argv.pop(1)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "python"))

import cell  # noqa: E402

TOOLS = "org.apache.kafka.tools."


def java(main, *arguments, stdin="", seconds=90):
    """What the tool printed. Tools often exit 0 with an error on standard error: that is a failure here."""
    path = f"{JARS}/*:{JARS}/classes"
    command = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", path, main, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds)
    wrong = re.search(r"^.*(Error|Exception|ERROR).*$", done.stderr + done.stdout, re.M)
    if done.returncode != 0 or wrong:
        said = wrong.group() if wrong else (done.stderr or done.stdout)[-250:]
        raise cell.Failed(f"{main.rsplit('.', 1)[-1]} {' '.join(arguments[2:6])} exited {done.returncode}: {said}")
    return done.stdout


def tool(main, *arguments, **more):
    return java(TOOLS + main, "--bootstrap-server", cell.ADDRESS, *arguments, **more)


def has(what, text, *patterns):
    for pattern in patterns:
        if not re.search(pattern, text, re.M):
            raise cell.Failed(f"{what} has no `{pattern}`: {cell.short(text)}")


def create(name, partitions=2):
    topic = cell.topic(name)
    tool("TopicCommand", "--create", "--topic", topic, "--partitions", str(partitions), "--replication-factor", "1")
    return topic


def written(topic, lines):
    keyed = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
    tool("ConsoleProducer", "--topic", topic, *keyed, stdin="".join(line + "\n" for line in lines))


def kafka_topics():
    topic = create("topics", 3)
    has("the list", tool("TopicCommand", "--list"), f"^{topic}$")
    has("the description", tool("TopicCommand", "--describe", "--topic", topic), "PartitionCount: 3", "ReplicationFactor: 1", "Isr: ")
    tool("TopicCommand", "--alter", "--topic", topic, "--partitions", "5")
    has("the description", tool("TopicCommand", "--describe", "--topic", topic), "PartitionCount: 5")
    tool("TopicCommand", "--delete", "--topic", topic)
    cell.waited(20, "its end", lambda: topic not in tool("TopicCommand", "--list").split())


def console():
    topic = create("console")
    lines = [f"k{i}:v{i}" for i in range(100)]
    written(topic, lines)
    show = ("--formatter-property", "print.key=true", "--formatter-property", "key.separator=:")
    reading = ("--topic", topic, "--from-beginning", "--max-messages", "100", "--timeout-ms", "30000")
    got = tool("consumer.ConsoleConsumer", *reading, *show).split()
    cell.same("lines", sorted(got), sorted(lines))


def consumer_groups():
    topic = create("groups")
    group = topic
    written(topic, [f"k{i}:v{i}" for i in range(40)])
    tool("consumer.ConsoleConsumer", "--topic", topic, "--group", group, "--from-beginning", "--max-messages", "40", "--timeout-ms", "30000")
    command = "consumer.group.ConsumerGroupCommand"
    has("the list", tool(command, "--list"), f"^{group}$")
    has("the states", tool(command, "--list", "--state"), rf"{group}\s+\w*\s*Empty")
    described = tool(command, "--describe", "--group", group)
    rows = re.findall(rf"^{group}\s+{topic}\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", described, re.M)
    cell.same("partitions", len(rows), 2)
    cell.same("lag", [lag for *_, lag in rows], ["0", "0"])
    cell.same("committed", sum(int(offset) for _, offset, *_ in rows), 40)
    tool(command, "--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute")
    has("after the reset", tool(command, "--describe", "--group", group), rf"^{group}\s+{topic}\s+0\s+0\s+\d+\s+\d+")
    tool(command, "--delete-offsets", "--group", group, "--topic", topic)
    tool(command, "--delete", "--group", group)
    cell.waited(20, "its end", lambda: group not in tool(command, "--list").split())


def configs():
    topic = create("configs", 1)
    entity = ("--entity-type", "topics", "--entity-name", topic)
    command = "kafka.admin.ConfigCommand"

    def config(*arguments):
        return java(command, "--bootstrap-server", cell.ADDRESS, *entity, *arguments)

    config("--alter", "--add-config", "retention.ms=7200000,max.message.bytes=2000000")
    has("the configs", config("--describe"), r"retention\.ms=7200000", r"max\.message\.bytes=2000000", "DYNAMIC_TOPIC_CONFIG")
    config("--alter", "--delete-config", "retention.ms")
    cell.same("retention.ms", "retention.ms=7200000" in config("--describe"), False)
    has("all configs", config("--describe", "--all"), "cleanup.policy=", "segment.bytes=")
    brokers = java(command, "--bootstrap-server", cell.ADDRESS, "--entity-type", "brokers", "--describe", "--all")
    has("the broker's configs", brokers, "num.partitions=", "log.retention")


def performance():
    topic = create("performance")
    load = ("--num-records", "20000", "--record-size", "200", "--throughput", "-1")
    out = java(TOOLS + "ProducerPerformance", "--topic", topic, *load, "--bootstrap-server", cell.ADDRESS)
    has("the producer's report", out, "^20000 records sent")
    out = tool("ConsumerPerformance", "--topic", topic, "--num-records", "20000", "--group", topic)
    read = [float(field) for field in out.splitlines()[-1].split(", ")[2:5:2]]
    cell.same("records read", read[1], 20000.0)


def offsets():
    topic = create("offsets", 1)
    written(topic, [f"k{i}:v{i}" for i in range(10)])
    cell.same("end", tool("GetOffsetShell", "--topic", topic).strip(), f"{topic}:0:10")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"partitions": [{"topic": topic, "partition": 0, "offset": 4}], "version": 1}, file)
        file.flush()
        has("the deletion", tool("DeleteRecordsCommand", "--offset-json-file", file.name), "low_watermark: 4")
    cell.same("beginning", tool("GetOffsetShell", "--topic", topic, "--time", "-2").strip(), f"{topic}:0:4")


def cluster():
    has("the versions", tool("BrokerApiVersionsCommand"), r"Produce\(0\)", r"Fetch\(1\)", r"ApiVersions\(18\)")
    has("the log folders", tool("LogDirsCommand", "--describe"), '"logDirs"', '"partitions"')
    has("the quorum", tool("MetadataQuorumCommand", "describe", "--status"), r"LeaderId:\s+\d", "CurrentVoters:")
    has("the groups", tool("GroupsCommand", "--list"), "GROUP")


def streams(mode):
    """Words are split, grouped anew and counted, at least once; the counts are read from the output topic."""

    def scenario():
        topics = {name: create(f"{mode}-{name}") for name in ("in", "out")}
        written(topics["in"], [f"line{i}:red green red" for i in range(50)])
        out = java("WordCount", mode, cell.ADDRESS, cell.topic(mode), topics["in"], topics["out"], seconds=120)
        has("the counts", out, "^done red=100 green=50$")

    return scenario


version = next(n for n in os.listdir(JARS) if n.startswith("kafka-tools-") and "api" not in n)
cell.main(
    "kafka-tools",
    re.search(r"\d[\d.]*\d", version).group(),
    {
        "kafka-topics": kafka_topics,
        "kafka-console": console,
        "kafka-consumer-groups": consumer_groups,
        "kafka-configs": configs,
        "kafka-perf-test": performance,
        "kafka-offsets": offsets,
        "kafka-cluster": cluster,
        "streams": streams("memory"),
        "streams-changelog": streams("changelog"),
    },
)
