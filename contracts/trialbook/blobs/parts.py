"""Parts of an upload that comes in pieces: any service takes any part, and what is never finished expires.

They lie in the BLOBS stream under a key of the upload's own, like the chunks of a blob that has no ``meta`` yet, with a
time to live that the server keeps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.errors import Invalid, Unavailable
from trialbook.log.api import call
from trialbook.streams import BLOBS

PART_BYTES = 256 * 1024
"""Most that one part may have; with its headers it fits the smallest message that a server must allow."""
MAX_PARTS = 65_536
LIFE_S = 3600
TIMEOUT_S = 10.0


class NatsParts:
    """Parts in JetStream."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def put(self, key: str, number: int, data: bytes) -> None:
        """Store one part, in the place of an earlier one. Raises ``Unavailable``."""
        reply = await self._request(subjects.blob(key, str(number)), data, {"Nats-TTL": f"{LIFE_S}s"})
        answer = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise Unavailable("blobs_unavailable", f"The blob store refused: {answer['error'].get('description')}.")

    async def read(self, key: str, count: int) -> AsyncIterator[bytes]:
        """All parts in order. Raises ``Invalid`` (code ``part_missing``), ``Unavailable``."""
        for number in range(count):
            reply = await self._request(subjects.direct_last(BLOBS, subjects.blob(key, str(number))), b"")
            if (reply.headers or {}).get("Status") == "404":
                kept = f"a part is kept for {LIFE_S // 60} minutes"
                raise Invalid(
                    "part_missing", f"Part {number} is not here; send it, and repeat ({kept}).", number=number
                )
            yield reply.data

    async def remove(self, key: str) -> None:
        """Forget an upload."""
        await call(self._nc, f"STREAM.PURGE.{BLOBS}", {"filter": subjects.blob(key, "*")})

    async def _request(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> Msg:
        try:
            return await self._nc.request(subject, payload, timeout=TIMEOUT_S, headers=headers)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable("blobs_unavailable", "The blob store does not answer; try again.") from error
