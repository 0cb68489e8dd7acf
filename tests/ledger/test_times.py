"""Nothing that is served hangs on the server's time of a record, which no leaf proves; facts tell their own time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.projector.support import Ledger, Service, Stack
from trialbook.domain.run import events as e
from trialbook.errors import Conflict
from trialbook.log.api import call
from trialbook.log.consumers import Consumers
from trialbook.outside import Pace, Start
from trialbook.testing.server import NatsServer

pytestmark = pytest.mark.integration


@pytest.fixture
async def stack(nc: Client, server: NatsServer, tmp_path: Path) -> AsyncIterator[Stack]:
    service = Service(server.url, tmp_path / "data")
    await service.start()
    made = Stack(nc, service)
    await made.ready()
    yield made
    await service.kill()


async def begins_at(nc: Client, consumer: str) -> int:
    return int((await call(nc, f"CONSUMER.INFO.FACTS.{consumer}"))["config"]["opt_start_seq"])


async def test_since_is_the_time_of_the_facts(stack: Stack) -> None:
    ledger = Ledger()  # its facts are of January 2026, and are stored now
    runs = [ledger.run() for _ in range(3)]
    ledger.clock.set(ledger.clock.now() + timedelta(days=40))
    for run in runs:
        ledger.fact("run", run, e.Started(attempt=1, runner="r"))
    await stack.publish(ledger)
    consumers = Consumers(stack.nc, "alice", "main")
    expected = {"2025-06-01T00:00:00Z": 1, "2026-02-01T00:00:00Z": 4, "2026-06-01T00:00:00Z": 7}
    for since, sequence in expected.items():
        made = await consumers.create("main", "facts", start=Start(since=since))
        assert await begins_at(stack.nc, made.consumer) == sequence
        await consumers.delete("main", "facts")


async def test_the_same_order_again_finds_the_same_consumer(stack: Stack) -> None:
    ledger = Ledger()
    ledger.run()
    await stack.publish(ledger)
    consumers, since = Consumers(stack.nc, "alice", "main"), Start(since="2026-02-01T00:00:00Z")
    made = await consumers.create("main", "facts", start=since)
    assert await begins_at(stack.nc, made.consumer) == 2
    ledger.clock.set(ledger.clock.now() + timedelta(days=40))
    ledger.run()
    await stack.publish(ledger)
    assert (await consumers.create("main", "facts", start=since)).consumer == made.consumer
    for other in ({"start": Start(since="2026-02-02T00:00:00Z")}, {"start": since, "pace": Pace(max_ack_pending=7)}):
        with pytest.raises(Conflict):
            await consumers.create("main", "facts", **other)
