"""Facts that are no longer in the stream: sealed into segments up to a boundary, then purged.

Of a run only those facts stay that can be its last ones for long: verdicts, deletions, creations, pauses. So the newest
fact of every run stays, and compare-and-set and the refusal of a second creation need nothing but the server. Readers
look at the boundary after they have read the stream, or remember it from a moment ago; purging begins later than that
moment after the boundary has moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec
from nats.aio.client import Client

from trialbook.aggregates import AGGREGATES, RUN
from trialbook.asking import NatsAsk
from trialbook.envelope import AggregateId, Recorded
from trialbook.log.api import call
from trialbook.queries import LedgerFacts, LedgerPage
from trialbook.streams import FACTS

SEALED_TO = "trialbook.sealed_to"
SEALED_MANIFEST = "trialbook.sealed_manifest"
KEPT: Mapping[str, frozenset[str]] = {
    RUN.kind: frozenset({"created", "completed", "failed", "cancelled", "deleted", "paused", "reset"})
}
"""Kinds that are purged, and the names of their facts that stay in the stream: the newest fact of whatever is purged
is one of them."""
CREATIONS = frozenset({"created", "submitted"})
ASK_S = 15.0
ReadStream = Callable[[AggregateId, int], Awaitable[list[Recorded]]]
"""Aggregate, after -> what the stream has."""
RECENT_S = 1.0
"""So long a boundary is taken for the present one; nothing is purged before ``GRACE_S`` have passed since it moved."""
GRACE_S = 3.0


class Boundary(msgspec.Struct, frozen=True):
    """Facts up to ``sequence`` are in segments and may be gone from the stream; ``manifest`` is the sha256 of the list
    of these segments. Sequence 0: nothing was sealed.
    """

    sequence: int = 0
    manifest: str = ""


class PurgedFacts(Protocol):
    """Where purged facts are read."""

    async def read(self, aggregate: AggregateId, after: int) -> list[Recorded]:
        """The aggregate's facts with ``after < sequence``, up to the boundary at least, ascending."""
        ...


def boundary_of(info: Mapping[str, Any]) -> Boundary:
    """The boundary in an answer to ``STREAM.INFO``."""
    metadata = info["config"].get("metadata") or {}
    return Boundary(int(metadata.get(SEALED_TO, 0)), metadata.get(SEALED_MANIFEST, ""))


async def boundary(nc: Client) -> Boundary:
    """The present boundary."""
    return boundary_of(await call(nc, f"STREAM.INFO.{FACTS}"))


class Recent:
    """The boundary as it was at most ``RECENT_S`` ago: a request a second, however much is read."""

    def __init__(self, nc: Client, recent_s: float = RECENT_S) -> None:
        self._nc, self._recent_s = nc, recent_s
        self._known = Boundary()
        self._asked = float("-inf")

    async def boundary(self) -> Boundary:
        """Asked for after a read, it tells what may have been missing in it. Raises ``Unavailable``."""
        now = asyncio.get_running_loop().time()
        if now - self._asked >= self._recent_s:
            self._known = await boundary(self._nc)
            self._asked = now
        return self._known


def purged_names(kind: str) -> list[str]:
    """Names of facts that are purged."""
    return sorted({type_.split(".")[1] for type_ in AGGREGATES[kind].events} - KEPT[kind])


def merged(*parts: list[Recorded]) -> list[Recorded]:
    """The facts of all parts once, ascending."""
    found = {record.sequence: record for part in parts for record in part}
    return [found[sequence] for sequence in sorted(found)]


class AskedFacts:
    """Purged facts, asked of a projector, which knows where they are."""

    def __init__(self, nc: Client) -> None:
        self._ask = NatsAsk(nc)

    async def read(self, aggregate: AggregateId, after: int) -> list[Recorded]:
        """See ``PurgedFacts.read``. Raises ``Unavailable`` when no projector answers, or its segments are missing."""
        found: list[Recorded] = []
        while True:
            query = LedgerFacts(kind=aggregate.kind, id=aggregate.id, after=after)
            answer = await self._ask.ask(aggregate.workspace, query, ASK_S)
            page = msgspec.json.decode(answer.result or b"{}", type=LedgerPage)
            found += page.items
            if not page.more:
                return found
            after = page.items[-1].sequence


async def read_whole(
    recent: Recent, purged: PurgedFacts, aggregate: AggregateId, after: int, read: ReadStream
) -> list[Recorded]:
    """What ``read`` finds in the stream of the aggregate after ``after``, completed by what was purged from it."""
    records = await read(aggregate, after)
    if aggregate.kind not in KEPT or not records:  # the newest fact always stays
        return records
    known = (await recent.boundary()).sequence
    if known <= after or (after == 0 and known < records[0].sequence and _begins(records)):
        return records
    return merged(await purged.read(aggregate, after), records)


def _begins(records: list[Recorded]) -> bool:
    return records[0].event.type.split(".")[1] in CREATIONS
