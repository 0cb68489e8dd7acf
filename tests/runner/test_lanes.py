"""Lanes while runners and the server die: one at a time, in order, everybody's turn comes."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest

from tests.runner.conftest import SHORT, Ledger
from trialbook.codec import fact_of
from trialbook.domain import lane
from trialbook.domain.run import events as e
from trialbook.envelope import AggregateId
from trialbook.lanes import lane_aggregate
from trialbook.testing.server import NatsServer

pytestmark = pytest.mark.integration
VERDICTS = (e.Completed, e.Failed, e.Cancelled)


async def audit(ledger: Ledger, name: str, runs: list[AggregateId]) -> None:
    """What the ledger says of a lane, whose runs were queued in this order."""
    records = await ledger.log.read(lane_aggregate("default", name))
    facts = [fact_of(record.event) for record in records]
    assert [fact.run for fact in facts if isinstance(fact, lane.Joined)] == [run.id for run in runs]
    assert [fact.run for fact in facts if isinstance(fact, lane.Left)] == [run.id for run in runs]
    spans = []
    for run in runs:
        own = await ledger.log.read(run)
        typed = [(record.sequence, fact_of(record.event)) for record in own]
        entries = [s for s, fact in typed if isinstance(fact, e.Submitted | e.Queued) and not fact.held]
        verdicts = [s for s, fact in typed if isinstance(fact, VERDICTS)]
        assert (len(entries), len(verdicts)) == (1, 1), typed
        started = [s for s, fact in typed if isinstance(fact, e.Started)]
        assert all(entries[0] < s < verdicts[0] for s in started)
        spans.append((entries[0], verdicts[0]))
    assert spans == sorted(spans)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans)), "two at a time"


async def test_a_lane_of_tiny_runs(ledger: Ledger, start_runner: Any) -> None:
    runs = [
        await ledger.submit("noop", {"echo": n}, isolation="inline", pool="inline", lane="tiny") for n in range(20)
    ]  # fmt: skip
    await start_runner("a")
    for run in runs:
        assert (await ledger.end(run)).status == "completed"
    await audit(ledger, "tiny", runs)


@pytest.mark.slow
async def test_lanes_survive_deaths(ledger: Ledger, start_runner: Any, nats_server: NatsServer) -> None:
    chance = random.Random(7)
    runners = [await start_runner(f"r{n}", **SHORT) for n in range(2)]
    lanes: dict[str, list[AggregateId]] = {name: [] for name in ("one", "two", "three")}
    for _ in range(7):
        for name, runs in lanes.items():
            retry = {"max_lost": 50}
            runs.append(await ledger.submit("lines", {"count": 50, "seconds": 0.3}, retry=retry, lane=name))
    for number in range(4):
        await asyncio.sleep(0.7)
        if number % 2:
            await nats_server.restart()
        else:
            victim = chance.randrange(2)
            runners[victim].kill()
            runners[victim] = await start_runner(f"r{2 + number}", **SHORT)
    for name, runs in lanes.items():
        for run in runs:
            state = await ledger.end(run)
            assert state.status == "completed", state.error
        await audit(ledger, name, runs)
