"""A BlobStore on the BLOBS stream.

A blob is uploaded under a random key (``blob.<key>.<chunk number>``), because its digest is known only at the end;
the last message, ``blob.<sha256>.meta``, names key, size and chunk size and makes it exist. Uploading bytes that are
stored already keeps the first copy and removes the second. Chunks are read by direct gets, several at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.blobs import pieces
from trialbook.blobs.memory import missing
from trialbook.errors import TooLarge, Unavailable
from trialbook.ids import UUIDv7Source
from trialbook.log.shred import shred
from trialbook.ports import BlobInfo
from trialbook.streams import BLOBS

CHUNK_BYTES = 256 * 1024
IN_FLIGHT = 8


class _Meta(msgspec.Struct, frozen=True):
    key: str
    size: int
    chunk_bytes: int


class NatsBlobStore:
    """Bytes in JetStream: what one service stores, every other can read, and they are replicated with the stream."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def put(self, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None) -> BlobInfo:
        """See ``BlobStore.put``."""
        key = UUIDv7Source().new()
        writing: set[asyncio.Task[None]] = set()
        try:
            info = await self._upload(key, chunks, max_bytes, writing)
            if await self.stat(info.sha256) is None:
                meta = _Meta(key, info.size, CHUNK_BYTES)
                await self._publish(info.sha256, "meta", msgspec.json.encode(meta))
            else:
                await pieces.remove(self._nc, key)
        except BaseException:
            await asyncio.shield(self._undo(key, writing))
            raise
        return info

    async def _upload(
        self, key: str, chunks: AsyncIterator[bytes], max_bytes: int | None, writing: set[asyncio.Task[None]]
    ) -> BlobInfo:
        digest, size, number = hashlib.sha256(), 0, 0
        buffer = bytearray()
        async for chunk in chunks:
            size += len(chunk)
            if max_bytes is not None and size > max_bytes:
                raise TooLarge("too_large", f"At most {max_bytes} bytes are accepted here.", max_bytes=max_bytes)
            digest.update(chunk)
            buffer += chunk
            while len(buffer) >= CHUNK_BYTES:
                await self._schedule(writing, key, number, bytes(buffer[:CHUNK_BYTES]))
                del buffer[:CHUNK_BYTES]
                number += 1
        if buffer:
            await self._schedule(writing, key, number, bytes(buffer))
        await asyncio.gather(*writing)
        return BlobInfo(sha256=digest.hexdigest(), size=size)

    async def _schedule(self, writing: set[asyncio.Task[None]], key: str, number: int, payload: bytes) -> None:
        """Publish in the background, at most ``IN_FLIGHT`` chunks at a time."""
        if len(writing) >= IN_FLIGHT:
            done, _ = await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                writing.discard(task)
                task.result()
        writing.add(asyncio.create_task(self._publish(key, str(number), payload)))

    async def _publish(self, key: str, name: str, payload: bytes) -> None:
        await pieces.store(self._nc, key, name, payload, {"Nats-Msg-Id": subjects.blob(key, name)})

    async def _undo(self, key: str, writing: set[asyncio.Task[None]]) -> None:
        """Leave nothing of an upload that failed. A chunk that is on its way would come after the purge, and stay."""
        await asyncio.gather(*writing, return_exceptions=True)
        await pieces.remove(self._nc, key)

    async def shred(self, sha256: str) -> bool:
        """Overwrite and delete stored bytes; whether there were any. Raises ``Unavailable``; it can be repeated."""
        meta = await self._meta(sha256)
        if meta is None:
            return False
        await shred(self._nc, BLOBS, subjects.blob(meta.key, "*"))
        await shred(self._nc, BLOBS, subjects.blob(sha256, "meta"))
        return True

    async def get(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See ``BlobStore.get``."""
        meta = await self._meta(sha256)
        if meta is None:
            raise missing(sha256)
        stop = meta.size if end is None else min(end, meta.size)
        first, last = start // meta.chunk_bytes, -(-stop // meta.chunk_bytes)
        for window in range(first, last, IN_FLIGHT):
            numbers = range(window, min(window + IN_FLIGHT, last))
            chunks = await asyncio.gather(*(self._chunk(sha256, meta.key, number) for number in numbers))
            for number, chunk in zip(numbers, chunks, strict=True):
                base = number * meta.chunk_bytes
                piece = chunk[max(0, start - base) : stop - base]
                if piece:
                    yield piece

    async def stat(self, sha256: str) -> BlobInfo | None:
        """See ``BlobStore.stat``."""
        meta = await self._meta(sha256)
        return None if meta is None else BlobInfo(sha256=sha256, size=meta.size)

    async def _meta(self, sha256: str) -> _Meta | None:
        found = await pieces.fetch(self._nc, sha256, "meta")
        return None if found is None else msgspec.json.decode(found, type=_Meta)

    async def _chunk(self, sha256: str, key: str, number: int) -> bytes:
        chunk = await pieces.fetch(self._nc, key, str(number))
        if chunk is None:
            raise Unavailable("blob_damaged", f"A part of the bytes under sha256 {sha256} is missing in the store.")
        return chunk
