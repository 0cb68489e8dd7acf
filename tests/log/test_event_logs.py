import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from trialbook.log.memory import MemoryEventLog
from trialbook.log.nats import NatsEventLog
from trialbook.testing.laws import EventLogLaws, a_part, an_aggregate
from trialbook.testing.server import NatsServer


class TestMemoryEventLog(EventLogLaws):
    @pytest.fixture
    async def log(self) -> MemoryEventLog:
        return MemoryEventLog()


@pytest.mark.integration
class TestNatsEventLog(EventLogLaws):
    @pytest.fixture
    async def log(self, nc: Client) -> AsyncIterator[NatsEventLog]:
        log = NatsEventLog(nc)
        await log.start()
        yield log
        await log.close()

    async def test_long_histories_are_read_whole(self, log: NatsEventLog) -> None:
        aggregate, end = an_aggregate(), 0
        for _ in range(3):
            [end] = await log.append([a_part(aggregate, end, 900)])
        assert len(await log.read(aggregate)) == 2700

    async def test_appends_survive_a_killed_server(
        self, log: NatsEventLog, server: NatsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("trialbook.log.nats.TOTAL_TIMEOUT_S", 60.0)  # the server may be slow to start
        parts = [a_part(an_aggregate(), 0, 1 + n % 2) for n in range(300)]
        calls = [asyncio.create_task(log.append([part])) for part in parts[:150]]
        await asyncio.sleep(0.003)
        restart = asyncio.create_task(server.restart())
        calls += [asyncio.create_task(log.append([part])) for part in parts[150:]]
        ends = await asyncio.gather(*calls)
        await restart
        for part, [end] in zip(parts, ends, strict=True):
            records = await log.read(part.aggregate)
            assert [r.event.id for r in records] == [e.id for e in part.events]
            assert records[-1].sequence == end
