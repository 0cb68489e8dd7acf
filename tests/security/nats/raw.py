"""NATS by hand, for what no client would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Self
from urllib.parse import urlsplit

from trialbook.nkeys import user_of

PATIENCE_S = 30.0


class Raw:
    """A socket on which CONNECT was accepted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, url: str, seed: str) -> Self:
        """Connect with a user's seed."""
        raw, info = await cls._open(url)
        key = user_of(seed)
        try:
            await raw._greet({"nkey": key.public, "sig": key.sign(info["nonce"]).decode()})
        except ConnectionRefusedError:
            await raw.close()
            raise
        return raw

    @classmethod
    async def welcome(cls, url: str, options: dict[str, Any]) -> bool:
        """Whether the server takes these credentials."""
        raw, _ = await cls._open(url)
        try:
            await raw._greet(options)
        except ConnectionRefusedError:
            return False
        finally:
            await raw.close()
        return True

    async def send(self, subject: str, headers: bytes, payload: bytes) -> None:
        """Publish with a block of headers as it is."""
        total = len(headers) + len(payload)
        self._writer.write(
            f"HPUB {subject} _INBOX.raw {len(headers)} {total}\r\n".encode() + headers + payload + b"\r\n"
        )
        await self._writer.drain()

    async def say(self, data: bytes) -> bytes:
        """Send bytes, and give what the server says until it hangs up, or for a long while."""
        self._writer.write(data)
        said = b""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while more := await self._reader.read(4096):
                    said += more
        except (TimeoutError, ConnectionError):
            return said
        finally:
            self._writer.close()
        return said

    async def close(self) -> None:
        """Hang up once everything was read by the server."""
        self._writer.write(b"PING\r\n")
        with contextlib.suppress(ConnectionError):  # the server was quicker
            async with asyncio.timeout(PATIENCE_S):
                while (line := await self._reader.readline()) and not line.startswith(b"PONG"):
                    continue
        self._writer.close()

    @classmethod
    async def _open(cls, url: str) -> tuple[Self, dict[str, Any]]:
        at = urlsplit(url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        info: dict[str, Any] = json.loads((await reader.readline()).removeprefix(b"INFO "))
        return cls(reader, writer), info

    async def _greet(self, options: dict[str, Any]) -> None:
        greeting = {"verbose": False, "headers": True, "lang": "raw", "version": "1", "protocol": 1, **options}
        self._writer.write(b"CONNECT " + json.dumps(greeting).encode() + b"\r\nPING\r\n")
        async with asyncio.timeout(PATIENCE_S):
            while line := await self._reader.readline():
                if line.startswith(b"PONG"):
                    return
                if line.startswith(b"-ERR"):
                    break
        raise ConnectionRefusedError(line.decode())
