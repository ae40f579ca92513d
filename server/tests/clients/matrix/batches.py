"""What codec the stored batches really have: a Fetch of one's own, read no further than the batch headers."""

import socket
import struct

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def exactly(peer, size):
    parts = bytearray()
    while len(parts) < size:
        part = peer.recv(size - len(parts))
        if not part:
            raise ConnectionError("closed")
        parts += part
    return bytes(parts)


def stored(address, topic):
    """The codecs of the batches at the beginning of the topic's partition 0."""
    host, port = address.rsplit(":", 1)
    name = struct.pack(">h", len(topic)) + topic.encode()
    body = struct.pack(">iiiib", -1, 100, 1, 1 << 20, 0) + struct.pack(">i", 1) + name
    body += struct.pack(">iiqi", 1, 0, 0, 1 << 20)
    frame = struct.pack(">hhih", 1, 4, 1, -1) + body
    with socket.create_connection((host, int(port)), 10) as peer:
        peer.sendall(struct.pack(">i", len(frame)) + frame)
        (size,) = struct.unpack(">i", exactly(peer, 4))
        answer = exactly(peer, size)
    # correlation, throttle, topics, name, partitions, partition, error, high watermark, last stable, aborted, length
    at = 4 + 4 + 4 + len(name) + 4 + 4
    error, _, _, aborted = struct.unpack_from(">hqqi", answer, at)
    at += 22 + max(aborted, 0) * 16
    (size,) = struct.unpack_from(">i", answer, at)
    records = answer[at + 4 : at + 4 + size]
    if error:
        raise RuntimeError(f"error {error} for {topic}")
    found, at = set(), 0
    while at + 61 <= len(records):
        (length,) = struct.unpack_from(">i", records, at + 8)
        (attributes,) = struct.unpack_from(">h", records, at + 21)
        found.add(CODECS[attributes & 7])
        at += 12 + length
    return found


def wrong_codecs(address, prefix, lacking):
    """The codecs that a client was to write with and did not; those its note says it lacks are not looked at."""
    wrong = []
    for codec in CODECS:
        if f"no {codec}" in lacking:
            continue
        if (found := stored(address, f"{prefix}-{codec}")) != {codec}:
            wrong.append(f"{codec} was asked for, {' and '.join(sorted(found)) or 'nothing'} is stored")
    return ", ".join(wrong)
