"""The ledger of a workspace: every fact about everything in it, past and live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from trialbook.client.feed import feed
from trialbook.client.following import update_of
from trialbook.client.pages import every
from trialbook.client.resource import Resource
from trialbook.client.results import Fact, Results
from trialbook.client.transport import SEQUENCE, Pauses, unreachable
from trialbook.queries import PAGE_LIMIT

NDJSON = "application/x-ndjson"
PLACE = b'{"sequence":'


class Lines(msgspec.Struct, frozen=True):
    """Some lines, in order: ``position`` is the sequence up to which everything was given, of ``end`` in all."""

    items: list[bytes]
    position: int
    end: int


class Ledger(Resource):
    """Facts of all aggregates, in the order in which they were decided."""

    async def facts(
        self,
        *,
        after: int = 0,
        up_to: int = 0,
        types: Sequence[str] = (),
        kind: str = "",
        aggregate: str = "",
        limit: int = 100,
    ) -> Results[Fact]:
        """One page after a sequence; ``types`` like ``run.completed.v1``, ``kind`` like ``run``."""
        query = {
            "after": after, "up_to": up_to, "type": list(types), "kind": kind, "aggregate": aggregate, "limit": limit,
        }  # fmt: skip
        return await self._transport.get("/v1/events", Results[Fact], query)

    def iterate(
        self, *, after: int = 0, up_to: int = 0, types: Sequence[str] = (), kind: str = "", aggregate: str = ""
    ) -> AsyncIterator[Fact]:
        """All facts there are now; filters as in ``facts``."""
        return every(
            lambda cursor: self.facts(
                after=int(cursor or after), up_to=up_to, types=types, kind=kind, aggregate=aggregate, limit=PAGE_LIMIT
            )
        )

    async def lines(
        self,
        *,
        after: int = 0,
        up_to: int = 0,
        types: Sequence[str] = (),
        kind: str = "",
        aggregate: str = "",
        actor: str = "",
        correlation: str = "",
        since: str = "",
        until: str = "",
    ) -> AsyncIterator[Lines]:
        """All facts there are now as raw lines of JSON (``{"sequence", "event"}``), for reading very many.

        ``since`` and ``until`` (RFC 3339) bound the facts' own times. A lost connection is bridged: reading goes on
        after the last line.
        """
        query = {
            "type": list(types), "kind": kind, "aggregate": aggregate, "actor": actor, "correlation": correlation,
            "from": since, "to": until,
        }  # fmt: skip
        position, end, pauses = after, up_to, None
        while True:
            asked = {**query, "after": position, "up_to": end or None, **self._transport.at_least()}
            try:
                async for page in self._lines(asked, position):
                    position, end, pauses = page.position, page.end, None
                    yield page
                return
            except httpx.TransportError as error:
                pauses = pauses or Pauses(self._transport.patience_s)
                await pauses.pause_or_raise(unreachable(self._transport.base_url, error))

    async def _lines(self, query: dict[str, Any], position: int) -> AsyncIterator[Lines]:
        async with self._transport.stream("/v1/events", query=query, headers={"Accept": NDJSON}) as response:
            end, rest = int(response.headers[SEQUENCE]), b""
            async for chunk in response.aiter_bytes():
                whole, feed_, rest = (rest + chunk).rpartition(b"\n")
                if feed_:
                    items = whole.split(b"\n")
                    position = int(items[-1][len(PLACE) : items[-1].index(b",")])
                    yield Lines(items, position, end)
        yield Lines([], max(position, end), end)

    async def diff(self, kind: str, id_: str, *, since: str | int, until: str | int = "") -> dict[str, Any]:
        """What differs between two moments (sequences or RFC 3339 times; ``until`` empty: now) of a run, file, dataset,
        model or workspace; of a workspace all pages in one.
        """
        path = f"/v1/{kind}s/{quote(id_, safe='')}/diff"
        query = {"from": since, "to": until, "limit": PAGE_LIMIT if kind == "workspace" else None}
        found = await self._transport.get(path, dict[str, Any], query)
        page = found
        while page.get("next_cursor"):
            page = await self._transport.get(path, dict[str, Any], {**query, "cursor": page["next_cursor"]})
            found["items"] += page["items"]
        return {**found, "next_cursor": None} if kind == "workspace" else found

    async def trail(self, id_: str) -> dict[str, Any]:
        """The story of a thing or a request (all pages in one): ``chapters`` with who, what, when, why and where."""
        path = f"/v1/audit/trail/{quote(id_, safe='')}"
        found = await self._transport.get(path, dict[str, Any])
        page = found
        while page.get("next_cursor"):
            page = await self._transport.get(path, dict[str, Any], {"after": page["next_cursor"]})
            found["chapters"] += page["chapters"]
        return {**found, "next_cursor": None}

    async def trail_page(self, id_: str) -> str:
        """The story as a self-contained HTML page (its first thousand facts)."""
        path = f"/v1/audit/trail/{quote(id_, safe='')}"
        reply = await self._transport.send(
            "GET", path, query=self._transport.at_least(), headers={"Accept": "text/html"}
        )
        return reply.text

    async def position(self) -> int:
        """The ledger's sequence as it is projected now; everything after it is news."""
        response = await self._transport.send("GET", "/v1/events", query={"limit": 1, **self._transport.at_least()})
        return int(response.headers.get(SEQUENCE, "0"))

    async def follow(
        self, *, after: int | None = None, types: Sequence[str] = (), kind: str = "", aggregate: str = ""
    ) -> AsyncIterator[Fact]:
        """Facts as they are decided, for ever; ``after`` a sequence (0: from the beginning; None: from now on).

            async for fact in client.ledger.follow(types=["run.failed.v1"]):
                print(fact.sequence, fact.event.subject, fact.data)

        Lost connections are bridged; to go on after a restart of your own, keep ``fact.sequence`` and give it back.
        """
        newest = await self.position() if after is None else after
        query = {"after": newest, "type": list(types), "kind": kind, "aggregate": aggregate}
        async for event in feed(self._transport, "/v1/events", query):
            update = update_of(event)
            if isinstance(update, Fact) and update.sequence > newest:
                newest = update.sequence
                self._transport.saw(newest)
                yield update
