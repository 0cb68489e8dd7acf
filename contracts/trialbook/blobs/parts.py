"""Parts of an upload that comes in pieces: any service takes any part, and what is never finished expires.

They lie in the BLOBS stream under a key of the upload's own, like the chunks of a blob that has no ``meta`` yet, with a
time to live that the server keeps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from nats.aio.client import Client

from trialbook.blobs import pieces
from trialbook.errors import Invalid

PART_BYTES = 256 * 1024
"""Most that one part may have; with its headers it fits the smallest message that a server must allow."""
MAX_PARTS = 65_536
LIFE_S = 3600


class NatsParts:
    """Parts in JetStream."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def put(self, key: str, number: int, data: bytes) -> None:
        """Store one part, in the place of an earlier one. Raises ``Unavailable``."""
        await pieces.store(self._nc, key, str(number), data, {"Nats-TTL": f"{LIFE_S}s"})

    async def read(self, key: str, count: int) -> AsyncIterator[bytes]:
        """All parts in order. Raises ``Invalid`` (code ``part_missing``), ``Unavailable``."""
        for number in range(count):
            part = await pieces.fetch(self._nc, key, str(number))
            if part is None:
                kept = f"a part is kept for {LIFE_S // 60} minutes"
                raise Invalid(
                    "part_missing", f"Part {number} is not here; send it, and repeat ({kept}).", number=number
                )
            yield part

    async def remove(self, key: str) -> None:
        """Forget an upload."""
        await pieces.remove(self._nc, key)
