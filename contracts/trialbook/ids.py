"""Identifiers: UUIDv7 (sortable by time) as 32 hex digits, and ids derived from a key for idempotency."""

from __future__ import annotations

import hashlib
import os
import re
import time
from typing import Protocol

from trialbook.errors import Invalid

ID = re.compile(r"[0-9a-f]{32}")
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62})")


class IdSource(Protocol):
    """A source of new identifiers."""

    def new(self) -> str:
        """A fresh id: 32 lower-case hex digits, valid as one token of a NATS subject."""
        ...


class UUIDv7Source:
    """UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then randomness."""

    def new(self) -> str:
        """A fresh UUIDv7 without dashes."""
        millis = time.time_ns() // 1_000_000
        tail = int.from_bytes(os.urandom(10))
        rand_a, rand_b = tail >> 68, tail & ((1 << 62) - 1)
        value = (millis & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (rand_a & 0xFFF) << 64 | 0b10 << 62 | rand_b
        return f"{value:032x}"


class CountingIds:
    """Ids for tests: 1, 2, 3 ... as 32 hex digits."""

    def __init__(self) -> None:
        """Start before 1."""
        self._last = 0

    def new(self) -> str:
        """The next number."""
        self._last += 1
        return f"{self._last:032x}"


def derived_id(*parts: str) -> str:
    """The same id for the same parts, always: the basis of idempotent creation (SHA-256, first 128 bits, version 8)."""
    digest = bytearray(hashlib.sha256("\x1f".join(parts).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()


def parse_id(text: str, what: str = "id") -> str:
    """Normalise an id given by a client (dashes allowed); raises ``Invalid`` (code ``invalid_id``)."""
    plain = text.replace("-", "").lower() if len(text) <= 36 else ""
    if not ID.fullmatch(plain):
        raise Invalid("invalid_id", f"{text[:80]!r} is not a valid {what}: 32 hexadecimal digits, dashes allowed.")
    return plain


def parse_slug(text: str, what: str) -> str:
    """Check a workspace, pool or similar token; raises ``Invalid`` (code ``invalid_name``)."""
    if not SLUG.fullmatch(text):
        raise Invalid(
            "invalid_name",
            f"{text[:80]!r} is not a valid {what}: 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit.",
        )
    return text
