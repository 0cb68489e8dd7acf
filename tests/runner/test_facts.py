"""What an attempt says at the same time is one append; who says it learns the truth about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from trialbook.clock import FixedClock
from trialbook.codec import fact_of
from trialbook.domain.run import RunSpec, RunState
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Unavailable
from trialbook.handle import Handler, fresh
from trialbook.ids import CountingIds
from trialbook.log.memory import MemoryEventLog
from trialbook.ports import Part
from trialbook_runner.execute.failures import Stale
from trialbook_runner.facts import MAX_GROUP, AttemptFacts

META = Metadata(source="test", actor="test")
RUN = AggregateId("main", "run", "1" * 32)


class SlowLog(MemoryEventLog):
    """Takes a moment per append, as a disk does; ``sizes`` are the facts of each; the first ``away`` fail."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.away = 0

    async def append(self, parts: Sequence[Part]) -> list[int]:
        await asyncio.sleep(0.001)
        if self.away:
            self.away -= 1
            raise Unavailable("ledger_unavailable", "It is away.")
        ends = await super().append(parts)
        self.sizes.append(sum(len(part.events) for part in parts))
        return ends


@pytest.fixture
def log() -> SlowLog:
    return SlowLog()


@pytest.fixture
def handler(log: SlowLog) -> Handler:
    return Handler(log, FixedClock(), CountingIds())


@pytest.fixture
async def facts(handler: Handler, log: SlowLog) -> AttemptFacts:
    await handler.handle(RUN, c.Create(spec=RunSpec(workload="w"), ticket="t"), META, fresh("run"))
    outcome = await handler.handle(RUN, c.Claim(ticket="t", runner="r"), META)
    log.sizes.clear()
    return AttemptFacts(handler, RUN, 1, META, outcome.loaded)


def effect(number: int) -> c.RecordEffect:
    return c.RecordEffect(attempt=1, key=f"call/{number}", request_digest="d", response=number)


async def keys(log: SlowLog) -> list[str]:
    found = [fact_of(record.event) for record in await log.read(RUN)]
    return [fact.key for fact in found if fact.TYPE == "run.effect_recorded.v1"]


async def test_concurrent_facts_share_appends_and_keep_their_order(facts: AttemptFacts, log: SlowLog) -> None:
    outcomes = await asyncio.gather(*(facts.append(effect(n)) for n in range(300)))
    assert await keys(log) == [f"call/{n}" for n in range(300)]
    assert len(log.sizes) < 10
    assert max(log.sizes) <= MAX_GROUP
    assert outcomes[-1].sequence == await log.last_sequence()
    assert [facts.effects[f"call/{n}"].response for n in range(300)] == list(range(300))


async def test_few_are_appended_one_by_one(facts: AttemptFacts, log: SlowLog) -> None:
    await asyncio.gather(*(facts.append(effect(n)) for n in range(3)))
    assert log.sizes == [1, 1, 1]


async def test_the_state_stays_small_and_the_ledgers_is_whole(facts: AttemptFacts, handler: Handler) -> None:
    await asyncio.gather(*(facts.append(effect(n)) for n in range(20)))
    await facts.append(c.StartStep(attempt=1, step="s"))
    assert (facts.state.effects, list(facts.state.steps)) == ({}, ["s"])
    state: RunState = (await handler.load(RUN)).state
    assert state.effects == facts.effects


async def test_everybody_learns_that_the_attempt_is_stale(facts: AttemptFacts, handler: Handler, log: SlowLog) -> None:
    await handler.handle(RUN, c.Claim(ticket="t", runner="another"), META)
    before = len(log.records)
    results = await asyncio.gather(*(facts.append(effect(n)) for n in range(20)), return_exceptions=True)
    assert [type(result) for result in results] == [Stale] * 20
    assert len(log.records) == before


async def test_a_cancellation_in_between_costs_nothing(facts: AttemptFacts, handler: Handler, log: SlowLog) -> None:
    await handler.handle(RUN, c.RequestCancel(reason="enough"), META)
    await asyncio.gather(*(facts.append(effect(n)) for n in range(20)))
    assert len(await keys(log)) == 20
    assert facts.state.cancel_requested


async def test_a_caller_that_left_takes_no_other_along(facts: AttemptFacts, log: SlowLog) -> None:
    calls = [asyncio.create_task(facts.append(effect(n))) for n in range(20)]
    await asyncio.sleep(0)
    calls[7].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [number for number, result in enumerate(results) if isinstance(result, BaseException)] == [7]
    assert set(await keys(log)) >= {f"call/{n}" for n in range(20) if n != 7}


async def test_a_ledger_that_is_away_is_waited_for(facts: AttemptFacts, log: SlowLog) -> None:
    log.away = 1
    await asyncio.gather(*(facts.append(effect(n)) for n in range(10)))
    assert await keys(log) == [f"call/{n}" for n in range(10)]


async def test_nobody_waits_for_ever_when_nobody_asks_any_more(facts: AttemptFacts, log: SlowLog) -> None:
    log.away = 1_000_000
    call = asyncio.create_task(facts.append(effect(1)))
    await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    log.away = 0
    await facts.append(effect(2))
    assert await keys(log) == ["call/2"]


async def test_what_another_wrote_is_seen_by_a_check(facts: AttemptFacts, handler: Handler) -> None:
    await handler.handle(RUN, c.RequestPause(), META)
    await facts.verify()
    assert facts.state.pause_requested
    await handler.handle(RUN, c.Claim(ticket="t", runner="another"), META)
    with pytest.raises(Stale):
        await facts.verify()
