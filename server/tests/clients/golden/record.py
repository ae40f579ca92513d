"""A proxy that writes down the frames that cross it: record.py LISTEN TARGET OUT [clamp]

Stands at the broker's advertised address. Keeps, of each API and version, the largest pair of request and
response under 4 KiB; a client id that ends in `@codec` sends its Produce frames to a folder of that name. `clamp` cuts
the broker's ApiVersions answer down to what Ringlog serves. Ends, and writes its files, on SIGTERM.
"""

import asyncio
import os
import signal
import struct
import sys

LARGEST = 4096
PRODUCE, API_VERSIONS = 0, 18
NAMES = {
    0: "produce", 1: "fetch", 2: "list_offsets", 3: "metadata", 8: "offset_commit", 9: "offset_fetch",
    10: "find_coordinator", 11: "join_group", 12: "heartbeat", 13: "leave_group", 14: "sync_group",
    15: "describe_groups", 16: "list_groups", 18: "api_versions", 19: "create_topics", 20: "delete_topics",
    22: "init_producer_id", 23: "offset_for_leader_epoch", 24: "add_partitions_to_txn", 25: "add_offsets_to_txn",
    26: "end_txn", 28: "txn_offset_commit", 32: "describe_configs", 33: "alter_configs", 37: "create_partitions",
    42: "delete_groups", 44: "incremental_alter_configs", 60: "describe_cluster", 68: "consumer_group_heartbeat",
    69: "consumer_group_describe", 75: "describe_topic_partitions",
}  # fmt: skip
# Newest version to let through, by API key.
SERVED = {0: 13, 1: 17, 2: 10, 3: 12, 18: 4, 60: 1} if "clamp" in sys.argv[4:] else {}

kept = {}  # (folder, api, version) → (request, response)


def keep(key, request, response):
    if max(len(request), len(response)) <= LARGEST and key[1] in NAMES:
        if key not in kept or sum(map(len, kept[key])) < len(request) + len(response):
            kept[key] = (request, response)


def write(out):
    for (folder, api, version), frames in kept.items():
        os.makedirs(os.path.join(out, folder), exist_ok=True)
        for direction, frame in zip(("request", "response"), frames):
            with open(os.path.join(out, folder, f"{NAMES[api]}-v{version}-{direction}.bin"), "wb") as file:
                file.write(frame)


def clamped(version, response):
    """The ApiVersions response with its maxima lowered."""
    response = bytearray(response)
    if version < 3:
        (count,) = struct.unpack_from(">i", response, 6)
        at, stride = 10, 6
    else:
        at, count, shift, stride = 6, 0, 0, 7
        while True:
            byte = response[at]
            at, count, shift = at + 1, count | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        count -= 1
    for _ in range(count):
        api, _, newest = struct.unpack_from(">hhh", response, at)
        struct.pack_into(">h", response, at + 4, min(newest, SERVED.get(api, newest)))
        at += stride
    return bytes(response)


async def pump(reader, writer, through):
    try:
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            if frame := through(await reader.readexactly(size)):
                writer.write(struct.pack(">i", len(frame)) + frame)
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def relay(client_reader, client_writer):
    broker_reader, broker_writer = await asyncio.open_connection(*sys.argv[2].split(":"))
    asked = {}

    def request(frame):
        api, version, correlation, length = struct.unpack_from(">hhih", frame)
        client_id = frame[10 : 10 + max(length, 0)].decode()
        codec = client_id.rpartition("@")[2] if "@" in client_id and api == PRODUCE else ""
        key = ("" if codec == "none" else codec, api, version)
        if api == API_VERSIONS and version > SERVED.get(api, version):
            # What a broker says to a version it does not know, in the layout of v0.
            refusal = struct.pack(">ihihhh", correlation, 35, 1, API_VERSIONS, 0, SERVED[api])
            keep(key, frame, refusal)
            client_writer.write(struct.pack(">i", len(refusal)) + refusal)
            return None
        asked[correlation] = (key, frame)
        return frame

    def response(frame):
        key, question = asked.pop(struct.unpack_from(">i", frame)[0])
        if key[1] == API_VERSIONS and SERVED:
            frame = clamped(key[2], frame)
        keep(key, question, frame)
        return frame

    await asyncio.gather(pump(client_reader, broker_writer, request), pump(broker_reader, client_writer, response))


async def main():
    host, port = sys.argv[1].split(":")
    await asyncio.start_server(relay, host, int(port))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    write(sys.argv[3])
    os._exit(0)


asyncio.run(main())
