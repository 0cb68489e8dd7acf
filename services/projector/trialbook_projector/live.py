"""The tables that are in use now: one open file with its writer and its readers. A rebuild replaces them as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trialbook.vault.ring import KeyRing
from trialbook_projector.head import Head
from trialbook_projector.readers import Readers
from trialbook_projector.settings import Settings
from trialbook_projector.tables.cache import RunEntry
from trialbook_projector.tables.facts import Open, as_it_is
from trialbook_projector.tables.message import Message
from trialbook_projector.tables.store import open_store
from trialbook_projector.tables.writer import Applied, Caches, Writer
from trialbook_projector.watermarks import Watermarks


def opener(keys: KeyRing | None) -> Open:
    """How facts are read; without a master key their sealed members show placeholders."""
    return keys.shown if keys is not None and keys.usable else as_it_is


def _nobody(_sequence: int) -> None:
    """No kept files need to hear of erasures."""


class Tables:
    """One open file."""

    def __init__(self, path: Path, settings: Settings, open_: Open = as_it_is) -> None:
        """``open_`` gives facts their sealed members back."""
        self.store = open_store(path, settings.duckdb)
        self.writer = Writer(self.store, settings.capacity, open_)
        self.readers = Readers(self.store, threads=settings.reader_threads, queue=settings.reader_queue, name="read")
        self.sql = Readers(self.store, threads=settings.sql_threads, queue=settings.sql_queue, name="sql")

    @property
    def caches(self) -> Caches:
        """What is remembered of these tables."""
        return self.writer.caches

    async def close(self, *, checkpoint: bool) -> None:
        """Answer what was asked, then close the file."""
        await self.readers.close()
        await self.sql.close()
        await asyncio.to_thread(self.store.close, checkpoint=checkpoint)


class Live:
    """The current tables and how far they have come."""

    def __init__(self, tables: Tables, keys: KeyRing | None = None) -> None:
        """``keys``: those of data subjects, where this projector may open what is sealed."""
        self.tables, self.keys = tables, keys
        self.watermarks = Watermarks(tables.writer.positions)
        self.head = Head(tables.writer.positions.facts, self._remembered, opener(keys))
        self.writing = asyncio.Lock()
        """Held while a batch is applied or the tables are replaced."""
        self.on_erased: Callable[[int], None] = _nobody
        """Called with the sequence up to which an erasure has just been carried out in the tables."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")

    async def apply(self, facts: Sequence[Message], signals: Sequence[Message]) -> None:
        """Apply messages that follow the positions; when it returns they are committed and seen by readers."""
        async with self.writing:
            writer = self.tables.writer
            loop = asyncio.get_running_loop()
            done: list[Applied] = await loop.run_in_executor(self._thread, writer.apply, facts, signals)
            for applied in done:
                writer.publish(applied)
            self.watermarks.advance(writer.positions)
            self.head.committed(writer.positions.facts)
            if any(applied.erased for applied in done):
                await asyncio.to_thread(self.on_erased, writer.positions.facts)

    async def pass_over(self, signals: int) -> None:
        """Count signals up to there as applied, where the stream has nothing more between."""
        async with self.writing:
            writer = self.tables.writer
            await asyncio.get_running_loop().run_in_executor(self._thread, writer.pass_over, signals)
            self.watermarks.advance(writer.positions)

    def _remembered(self, key: str) -> RunEntry | None:
        return self.tables.caches.runs.get(key)

    def replace(self, tables: Tables) -> Tables:
        """Let other tables be the current ones (hold ``writing``); returns the old ones, which the caller closes."""
        before, self.tables = self.tables, tables
        self.watermarks.advance(tables.writer.positions)
        self.head.committed(tables.writer.positions.facts)
        return before

    async def close(self) -> None:
        """Finish the batch in hand and close the file."""
        async with self.writing:
            await asyncio.to_thread(self._thread.shutdown, wait=True)
            await self.tables.close(checkpoint=True)
