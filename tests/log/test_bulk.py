import pytest
from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import Unavailable
from trialbook.log.bulk import read_stream
from trialbook.log.nats import NatsEventLog
from trialbook.log.tail import Message, Tail
from trialbook.testing.laws import a_part, an_aggregate
from trialbook.testing.server import NatsServer

pytestmark = pytest.mark.integration


async def test_a_bulk_read_gives_what_a_tail_gives(nc: Client, server: NatsServer) -> None:
    log = NatsEventLog(nc)
    await log.start()
    start = await log.last_sequence()
    for _ in range(30):
        await log.append([a_part(an_aggregate(), 0, 900)])
    await log.close()
    bulk = [m async for batch in read_stream(server.url, "FACTS", [subjects.FACTS_ALL], start) for m in batch]
    followed: list[Message] = []
    async with Tail(nc, "FACTS", [subjects.FACTS_ALL], start) as tail:
        while len(followed) < 27_000:
            followed += await tail.next()
    assert bulk == followed
    part = [
        m async for b in read_stream(server.url, "FACTS", [subjects.FACTS_ALL], start + 5, start + 25_000) for m in b
    ]
    assert part == followed[5:25_000]


async def test_an_empty_range_ends_at_once(nc: Client, server: NatsServer) -> None:
    nothing = [b async for b in read_stream(server.url, "FACTS", [subjects.facts_of("nobody")], 0)]
    assert nothing == []


async def test_a_missing_stream_is_said(nc: Client, server: NatsServer) -> None:
    with pytest.raises(Unavailable):
        [b async for b in read_stream(server.url, "NOWHERE", [subjects.FACTS_ALL], 0)]
