"""Where segments are kept: a port with the least that a directory and an S3-compatible store have in common."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterable
from io import BufferedWriter
from pathlib import Path
from typing import Protocol

from trialbook.errors import Invalid, NotFound
from trialbook.ids import UUIDv7Source

UNFINISHED = ".part-"
CHUNK_BYTES = 4 * 1024 * 1024
Content = bytes | AsyncIterable[bytes]


class SegmentStorage(Protocol):
    """Named byte strings; a name is a relative path with forward slashes."""

    async def put(self, name: str, content: Content) -> int:
        """Store under a name, replacing what was there; all of it or nothing. Returns the size in bytes.

        When it returns, the bytes survive a loss of power (of a directory) or the store has acknowledged them.
        """
        ...

    async def get(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes ``[start, end)``; raises ``NotFound`` (code ``segment_not_found``)."""
        ...

    async def size(self, name: str) -> int | None:
        """Size in bytes, or None when nothing has this name."""
        ...

    async def names(self, prefix: str = "") -> list[str]:
        """Names that begin with ``prefix``, a folder with its slash or empty, ascending."""
        ...

    async def delete(self, name: str) -> None:
        """Remove a name; nothing happens when there is none."""
        ...


async def digest_of(storage: SegmentStorage, name: str) -> str:
    """The sha256 of what is stored under a name, read in pieces. Raises ``NotFound``."""
    found, start = hashlib.sha256(), 0
    while chunk := await storage.get(name, start, start + CHUNK_BYTES):
        found.update(chunk)
        start += len(chunk)
    return found.hexdigest()


def not_stored(name: str) -> NotFound:
    """The refusal for a name that is not there."""
    return NotFound("segment_not_found", f"{name} is not in the storage.")


class LocalStorage:
    """A directory: files are written beside their place, synced, and renamed into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if not all(parts) or any(part in (".", "..") for part in parts) or "\0" in name:
            raise Invalid("invalid_segment_name", f"{name!r} is not a name within the storage.")
        return self.folder.joinpath(*parts)

    async def put(self, name: str, content: Content) -> int:
        """See ``SegmentStorage.put``."""
        path = self._path(name)
        await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f"{UNFINISHED}{UUIDv7Source().new()}")
        try:
            with await asyncio.to_thread(part.open, "wb") as file:
                if isinstance(content, bytes):
                    await asyncio.to_thread(file.write, content)
                else:
                    async for chunk in content:
                        await asyncio.to_thread(file.write, chunk)
                size = file.tell()
                await asyncio.to_thread(_sync, file)
            await asyncio.to_thread(_place, part, path)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)
        return size

    async def get(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """See ``SegmentStorage.get``."""
        return await asyncio.to_thread(self._read, self._path(name), name, start, end)

    @staticmethod
    def _read(path: Path, name: str, start: int, end: int | None) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(-1 if end is None else max(0, end - start))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise not_stored(name) from None

    async def size(self, name: str) -> int | None:
        """See ``SegmentStorage.size``."""
        path = self._path(name)
        return await asyncio.to_thread(lambda: path.stat().st_size if path.is_file() else None)

    async def names(self, prefix: str = "") -> list[str]:
        """See ``SegmentStorage.names``."""
        return await asyncio.to_thread(self._names, prefix)

    def _names(self, prefix: str) -> list[str]:
        start = self._path(prefix.rstrip("/")) if prefix else self.folder
        files = (path for path in start.rglob("*") if path.is_file() and not path.name.startswith(UNFINISHED))
        return sorted(path.relative_to(self.folder).as_posix() for path in files)

    async def delete(self, name: str) -> None:
        """See ``SegmentStorage.delete``."""
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)


def _sync(file: BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())


def _place(part: Path, path: Path) -> None:
    """Rename, and make the renaming durable."""
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
