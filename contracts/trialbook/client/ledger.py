"""The ledger of a workspace: every fact about everything in it, past and live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from trialbook.client.feed import feed
from trialbook.client.following import update_of
from trialbook.client.pages import every
from trialbook.client.resource import Resource
from trialbook.client.results import Fact, Results
from trialbook.client.transport import SEQUENCE
from trialbook.queries import PAGE_LIMIT


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
