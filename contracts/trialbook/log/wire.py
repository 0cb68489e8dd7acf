"""A connection to NATS with the least of its client protocol: for reading and writing streams in bulk.

Whole batches are written and whole socket reads are handed out; a general client spends many times as much per message.
"""

from __future__ import annotations

import asyncio
from urllib.parse import unquote, urlsplit

import msgspec

from trialbook.errors import Unavailable

READ_BYTES = 1024 * 1024
CONNECT_S = 5.0
SILENCE_S = 20.0


class Wire:
    """One raw connection. Everything raises ``Unavailable`` when it breaks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> Wire:
        """Connect and log in."""
        parts = urlsplit(url)
        if parts.scheme != "nats":
            raise Unavailable("bulk_unsupported", f"Bulk reads need a nats:// address, not {parts.scheme}://.")
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 4222, limit=READ_BYTES)
                await reader.readline()  # INFO
                options: dict[str, bool | int | str] = {
                    "verbose": False,
                    "pedantic": False,
                    "headers": True,
                    "no_responders": True,
                    "protocol": 1,
                }
                if parts.username:
                    options |= {"user": unquote(parts.username), "pass": unquote(parts.password or "")}
                writer.write(b"CONNECT " + msgspec.json.encode(options) + b"\r\nPING\r\n")
                while (line := await reader.readline()) != b"PONG\r\n":
                    if line.startswith(b"-ERR") or not line:
                        raise Unavailable("nats_refused", f"NATS refused the connection: {line.decode().strip()}.")
        except (OSError, TimeoutError) as error:
            raise Unavailable("nats_unreachable", "NATS does not answer.") from error
        return cls(reader, writer)

    def subscribe(self, subject: str) -> None:
        """Let what is published there come."""
        self._writer.write(f"SUB {subject} 1\r\n".encode())

    def publish(self, subject: str, reply: str, payload: bytes) -> None:
        """A message without headers."""
        self._writer.write(f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def pong(self) -> None:
        """Answer a PING."""
        self._writer.write(b"PONG\r\n")

    async def receive(self) -> bytes:
        """The bytes of one socket read; waits at most ``SILENCE_S``."""
        try:
            async with asyncio.timeout(SILENCE_S):
                data = await self._reader.read(READ_BYTES)
        except (OSError, TimeoutError) as error:
            raise Unavailable("ledger_unavailable", "NATS stopped answering during a bulk read.") from error
        if not data:
            raise Unavailable("ledger_unavailable", "NATS closed the connection during a bulk read.")
        return data

    async def send(self, content: bytes) -> None:
        """Commands of the protocol as they are; waits while the server is slow in taking them."""
        self._writer.write(content)
        try:
            async with asyncio.timeout(SILENCE_S):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise Unavailable("ledger_unavailable", "NATS stopped taking messages.") from error

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)
