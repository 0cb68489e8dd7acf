"""Moving bytes between files, values and the blob store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from trialbook.errors import Invalid
from trialbook.ports import BlobInfo, BlobStore

INLINE_BYTES = 64 * 1024
"""What may stand in a fact itself."""
READ_BYTES = 1024 * 1024


async def store_value(store: BlobStore, encoded: bytes) -> tuple[Any, str | None]:
    """A JSON value as ``(value, None)`` when it is small, else as ``(None, sha256)`` of its stored encoding."""
    if len(encoded) <= INLINE_BYTES:
        return msgspec.json.decode(encoded), None
    info = await store.put(_one(encoded))
    return None, info.sha256


async def load_value(store: BlobStore, value: Any, sha256: str | None) -> Any:
    """The inverse of ``store_value``."""
    if sha256 is None:
        return value
    return msgspec.json.decode(b"".join([chunk async for chunk in store.get(sha256)]))


async def store_file(store: BlobStore, path: Path, max_bytes: int) -> BlobInfo:
    """Store a regular file. Raises ``Invalid`` (``artifact_not_found``) and ``TooLarge``."""
    if not await asyncio.to_thread(path.is_file):
        raise Invalid("artifact_not_found", f"There is no regular file {path.name!r} to store as an artifact.")
    return await store.put(_file(path), max_bytes=max_bytes)


async def fetch_file(store: BlobStore, sha256: str, path: Path) -> None:
    """Write a stored blob to a file. Raises ``NotFound`` (``blob_not_found``)."""
    mode = "wb"
    async for chunk in store.get(sha256):
        await asyncio.to_thread(_write, path, mode, chunk)
        mode = "ab"
    if mode == "wb":
        await asyncio.to_thread(_write, path, mode, b"")


def _write(path: Path, mode: str, chunk: bytes) -> None:
    with path.open(mode) as stream:
        stream.write(chunk)


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _file(path: Path) -> AsyncIterator[bytes]:
    stream = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(stream.read, READ_BYTES):
            yield chunk
    finally:
        await asyncio.to_thread(stream.close)
