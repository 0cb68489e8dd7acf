"""How far the tables have come, and waiting until they have come far enough."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from trialbook.errors import Unavailable
from trialbook_projector.tables.store import Positions

MAX_WAITING = 10_000


class Watermarks:
    """The applied positions. Lives on the event loop."""

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self._heaps: tuple[list[tuple[int, int, asyncio.Future[None]]], ...] = ([], [])  # bounded by MAX_WAITING
        self._order = itertools.count()
        self.awaited = asyncio.Event()
        """Set while somebody waits; cleared by whoever hurries because of it."""

    def reached(self, facts: int, signals: int) -> bool:
        """Whether both positions have been applied."""
        return self.positions.facts >= facts and self.positions.signals >= signals

    def advance(self, positions: Positions) -> None:
        """Announce newly applied positions."""
        self.positions = positions
        for heap, position in zip(self._heaps, (positions.facts, positions.signals), strict=True):
            while heap and heap[0][0] <= position:
                future = heapq.heappop(heap)[2]
                if not future.done():
                    future.set_result(None)
        if not any(self._heaps):
            self.awaited.clear()

    async def wait(self, facts: int, signals: int, timeout_s: float) -> None:
        """Wait until both have been applied. Raises ``Unavailable``: ``projection_behind`` or ``overloaded``."""
        try:
            async with asyncio.timeout(timeout_s):
                if facts > self.positions.facts:
                    await self._queue(self._heaps[0], facts)
                if signals > self.positions.signals:  # as of now, after the wait for the facts
                    await self._queue(self._heaps[1], signals)
        except TimeoutError:
            self._forget_the_gone()
            raise Unavailable(
                "projection_behind",
                f"The projector has not applied fact {facts} and signal {signals} within {timeout_s:g} s; try again.",
                facts=self.positions.facts, signals=self.positions.signals,
            ) from None  # fmt: skip

    async def _queue(self, heap: list[tuple[int, int, asyncio.Future[None]]], wanted: int) -> None:
        if sum(map(len, self._heaps)) >= MAX_WAITING:
            self._forget_the_gone()
            if sum(map(len, self._heaps)) >= MAX_WAITING:
                raise Unavailable("overloaded", "Too many questions wait for the projector; try again in a moment.")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(heap, (wanted, next(self._order), future))
        self.awaited.set()
        await future

    def _forget_the_gone(self) -> None:
        """Those who gave up waiting, or were cancelled, are still in the heaps."""
        for heap in self._heaps:
            heap[:] = [entry for entry in heap if not entry[2].done()]
            heapq.heapify(heap)
        if not any(self._heaps):
            self.awaited.clear()
