"""Write the archive: member after member into a ZIP file, with the digest of each, in bounded memory."""

from __future__ import annotations

import asyncio
import hashlib
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

from trialbook.package.crate import Member

STAMP = (1980, 1, 1, 0, 0, 0)
"""The times of members say nothing; without them the same run gives the same members."""


class Writer:
    """One archive being written; ``members`` are those so far."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self.members: list[Member] = []

    async def add(
        self, path: str, chunks: AsyncIterator[bytes], *, role: str = "record", about: str, media_type: str = ""
    ) -> Member:
        """Add a file from its chunks."""
        digest, size = hashlib.sha256(), 0
        info = zipfile.ZipInfo(path, STAMP)
        info.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(info, "w", force_zip64=True) as stream:
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                await asyncio.to_thread(stream.write, chunk)
        member = Member(path=path, sha256=digest.hexdigest(), size=size, role=role, about=about, media_type=media_type)
        self.members.append(member)
        return member

    async def add_bytes(self, path: str, body: bytes, *, about: str, media_type: str = "") -> Member:
        """Add a small file."""

        async def chunks() -> AsyncIterator[bytes]:
            yield body

        return await self.add(path, chunks(), about=about, media_type=media_type)

    async def close(self) -> None:
        """Finish the archive."""
        await asyncio.to_thread(self._archive.close)
