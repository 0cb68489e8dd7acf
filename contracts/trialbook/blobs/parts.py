"""Parts of an upload that comes in pieces: any service takes any part, and what is never finished expires.

They lie in the BLOBS stream beside the blobs, those of a workspace together, so that they can be counted, with a time
to live that the server keeps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from nats.aio.client import Client

from trialbook import subjects
from trialbook.blobs import pieces
from trialbook.errors import Invalid
from trialbook.ids import UUIDv7Source
from trialbook.log.api import call
from trialbook.streams import BLOBS, NANO

PART_BYTES = 256 * 1024
"""Most that one part may have; with its headers it fits the smallest message that a server must allow."""
MAX_PARTS = 65_536
LIFE_S = 3600


class NatsParts:
    """Parts in JetStream. ``upload`` is an id that is one token of a subject."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def put(self, workspace: str, upload: str, number: int, data: bytes) -> None:
        """Store one part; of several with a number the last counts. Raises ``Unavailable``."""
        key = subjects.upload(workspace, upload)
        await pieces.store(self._nc, key, str(number), data, {"Nats-TTL": f"{LIFE_S}s"})

    async def count(self, workspace: str) -> int:
        """How many parts of all uploads are there, those included that were sent again. Raises ``Unavailable``."""
        config = {
            "filter_subject": subjects.blob(subjects.upload(workspace, "*"), "*"), "ack_policy": "none",
            "mem_storage": True, "num_replicas": 1, "inactive_threshold": NANO,
        }  # fmt: skip
        name = UUIDv7Source().new()  # a consumer that nobody uses: the server counts what it would get
        made = await call(self._nc, f"CONSUMER.CREATE.{BLOBS}.{name}", {"stream_name": BLOBS, "config": config})
        await call(self._nc, f"CONSUMER.DELETE.{BLOBS}.{name}")
        return int(made["num_pending"])

    async def read(self, workspace: str, upload: str, count: int) -> AsyncIterator[bytes]:
        """All parts in order. Raises ``Invalid`` (code ``part_missing``), ``Unavailable``."""
        key = subjects.upload(workspace, upload)
        for number in range(count):
            part = await pieces.fetch(self._nc, key, str(number))
            if part is None:
                kept = f"a part is kept for {LIFE_S // 60} minutes"
                raise Invalid(
                    "part_missing", f"Part {number} is not here; send it, and repeat ({kept}).", number=number
                )
            yield part

    async def remove(self, workspace: str, upload: str) -> None:
        """Forget an upload. Raises ``Unavailable``."""
        await pieces.remove(self._nc, subjects.upload(workspace, upload))
