"""Who sleeps, who runs, and when the market is quiescent (facts, section 8.4). No timers, no polling."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import Enum

from msgspec import Struct


class Reason(Enum):
    """Why a waiting agent was woken."""

    MESSAGE = "message"
    QUIESCENT = "quiescent"
    CLOSED = "closed"


class _Sleeper(Struct):
    """A waiting agent; ``missing`` holds the senders it still waits for, None means any message."""

    future: asyncio.Future[Reason]
    missing: set[str] | None


class Wakeups:
    """Counts running agents and wakes waiting ones.

    An agent is running from the start, or from being woken, until it waits again or leaves. When nobody runs and
    nobody is ready, every waiting customer is woken with ``QUIESCENT``; once all customers have left, the businesses
    are woken with ``CLOSED``.

    With ``lockstep`` ready agents are woken only when nobody runs: first all ready businesses together, otherwise all
    ready customers. What an agent does then no longer depends on the order in which the others happened to run.
    """

    def __init__(self, customers: Iterable[str], businesses: Iterable[str], *, lockstep: bool) -> None:
        self._customers = dict.fromkeys(customers)
        self._order = {agent: place for place, agent in enumerate([*self._customers, *businesses])}
        self._running = set(self._order)
        self._sleeping: dict[str, _Sleeper] = {}
        self._ready: set[str] = set()
        self._heard: dict[str, set[str]] = {agent: set() for agent in self._order}
        self._lockstep = lockstep

    async def wait(self, agent: str, senders: frozenset[str] | None = None) -> Reason:
        """Sleep until a message arrived (from each of ``senders``, if given), or the market is quiescent or closed."""
        future: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        missing = None if senders is None else set(senders - self._heard[agent])
        self._sleeping[agent] = _Sleeper(future, missing)
        self._running.discard(agent)
        if not missing and (senders is not None or self._heard[agent]):
            self._satisfied(agent)
        self._settle()
        return await future

    def delivered(self, to: str, sender: str) -> None:
        """A message for ``to`` was committed."""
        self._heard[to].add(sender)
        sleeper = self._sleeping.get(to)
        if sleeper is None:
            return
        if sleeper.missing is not None:
            sleeper.missing.discard(sender)
        if not sleeper.missing:
            self._satisfied(to)

    def collected(self, agent: str) -> None:
        """The agent has fetched its messages."""
        self._heard[agent].clear()

    def leave(self, agent: str) -> None:
        """The agent has stopped for good."""
        self._order.pop(agent, None)
        self._customers.pop(agent, None)
        self._running.discard(agent)
        self._sleeping.pop(agent, None)
        self._ready.discard(agent)
        self._settle()

    def has_left(self, agent: str) -> bool:
        """True once the agent has stopped."""
        return agent not in self._order

    def _satisfied(self, agent: str) -> None:
        if self._lockstep:
            self._ready.add(agent)
        else:
            self._wake([agent], Reason.MESSAGE)

    def _settle(self) -> None:
        if self._running:
            return
        if self._ready:
            businesses = self._ready - self._customers.keys()
            self._wake(businesses or self._ready, Reason.MESSAGE)
        elif self._customers:
            self._wake(self._customers, Reason.QUIESCENT)
        else:
            self._wake(self._sleeping, Reason.CLOSED)

    def _wake(self, agents: Iterable[str], reason: Reason) -> None:
        for agent in sorted(agents, key=lambda name: self._order[name]):
            sleeper = self._sleeping.pop(agent)
            self._ready.discard(agent)
            self._running.add(agent)
            if not sleeper.future.done():
                sleeper.future.set_result(reason)
