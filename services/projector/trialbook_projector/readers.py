"""A few threads that read, each with its own cursor, behind a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from trialbook.errors import Unavailable
from trialbook_projector.tables.store import Store

T = TypeVar("T")


@contextmanager
def one_state(cursor: Any) -> Iterator[None]:
    """What is read inside is of one state of the tables, that at the first statement, whatever is committed then."""
    cursor.begin()
    try:
        yield
    finally:
        cursor.rollback()


class Readers:
    """Run functions of a cursor in threads."""

    def __init__(self, store: Store, *, threads: int, queue: int, name: str) -> None:
        self._store, self._limit = store, threads + queue
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._local = threading.local()
        self._cursors: list[Any] = []  # one per thread
        self._busy = 0

    async def run(self, function: Callable[[Any], T]) -> T:
        """``function(cursor)`` in a thread. Raises ``Unavailable`` (code ``overloaded``) when the queue is full."""
        if self._busy >= self._limit:
            raise Unavailable("overloaded", "The projector has too many questions in its queue; try again in a moment.")
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, function)
        finally:
            self._busy -= 1

    def _call(self, function: Callable[[Any], T]) -> T:
        cursor = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._local.cursor = self._store.cursor()
            self._cursors.append(cursor)
        return function(cursor)

    async def close(self) -> None:
        """Let what was asked be answered, then close the cursors."""
        await asyncio.to_thread(self._executor.shutdown, wait=True)
        for cursor in self._cursors:
            cursor.close()
