"""Catalogs and datasets in memory, followed from the ledger: what every request looks at costs no question."""

from __future__ import annotations

import asyncio
from typing import Any

from trialbook import subjects
from trialbook.aggregates import AGGREGATES
from trialbook.codec import UnknownEvent, decode_event, fact_of
from trialbook.domain import dataset
from trialbook.envelope import AggregateId
from trialbook.errors import Unavailable
from trialbook.handle import Loaded, Outcome
from trialbook.log.tail import Message
from trialbook.streams import FACTS
from trialbook_gateway.follow import Follower
from trialbook_gateway.services import Services

CATCH_UP_S = 5.0
SYSTEM = {"system": "algomancy"}
"""The labels of what is followed besides catalogs."""


class Mirror:
    """Knows what this gateway wrote at once, and what others wrote within milliseconds."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[AggregateId, Loaded[Any]] = {}
        self._follower: Follower | None = None
        self._ready = asyncio.Event()

    async def start(self) -> None:
        """Begin to follow, and wait for what is there already."""
        filters = [subjects.facts_of(kind=kind) for kind in ("catalog", "dataset", "datasubject")]
        self._follower = Follower(self._services.nc, FACTS, filters, self._apply)
        await self._follower.start(CATCH_UP_S)
        self._ready.set()

    async def close(self) -> None:
        """Stop following."""
        if self._follower is not None:
            await self._follower.close()

    async def get(self, aggregate: AggregateId) -> Loaded[Any]:
        """A catalog or dataset; one that was never heard of is looked up in the ledger. Raises ``Unavailable``."""
        try:
            await asyncio.wait_for(self._ready.wait(), CATCH_UP_S)
        except TimeoutError:
            raise Unavailable("starting", "The service is starting; try again.") from None
        return self._known.get(aggregate) or await self.newest(aggregate)

    async def newest(self, aggregate: AggregateId) -> Loaded[Any]:
        """The same as the ledger has it now."""
        loaded = await self._services.handler.load(aggregate, self._known.get(aggregate))
        if loaded.sequence:
            self._set(aggregate, loaded)
        return loaded

    async def carry_out(
        self, orders: list[tuple[AggregateId, Any]], meta: Any, known: dict[AggregateId, Loaded[Any]]
    ) -> list[Outcome[Any]]:
        """Carry out commands in one append, and know what they led to."""
        outcomes = await self._services.handler.handle_all(orders, meta, known)
        last = {aggregate: outcome for (aggregate, _), outcome in zip(orders, outcomes, strict=True)}
        for aggregate, outcome in last.items():
            self._services.wrote(aggregate, outcome.sequence)
            if aggregate.kind in ("catalog", "dataset"):
                self._set(aggregate, outcome.loaded)
            elif aggregate.kind == "workspace":
                self._services.workspaces.applied(aggregate.id, outcome)
        return outcomes

    def _set(self, aggregate: AggregateId, loaded: Loaded[Any]) -> None:
        known = self._known.get(aggregate)
        if known is None or loaded.sequence > known.sequence:
            self._known[aggregate] = loaded

    def _forget(self, aggregate: AggregateId) -> None:
        """A sealed dataset is opened by the ledger when it is asked for; of an erased person nothing is remembered."""
        if aggregate.kind != "datasubject":
            self._known.pop(aggregate, None)
            return
        for known in [a for a, loaded in self._known.items() if loaded.datakey == aggregate.id]:
            del self._known[known]

    def _apply(self, message: Message) -> None:
        event = decode_event(message.data)
        aggregate = subjects.aggregate_of(event)
        known = self._known.get(aggregate)
        if known is not None and message.sequence <= known.sequence:
            return
        if event.datakey or aggregate.kind == "datasubject":
            self._forget(aggregate)
            return
        try:
            fact = fact_of(event)
        except UnknownEvent as error:
            raise ValueError(str(error)) from error
        if known is None and aggregate.kind == "dataset" and not _ours(fact):
            return
        decider = AGGREGATES[aggregate.kind].decider
        state = decider.evolve(decider.initial() if known is None else known.state, fact, event.time)
        self._known[aggregate] = Loaded(state, message.sequence)


def _ours(fact: Any) -> bool:
    return isinstance(fact, dataset.Created) and fact.labels.items() >= SYSTEM.items()
