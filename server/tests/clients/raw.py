"""The Kafka protocol by hand, so that it can be spoken wrongly."""

import socket
import struct
import time

from crc32c import crc32c

# Near the clock, so that nothing is refused or expired on its account.
STAMP = int(time.time() * 1000)
PRODUCE, FETCH, METADATA, API_VERSIONS, CREATE_TOPICS = 0, 1, 3, 18, 19


def connect(address, timeout=10.0, receive_buffer=None):
    host, port = address.rsplit(":", 1)
    peer = socket.socket()
    if receive_buffer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer.settimeout(timeout)
    peer.connect((host, int(port)))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def framed(payload):
    return struct.pack(">i", len(payload)) + payload


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


def request(key, version, body=b"", correlation=7):
    """A frame with request header v1."""
    return framed(struct.pack(">hhi", key, version, correlation) + string("hostile") + body)


def exactly(peer, size):
    parts = bytearray()
    while len(parts) < size:
        part = peer.recv(min(1 << 20, size - len(parts)))
        if not part:
            raise ConnectionError("closed")
        parts += part
    return bytes(parts)


def answer(peer):
    """The next response, without its length."""
    (size,) = struct.unpack(">i", exactly(peer, 4))
    return exactly(peer, size)


def ask(peer, frame):
    peer.sendall(frame)
    return answer(peer)


def closes(peer, frame):
    """Whether the broker closes the connection on this frame and says nothing."""
    try:
        peer.sendall(frame)
        return peer.recv(1) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True
    finally:
        peer.close()


def varint(n):
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def record(value, offset_delta=0, headers=b"\x00"):
    body = b"\x00" + varint(0) + varint(offset_delta) + varint(-1) + varint(len(value)) + value + headers
    return varint(len(body)) + body


def batch(records, count, *, base=0, magic=2, attributes=0, last_delta=None, crc=None, length=None):
    """One record batch; every field that can lie may be told to."""
    body = struct.pack(
        ">hiqqqhii", attributes, count - 1 if last_delta is None else last_delta, STAMP, STAMP, -1, -1, -1, count
    )
    body += records
    size = 9 + len(body) if length is None else length
    return struct.pack(">qiibI", base, size, -1, magic, crc32c(body) if crc is None else crc) + body


def produce(topic, partition, batches, acks=-1, version=7, correlation=7):
    body = struct.pack(">hhii", -1, acks, 10_000, 1) + string(topic) + struct.pack(">iii", 1, partition, len(batches)) + batches
    return request(PRODUCE, version, body, correlation)


def produced(response, topic):
    """(error code, base offset) of the one partition of a Produce v7 response."""
    at = 4 + 4 + 2 + len(topic) + 4 + 4
    return struct.unpack_from(">hq", response, at)


def fetch(topic, partition, offset, max_bytes, max_wait_ms=100, correlation=7):
    body = struct.pack(">iiiib", -1, max_wait_ms, 1, max_bytes, 0)
    body += struct.pack(">i", 1) + string(topic) + struct.pack(">iiqi", 1, partition, offset, max_bytes)
    return request(FETCH, 4, body, correlation)


def create(topic, partitions, version=2):
    body = struct.pack(">i", 1) + string(topic) + struct.pack(">ihii", partitions, 1, 0, 0) + struct.pack(">ib", 10_000, 0)
    return request(CREATE_TOPICS, version, body)


def created(response):
    """The error code of the one topic of a CreateTopics v2 response."""
    (length,) = struct.unpack_from(">h", response, 12)
    return struct.unpack_from(">h", response, 14 + length)[0]
