import asyncio

import pytest

from trialbook.clock import FixedClock
from trialbook.codec import fact_of
from trialbook.domain import names
from trialbook.domain.run import RunSpec
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Conflict
from trialbook.handle import Handler, fresh
from trialbook.ids import CountingIds
from trialbook.log.memory import MemoryEventLog

META = Metadata(source="test")
SPEC = RunSpec(workload="w")


@pytest.fixture
def log() -> MemoryEventLog:
    return MemoryEventLog()


@pytest.fixture
def handler(log: MemoryEventLog) -> Handler:
    return Handler(log, FixedClock(), CountingIds())


def run(number: int) -> AggregateId:
    return AggregateId("main", "run", f"{number:032x}")


NAME = AggregateId("main", "name", "f" * 32)


async def test_a_command_is_loaded_decided_and_appended(handler: Handler, log: MemoryEventLog) -> None:
    created = await handler.handle(run(1), c.Create(spec=SPEC, start=False), META, fresh("run"))
    started = await handler.handle(run(1), c.Start(ticket="t"), META)
    assert (created.sequence, started.sequence, started.state.status) == (1, 2, "queued")
    assert [fact_of(r.event).TYPE for r in await log.read(run(1))] == ["run.created.v1", "run.queued.v1"]


async def test_nothing_new_appends_nothing_and_keeps_the_sequence(handler: Handler, log: MemoryEventLog) -> None:
    command = c.Create(spec=SPEC, command_id="k", digest="d")
    first = await handler.handle(run(1), command, META)
    again = await handler.handle(run(1), command, META, fresh("run"))
    assert (again.sequence, again.facts, len(log.records)) == (first.sequence, (), 1)


async def test_stale_knowledge_costs_a_retry_only(handler: Handler) -> None:
    known = await handler.load(run(1))
    await handler.handle(run(1), c.Create(spec=SPEC, ticket="t"), META)
    outcome = await handler.handle(run(1), c.RequestCancel(), META, known if known.sequence else None)
    assert outcome.state.status == "cancelled"


async def test_of_two_runs_with_one_name_exactly_one_wins(handler: Handler, log: MemoryEventLog) -> None:
    async def create(number: int) -> object:
        claim = names.Claim(scope="run", name="x", owner=run(number).id)
        return await handler.handle_all([(run(number), c.Create(spec=SPEC)), (NAME, claim)], META)

    results = await asyncio.gather(*(create(n) for n in range(1, 6)), return_exceptions=True)
    refused = [r for r in results if isinstance(r, Conflict)]
    assert len(refused) == 4
    assert {r.code for r in refused} == {"name_taken"}
    assert len(log.records) == 2


async def test_one_refusal_appends_nothing(handler: Handler, log: MemoryEventLog) -> None:
    await handler.handle(NAME, names.Claim(scope="run", name="x", owner="other"), META)
    claim = names.Claim(scope="run", name="x", owner="me")
    with pytest.raises(Conflict):
        await handler.handle_all([(run(1), c.Create(spec=SPEC)), (NAME, claim)], META)
    assert len(log.records) == 1
