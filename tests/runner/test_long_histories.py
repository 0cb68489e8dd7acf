"""Commands on a run with many recorded calls read what decisions need and no more."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from tests.runner.conftest import META, Ledger
from trialbook.clock import SystemClock
from trialbook.codec import fact_of
from trialbook.domain.run import RunSpec, evolve
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId
from trialbook.handle import Handler, fresh

pytestmark = pytest.mark.integration


def commands(count: int) -> list[c.AttemptCommand]:
    """A mixture in which recorded calls are most."""
    rng, found = random.Random(7), list[c.AttemptCommand]()
    for n in range(count):
        kind = rng.random()
        if kind < 0.9:
            found.append(c.RecordEffect(attempt=1, key=f"call/{n}", request_digest="d", response="r" * 200))
        elif kind < 0.95:
            found.append(c.Checkpoint(attempt=1, data=n))
        else:
            found.append(c.StartStep(attempt=1, step=f"step-{n}"))
    return found


async def long_run(ledger: Ledger, count: int) -> AggregateId:
    """A running run with so many facts more."""
    run = AggregateId("default", "run", ledger.ids.new())
    order: Any = c.Create(spec=RunSpec(workload="w"), ticket="t")
    known = (await ledger.handler.handle(run, order, META, fresh("run"))).loaded
    known = (await ledger.handler.handle(run, c.Claim(ticket="t", runner="r"), META, known)).loaded
    said = commands(count)
    for start in range(0, count, 100):
        batch = [(run, command) for command in said[start : start + 100]]
        known = (await ledger.handler.handle_all(batch, META, {run: known}))[-1].loaded
    return run


@pytest.mark.parametrize("count", [0, 60, 63, 400, 2500])
async def test_what_decisions_need_is_the_same(ledger: Ledger, count: int) -> None:
    run = await long_run(ledger, count)
    whole = await ledger.handler.load(run)
    handler = Handler(ledger.log, SystemClock(), ledger.ids, ledger.log.read_decisive)
    decisive = await handler.load(run)
    assert decisive.sequence == whole.sequence
    assert replace(decisive.state, effects={}) == replace(whole.state, effects={})
    assert len(await ledger.log.read_decisive(run)) <= 64 + count // 10


async def test_a_long_run_is_cancelled_at_its_newest_fact(ledger: Ledger) -> None:
    run = await long_run(ledger, 1000)
    handler = Handler(ledger.log, SystemClock(), ledger.ids, ledger.log.read_decisive)
    await handler.handle(run, c.RequestCancel(reason="enough", command_id="k"), META)
    again = await handler.handle(run, c.RequestCancel(reason="enough", command_id="k"), META)
    state = await ledger.state(run)
    assert (state.cancel_requested, again.facts) == (True, ())
    await handler.handle(run, c.ConfirmCancelled(attempt=1), META)
    assert (await ledger.types(run))[-2:] == ["cancel_requested", "cancelled"]


async def test_only_what_is_newer_is_read(ledger: Ledger) -> None:
    run = await long_run(ledger, 300)
    known = await ledger.handler.load(run)
    await ledger.command(run, c.RequestPause())
    newer = await ledger.log.read_decisive(run, known.sequence)
    assert [fact_of(record.event).TYPE for record in newer] == ["run.pause_requested.v1"]
    assert (await ledger.handler.load(run, known)).state == await ledger.state(run)


async def test_folding_many_facts_is_folding_one_after_another(ledger: Ledger) -> None:
    run = await long_run(ledger, 300)
    state: Any = fresh("run").state
    for record in await ledger.log.read(run):
        state = evolve(state, fact_of(record.event), record.event.time)
    assert state == await ledger.state(run)
