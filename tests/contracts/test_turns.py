"""What many change at once is changed in turns: nobody decides for nothing, and nobody is refused for it."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from trialbook.clock import FixedClock
from trialbook.codec import fact_of
from trialbook.domain import catalog
from trialbook.domain.run import RunSpec
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Unavailable
from trialbook.handle import Handler
from trialbook.ids import CountingIds
from trialbook.lanes import lane_aggregate
from trialbook.log.memory import MemoryEventLog
from trialbook.ports import VersionConflict
from trialbook.turns import Turns

META = Metadata(source="test")
CATALOG = AggregateId("w", "catalog", "f" * 32)
MANY = 60


class Ledger(MemoryEventLog):
    """Lets others in before each read and append, as a ledger on a network does; counts what was in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.conflicts = 0

    async def read(self, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        return await super().read(*args, **options)

    async def append(self, parts: Any) -> list[int]:
        await asyncio.sleep(0)
        try:
            return await super().append(parts)
        except VersionConflict:
            self.conflicts += 1
            raise


def run(number: int) -> AggregateId:
    return AggregateId("w", "run", f"{number:032x}")


async def test_many_names_are_added_at_once() -> None:
    log = Ledger()
    handler = Handler(log, FixedClock(), CountingIds())
    known = await handler.load(CATALOG)
    added = [
        handler.handle(CATALOG, catalog.Add(id=str(number), name=f"n{number}"), META, known) for number in range(MANY)
    ]
    await asyncio.gather(*added)
    assert list((await handler.load(CATALOG)).state.names.values()) == [f"n{number}" for number in range(MANY)]
    assert log.conflicts == 0


async def test_many_runs_are_queued_in_one_lane_at_once() -> None:
    log = Ledger()
    handler, spec = Handler(log, FixedClock(), CountingIds()), RunSpec(workload="w", lane="l")
    for number in range(MANY):
        await handler.handle(run(number), c.Create(spec=spec, start=False), META)
    await asyncio.gather(*(handler.handle(run(n), c.Start(ticket=f"t{n}"), META) for n in range(MANY)))
    joined = [fact_of(record.event).run for record in await log.read(lane_aggregate("w", "l"))]
    assert joined == [run(number).id for number in range(MANY)]
    assert log.conflicts == 0


async def test_two_services_get_through_to_one_catalog() -> None:
    log, ids = Ledger(), CountingIds()
    handlers = [Handler(log, FixedClock(), ids) for _ in range(2)]
    added = [
        handlers[number % 2].handle(CATALOG, catalog.Add(id=str(number), name=f"n{number}"), META)
        for number in range(MANY)
    ]
    await asyncio.gather(*added)
    assert len((await handlers[0].load(CATALOG)).state.names) == MANY


async def test_a_turn_that_does_not_end_keeps_nobody_for_ever() -> None:
    turns = Turns(patience_s=0.01)
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        assert await turns.take(CATALOG, first) is False
        with pytest.raises(Unavailable, match="try again"):
            await turns.take(CATALOG, second)
    async with AsyncExitStack() as third:
        assert await turns.take(CATALOG, third) is False


async def test_who_gives_up_waiting_leaves_the_turn_to_the_next() -> None:
    turns = Turns()
    async with AsyncExitStack() as first, AsyncExitStack() as second, AsyncExitStack() as third:
        await turns.take(CATALOG, first)
        gone, waits = (asyncio.create_task(turns.take(CATALOG, stack)) for stack in (second, third))
        await asyncio.sleep(0)
        gone.cancel()
        await first.aclose()
        assert await waits is True
