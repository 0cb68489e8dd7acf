import asyncio

import pytest
from nats.aio.client import Client

from trialbook import subjects
from trialbook.log.api import call
from trialbook.log.nats import NatsEventLog
from trialbook.log.tail import Tail
from trialbook.testing.laws import a_part, an_aggregate
from trialbook.testing.server import NatsServer

pytestmark = pytest.mark.integration


async def take(tail: Tail, count: int) -> list[int]:
    seen: list[int] = []
    async with asyncio.timeout(60):
        while len(seen) < count:
            seen += [m.sequence for m in await tail.next(max_messages=77)]
    return seen


async def test_past_and_new_messages_come_once_and_in_order(nc: Client) -> None:
    log = NatsEventLog(nc)
    await log.start()
    start = await log.last_sequence()
    await log.append([a_part(an_aggregate(), 0, 500)])
    async with Tail(nc, "FACTS", [subjects.FACTS_ALL], start) as tail:
        assert await take(tail, 500) == list(range(start + 1, start + 501))
        assert await tail.next(timeout_s=0.1) == []
        await log.append([a_part(an_aggregate(), 0, 20)])
        assert await take(tail, 20) == list(range(start + 501, start + 521))
    await log.close()


async def test_filters_leave_out_the_others(nc: Client) -> None:
    log = NatsEventLog(nc)
    await log.start()
    start = await log.last_sequence()
    wanted = an_aggregate("wanted")
    await log.append([a_part(an_aggregate("other"), 0, 3)])
    [end] = await log.append([a_part(wanted, 0, 3)])
    async with Tail(nc, "FACTS", [subjects.facts_of("wanted")], start) as tail:
        assert await take(tail, 3) == [end - 2, end - 1, end]
    await log.close()


async def test_a_killed_server_costs_no_message_and_repeats_none(
    nc: Client, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trialbook.log.nats.TOTAL_TIMEOUT_S", 60.0)  # the server may be slow to start
    log = NatsEventLog(nc)
    await log.start()
    start = await log.last_sequence()

    async def write() -> None:
        for n in range(60):
            await log.append([a_part(an_aggregate(), 0, 10)])
            if n == 30:
                await server.restart()

    async with Tail(nc, "FACTS", [subjects.FACTS_ALL], start) as tail:
        writer = asyncio.create_task(write())
        assert await take(tail, 600) == list(range(start + 1, start + 601))
        await writer
    await log.close()


async def test_a_pull_that_is_used_up_leaves_the_consumer(nc: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trialbook.log.tail.PULL_MESSAGES", 40)
    log = NatsEventLog(nc)
    await log.start()
    start = await log.last_sequence()
    await log.append([a_part(an_aggregate(), 0, 500)])
    before = await consumers(nc)
    async with Tail(nc, "FACTS", [subjects.FACTS_ALL], start) as tail:
        assert await take(tail, 500) == list(range(start + 1, start + 501))
        assert len(await consumers(nc) - before) == 1
    await log.close()


async def consumers(nc: Client) -> set[str]:
    """By name: those that earlier tests have left go away by themselves at any time."""
    return set((await call(nc, "CONSUMER.NAMES.FACTS"))["consumers"] or [])
