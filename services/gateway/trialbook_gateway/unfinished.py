"""How many parts of unfinished uploads a workspace may have: they take disk before anybody knows whether for something.

What counts is what lies in the store, so that parts which others have taken, which have expired, or which a gateway had
taken that was killed are counted for what they are. Between two looks each gateway counts its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict

import msgspec

from trialbook.blobs.parts import LIFE_S, PART_BYTES, NatsParts
from trialbook.clock import Clock
from trialbook.errors import RateLimited

FRESH_S = 10.0
"""So long a count stands; parts that other gateways have taken meanwhile are not in it."""
AGAIN_S = 1.0
"""So soon it is counted again when there is no more room."""
RETRY_AFTER_S = 60
REMEMBERED = 1024


class _Known(msgspec.Struct):
    """``parts`` there are, or are on their way, as counted at ``at`` (monotonic seconds) and since."""

    parts: int
    at: float


class Unfinished:
    """Takes parts and bounds them. Each counts as a whole one, ``PART_BYTES``, however small it is."""

    def __init__(self, parts: NatsParts, clock: Clock, max_bytes: int) -> None:
        self._parts, self._clock, self._most = parts, clock, max_bytes // PART_BYTES
        self._known: OrderedDict[str, _Known] = OrderedDict()  # bounded by REMEMBERED
        self._storing: Counter[str] = Counter()  # bounded by what is open of all users
        self._counting = asyncio.Lock()

    async def put(self, workspace: str, upload: str, number: int, data: bytes) -> None:
        """Store one part. Raises ``RateLimited`` (code ``unfinished_uploads``), ``Unavailable``."""
        known = await self._room(workspace)
        known.parts += 1
        self._storing[workspace] += 1
        try:
            await self._parts.put(workspace, upload, number, data)
        finally:
            self._storing[workspace] -= 1
            if not self._storing[workspace]:
                del self._storing[workspace]

    async def remove(self, workspace: str, upload: str) -> None:
        """Forget the parts of an upload. Raises ``Unavailable``."""
        await self._parts.remove(workspace, upload)
        self._known.pop(workspace, None)

    async def _room(self, workspace: str) -> _Known:
        known = self._known.get(workspace)
        if known is None or self._outdated(known):
            async with self._counting:
                known = self._known.get(workspace)
                if known is None or self._outdated(known):
                    known = await self._count(workspace)
        if known.parts >= self._most:
            text = (
                f"Parts of uploads that are not finished have {self._most} times {PART_BYTES} bytes in this workspace, "
                f"the most it may have: finish them (file.upload), give them up (file.abort), or wait: after "
                f"{LIFE_S // 60} minutes they are gone."
            )
            raise RateLimited("unfinished_uploads", text, retry_after_s=RETRY_AFTER_S)
        return known

    def _outdated(self, known: _Known) -> bool:
        age_s = self._clock.monotonic() - known.at
        return age_s > (AGAIN_S if known.parts >= self._most else FRESH_S)

    async def _count(self, workspace: str) -> _Known:
        found = await self._parts.count(workspace)
        known = _Known(found + self._storing[workspace], self._clock.monotonic())
        self._known[workspace] = known
        self._known.move_to_end(workspace)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known
