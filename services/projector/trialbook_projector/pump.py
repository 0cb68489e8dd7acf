"""The pump: what waits in the two streams goes into the tables.

Facts are folded into the head as they come, which answers for single runs at once. A commit takes milliseconds whatever
it holds, so rows are gathered for a moment, unless somebody waits for the tables.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from nats.aio.client import Client

from trialbook import subjects
from trialbook.errors import Unavailable
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.tail import Message, Tail
from trialbook.streams import FACTS, SIGNALS
from trialbook_projector.ledger.service import Ledger
from trialbook_projector.live import Live
from trialbook_projector.segments_first import SegmentsFirst

log = logging.getLogger(__name__)
FACTS_PER_BATCH = 5000
SIGNALS_PER_BATCH = 256
"""A chunk may hold 64 KiB, so this bounds a batch at 16 MiB."""
GATHER_S = 0.04
KEYS_AGAIN_S = 0.5


class _Waiting:
    """Messages of one stream on their way to the writer: at most two batches."""

    def __init__(self, at_most: int) -> None:
        self.at_most = at_most
        self._messages: list[Message] = []
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, batch: list[Message]) -> None:
        """Add a batch; waits while the writer is behind."""
        await self._room.wait()
        self._messages += batch
        if len(self._messages) >= self.at_most:
            self._room.clear()

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return not self._room.is_set()

    def take(self) -> list[Any]:
        """Everything, in order."""
        messages, self._messages = self._messages, []
        self._room.set()
        return messages


class Pump:
    """Reads both streams from the positions of the tables."""

    def __init__(self, nc: Client, live: Live, storage: SegmentStorage, ledger: Ledger | None = None) -> None:
        """``ledger`` is offered every fact that the stream gives."""
        self._nc, self._live, self._ledger = nc, live, ledger
        self._sealed = SegmentsFirst(nc, storage)
        self._tails: dict[str, Tail] = {}
        self._waiting = {FACTS: _Waiting(FACTS_PER_BATCH), SIGNALS: _Waiting(SIGNALS_PER_BATCH)}
        self._arrived = asyncio.Event()

    def lag(self) -> tuple[int, int]:
        """Facts and signals that are known to wait, as of the last message received."""
        waiting = {}
        for stream in (FACTS, SIGNALS):
            tail = self._tails.get(stream)
            waiting[stream] = tail.pending if tail else 0
        return waiting[FACTS] + self._sealed.left, waiting[SIGNALS]

    async def run(self) -> None:
        """Until cancelled. Raises what makes going on senseless (disk full, file broken)."""
        async for batch in self._sealed.batches(self._live.watermarks.positions.facts, FACTS_PER_BATCH):
            await self._have_keys(batch)
            await asyncio.shield(self._live.apply(batch, []))
        positions = self._live.watermarks.positions
        async with (
            Tail(self._nc, FACTS, [subjects.FACTS_ALL], positions.facts) as facts,
            Tail(self._nc, SIGNALS, [subjects.SIGNALS_ALL], positions.signals) as signals,
            asyncio.TaskGroup() as group,
        ):
            self._tails = {FACTS: facts, SIGNALS: signals}
            group.create_task(self._read(facts, FACTS))
            group.create_task(self._read(signals, SIGNALS))
            group.create_task(self._write())

    async def _read(self, tail: Tail, stream: str) -> None:
        waiting = self._waiting[stream]
        while True:
            after = tail.position
            batch = await tail.next(max_messages=waiting.at_most)
            if stream == FACTS:
                await self._sealed.check(after, batch)
                if self._ledger is not None:
                    self._ledger.offer(batch)
                await self._have_keys(batch)
                self._live.head.fold(batch)
            await waiting.put(batch)
            self._arrived.set()

    async def _have_keys(self, batch: list[Message]) -> None:
        """Fetch the keys of sealed facts, however long the server takes to answer."""
        keys = self._live.keys
        while keys is not None:
            try:
                await keys.ensure(message.data for message in batch)
            except Unavailable as error:
                log.warning("%s", error.detail)
                await asyncio.sleep(KEYS_AGAIN_S)
            else:
                return

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            await self._gather()
            self._arrived.clear()
            facts, signals = self._waiting[FACTS].take(), self._waiting[SIGNALS].take()
            if facts or signals:
                await asyncio.shield(self._live.apply(facts, signals))

    async def _gather(self) -> None:
        """Wait a moment for more, but not while somebody waits for us."""
        awaited = self._live.watermarks.awaited
        if awaited.is_set() or any(w.full for w in self._waiting.values()):
            return
        try:
            async with asyncio.timeout(GATHER_S):
                await awaited.wait()
        except TimeoutError:
            return
