"""Facts that are no longer in the stream: sealed into segments up to a boundary, then purged.

Of a finished run only the verdicts and the deletion stay. Its last fact is one of them, so compare-and-set and the
refusal of a second creation need nothing but the server; and its first fact is none, so that a history that begins
without a creation tells that its earlier part is in the segments. Creations are purged first, and the others only when
every read that began before has ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.aggregates import AGGREGATES, RUN
from trialbook.asking import NatsAsk
from trialbook.envelope import AggregateId, Recorded
from trialbook.errors import Unavailable
from trialbook.log.api import call
from trialbook.log.read import TRIES, recorded, request_messages
from trialbook.queries import LedgerFacts, LedgerPage
from trialbook.streams import FACTS

SEALED_TO = "trialbook.sealed_to"
SEALED_MANIFEST = "trialbook.sealed_manifest"
CREATIONS: Mapping[str, frozenset[str]] = {RUN.kind: frozenset({"created", "submitted"})}
"""Kinds that are purged, and the names of their first facts."""
KEPT: Mapping[str, frozenset[str]] = {RUN.kind: frozenset({"completed", "failed", "cancelled", "deleted"})}
"""Names of facts that stay in the stream; the last fact of whatever is purged must be one of them."""
ASK_S = 15.0
ReadStream = Callable[[AggregateId, int], Awaitable[list[Recorded]]]
"""Aggregate, after -> what the stream has."""
LONG = 64
"""A history of fewer facts was read by one request, and one that began before the creation was purged has ended before
anything else is."""


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


def purged_names(kind: str) -> list[str]:
    """Names of facts in the order in which they are to be purged."""
    names = {type_.split(".")[1] for type_ in AGGREGATES[kind].events} - KEPT[kind]
    return sorted(names, key=lambda name: (name not in CREATIONS[kind], name))


def begins(kind: str, records: list[Recorded]) -> bool:
    """Whether a history read from its start has its first fact, as far as it can be told."""
    creations = CREATIONS.get(kind)
    return creations is None or not records or records[0].event.type.split(".")[1] in creations


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
    nc: Client, purged: PurgedFacts, aggregate: AggregateId, after: int, read: ReadStream
) -> list[Recorded]:
    """What ``read`` finds in the stream of the aggregate after ``after``, completed by what was purged from it.

    Costs nothing as long as the history has its beginning; a longer one is looked at again, because its facts may have
    been purged between two requests of ``read``. Raises ``Unavailable``.
    """
    if aggregate.kind not in CREATIONS:
        return await read(aggregate, after)
    for _ in range(TRIES):
        records = await read(aggregate, after)
        if not records:  # the newest fact always stays
            return records
        if after == 0 and begins(aggregate.kind, records):
            if len(records) < LONG or await _first(nc, aggregate) == records[0].sequence:
                return records
            continue
        if (await boundary(nc)).sequence <= after:
            return records
        return merged(await purged.read(aggregate, after), records)
    raise Unavailable("ledger_unavailable", "The history was purged while it was read; try again.")


async def _first(nc: Client, aggregate: AggregateId) -> int:
    request = {"seq": 1, "batch": 1, "next_by_subj": subjects.aggregate_facts(aggregate)}
    page, _ = await request_messages(nc, request)
    return recorded(page[0]).sequence if page else 0
