"""The keeper of the tree: takes the facts that the pump reads and adds their hashes to the tiles.

It hashes in a thread, at most once a second, so that one fsync holds many facts. What it could not keep in memory, and
what happened while it was away, it reads from the ledger again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from trialbook.audit.leaf import leaf_hashes
from trialbook.log.tail import Message
from trialbook_projector.ledger.files import TileWriter

log = logging.getLogger(__name__)
EVERY_S = 1.0
MAX_WAITING = 50_000
"""Facts kept in memory; beyond that the ledger is read again."""

Read = Callable[[int, int], AsyncIterator[list[Message]]]
"""After, up to -> the facts in between, in batches, in order."""


class Misaligned(Exception):
    """The ledger has no fact of the sequence that comes next: ``expected``; the next it has is ``found``."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"fact {expected} is missing; the next one is {found}")
        self.expected, self.found = expected, found


class Keeper:
    """Lives on the event loop; ``files`` are written by one thread at a time."""

    def __init__(self, files: TileWriter, read: Read) -> None:
        self.files = files
        self._read = read
        self._waiting: list[Message] = []
        self._newest = files.size
        self._arrived = asyncio.Event()
        self._lock = asyncio.Lock()
        self.stopped = False
        """No more facts are taken: the ledger is damaged."""

    def offer(self, batch: Sequence[Message]) -> None:
        """Facts that follow those offered before."""
        self._newest = max(self._newest, batch[-1].sequence)
        if len(self._waiting) + len(batch) <= MAX_WAITING:
            self._waiting += batch
        self._arrived.set()

    def want(self, up_to: int) -> None:
        """Facts up to a sequence are in the ledger; read what is not offered."""
        self._newest = max(self._newest, up_to)
        self._arrived.set()

    async def arrived(self) -> None:
        """Until there is something to add; not twice within a second."""
        await asyncio.sleep(EVERY_S)
        await self._arrived.wait()

    async def flush(self) -> None:
        """Add everything that has been offered. Raises ``Misaligned`` or ``LedgerGap`` when the ledger has a
        hole, ``OSError``, and ``Unavailable``.
        """
        async with self._lock:
            self._arrived.clear()
            if self.stopped:
                self._waiting.clear()
                return
            waiting, self._waiting = self._waiting, []
            newest = self._newest
            await self._add(waiting)
            if self.files.size < newest:
                await self._fill(newest)

    async def again(self) -> None:
        """Forget every hash and read the whole ledger again. Raises as ``flush``, and ``Unavailable``."""
        async with self._lock:
            newest = max(self._newest, self.files.size)
            await asyncio.to_thread(self.files.clear)
            await self._fill(newest)

    async def rewrite(self) -> None:
        """Make the inner hashes anew from the leaves."""
        async with self._lock:
            await asyncio.to_thread(self.files.rewrite)

    async def _fill(self, up_to: int) -> None:
        async for batch in self._read(self.files.size, up_to):
            await self._add(batch, filling=True)

    async def _add(self, batch: Sequence[Message], *, filling: bool = False) -> None:
        """Add the part of a batch that comes next."""
        size = self.files.size
        fresh = [message for message in batch if message.sequence > size]
        if not fresh:
            return
        if fresh[0].sequence != size + 1 or fresh[-1].sequence != size + len(fresh):
            if not filling:
                await self._fill(fresh[-1].sequence)
                return
            expected = next((n for n, m in enumerate(fresh, size + 1) if m.sequence != n), size + 1)
            raise Misaligned(expected, next(m.sequence for m in fresh if m.sequence > expected))
        await asyncio.to_thread(self._append, fresh)

    def _append(self, messages: Sequence[Message]) -> None:
        self.files.append(leaf_hashes([(m.sequence, m.subject, m.data) for m in messages]))
