"""Waiting for the end of runs: one subscription for the whole gateway instead of one per waiting request."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from trialbook import subjects

REMEMBERED = 8192
NAMES = ("completed", "failed", "cancelled", "deleted")


class Verdicts:
    """Wakes those who wait for a run's verdict, and remembers the newest ones with their sequence."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._waiting: dict[tuple[str, str], set[asyncio.Future[int]]] = {}
        self._recent: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """Subscribe to the taps."""
        for name in NAMES:
            subject = subjects.tap(subjects.facts_of(kind="run", name=name))
            self._subscriptions.append(await self._nc.subscribe(subject, cb=self._on_message))

    async def close(self) -> None:
        """Unsubscribe."""
        if not self._nc.is_closed:
            for subscription in self._subscriptions:
                await subscription.unsubscribe()

    def known(self, workspace: str, run: str) -> int:
        """Sequence of a verdict that passed lately, 0 otherwise."""
        return self._recent.get((workspace, run), 0)

    async def wait(self, workspace: str, run: str, timeout_s: float, after: int = 0) -> int:
        """Sequence of a verdict newer than ``after``, or ``after`` when none comes within ``timeout_s`` seconds."""
        key = (workspace, run)
        if self._recent.get(key, 0) > after:
            return self._recent[key]
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(key, set())
        waiting.add(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return after
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(key) is waiting:
                del self._waiting[key]

    async def _on_message(self, message: Msg) -> None:
        _, _, workspace, _, run, _ = message.subject.split(".")
        key = (workspace, run)
        sequence = int((message.headers or {}).get("Nats-Sequence", "0"))
        self._recent[key] = max(sequence, self._recent.get(key, 0))
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        for future in self._waiting.pop(key, ()):
            if not future.done():
                future.set_result(sequence)
