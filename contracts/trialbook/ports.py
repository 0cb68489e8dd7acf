"""What the core needs from outside, as protocols; each has a law-test that every adapter passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from trialbook.envelope import AggregateId, Event, Recorded
from trialbook.queries import Answer, Query


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one aggregate gets in an append: ``expected`` is its last sequence (0: it must not exist)."""

    aggregate: AggregateId
    expected: int
    events: Sequence[Event]
    routes: Sequence[tuple[str, ...]]


class VersionConflict(Exception):
    """An aggregate was not at the expected sequence; nothing was appended. Reload and decide again."""


class EventLog(Protocol):
    """The ledger: append-only, ordered, atomic per call."""

    async def append(self, parts: Sequence[Part]) -> list[int]:
        """Append all parts or nothing; returns each part's last sequence. When this returns, the events are on disk.

        Raises ``VersionConflict``; ``Unavailable``/``TimedOut`` when the ledger does not answer.
        """
        ...

    async def read(self, aggregate: AggregateId, after: int = 0) -> list[Recorded]:
        """The aggregate's events with a sequence greater than ``after``, ascending."""
        ...

    async def last_sequence(self) -> int:
        """The sequence of the newest event, 0 for an empty ledger."""
        ...


class BlobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A stored blob; size in bytes."""

    sha256: str
    size: int


class BlobStore(Protocol):
    """Content-addressed bytes."""

    async def put(self, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None) -> BlobInfo:
        """Store a stream of bytes; raises ``TooLarge`` past ``max_bytes`` and stores nothing then."""
        ...

    def get(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes ``[start, end)``; raises ``NotFound`` (code ``blob_not_found``)."""
        ...

    async def stat(self, sha256: str) -> BlobInfo | None:
        """Size of a stored blob, or None."""
        ...


class Ask(Protocol):
    """Ask a projector."""

    async def ask(self, workspace: str, query: Query, timeout_s: float = 5.0) -> Answer:
        """The answer; a refusal in it is raised. ``Unavailable`` when no projector answers in time."""
        ...
