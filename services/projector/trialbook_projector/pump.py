"""The pump: whatever is waiting in the two streams goes into the tables, batch after batch, without a fixed wait."""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.client import Client

from trialbook import subjects
from trialbook.log.tail import Message, Tail
from trialbook.streams import FACTS, SIGNALS
from trialbook_projector.live import Live

FACTS_PER_BATCH = 5000
SIGNALS_PER_BATCH = 256
"""A chunk may hold 64 KiB, so this bounds a batch at 16 MiB."""


class Pump:
    """Reads both streams from the positions of the tables."""

    def __init__(self, nc: Client, live: Live) -> None:
        self._nc, self._live = nc, live
        self._tails: dict[str, Tail] = {}
        self._batches: dict[str, asyncio.Queue[list[Message]]] = {
            FACTS: asyncio.Queue(maxsize=1),
            SIGNALS: asyncio.Queue(maxsize=1),
        }
        self._arrived = asyncio.Event()

    def lag(self) -> tuple[int, int]:
        """Facts and signals that are known to wait, as of the last message received."""
        waiting = {}
        for stream in (FACTS, SIGNALS):
            tail = self._tails.get(stream)
            waiting[stream] = tail.pending if tail else 0
        return waiting[FACTS], waiting[SIGNALS]

    async def run(self) -> None:
        """Until cancelled. Raises what makes going on senseless (disk full, file broken)."""
        positions = self._live.watermarks.positions
        async with (
            Tail(self._nc, FACTS, [subjects.FACTS_ALL], positions.facts) as facts,
            Tail(self._nc, SIGNALS, [subjects.SIGNALS_ALL], positions.signals) as signals,
            asyncio.TaskGroup() as group,
        ):
            self._tails = {FACTS: facts, SIGNALS: signals}
            group.create_task(self._read(facts, FACTS, FACTS_PER_BATCH))
            group.create_task(self._read(signals, SIGNALS, SIGNALS_PER_BATCH))
            group.create_task(self._write())

    async def _read(self, tail: Tail, stream: str, at_most: int) -> None:
        while True:
            batch = await tail.next(max_messages=at_most)
            await self._batches[stream].put(batch)
            self._arrived.set()

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            facts, signals = self._take(FACTS), self._take(SIGNALS)
            if facts or signals:
                await asyncio.shield(self._live.apply(facts, signals))

    def _take(self, stream: str) -> list[Any]:
        queue = self._batches[stream]
        return [] if queue.empty() else queue.get_nowait()
