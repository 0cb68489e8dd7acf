"""Bytes up and down in a stream, with their sha256 checked on the way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx

from trialbook.client.transport import Pauses, Transport, unreachable
from trialbook.errors import Unavailable

CHUNK_BYTES = 256 * 1024
Source = Path | bytes


def size_of(source: Source) -> int:
    """Bytes to be sent."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size


async def chunks(source: Source) -> AsyncIterator[bytes]:
    """The source in pieces of at most 256 KiB; a file is read outside the loop's thread."""
    if isinstance(source, bytes):
        for start in range(0, len(source), CHUNK_BYTES):
            yield source[start : start + CHUNK_BYTES]
        return
    with await asyncio.to_thread(source.open, "rb") as stream:
        while chunk := await asyncio.to_thread(stream.read, CHUNK_BYTES):
            yield chunk


async def sha256_of(source: Source) -> str:
    """The sha256 of a source, as 64 hex digits."""
    digest = hashlib.sha256()
    async for chunk in chunks(source):
        digest.update(chunk)
    return digest.hexdigest()


class Download:
    """One stored object, fetched piece by piece; after a lost connection it goes on where it was (``Range``)."""

    def __init__(self, transport: Transport, path: str, sha256: str | None) -> None:
        """``sha256``: what it must be; None takes the server's word (its ETag, if that is one)."""
        self._transport, self._path, self._expected = transport, path, sha256
        self._digest = hashlib.sha256()
        self._received = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes in order, each once. Raises ``Unavailable`` (code ``download_corrupt``) when they are others."""
        pauses = Pauses(self._transport.patience_s)
        while True:
            try:
                async for chunk in self._try():
                    yield chunk
            except httpx.TransportError as error:
                await pauses.pause_or_raise(unreachable(self._transport.base_url, error))
            except Unavailable as refusal:
                await pauses.pause_or_raise(refusal)
            else:
                break
        found = self._digest.hexdigest()
        if self._expected is not None and found != self._expected:
            raise Unavailable(
                "download_corrupt",
                f"{self._path} has the sha256 {found}, expected was {self._expected}; nothing is kept.",
            )

    async def _try(self) -> AsyncIterator[bytes]:
        headers = {"Accept-Encoding": "identity"}
        if self._received:
            headers["Range"] = f"bytes={self._received}-"
        async with self._transport.stream(self._path, headers=headers) as response:
            skip = self._received if response.status_code == httpx.codes.OK else 0  # a server without ranges
            async for chunk in response.aiter_raw():
                piece, skip = chunk[skip:], max(0, skip - len(chunk))
                if piece:
                    self._digest.update(piece)
                    self._received += len(piece)
                    yield piece


async def save(pieces: AsyncIterator[bytes], to: Path, name: str) -> Path:
    """Write to ``to``, or to ``name`` in it when it is a directory; returns the path.

    It happens in one step: until the last byte is checked there is only a ``.part`` file beside it.
    """
    if await asyncio.to_thread(to.is_dir):
        to /= Path(name).name
    part = to.with_name(to.name + ".part")
    try:
        with await asyncio.to_thread(part.open, "wb") as stream:
            async for piece in pieces:
                await asyncio.to_thread(stream.write, piece)
        await asyncio.to_thread(part.replace, to)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
    return to
