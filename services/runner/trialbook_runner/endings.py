"""Waiting for runs to end: one tail of verdicts per runner, open only while somebody waits."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client

from trialbook import subjects
from trialbook.domain.run import RunState
from trialbook.envelope import AggregateId
from trialbook.handle import Handler, Loaded
from trialbook.log.tail import Tail
from trialbook.ports import EventLog
from trialbook.streams import FACTS
from trialbook.tasks import ended

VERDICTS = ("completed", "failed", "cancelled")
IDLE_S = 5.0


class Endings:
    """Shared by all attempts of a runner."""

    def __init__(self, nc: Client, log: EventLog, handler: Handler) -> None:
        self._nc, self._log, self._handler = nc, log, handler
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._follower: asyncio.Task[None] | None = None
        self._following = asyncio.Event()

    async def wait(self, run: AggregateId) -> Loaded[RunState]:
        """The run at its verdict."""
        news = asyncio.Event()
        key = f"{run.workspace}.{run.id}"
        self._waiting.setdefault(key, set()).add(news)
        try:
            if self._follower is None or self._follower.done():
                self._following.clear()
                self._follower = asyncio.create_task(self._follow(), name="verdicts")
            await self._started()
            while True:
                loaded: Loaded[RunState] = await self._handler.load(run)
                if loaded.state.terminal:
                    return loaded
                await news.wait()
                news.clear()
        finally:
            self._waiting[key].discard(news)
            if not self._waiting[key]:
                del self._waiting[key]

    async def close(self) -> None:
        """Stop following."""
        await ended(self._follower)

    async def _started(self) -> None:
        """Until verdicts are followed; an error of the follower is raised here."""
        assert self._follower is not None, "created by the caller"
        ready = asyncio.create_task(self._following.wait())
        try:
            await asyncio.wait({ready, self._follower}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not self._following.is_set():
            await self._follower

    async def _follow(self) -> None:
        """Verdicts from now on, until nobody has waited for a while. Waiters read the state after this has begun."""
        after = await self._log.last_sequence()
        filters = [subjects.facts_of(kind="run", name=name) for name in VERDICTS]
        async with Tail(self._nc, FACTS, filters, after) as tail:
            self._following.set()
            while True:
                batch = await tail.next(timeout_s=IDLE_S)
                if not batch and not self._waiting:
                    return
                for message in batch:
                    _, workspace, _, id_, *_ = message.subject.split(".")
                    for news in self._waiting.get(f"{workspace}.{id_}", ()):
                        news.set()
