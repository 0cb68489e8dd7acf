"""The newest messages of one feed in memory, shared by all its followers, each with an index of its own."""

from __future__ import annotations

import asyncio

import msgspec

from trialbook_gateway.live.items import Item


class Entry(msgspec.Struct):
    """One message: ``facts`` or ``signals`` is its stream sequence, the other is 0; ``size`` in bytes."""

    items: list[Item]
    size: int
    facts: int = 0
    signals: int = 0


class Ring:
    """Bounded by bytes. Indexes grow for ever; ``base`` is that of the oldest entry kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: list[Entry] = []
        self._bytes = 0
        self._waiting: set[asyncio.Future[bool]] = set()
        self.base = 0
        self.stopping = False
        """The gateway ends: followers give their clients the chance to say goodbye."""
        self.generation = 0
        """Raised whenever something may be missing: followers then read the past again."""
        self.floor_facts = 0
        self.floor_signals = 0
        """The newest sequences that are not kept any more."""

    @property
    def end(self) -> int:
        """The index of the next entry."""
        return self.base + len(self._entries)

    def push(self, entry: Entry) -> None:
        """Append and wake everybody."""
        self._entries.append(entry)
        self._bytes += entry.size
        while self._bytes > self._max_bytes and len(self._entries) > 1:
            self._trim(max(1, len(self._entries) // 8))
        self.wake()

    def _trim(self, count: int) -> None:
        for entry in self._entries[:count]:
            self._bytes -= entry.size
            self.floor_facts = max(self.floor_facts, entry.facts)
            self.floor_signals = max(self.floor_signals, entry.signals)
        del self._entries[:count]
        self.base += count

    def clear(self) -> None:
        """Forget everything and begin a new generation."""
        self.base = self.end
        self._entries.clear()
        self._bytes = self.floor_facts = self.floor_signals = 0
        self.generation += 1
        self.wake()

    def since(self, index: int, count: int) -> list[Entry]:
        """Up to ``count`` entries from ``index``, which must be kept."""
        start = index - self.base
        return self._entries[start : start + count]

    def wake(self) -> None:
        """Let everybody look again."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            _settle(future, True)

    async def changed(self, timeout_s: float) -> bool:
        """Wait for the next ``push``, ``clear`` or ``wake``; False after ``timeout_s`` seconds without one."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting.add(future)
        timer = loop.call_later(timeout_s, _settle, future, False)
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting.discard(future)


def _settle(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)
