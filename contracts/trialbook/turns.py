"""Turns at what many change at once: the lane of a workspace, a catalog of names.

Appends are decided by sequences alone; but among many writers of one process all but one would have decided for
nothing, and read again, and so on. Here they wait for each other, first come, first served.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from weakref import WeakValueDictionary

from trialbook.envelope import AggregateId
from trialbook.errors import Unavailable

SHARED = frozenset({"catalog", "lane"})
"""Kinds that independent clients change. Of whoever takes turns at both, the catalog's comes first."""
PATIENCE_S = 10.0
"""Then the ledger does not answer, or more want it than it can do; whoever tried out of turn would only add to that."""


class Turns:
    """One lock for each shared aggregate that somebody changes at the moment."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._locks: WeakValueDictionary[AggregateId, asyncio.Lock] = WeakValueDictionary()
        self._patience_s = patience_s

    async def take(self, aggregate: AggregateId, until: AsyncExitStack) -> bool:
        """Hold the turn at a shared aggregate until the stack is left; says whether somebody else had it before.

        Raises ``Unavailable`` (code ``contention``) when it does not come.
        """
        lock = self._locks.get(aggregate)
        if lock is None:
            lock = self._locks[aggregate] = asyncio.Lock()
        waited = lock.locked()
        try:
            async with asyncio.timeout(self._patience_s):
                await lock.acquire()
        except TimeoutError:
            text = "Too many change the same thing at the same time, or the ledger does not answer; try again."
            raise Unavailable("contention", text) from None
        until.callback(lock.release)
        return waited
