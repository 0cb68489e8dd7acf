"""A background task that feeds every message of a stream to a function, and says when it has caught up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from nats.aio.client import Client

from trialbook.log.tail import Message, Tail
from trialbook.tasks import ended

log = logging.getLogger(__name__)
FIRST_S = 0.3


class Follower:
    """Follows one stream from its beginning for as long as the gateway lives."""

    def __init__(self, nc: Client, stream: str, filters: list[str], apply: Callable[[Message], None]) -> None:
        self._tail = Tail(nc, stream, filters, after=0)
        self._apply, self._stream = apply, stream
        self._task: asyncio.Task[None] | None = None
        self.caught_up = asyncio.Event()

    async def start(self, wait_s: float) -> None:
        """Begin to follow, and wait up to ``wait_s`` seconds until the present is reached."""
        self._task = asyncio.create_task(self._run(), name=f"follow-{self._stream}")
        try:
            await asyncio.wait_for(self.caught_up.wait(), wait_s)
        except TimeoutError:
            log.warning("%s is long; serving before all of it is read", self._stream)

    async def close(self) -> None:
        """Stop."""
        await ended(self._task)

    async def _run(self) -> None:
        async with self._tail as tail:
            while True:
                # The first answer may be an empty stream; afterwards there is nothing to do but wait.
                batch = await tail.next(timeout_s=None if self.caught_up.is_set() else FIRST_S)
                for message in batch:
                    try:
                        self._apply(message)
                    except ValueError as error:  # poison from outside must not end the following
                        log.warning("unreadable message %d of %s: %s", message.sequence, self._stream, error)
                if tail.pending == 0:
                    self.caught_up.set()
