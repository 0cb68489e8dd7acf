import asyncio

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
    assert [b async for b in read_stream(server.url, "FACTS", [subjects.FACTS_ALL], 7, 7)] == []


async def test_a_missing_stream_is_said(nc: Client, server: NatsServer) -> None:
    with pytest.raises(Unavailable):
        [b async for b in read_stream(server.url, "NOWHERE", [subjects.FACTS_ALL], 0)]


async def test_the_end_is_where_the_newest_pull_has_nothing(nc: Client, server: NatsServer) -> None:
    log = NatsEventLog(nc)
    await log.start()
    start = await log.last_sequence()
    await log.append([a_part(an_aggregate(), 0, 500)])
    await log.close()
    batches = read_stream(server.url, "FACTS", [subjects.FACTS_ALL], start, start + 1_000_000)
    assert [m.sequence async for batch in batches for m in batch] == list(range(start + 1, start + 501))


async def test_a_pull_that_the_server_drops_is_made_again() -> None:
    """A server that is late in reading its files answers so; it is played, because no real one does it at will."""
    pulls = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal pulls
        writer.write(b"INFO {}\r\n")
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
            if line.startswith(b"PUB $JS.API.CONSUMER.CREATE."):
                writer.write(f"MSG {line.split()[2].decode()} 1 2\r\n{{}}\r\n".encode())
            if line.startswith(b"PUB $JS.API.CONSUMER.MSG.NEXT."):
                reply, pulls = line.split()[2].decode(), pulls + 1
                writer.write(_facts(pulls * 2 - 1) + f"HMSG {reply} 1 16 16\r\nNATS/1.0 404\r\n\r\n\r\n".encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as played:
        url = f"nats://127.0.0.1:{played.sockets[0].getsockname()[1]}"
        found = [m.sequence async for b in read_stream(url, "FACTS", [subjects.FACTS_ALL], 0, 10) for m in b]
    assert (found, pulls) == ([1, 2, 3, 4], 3)


def _facts(first: int) -> bytes:
    """Two facts, and none after the fourth."""
    return b"".join(
        f"MSG fact.x 1 $JS.ACK.FACTS.c.1.{n}.{n}.1700000000000000000.{9 - n} 2\r\n{{}}\r\n".encode()
        for n in (first, first + 1)
        if n <= 4
    )
