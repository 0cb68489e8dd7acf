"""A cheap HTTP/1.1 client on one kept connection, so that the load generator is not what is measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from trialbook.sockets import LOOPBACK

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"
TIMEOUT_S = 60.0


class UnexpectedReplyError(RuntimeError):
    """The service did not answer as the benchmark needs; the text has status and body."""


class HttpConnection(asyncio.Protocol):
    """One request at a time; bodies need a Content-Length."""

    def __init__(self, host: str) -> None:
        self._head = f"Host: {host}\r\n".encode()
        self._buffer = bytearray()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for a reply is told."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Hand over a reply that is complete."""
        self._buffer += data
        end = self._buffer.find(END_OF_HEAD)
        if end < 0 or self._waiting is None or self._waiting.done():
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.find(LENGTH)
        status = int(head[9:12])
        if at < 0 and status not in {204, 304}:
            self._waiting.set_exception(UnexpectedReplyError(f"status {status} without Content-Length"))
            return
        size = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        start = end + len(END_OF_HEAD)
        if len(self._buffer) >= start + size:
            body = bytes(self._buffer[start : start + size])
            del self._buffer[: start + size]
            self._waiting.set_result((status, body))

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the reply. Raises ``TimeoutError`` and ``OSError``."""
        assert self._transport is not None, "not connected"
        start = f"{method} {path} HTTP/1.1\r\n".encode() + self._head
        if body:
            start += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        elif method == "POST":
            start += b"Content-Length: 0\r\n"
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(start + b"\r\n" + body)
        async with asyncio.timeout(TIMEOUT_S):
            return await self._waiting

    async def ok(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of a reply with a status below 300. Raises ``UnexpectedReplyError``."""
        status, reply = await self.request(method, path, body)
        if status >= 300:
            raise UnexpectedReplyError(f"{method} {path}: {status} {reply[:500].decode(errors='replace')}")
        return reply

    async def json(self, method: str, path: str, body: Any = None) -> Any:
        """Send and receive JSON; see ``ok``."""
        return msgspec.json.decode(await self.ok(method, path, b"" if body is None else msgspec.json.encode(body)))

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()


async def connect(url: str) -> HttpConnection:
    """Open a connection to the server of ``url``."""
    parts = urlsplit(url)
    assert parts.port is not None, f"{url} names no port"
    _, protocol = await asyncio.get_running_loop().create_connection(
        lambda: HttpConnection(parts.netloc), parts.hostname or LOOPBACK, parts.port
    )
    return protocol


@asynccontextmanager
async def connections(url: str, count: int) -> AsyncIterator[list[HttpConnection]]:
    """Several connections, closed at the end."""
    opened: list[HttpConnection] = []
    try:
        while len(opened) < count:
            opened.append(await connect(url))
        yield opened
    finally:
        for connection in opened:
            connection.close()
