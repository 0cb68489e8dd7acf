"""Work of many users in turn: each has a bounded queue of its own, so that the flood of one is that one's trouble."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec

from trialbook.errors import RateLimited, Unavailable

RETRY_AFTER_S = 1
TOTAL_BYTES = 64 * 1024 * 1024
"""Most that may wait, of all users together."""

Work = Callable[[], Coroutine[Any, Any, None]]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much one user may have: ``open`` at a time, ``waiting`` behind it, ``bytes`` of what waits; ``total``: how
    much is open of all users.
    """

    open: int
    waiting: int
    bytes: int
    total: int


class _Queue:
    """One user's."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.waiting: deque[tuple[int, Work]] = deque()  # bounded: by offer()
        self.bytes = self.open = 0
        self.in_turn = False


class FairQueue:
    """Fair queueing: takes work, and begins it user by user, one each in turn. The work handles its own failures."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._queues: dict[str, _Queue] = {}
        self._turns: deque[_Queue] = deque()  # bounded: each queue is in it once
        self._tasks: set[asyncio.Task[None]] = set()  # at most bounds.total
        self._bytes = 0

    def offer(self, user: str, size: int, work: Work) -> None:
        """Take work of ``size`` bytes. Raises ``RateLimited`` (code ``too_many_requests``) when the user has as much
        waiting as one may have, ``Unavailable`` (code ``overloaded``) when all have.
        """
        bounds = self._bounds
        queue = self._queues.get(user) or _Queue(user)
        if len(queue.waiting) >= bounds.waiting or (queue.waiting and queue.bytes + size > bounds.bytes):
            detail = (
                f"{len(queue.waiting)} requests of {user} wait already: wait for answers, {bounds.open} are carried "
                "out at a time."
            )
            raise RateLimited("too_many_requests", detail, retry_after_s=RETRY_AFTER_S)
        if self._bytes + size > TOTAL_BYTES:
            raise Unavailable("overloaded", "Too much waits to be answered; try again in a moment.")
        self._queues[user] = queue
        queue.waiting.append((size, work))
        queue.bytes += size
        self._bytes += size
        self._take_turn(queue)
        self._begin()

    @property
    def users(self) -> int:
        """How many have something open or waiting."""
        return len(self._queues)

    async def drain(self, timeout_s: float) -> None:
        """Finish what was taken, for at most ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._tasks:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            return

    def _take_turn(self, queue: _Queue) -> None:
        if queue.waiting and not queue.in_turn and queue.open < self._bounds.open:
            queue.in_turn = True
            self._turns.append(queue)

    def _begin(self) -> None:
        while self._turns and len(self._tasks) < self._bounds.total:
            queue = self._turns.popleft()
            queue.in_turn = False
            size, work = queue.waiting.popleft()
            queue.bytes -= size
            self._bytes -= size
            queue.open += 1
            task = asyncio.create_task(work())
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, queue))
            self._take_turn(queue)

    def _ended(self, queue: _Queue, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        queue.open -= 1
        self._take_turn(queue)
        self._begin()
        if not queue.open and not queue.waiting:
            self._queues.pop(queue.user, None)
