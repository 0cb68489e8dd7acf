"""A segment: consecutive messages of one stream as compressed NDJSON that keeps every payload byte for byte.

A line is ``{"sequence", "subject", "time", "id", "data"}``: ``time`` is when the server stored the message (Unix
nanoseconds), ``id`` its message id. A payload that is one line of JSON stands in ``data`` as it is; any other is kept
as ``base64`` instead. Lines are compressed in blocks, each a gzip member of its own, so that ``gunzip`` reads the file
and a single fact is found by decompressing one block.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from trialbook.log.tail import Message

BLOCK_MESSAGES = 1000
BLOCK_BYTES = 1024 * 1024
SEGMENT_MESSAGES = 1 << 15
"""A segment ends at a multiple of this, so that a full one is a complete subtree of the Merkle tree."""
SEGMENT_BYTES = 32 * 1024 * 1024
LEVEL = 2
"""Of gzip: level 6 saves a tenth and takes twice the time."""
ID_HEADER = b"\r\nNats-Msg-Id:"
_raw = msgspec.json.Decoder(msgspec.Raw).decode


class Damaged(Exception):
    """Stored bytes are not what was recorded of them; the text says which and how."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message as it stands in a segment."""

    sequence: int
    subject: str
    time: int
    id: str = ""
    base64: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One file and what is recorded of it. ``bytes`` and ``sha256`` are of the compressed file.

    ``blocks`` are the first sequence and the offset of each block. ``root`` is the Merkle tree hash over the messages
    of a segment of facts (RFC 6962, hex; see ``trialbook.audit.merkle``); ``parquet`` the same as a table.
    """

    name: str
    first: int
    last: int
    count: int
    bytes: int
    sha256: str
    written_at: str
    blocks: list[tuple[int, int]]
    root: str = ""
    parquet: str = ""
    parquet_sha256: str = ""

    @property
    def whole(self) -> bool:
        """Whether no sequence is left out."""
        return self.count == self.last - self.first + 1


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def message_id(message: Message) -> str:
    """The message id among the raw headers; empty when there is none."""
    start = message.headers.find(ID_HEADER)
    if start < 0:
        return ""
    start += len(ID_HEADER)
    return message.headers[start : message.headers.find(b"\r\n", start)].decode().strip()


def with_id(message: Message, id_: str) -> Message:
    """The message with headers that hold just this id."""
    return msgspec.structs.replace(message, headers=b"NATS/1.0" + ID_HEADER + b" " + id_.encode() + b"\r\n\r\n")


def encode_line(message: Message) -> bytes:
    """The line of a message, without its end."""
    payload = message.data
    kept = b'"data":%b}' % payload if _embeddable(payload) else b'"base64":"%b"}' % base64.b64encode(payload)
    return b'{"sequence":%d,"subject":%b,"time":%d,"id":%b,%b' % (
        message.sequence, _encode(message.subject), message.time_ns, _encode(message_id(message)), kept,
    )  # fmt: skip


def _embeddable(payload: bytes) -> bool:
    """Whether the payload comes back byte for byte when it stands as a value in one line of JSON."""
    if not payload or b"\n" in payload or b"\r" in payload:
        return False
    try:
        if not payload.isascii():
            payload.decode()  # which the next step does not look at
        return bytes(_raw(payload)) == payload
    except (ValueError, RecursionError):
        return False


def decode_line(line: bytes) -> Message:
    """The message of a line. Raises ``Damaged``."""
    try:
        found = _decode(line)
        payload = bytes(found.data) or base64.b64decode(found.base64, validate=True)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"a line cannot be read: {error}") from error
    headers = b"NATS/1.0%b %b\r\n\r\n" % (ID_HEADER, found.id.encode()) if found.id else b""
    return Message(found.sequence, found.subject, payload, found.time, headers)


def blocks_of(messages: Sequence[Message]) -> Iterable[tuple[int, bytes]]:
    """First sequence and compressed bytes of block after block."""
    lines: list[bytes] = []
    first, size = 0, 0
    for message in messages:
        if len(lines) == BLOCK_MESSAGES or size >= BLOCK_BYTES:
            yield first, compressed(lines)
            lines, size = [], 0
        if not lines:
            first = message.sequence
        line = encode_line(message)
        lines.append(line)
        size += len(line)
    if lines:
        yield first, compressed(lines)


def compressed(lines: list[bytes]) -> bytes:
    """One gzip member with nothing of the moment in it: equal lines give equal bytes."""
    return gzip.compress(b"\n".join((*lines, b"")), LEVEL, mtime=0)


def segment_of(messages: Sequence[Message], name: str, written_at: str, root: str = "") -> tuple[Segment, bytes]:
    """A segment of at least one message, ascending, and the bytes of its file."""
    content = bytearray()
    blocks: list[tuple[int, int]] = []
    for first, block in blocks_of(messages):
        blocks.append((first, len(content)))
        content += block
    segment = Segment(
        name=name, first=messages[0].sequence, last=messages[-1].sequence, count=len(messages), bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(), written_at=written_at, blocks=blocks, root=root,
    )  # fmt: skip
    return segment, bytes(content)


def messages_of(segment: Segment, content: bytes) -> list[Message]:
    """All messages of a file, after comparing it with its record. Raises ``Damaged``, which names the sequences."""
    where = f"segment {segment.name} (sequences {segment.first} to {segment.last})"
    if len(content) != segment.bytes:
        raise Damaged(f"{where} has {len(content)} bytes, not {segment.bytes}")
    if (digest := hashlib.sha256(content).hexdigest()) != segment.sha256:
        raise Damaged(f"{where} has the sha256 {digest}, not {segment.sha256}")
    messages = block_messages(content, where)
    sequences = [message.sequence for message in messages]
    if len(sequences) != segment.count or sequences[0] != segment.first or sequences[-1] != segment.last:
        raise Damaged(f"{where} does not hold the sequences it is recorded with")
    if any(later <= earlier for earlier, later in pairwise(sequences)):
        raise Damaged(f"{where} is not in order")
    return messages


def block_messages(content: bytes, where: str) -> list[Message]:
    """The messages of whole blocks. Raises ``Damaged``."""
    try:
        lines = gzip.decompress(content).split(b"\n")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Damaged(f"{where} cannot be decompressed: {error}") from error
    if not lines or lines.pop():
        raise Damaged(f"{where} ends within a line")
    return [decode_line(line) for line in lines]
