"""Clients that are in no hurry: each holds a connection for so long and no longer. On real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.gateway.conftest import ENV, Site
from trialbook_gateway.protocol import LINGER_S, MAX_HEAD_BYTES

pytestmark = pytest.mark.integration
PATIENCE_S = 30.0
HEAD = b"Host: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("slow"), {**ENV, "TRIALBOOK_HEAD_S": "1", "TRIALBOOK_BODY_IDLE_S": "1.5"})
    found.start()
    yield found
    found.stop()


class Slow:
    """A connection that is written to drop by drop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def drip(self, drop: bytes, pause_s: float = 0.2) -> bytes:
        """Repeat a drop until the server ends the connection; what it said."""
        said = asyncio.create_task(self._said())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not said.done():
                    if drop:
                        self.writer.write(drop)
                        await self.writer.drain()
                    await asyncio.sleep(pause_s)
        except ConnectionError:
            pass
        return await asyncio.wait_for(said, PATIENCE_S)

    async def _said(self) -> bytes:
        """Everything up to the end; who writes to a connection that was just closed is told so afterwards."""
        said = b""
        try:
            while piece := await self.reader.read(1 << 16):
                said += piece
        except ConnectionError:
            pass
        return said

    async def replied(self) -> bytes:
        """A reply with its body, on a connection that stays."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return head + await self.reader.readexactly(length)


@pytest.fixture
async def slow(hasty: Site) -> AsyncIterator[Slow]:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    yield Slow(reader, writer)
    writer.close()


def problem(reply: bytes) -> tuple[int, str]:
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head.lower()
    told = json.loads(body)
    assert told["detail"]
    assert int(head.split()[1]) == told["status"]
    return told["status"], told["code"]


async def test_a_connection_that_says_nothing_is_closed(slow: Slow) -> None:
    assert await slow.drip(b"") == b""


async def test_a_head_that_drips_is_refused(slow: Slow) -> None:
    slow.writer.write(b"GET /v1 HTTP/1.1\r\n")
    assert problem(await slow.drip(b"X-A: b\r\n")) == (408, "head_timeout")


async def test_the_second_head_on_a_connection_as_well(slow: Slow) -> None:
    slow.writer.write(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " in (await slow.replied())[:20]
    slow.writer.write(b"GET /v1 HTTP/1.1\r\n")
    assert problem(await slow.drip(b"X-A: b\r\n")) == (408, "head_timeout")


async def test_a_head_without_an_end_is_refused(slow: Slow) -> None:
    slow.writer.write(b"GET /v1 HTTP/1.1\r\n")
    assert problem(await slow.drip(b"X-A: " + b"b" * 8000 + b"\r\n", 0.001)) == (431, "head_too_large")


async def test_one_header_without_an_end_is_refused(slow: Slow) -> None:
    slow.writer.write(b"GET /v1 HTTP/1.1\r\nX-A: ")
    assert problem(await slow.drip(b"b" * 8000, 0.001)) == (431, "head_too_large")


async def test_who_has_said_far_too_much_already_is_told_so(slow: Slow) -> None:
    """Closing a connection with bytes unread takes back the reply from a client that has not read it yet."""
    slow.writer.write(b"GET /v1 HTTP/1.1\r\nX-A: " + b"b" * 4_000_000)
    await asyncio.sleep(0.5)
    assert problem(await slow.drip(b"")) == (431, "head_too_large")


async def test_what_is_no_http_is_refused_as_all_is(slow: Slow) -> None:
    slow.writer.write(b"BREW /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert problem(await slow.drip(b"")) == (400, "malformed_request")


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/files?name=a", "/marketplace/api/experiments"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_drips_is_refused(slow: Slow, path: str, chunked: bool) -> None:
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 100000"
    slow.writer.write(b"POST %s HTTP/1.1\r\n%s%s\r\n\r\n" % (path.encode(), HEAD, length))
    reply = await slow.drip(b"1\r\n \r\n" if chunked else b" ")
    assert reply.startswith(b"HTTP/1.1 408 "), reply[:300]
    assert b"1024 bytes a second" in reply


async def test_the_rest_of_a_refused_body_is_not_taken_for_ever(slow: Slow) -> None:
    slow.writer.write(b"POST /v1/nothing HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n" % HEAD)
    began = asyncio.get_running_loop().time()
    assert b" 404 " in (await slow.drip(b"1\r\n \r\n"))[:20]
    assert asyncio.get_running_loop().time() - began >= LINGER_S - 1, "it has some time to read the refusal"


async def test_who_is_quick_keeps_the_connection(hasty: Site) -> None:
    async with httpx.AsyncClient(base_url=hasty.url, timeout=60) as http:
        addresses = set()
        for _ in range(5):
            reply = await http.post("/v1/files?name=a", content=b"x" * 2_000_000)
            assert reply.status_code == 201
            addresses.add(reply.extensions["network_stream"].get_extra_info("client_addr"))
            await asyncio.sleep(0.5)
        assert len(addresses) == 1
        big = await http.get("/v1", headers={"X-Big": "b" * (MAX_HEAD_BYTES - 2000)})
        assert big.status_code == 200


async def test_a_slow_request_is_no_slow_head(hasty: Site) -> None:
    """What the server does may take longer than a head may."""
    async with httpx.AsyncClient(base_url=hasty.url, timeout=60) as http:
        sql = {"sql": "SELECT sum(a.range * b.range) FROM range(30000) a, range(30000) b", "timeout_s": 2}
        reply = await http.post("/v1/sql", json=sql)
        assert reply.status_code in (200, 504)
