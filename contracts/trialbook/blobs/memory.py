"""A BlobStore in memory."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from trialbook.errors import NotFound, TooLarge
from trialbook.ports import BlobInfo


def missing(sha256: str) -> NotFound:
    """The refusal for a blob that is not stored."""
    return NotFound("blob_not_found", f"No bytes are stored under sha256 {sha256[:64]}.")


class MemoryBlobStore:
    """For tests and for replays without a network."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    async def put(self, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None) -> BlobInfo:
        """See ``BlobStore.put``."""
        content = bytearray()
        async for chunk in chunks:
            content += chunk
            if max_bytes is not None and len(content) > max_bytes:
                raise TooLarge("too_large", f"At most {max_bytes} bytes are accepted here.", max_bytes=max_bytes)
        digest = hashlib.sha256(content).hexdigest()
        self._blobs[digest] = bytes(content)
        return BlobInfo(sha256=digest, size=len(content))

    async def get(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See ``BlobStore.get``."""
        if sha256 not in self._blobs:
            raise missing(sha256)
        content = self._blobs[sha256][start:end]
        if content:
            yield content

    async def stat(self, sha256: str) -> BlobInfo | None:
        """See ``BlobStore.stat``."""
        content = self._blobs.get(sha256)
        return None if content is None else BlobInfo(sha256=sha256, size=len(content))
