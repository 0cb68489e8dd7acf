"""A WebSocket client that does little more than note when text arrives: hundreds of them fit in one process."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from trialbook.sockets import LOOPBACK

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONNECT_S = 30.0


class WebSocket(asyncio.Protocol):
    """Calls ``on_text`` with the payload of each text or binary frame. Fragments are handed over one by one."""

    def __init__(self, host: str, path: str, on_text: Callable[[bytes], None]) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self._hello = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
        self._on_text = on_text
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[int] = loop.create_future()
        """The close code; 1006 when the connection just ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport.write(self._hello)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("the server closed the connection"))
        self._close(1006)

    def data_received(self, data: bytes) -> None:
        """Read the reply to the handshake, then frames."""
        self._buffer += data
        if not self.opened.done():
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end])
            if not head.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(ConnectionRefusedError(head[:200].decode(errors="replace")))
                return
            del self._buffer[: end + 4]
            self.opened.set_result(None)
        self._frames()

    def _frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) >= at + 2:
            size, start = buffer[at + 1] & 0x7F, at + 2
            extra = {126: 2, 127: 8}.get(size, 0)
            if len(buffer) < start + extra:
                break
            if extra:
                size = int.from_bytes(buffer[start : start + extra])
            start += extra
            if len(buffer) < start + size:
                break
            self._frame(buffer[at] & 0x0F, bytes(buffer[start : start + size]))
            at = start + size
        del buffer[:at]

    def _frame(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            self._send(PONG, payload)
        elif kind == CLOSE:
            self._close(int.from_bytes(payload[:2]) if payload else 1005)
        elif kind != PONG:
            self._on_text(payload)

    def _close(self, code: int) -> None:
        if not self.closed.done():
            self.closed.set_result(code)

    def _send(self, kind: int, payload: bytes) -> None:
        assert self._transport is not None, "not connected"
        assert len(payload) < 126, "only short frames are sent"
        self._transport.write(bytes((0x80 | kind, 0x80 | len(payload), 0, 0, 0, 0)) + payload)

    def send_text(self, text: str) -> None:
        """Send one short text frame (masked with zeros)."""
        self._send(TEXT, text.encode())

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()


async def open_websocket(url: str, path: str, on_text: Callable[[bytes], None]) -> WebSocket:
    """Connect to ``path`` of the server of ``url``. Raises ``OSError`` when it refuses."""
    parts = urlsplit(url)
    assert parts.port is not None, f"{url} names no port"
    async with asyncio.timeout(CONNECT_S):
        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: WebSocket(parts.netloc, path, on_text), parts.hostname or LOOPBACK, parts.port
        )
        try:
            await protocol.opened
        except BaseException:
            protocol.close()
            raise
    return protocol
