"""Runners and the server die again and again while work is going on; the ledger must not show it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.runner.conftest import SHORT, SHORT_S, Ledger
from trialbook.testing.server import NatsServer

TERMINAL = {"completed", "failed", "cancelled"}
LINES = 2000


@pytest.mark.integration
@pytest.mark.slow
async def test_every_run_ends_exactly_once(ledger: Ledger, start_runner: Any, nats_server: NatsServer) -> None:
    chance = random.Random(11)
    runners = [await start_runner(f"r{n}", **SHORT) for n in range(2)]
    retry = {"max_lost": 50}
    runs = [await ledger.submit("lines", {"count": LINES, "seconds": 0.6}, retry=retry) for _ in range(40)]
    small = [await ledger.submit("noop", {"echo": n}, isolation="inline", pool="inline") for n in range(50)]
    for number in range(6):
        await asyncio.sleep(0.8)
        if number % 3 == 2:
            await nats_server.restart()
        else:
            victim = chance.randrange(2)
            runners[victim].kill()
            runners[victim] = await start_runner(f"r{2 + number}", **SHORT)
        small += [await ledger.submit("noop", {"echo": n}, isolation="inline", pool="inline") for n in range(20)]
    for run in (*runs, *small):
        state = await ledger.end(run)
        assert state.status == "completed", state.error
    await asyncio.sleep(2 * SHORT_S)
    for run in (*runs, *small):
        names = await ledger.types(run)
        assert [name for name in names if name in TERMINAL] == ["completed"]
        assert names[-1] == "completed"
    for run in runs:
        state = await ledger.state(run)
        records = [r for r in await ledger.signals(run, "log") if r["attempt"] == state.attempt]
        assert [r["message"] for r in records] == [str(n) for n in range(LINES)]
        assert records[-1]["sequence"] == state.signal_sequence
