"""One client's way through the facts of a workspace, without end or up to a sequence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from trialbook import subjects
from trialbook.asking import NatsAsk
from trialbook.queries import PAGE_LIMIT, EventList
from trialbook_gateway.live.channel import Channel
from trialbook_gateway.live.follower import ENTRIES_AT_ONCE, TooSlow
from trialbook_gateway.live.items import FactView, Item
from trialbook_gateway.live.past import workspace_facts


class FactsFollower:
    """Hands out facts in batches; ``position`` is the sequence of the last one passed to ``cursor_after``."""

    def __init__(
        self, channel: Channel, ask: NatsAsk, workspace: str, query: EventList, lag: int, timeout_s: float,
        told: Callable[[int], None],
    ) -> None:  # fmt: skip
        """``told`` hears of each ledger sequence that is handed out."""
        self._told = told
        self._channel, self._ask, self._workspace, self._query = channel, ask, workspace, query
        self._lag, self._timeout_s = lag, timeout_s
        self.position = self._reached = query.after
        self._index = 0

    async def batches(self, idle_s: float) -> AsyncIterator[list[Item]]:
        """Facts in order; an empty batch after ``idle_s`` seconds without any. Raises ``TooSlow``, ``Unavailable``."""
        channel = self._channel
        while True:
            generation = channel.generation
            async for batch in self._catch_up():
                if batch:
                    yield batch
            if self._over():
                return
            while generation == channel.generation:
                if self._index < channel.base or channel.end - self._index > self._lag:
                    raise TooSlow
                found = channel.since(self._index, ENTRIES_AT_ONCE)
                self._index += len(found)
                fresh = [entry for entry in found if entry.facts > self._reached]
                if fresh:
                    self._reached = fresh[-1].facts
                    batch = [item for entry in fresh for item in entry.items if self._wanted(item)]
                    if batch:
                        yield batch
                    if self._over():
                        return
                elif not found and (not await channel.changed(idle_s) or channel.stopping):
                    yield []

    def cursor_after(self, item: Item) -> str:
        """Note that ``item`` is being handed out; the cursor (a ledger sequence) to resume after it."""
        self._told(item.reached)
        self.position = max(self.position, item.facts)
        return str(self.position)

    def _over(self) -> bool:
        return 0 < self._query.up_to <= self._reached

    def _wanted(self, item: Item) -> bool:
        if not isinstance(item.value, FactView):
            return False
        event, query = item.value.event, self._query
        if query.types and event.type not in query.types:
            return False
        if (
            0 < query.up_to < item.value.sequence
            or event.time < query.since
            or (query.until and event.time >= query.until)
        ):
            return False
        if query.actor not in ("", event.actor) or query.correlation not in ("", event.correlationid):
            return False
        if not query.kind and not query.aggregate:
            return True
        aggregate = subjects.aggregate_of(event)
        return query.kind in ("", aggregate.kind) and query.aggregate in ("", aggregate.id)

    async def _catch_up(self) -> AsyncIterator[list[Item]]:
        while True:
            barrier = (await self._channel.barrier()).facts
            query = msgspec.structs.replace(self._query, after=self._reached, limit=PAGE_LIMIT, at_least=barrier)
            items, upto, more = await workspace_facts(self._ask, self._workspace, query, self._timeout_s)
            yield items
            self._reached = max(self._reached, upto)
            if self._over() or (not more and self._reached >= self._channel.floor_facts):
                self._index = self._channel.base
                return
