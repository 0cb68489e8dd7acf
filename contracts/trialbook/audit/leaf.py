"""What stands in a leaf of the tree: one fact as the ledger stores it.

``uint64 sequence || uint16 length of the subject || subject || payload``, big-endian. The server's time and headers are
left out: a ledger that is imported elsewhere has the same leaves, and with them the same proofs.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from struct import Struct

_HEAD = Struct(">QH")
_HASHED = Struct(">BQH")
LEAF = 0
"""RFC 6962's prefix of what is hashed into a leaf."""


def leaf_bytes(sequence: int, subject: str, payload: bytes) -> bytes:
    """The entry of one fact, before hashing. Raises ``struct.error`` for a subject of more than 65,535 bytes."""
    name = subject.encode()
    return _HEAD.pack(sequence, len(name)) + name + payload


def leaf_hash(sequence: int, subject: str, payload: bytes) -> bytes:
    """RFC 6962 leaf hash of one fact, 32 bytes: SHA-256 of a zero byte and ``leaf_bytes``."""
    name = subject.encode()
    return sha256(_HASHED.pack(LEAF, sequence, len(name)) + name + payload).digest()


def leaf_hashes(facts: Iterable[tuple[int, str, bytes]]) -> list[bytes]:
    """``leaf_hash`` of each ``(sequence, subject, payload)``; one loop, because this is the time of an audit."""
    pack, digest = _HASHED.pack, sha256
    return [
        digest(pack(LEAF, sequence, len(name := subject.encode())) + name + payload).digest()
        for sequence, subject, payload in facts
    ]
